"""The graph in a symbol file as plain, immutable objects, without MXNet."""
from __future__ import annotations

import ast
import difflib
import re
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

from .. import _check
from .operator_table import ROWS, row

__all__ = ['Entry', 'Graph', 'MADE_OF', 'Node', 'attr_value', 'output_name', 'warn_of_ids']

#: An attribute that rolling up adds to nodes of its own: the name of what they were made of.
MADE_OF = '__made_of__'
#: Operators' names for their weights, also of operators without a row.
_WEIGHTS = {each.name for known in ROWS.values() for each in known.inputs
            if each.role in ('weight', 'aux')}
#: The operators that have auxiliary states.
_WITH_STATES = {name for name, known in ROWS.items() if known.positions('aux')}


class Entry(NamedTuple):
    """One output of a node: the node's place in ``Graph.nodes``, and the output's number."""

    node: int
    output: int


class Node(NamedTuple):
    """A variable or an operator of a graph.

    Examples
    --------
    >>> from mxrnn.interop import Node
    >>> node = Node('FullyConnected', 'fc', {'num_hidden': '8', '__lr_mult__': '2'}, ())
    >>> node.num_hidden, node.no_bias, node.flatten
    (8, False, True)
    >>> node.get('num_hidden'), node.get('no_bias', False)
    (8, False)
    """

    #: The operator's name, '' for a variable.
    op: str
    name: str
    #: The operator's parameters and, between double underscores, the program's notes about the
    #: node, as text from the file. ``node.axis`` is the value of a parameter that the operator has,
    #: given or not; `get` reads any text as a Python value.
    attrs: dict[str, str]
    inputs: tuple[Entry, ...]
    #: Bodies of loops and branches.
    subgraphs: tuple[Graph, ...] = ()
    #: The number of its outputs, including hidden ones.
    num_outputs: int = 1

    def __hash__(self) -> int:
        return hash((self.op, self.name, self.inputs))

    def inputs_of(self, role: str) -> list[Entry]:
        """Its inputs with a role, such as 'label': see `Row`."""
        known = row(self.op)
        places = known.positions(role) if known is not None else ()
        return [self.inputs[at] for at in places if at < len(self.inputs)]

    @property
    def needed_inputs(self) -> tuple[Entry, ...]:
        """The inputs that its outputs depend on: no labels, no inputs that only tell a shape."""
        known = row(self.op)
        if known is None or not known.unread:
            return self.inputs
        return tuple([entry for at, entry in enumerate(self.inputs) if at not in known.unread])

    @property
    def title(self) -> str:
        """Its name and operator for messages; a recurrence has the prefix of its cell as name, and
        a node that rolling up has made the name of what it was made of."""
        name = self.attrs.get(MADE_OF, self.name)
        return '%s (%s)' % (re.sub(r'_rolled(_\d+)?$', '_', name), self.op)

    @property
    def is_variable(self) -> bool:
        """Whether it is an argument or an auxiliary state, not an operator."""
        return not self.op

    @property
    def stated_shape(self) -> tuple[int, ...]:
        """The shape that a variable or constant states, of which 0 is any size; () if none."""
        shape = () if self.inputs else self.get('__shape__' if self.is_variable else 'shape', ())
        if not isinstance(shape, tuple) or any(type(size) is not int for size in shape):
            return ()
        return tuple([max(size, 0) for size in shape])  # MXNet's arrays of NumPy's kind say -1

    @property
    def body(self) -> Body:
        """The body of a ``_foreach``, without variables that the body lacks."""
        variables = [place for place, each in enumerate(self.subgraphs[0].nodes)
                     if each.is_variable]
        places = [variables[at] for at in (
            *self.in_data_locs, *self.in_state_locs, *self.remain_locs)
            if 0 <= at < len(variables)]
        return Body(self.subgraphs[0], tuple(places), len(self.in_data_locs),
                    len(self.in_state_locs))

    def __getattr__(self, key: str) -> Any:
        known = row(self.op)
        if known is None or key not in known.attributes:
            raise AttributeError('%s, %s, has no attribute %s' % (self.name, self.op, key))
        return known.value(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter `key` as a Python value; `default` if the node lacks it."""
        text = self.attrs.get(key)
        return default if text is None else attr_value(text)


class Body(NamedTuple):
    """The body of a loop, and the roles of the loop's inputs."""

    graph: Graph
    #: Places of the body's variables, in the order of the loop's inputs: first sequences, then
    #: states, then inputs that every step shares.
    places: tuple[int, ...]
    #: The numbers of sequences and of states.
    data: int
    states: int

    def fits(self, node: Node) -> bool:
        """Whether each variable is a loop input, and its outputs are the loop's."""
        variables = [place for place, each in enumerate(self.graph.nodes) if each.is_variable]
        return (self.data > 0 and sorted(self.places) == variables
                and len(variables) == len(node.inputs)
                and len(self.graph.heads) == node.num_out_data + self.states)


class Graph(NamedTuple):
    """Nodes, each behind its inputs, and the outputs.

    Examples
    --------
    >>> from mxrnn import interop
    >>> graph = interop.graph_from_json('''{"nodes": [
    ...     {"op": "null", "name": "data", "inputs": []},
    ...     {"op": "Activation", "name": "act", "attrs": {"act_type": "tanh"},
    ...      "inputs": [[0, 0, 0]]}], "arg_nodes": [0], "heads": [[1, 0, 0]]}''')
    >>> graph.arguments, graph.outputs
    (['data'], ['act_output'])
    """

    nodes: tuple[Node, ...]
    heads: tuple[Entry, ...]
    #: The version that wrote the file, such as 10901 for 1.9.1; 0 if the file does not tell.
    version: int = 0

    def __repr__(self) -> str:
        return 'Graph(%d nodes, outputs %s)' % (len(self.nodes), ', '.join(self.outputs))

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs, as MXNet's ``list_outputs`` returns them."""
        return [output_name(self.nodes[head.node], head.output) for head in self.heads]

    @property
    def arguments(self) -> list[str]:
        """Names of the variables that are not auxiliary states, in the graph's order."""
        auxiliary = self._auxiliary_places()
        return [node.name for i, node in enumerate(self.nodes)
                if node.is_variable and i not in auxiliary]

    @property
    def auxiliary(self) -> list[str]:
        """Names of the auxiliary states, such as the moving averages of BatchNorm."""
        return [self.nodes[i].name for i in sorted(self._auxiliary_places())]

    def _auxiliary_places(self) -> set[int]:
        return {entry.node for node in self.nodes if node.op in _WITH_STATES
                for entry in node.inputs_of('aux') if self.nodes[entry.node].is_variable}

    def own_weights(self) -> list[str]:
        """The auxiliary states, and the variables that MXNet makes if an operator lacks an input.

        A graph does not say which variables are data; these are not. A weight's name is the
        operator's name and the name that the weight has there.
        """
        found = dict.fromkeys(self.auxiliary)
        for node in self.nodes:
            for entry in node.inputs:
                name = self.nodes[entry.node].name
                if self.nodes[entry.node].is_variable and name.startswith(node.name + '_') and (
                        name[len(node.name) + 1:] in _WEIGHTS):
                    found[name] = None
        return list(found)

    def wrong_sizes(self, shapes: Mapping[str, tuple[int, ...]]
                    ) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The weights whose first sizes differ from those that their operators state.

        By name: the operator, and the sizes that it needs.
        """
        wrong = {}
        for node in self.nodes:
            known = row(node.op)
            for at, entry in enumerate(node.inputs):
                name = self.nodes[entry.node].name
                needed = known.stated(node, at) if known is not None else ()
                if name in shapes and shapes[name][:len(needed)] != needed:
                    wrong[name] = node.name, needed
        return wrong

    def describe_wrong_sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Return the result of `wrong_sizes` in words."""
        return ['%s has the shape %s, which %s needs to begin with %s' % (
            name, shapes[name], *needed) for name, needed in sorted(
                self.wrong_sizes(shapes).items())]

    def check_names(self, error: type[ValueError] = ValueError) -> None:
        """Raise `error` if several variables have one name."""
        names = [node.name for node in self.nodes if node.is_variable]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise error('variables must have different names, but there are several called %s'
                        % ', '.join(twice))

    def walk(self) -> Iterator[Node]:
        """The nodes of this graph and of the graphs in it."""
        for node in self.nodes:
            yield node
            for graph in node.subgraphs:
                yield from graph.walk()

    def reached(self, read: Callable[[Node], Sequence[Entry]]) -> set[int]:
        """Places of the nodes that the outputs depend on, through inputs that `read` selects."""
        reached: set[int] = set()
        pending = [head.node for head in self.heads]
        while pending:
            place = pending.pop()
            if place not in reached:
                reached.add(place)
                pending.extend([entry.node for entry in read(self.nodes[place])])
        return reached

    def vocabularies(self) -> dict[str, Node]:
        """By name of a variable of ids: the Embedding with the fewest rows that reads it."""
        found: dict[str, Node] = {}
        for node in self.nodes:
            if node.op == 'Embedding' and self.nodes[node.inputs[0].node].is_variable:
                name = self.nodes[node.inputs[0].node].name
                if name not in found or node.input_dim < found[name].input_dim:
                    found[name] = node
        return found

    def needed(self) -> set[int]:
        """Places of the nodes that predictions depend on, without those that only labels need."""
        return self.reached(lambda node: node.needed_inputs)

    def needed_variables(self) -> list[str]:
        """Names of the variables that predictions depend on."""
        return [self.nodes[place].name for place in sorted(self.needed())
                if self.nodes[place].is_variable]

    def labels(self) -> list[str]:
        """Names of the variables that only gradients depend on."""
        read = self.reached(lambda node: (*node.needed_inputs, *node.inputs_of('like')))
        return [node.name for place, node in enumerate(self.nodes)
                if node.is_variable and place not in read]

    def consumers(self, place: int) -> list[tuple[Node, int]]:
        """The nodes that read an output of the node at `place`, and the number of that input."""
        return [(node, at) for node in self.nodes for at, entry in enumerate(node.inputs)
                if entry.node == place]

    def select(self, outputs: Sequence[str]) -> Graph:
        """The graph with only some outputs, without nodes that these do not need.

        Parameters
        ----------
        outputs : sequence of str
            Names of outputs, in the order of the new graph. Outputs of inner nodes, such as
            'fc_output', are allowed, as in MXNet's ``get_internals``.

        Raises
        ------
        ValueError
            An output does not exist; the message lists those of the graph.
        """
        if isinstance(outputs, str) or not all(isinstance(name, str) for name in outputs):
            raise TypeError('outputs must be a list of names, got %r' % (outputs,))
        entries = {output_name(node, at): Entry(place, at) for place, node in enumerate(self.nodes)
                   for at in range(node.num_outputs)}
        entries.update(zip(self.outputs, self.heads))
        unknown = [name for name in outputs if name not in entries]
        if unknown or not outputs:
            meant = unknown[0] + '_output' if unknown else ''
            raise ValueError('outputs must name %s, or inner nodes%s, got %s%s' % (
                ', '.join(self.outputs), self._such_as(unknown[0]) if unknown and (
                    meant not in entries) else '', ', '.join(unknown) or 'none',
                ': did you mean %s?' % meant if meant in entries else ''))
        return self.ending_in([entries[name] for name in outputs])

    def _such_as(self, name: str) -> str:
        """Inner outputs with names like `name`, in words, or the last one; never a parameter."""
        inner = [output_name(node, at) for node in self.nodes if not node.is_variable
                 for at in range(node.num_outputs)]
        own = [each for each in inner if each.startswith(name + '_output')]
        near = own or difflib.get_close_matches(name, inner) or [
            each for each in inner if each not in self.outputs][-1:]
        return ', such as ' + ' or '.join(near[:3]) if near else ''

    def ending_in(self, heads: Sequence[Entry]) -> Graph:
        """The graph with other outputs, without nodes that these do not need."""
        ending = self._replace(heads=tuple(heads))
        return ending.in_order(sorted(ending.reached(lambda node: node.inputs)))

    def in_order(self, order: Sequence[int]) -> Graph:
        """The graph with the nodes at these places alone, in this order."""
        places = {old: new for new, old in enumerate(order)}

        def moved(entries: Sequence[Entry]) -> tuple[Entry, ...]:
            return tuple([Entry(places[entry.node], entry.output) for entry in entries])
        return self._replace(heads=moved(self.heads), nodes=tuple([
            self.nodes[place]._replace(inputs=moved(self.nodes[place].inputs)) for place in order]))


# ---- attributes

_LONG = re.compile(r'(?<=\d)L\b')  # Python 2 wrote shapes as (2L, 3L)
_WORDS = {'true': True, 'True': True, 'false': False, 'False': False, 'None': None,
          'inf': float('inf'), '-inf': float('-inf'), 'nan': float('nan')}


def attr_value(text: str) -> Any:
    """The value of an attribute's text; the text itself if it is not a literal.

    Lists become tuples.

    Examples
    --------
    >>> attr_value('(2L, 3L)'), attr_value('[0, 1]'), attr_value('1e-05'), attr_value('tanh')
    ((2, 3), (0, 1), 1e-05, 'tanh')
    """
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    if not text or not (text[0] in '([-+.' or text[0].isdigit()):
        return text
    try:
        value = ast.literal_eval(_LONG.sub('', text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return tuple(value) if isinstance(value, list) else value


# ---- outputs

def warn_of_ids(vocabularies: dict[str, Node], largest: dict[str, float]) -> None:
    """Warn if an Embedding has too few rows for the largest id that it reads."""
    for name in vocabularies.keys() & largest.keys():
        node = vocabularies[name]
        if largest[name] >= node.input_dim:
            _check.warn_once(
                '%s has the id %d, but %s, the Embedding that reads it, has input_dim=%d and reads '
                'its last row for larger ids. Give it input_dim=%d or more'
                % (name, largest[name], node.name, node.input_dim, largest[name] + 1))


def output_name(node: Node, output: int) -> str:
    """The name of a node's output."""
    if node.is_variable:
        return node.name
    known = row(node.op)
    names = known.output_names if known is not None else ()
    if output < len(names):
        return '%s_%s' % (node.name, names[output])
    return '%s_output%s' % (node.name, output if output or node.num_outputs > 1 else '')
