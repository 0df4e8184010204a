"""to_torch: the class that to_source writes, made in memory."""
from __future__ import annotations

import dataclasses
import functools
import itertools
import linecache
import sys
import threading
import types
import weakref
from typing import Any, Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from .. import _check
from .._graph.graph import Graph, Node
from .._graph.index_inputs import readers_of
from .._graph.operator_table import has
from .._graph.rolling import with_one_input
from ._source.class_file import state_dict_of
from ._source.class_text import text_of, written
from ._source.emitter_api import SOURCE
from ._source.methods import Methods
from ._source.size_texts import described
from .model import Model
from .prepare import prepare
from .prepare.losses import without_values
from .prepare.outputs import chosen
from .registry import TORCH, Converters, ExportError, ShapesNeeded

__all__ = ['TorchModel', 'WaitingModel', 'operators', 'to_torch']

_COUNT = itertools.count()
#: Classes by their sources, as long as they have instances.
_CLASSES: weakref.WeakValueDictionary[str, type[TorchModel]] = weakref.WeakValueDictionary()
#: Of the first calls of waiting models.
_FIRST_CALL = threading.RLock()


def to_torch(model: Model, inputs: Mapping[str, Sequence[int | str]] | None = None, *,
             types: Mapping[str, _check.DType] | None = None, outputs: Sequence[str] | None = None,
             certify_by: Graph | None = None, states: bool = False) -> TorchModel:
    """Make the class that `to_source` writes, in memory, with the weights.

    Parameters
    ----------
    model, inputs, types, outputs, certify_by, states
        As in `to_source`. If `to_source` would need `inputs`, the class is made when it is called
        first. Until then it has no parameters: give `inputs` to train it. Once made, a class never
        changes: it refuses other shapes.

    Returns
    -------
    TorchModel
        In inference mode, as after ``.eval()``. The state dict is that of the source. The class
        also runs operators of programs, which `register` got with `make` and `shape`.

    Raises
    ------
    ExportError
        The graph has unknown operators (all are named), or ties an axis of `inputs` that is to have
        any size. Or, with `states`, it uses several steps of a sequence at once.
    ValueError, TypeError
        An argument has a wrong value or type.

    Examples
    --------
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "Activation", "name": "act", "attrs": {"act_type": "relu"},
    ...      "inputs": [[0, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}''')
    >>> module = interop.to_torch(interop.Model(graph, {}, {}), {'data': ('batch', 2)})
    >>> module(data=torch.tensor([[-1., 2.]]))
    tensor([[0., 2.]])
    >>> print(module.source[-90:].strip())
    def forward(self, data: Tensor) -> Tensor:
            return torch.relu(data)
    """
    asked = {'inputs': inputs, 'types': types, 'outputs': outputs, 'certify_by': certify_by,
             'states': _check.flag('states', states)}
    try:
        return _made(model, asked)
    except ShapesNeeded as error:
        return WaitingModel(model, asked, error)


@dataclasses.dataclass
class _Facts:
    """What a module knows about its arguments and its origin.

    Attributes
    ----------
    asked : dict
        What `to_torch` was asked for, and what the first call told.
    arguments : dict
        By method, MXNet's names of its arguments.
    shapes : dict
        Of inputs; names are axes of any size, or one in `ranges`.
    ranges, equal : dict
        By input and axis, allowed sizes; by input, axes as long as those of an earlier input that
        have the same name, where unequal sizes could be repeated.
    tied : dict
        By input and axis, why the graph ties it.
    labels : dict
        Shapes of labels, as in the docstring of the source.
    rows : dict
        By input with ids, the rows of the smallest table in which these are looked up.
    notes : list of str
    operators : tuple of Node
        The nodes that the program's functions run.
    states : list of tuple
        The shapes of the states that the method steps takes; names are sizes of inputs, '' any.
    """

    asked: Mapping[str, Any]
    arguments: dict[str, list[str]]
    shapes: Mapping[str, Sequence[int | str]] = dataclasses.field(default_factory=dict)
    ranges: Mapping[tuple[str, int], range] = dataclasses.field(default_factory=dict)
    equal: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    tied: Mapping[tuple[str, int], str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, Sequence[int | str]] = dataclasses.field(default_factory=dict)
    rows: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    operators: tuple[Node, ...] = ()
    states: Sequence[Sequence[int | str]] = ()


class TorchModel(nn.Module):
    """A model as a module: the class of a source, which also takes inputs by MXNet's names.

    Call it with the inputs, in order or by name. It returns the predictions: one Tensor, or a tuple
    of several. Further methods are those of the source, as far as the graph has them: ``loss``
    takes inputs and labels and returns a number with MXNet's gradients; with
    ``to_torch(states=True)``, ``begin`` or ``encode`` and ``steps`` run it in steps.

    Attributes
    ----------
    inputs, outputs : list of str
        MXNet's names.
    source : str
        The text of the class.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = self._given('forward', args, kwargs)
        try:
            return super().__call__(*given)
        except IndexError as error:
            self._explain('forward', given, error)
            raise

    def __getattr__(self, name: str) -> Any:
        if name in ('begin', 'encode', 'steps') and not hasattr(type(self), 'steps'):
            raise AttributeError('%s needs states: to_torch(model, states=True)' % name)
        if name in ('begin', 'encode'):
            raise AttributeError('the first states come from %s' % _first_states(self._mxrnn))
        if name == 'loss':
            raise AttributeError('. '.join(self._mxrnn.notes) or 'the graph has no loss')
        return super().__getattr__(name)

    def _given(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The arguments of a method, in order."""
        facts: _Facts = self._mxrnn
        names = facts.arguments[method]
        given = dict(zip(names, args))
        if len(args) > len(names) or [*kwargs] != names[len(args):]:
            _refuse_others(facts, method, args, kwargs)
        given.update(kwargs)
        for name, value in given.items():
            if name != 'states':
                _check.instance(name, value, Tensor, 'a torch.Tensor')
            elif not isinstance(value, (tuple, list)) or len(value) != len(facts.states) or not all(
                    isinstance(each, Tensor) for each in value):
                raise TypeError('states must be the %d tensors that %s or the last steps returned, '
                                'got %s' % (len(facts.states), _first_states(facts), len(value) if (
                                    isinstance(value, (tuple, list))) else type(value).__name__))
        shapes = {name: shape for name, shape in facts.shapes.items() if name in given}
        _check_shapes(facts, shapes, given)
        _check_labels(facts, given)
        if torch.jit.is_tracing():  # the traced program refuses other numbers, too
            for name, shape in shapes.items():
                given[name] = given[name].reshape([
                    size if isinstance(size, int) else given[name].shape[at]
                    for at, size in enumerate(shape)])
        return [given[name] for name in names]

    def _explain(self, method: str, values: Sequence[Any], error: Exception) -> None:
        """Raise an error of torch anew, with the input or the label that causes it."""
        facts: _Facts = self._mxrnn
        given = dict(zip(facts.arguments[method], values))
        for name, rows in facts.rows.items():
            ids = given.get(name, torch.zeros(0)).long()
            if ids.numel() and not 0 <= ids.min() <= ids.max() < rows:
                raise IndexError('the ids in %s must be from 0 to %d, got %d to %d' % (
                    name, rows - 1, ids.min(), ids.max())) from error
        sizes = {str(size): number for name, shape in facts.shapes.items() if name in given
                 for size, number in zip(shape, given[name].shape)}
        for at, (shape, state) in enumerate(zip(facts.states, given.get('states', ()))):
            wanted = [sizes.get(str(size), size) for size in shape]
            if len(wanted) != state.dim() or any(isinstance(size, int) and size != number
                                                 for size, number in zip(wanted, state.shape)):
                raise ValueError('states[%d] must be (%s), got %s' % (at, ', '.join(
                    str(size) or 'any' for size in wanted), tuple(state.shape))) from error
        labels = ' or '.join(name for name in facts.labels if name in given)
        if labels and str(error).startswith('Target'):  # and which
            raise IndexError('%s has a class that the scores lack. %s' % (labels, error)) from error

    def _get_name(self) -> str:  # in its repr, which begins unlike that of interop.Model
        return 'TorchModel'

    def extra_repr(self) -> str:
        return 'inputs=%s, outputs=%s' % (self.inputs, self.outputs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _empty, (self.source, self._mxrnn.operators), self.__dict__


def _first_states(facts: _Facts) -> str:
    """The call that returns the states before the first step."""
    return 'encode(%s)' % ', '.join(facts.arguments['encode']) if (
        'encode' in facts.arguments) else 'begin(batch)'


def _refuse_others(facts: _Facts, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
                   ) -> None:
    """Refuse missing, unknown and superfluous arguments; the order of keywords is free."""
    names = facts.arguments[method]
    got = [*names[:len(args)], *kwargs]
    if len(args) <= len(names) and sorted(got) == sorted(names):
        return
    text = '%s takes %s, got %s' % (method, ', '.join(names) or 'nothing', ' and '.join([
        *[', '.join(got)] * bool(got),
        *['%d more' % (len(args) - len(names))] * (len(args) > len(names))]) or 'nothing')
    if method == 'forward' and 'loss' in facts.arguments:
        text += '. For gradients call loss(%s)' % ', '.join(facts.arguments['loss'])
    raise TypeError('. '.join([text, *facts.notes]))


def _check_shapes(facts: _Facts, shapes: Mapping[str, Sequence[int | str]],
                  given: Mapping[str, Tensor]) -> None:
    """Refuse inputs of other shapes than the graph takes."""
    first: dict[str, tuple[str, int]] = {}
    shared = {own[at] for name, own in shapes.items() for at in facts.equal.get(name, ())}
    for name, own in shapes.items():
        shape = tuple(given[name].shape)
        limits = [facts.ranges.get((name, at)) for at in range(len(own))]
        if len(own) != len(shape) or any(
                size != other if isinstance(size, int) else limit and other not in limit
                for size, other, limit in zip(own, shape, limits)):
            asked = '' if len(own) == len(shape) else (
                '. If the graph takes such data: to_torch(model, inputs={%r: %s}), with a name for '
                'each axis of any size' % (name, shape))
            raise ValueError('%s must be (%s), got %s%s%s' % (name, ', '.join(
                '%d to %d' % (limit[0], limit[-1]) if limit else str(size)
                for size, limit in zip(own, limits)), shape, asked, ''.join([
                    '. Axis %d must be %s' % (at, facts.tied[name, at])
                    for at, pair in enumerate(zip(own, shape))
                    if (name, at) in facts.tied and pair[0] != pair[1]])))
        for size, number in zip(own, shape):
            if size in shared:
                other, wanted = first.setdefault(str(size), (name, number))
                if number != wanted:
                    raise ValueError('inputs must agree on the size of %s: %s has %d, %s has %d' % (
                        size, other, wanted, name, number))


def _check_labels(facts: _Facts, given: Mapping[str, Tensor]) -> None:
    """Refuse labels of another shape than the graph takes with these inputs. Of another order, they
    would belong to other rows; axes of size 1 change no order."""
    sizes = {size: number for name, shape in facts.shapes.items() if name in given
             for size, number in zip(shape, given[name].shape)}
    for name in facts.labels.keys() & given.keys():
        own, shape = facts.labels[name], tuple(given[name].shape)
        wanted = [sizes.get(size, size) for size in own]
        if [size for size in wanted if size != 1] == [size for size in shape if size != 1]:
            continue
        if len(wanted) != len(shape) or any(
                isinstance(size, int) and size != got for size, got in zip(wanted, shape)):
            raise ValueError('%s must be (%s), which is (%s) with these inputs, got %s' % (
                name, *(', '.join(map(str, sizes)) for sizes in (own, wanted)), shape))


# ---- making the class

def operators() -> Converters[Any]:
    """The operators that a program registered, those with a text and those with a function."""
    found: Converters[Any] = Converters('torch')
    found.maps = [*TORCH.maps, *SOURCE.maps]
    return found


def _made(model: Model, asked: Mapping[str, Any]) -> TorchModel:
    """The module of a model."""
    plan = prepare(model, training=True, operators=operators(), **asked)
    source = written(plan, in_memory=True)
    text, nodes = text_of(source, 'model.py', []), tuple(source.file.operators)
    with torch.random.fork_rng(devices=[]):  # layers draw weights, which are replaced
        module = _class_of(text, nodes)()
    module.load_state_dict(state_dict_of(source.file))
    methods, steps = source.methods, source.steps
    arguments = {'forward': methods.inputs, 'loss': methods.of_loss}
    if steps is not None:
        arguments.update(steps=[*steps.inputs, 'states'], encode=steps.encoder or [])
    module.source, module.inputs = text, methods.inputs
    heads = source.losses.graph.heads
    module.outputs = [name for name, head in zip(plan.model.graph.outputs, heads)
                      if head in methods.heads]
    module._mxrnn = _Facts(
        asked, {method: names for method, names in arguments.items() if names},
        {name: plan.shapes[name] for name in methods.inputs}, plan.ranges,
        {name: axes for name, axes in plan.guarded.items() if name in plan.given or any(
            has(node.op, 'recurs') for node in plan.graph.nodes)},
        {place: str(axis._replace(remedy='')) for place, axis in plan.tied.items() if axis.ties},
        _labels(methods), {
                name: min(rows) for name in methods.inputs
                for rows in [_tables(plan.graph, name)] if rows}, source.notes, nodes,
        [[size if isinstance(size, int) else getattr(size, 'label', '') for size in fact.shape]
         for fact in steps.facts.values()] if steps else ())
    return module.eval()


def _labels(methods: Methods) -> dict[str, list[int | str]]:
    """The shapes of labels, with the names of axes."""
    arrays = methods.facts.arrays
    return {name: [size if isinstance(size, int) else described(size)
                   for size in arrays[entry].shape]
            for name, entry in methods.entries.items()
            if name not in methods.inputs and entry in arrays}


def _tables(graph: Graph, name: str) -> list[int]:
    """The rows of the tables in which the ids of an input are looked up."""
    return [reader.node.input_dim for reader in readers_of(graph, name)
            if reader.node.op == 'Embedding' and reader.input.role == 'index']


def _for_call(model: Model, asked: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]
              ) -> TorchModel:
    """The module for inputs like these. They also tell sizes that it needs and the graph does not
    tell, or of which the graph tells only the product."""
    asked = {**asked, 'ranks': {name: len(shape) for name, shape in shapes.items()}}
    made = None
    try:
        made = _made(model, asked)
        told = made._mxrnn.shapes
    except ShapesNeeded as error:
        if not error.shapes:
            raise ValueError('the graph does not take %s: %s' % (' and '.join(
                '%s of shape %s' % each for each in shapes.items()), error)) from None
        told = error.shapes
    typed = {name: tuple([size if isinstance(size, str) else number for size, number in zip(
        told[name], shape)]) for name, shape in shapes.items()}
    if made is not None and typed == told:
        return made
    try:
        return _made(model, {**asked, 'inputs': typed})
    except ExportError:
        return _made(model, {**asked, 'inputs': shapes})


def _class_of(source: str, operators: tuple[Node, ...]) -> type[TorchModel]:
    """The class of a source, one for equal texts unless a program's functions run in it.
    Tracebacks, `inspect` and TorchScript find its lines, as long as it is used."""
    found = None if operators else _CLASSES.get(source)
    if found is not None:
        return found
    module = types.ModuleType('mxrnn_model_%d' % next(_COUNT))
    module.__file__ = name = '<%s>' % module.__name__
    exec(compile(source, name, 'exec', dont_inherit=True), vars(module))
    plain = vars(module).pop('Model')  # the module does not keep it alive
    plain.operators = [TORCH[node.op].make(node) for node in operators]

    def by_name(method: str) -> Callable[..., Any]:
        own = getattr(plain, method)

        @functools.wraps(own)
        def call(self: TorchModel, *args: Any, **kwargs: Any) -> Any:
            given = self._given(method, args, kwargs)
            try:
                return own(self, *given)
            except (IndexError, RuntimeError, ValueError) as error:
                self._explain(method, given, error)
                raise
        return call
    made = type('Model', (TorchModel, plain), {
        each: by_name(each) for each in ('loss', 'steps', 'encode') if hasattr(plain, each)})
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    sys.modules[module.__name__] = module  # where torch.export looks for functions
    for cache, key in (linecache.cache, name), (sys.modules, module.__name__):
        weakref.finalize(made, cache.pop, key, None).atexit = False
    if not operators:
        _CLASSES[source] = made
    return made


def _empty(source: str, operators: tuple[Node, ...]) -> TorchModel:
    """The module of a copy or a pickle, before its attributes are set. A pickle runs code anyway,
    so that the text adds no danger."""
    made = _class_of(source, operators)
    return made.__new__(made)


# ---- before the shapes of inputs are known

class WaitingModel(TorchModel):
    """A model that becomes its class when it is called first, with the numbers of axes of that
    call, and the sizes of axes that the graph ties without telling them. It has no parameters
    before."""

    def __init__(self, model: Model, asked: Mapping[str, Any], needed: ShapesNeeded) -> None:
        super().__init__()
        params = model.params
        graph = chosen(with_one_input(model.graph, params, True).graph, asked.get('outputs'), True,
                       ())[0]
        whole = [name for name in graph.arguments if name not in params]
        graph = graph.ending_in(without_values(graph, graph.heads))
        self.inputs = [name for name in graph.needed_variables() if name not in params]
        self.outputs, self.training = graph.outputs, False
        self._model, self._needed, self._shapes = model, str(needed), needed.shapes
        self._mxrnn = _Facts(asked, {'forward': self.inputs, **(
            {'loss': whole} if whole != self.inputs else {})})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _FIRST_CALL:
            if type(self) is WaitingModel:  # no other thread was first
                self._become(dict(zip(self.inputs, self._given('forward', args, kwargs))))
        return self(*args, **kwargs)

    def _become(self, given: Mapping[str, Tensor]) -> None:
        """Become the class for inputs like these."""
        made = _for_call(self._model, self._mxrnn.asked, {
            name: tuple(value.shape) for name, value in given.items()})
        made.to(next(iter(given.values())).device)
        hooks = {key: value for key, value in self.__dict__.items() if 'hooks' in key}
        del self._model
        self.__dict__.update(made.__dict__, **hooks)
        self.__class__ = type(made)  # type: ignore[assignment]

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise ExportError(
            'the class is made when it is called first, with the shapes of its inputs. To have its '
            'parameters now, give these: to_torch(model, {%s}). %s' % (', '.join(
                '%r: (%s)' % (name, ''.join([
                    '%s, ' % ('…' if size is None else repr(size)) for size in self._shapes.get(
                        name, (None,))]).strip()) for name in self.inputs), self._needed))

    named_parameters = parameters = named_buffers = buffers = state_dict = _refuse
    load_state_dict = _apply = requires_grad_ = loss = steps = begin = encode = _refuse
    source = property(_refuse)

    def train(self, mode: bool = True) -> Any:
        return self._refuse() if mode else self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return object.__reduce_ex__(self, protocol)
