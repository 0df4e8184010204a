"""Methods to run a source in steps: begin or encode, and steps, which takes and returns states."""
from __future__ import annotations

from ..._graph.graph import Entry, Graph
from ..prepare import Prepared
from ..prepare.array_types import Facts, survey
from ..prepare.steps import Layout
from .class_file import File
from .emitter_api import Expr, Unsupported
from .methods import Methods
from .program_names import name_of
from .python_text import local, wrapped

__all__ = ['StepMethods']

#: The methods' docstrings.
_BEGIN = 'The states before the first step.'
_STEPS = 'The outputs of the next steps, one or many, and the states after them.'


class StepMethods:
    """Adds the methods to a file that has the methods for whole sequences.

    Parameters
    ----------
    file, methods : File, Methods
    plan : Prepared
        Of which the methods were written.

    Attributes
    ----------
    states : dict of str to str
        Names in the method for the states, and for other values that stay between steps.
    once : list of str
        The outputs of encode that come before the states.
    encoder : list of str or None
        The inputs of encode.
    inputs : list of str
        The inputs of steps, without states.
    stepped : Stepped
        The graph in steps.
    """

    def __init__(self, file: File, methods: Methods, plan: Prepared) -> None:
        losses, stepped = plan.losses, plan.steps
        assert losses is not None and stepped is not None
        self.stepped = stepped
        self._file, self._methods = file, methods
        self.states = {name: name for name in [
            *(state.given for state in stepped.states), *stepped.sources]}
        self.facts = {name: methods.facts.arrays[stepped.sources[name]] for name in self.states}
        self.once = [name for name in methods.outputs if name not in stepped.outputs]
        self.encoder = None if stepped.encoder is None else [
            name for name in methods.arguments if name in stepped.encoder.needed_variables()]
        if self.encoder is None:
            self._write_begin()
        else:
            self._write_encode(losses.graph)
        taken = {'states', *methods.arguments.values()}
        for name, wanted in self.states.items():
            self.states[name] = local(wanted, taken)
            taken.add(self.states[name])
        self.inputs = self._write_steps(survey(
            stepped.graph, plan.model.params,
            {**losses.shapes, **{name: fact.shape for name, fact in self.facts.items()}},
            {**plan.types, **{name: fact.dtype for name, fact in self.facts.items()}}))
        file.finish()

    def _write_begin(self) -> None:
        zeros, of_model = [], self._zeros()
        for state in self.stepped.states:
            shape = self.facts[state.given].shape
            if any(not isinstance(size, int) and size != shape[state.batch_axis] for size in shape):
                self._methods.faults.append('state %s: only the axis of the batch may have any size'
                                            % state.given)
            zeros.append('zeros(%s%s)' % (', '.join(
                str(size) if isinstance(size, int) else 'batch' for size in shape),
                self._typed(state.given)))
        self._file.methods.append('\n'.join([
            '    def begin(self, batch: int) -> tuple[Tensor, ...]:',
            '        """%s"""' % _BEGIN,
            '        zeros = %s' % of_model,
            wrapped('        return ' + ', '.join(zeros) + ',' * (len(zeros) == 1))]))

    def _zeros(self) -> str:
        """The text that makes zeros on the model's device and in its type."""
        return 'next(self.parameters()).new_zeros' if self._reals() else 'torch.zeros'

    def _typed(self, state: str) -> str:
        """A state's type as a last argument, if it differs from the parameters'."""
        own = self.facts[state].dtype
        return '' if self._reals() in ([own], [] if own == 'float32' else [own]) else (
            ', dtype=torch.%s' % own)

    def _reals(self) -> list[str]:
        """The types of the parameters that are real numbers."""
        file = self._file
        return list(dict.fromkeys(str(array.dtype) for name, array in file.arrays.items()
                                  if array.dtype.kind == 'f' and name not in file.auxiliary))

    def _write_encode(self, graph: Graph) -> None:
        methods, stepped = self._methods, self.stepped
        given = {name: methods.arguments[name] for name in self.encoder or ()}
        scope = methods.scope(graph, methods.facts, given)
        scope.check_inputs(axes=True)
        zero = {state.given for state in stepped.states if not state.begin}
        once = [head for name, head in zip(methods.outputs, methods.heads) if name in self.once]
        found = scope.emit([*once, *(
            stepped.sources[name] for name in self.states if name not in zero)])
        computed = dict(zip([name for name in self.states if name not in zero], found[len(once):]))
        if methods.faults:
            return
        zeros = scope.own(self._zeros(), 'zeros') if zero else ''
        try:
            states = [computed[name] if name in computed else Expr('%s(%s%s)' % (
                zeros, scope.sizes(fact.shape, *found), self._typed(name)), *fact)
                for name, fact in self.facts.items()]
        except Unsupported:
            methods.faults.append('cannot make zero states: no input of encode has the axis batch')
            return
        for name in list(self.states)[len(stepped.states):]:
            text = computed[name].text
            self.states[name] = text if text.isidentifier() else name_of(
                graph.nodes[stepped.sources[name].node]) or 'x'
        scope.write('encode', list(given.values()), found[:len(once)], _BEGIN, states)

    def _write_steps(self, facts: Facts) -> list[str]:
        methods, graph = self._methods, self.stepped.graph
        scope = methods.scope(graph, facts, {**methods.arguments, **self.states})
        names = list(self.states.values())
        places = {node.name: place for place, node in enumerate(graph.nodes) if node.is_variable}
        scope.inputs.update({name: scope.values[Entry(places[name], 0)] for name in self.states})
        scope.first = '%s = states' % (', '.join(names) if names[1:] else '(%s,)' % names[0])
        scope.check_inputs(axes=True)
        count = len(self.stepped.states)
        results = scope.emit([*graph.heads, *(
            Entry(places[name], 0) for name in list(self.states)[count:])])
        inputs = [name for name in methods.arguments if name in scope.found]
        if all(Layout(self.stepped.axes[name]).time is None for name in inputs):
            methods.faults.append('no input of steps has an axis of time')
        first = len(graph.heads) - count
        scope.write('steps', [
            *(methods.arguments[name] for name in inputs), 'states: tuple[Tensor, ...]'],
            results[:first], _STEPS, results[first:])
        return inputs
