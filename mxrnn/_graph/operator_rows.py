"""The rows of the table of operators: what they tell about a node, what they refuse in it, and
names of old versions."""
from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Protocol, Sequence, Union

from .attributes import Attribute, AttributeValueError, Bool, Double, Int, Shape, Text

__all__ = ['add', 'canonical', 'check_attributes', 'describe', 'has', 'Input', 'lacks_inputs',
           'mark', 'row', 'Row', 'typed', 'types_of']


class AnyNode(Protocol):
    """A `Node`, whose module imports this one."""

    @property
    def op(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def attrs(self) -> Mapping[str, str]: ...
    @property
    def inputs(self) -> Sequence[object]: ...

    def __getattr__(self, key: str) -> Any: ...


class Input(NamedTuple):
    """One input of an operator."""

    name: str
    #: 'weight', 'aux' (a state that the operator itself changes), 'label' (only for gradients),
    #: 'like' (only its shape is read), 'length' (of sequences), 'index' (places to look up), or ''
    #: for data.
    role: str = ''
    #: The attributes that state its first sizes.
    sizes: tuple[str, ...] = ()
    #: Whether some nodes lack it: a bias, a second state.
    optional: bool = False


Count = Union[int, Callable[[Callable[[str], Any]], int]]


class Row(NamedTuple):
    """The facts of an operator."""

    name: str
    #: If `variadic`, the last one stands for any number of inputs.
    inputs: tuple[Input, ...]
    attributes: Mapping[str, Attribute]
    #: The number of outputs, including hidden ones, or a function that computes it and takes a
    #: function from attributes to values.
    outputs: Count = 1
    #: Ends of the outputs' names; several outputs without names are numbered.
    output_names: tuple[str, ...] = ()
    variadic: bool = False
    #: How many graphs a node contains: bodies of loops, branches.
    bodies: int = 0
    #: The inputs that outputs do not depend on: labels, and inputs that only tell a shape.
    unread: tuple[int, ...] = ()
    #: 'draws': gives something else each time. 'trained': behaves otherwise in training. 'reals':
    #: calculates with reals alone, and 'no half': has no float16 on CPUs; MXNet raises both too
    #: late, in another call. 'moves': moves or converts the elements of the first input, and
    #: changes no value. 'one shape': all that it reads has the shape of its output, but lengths.
    #: 'elementwise': makes each element of one of its input, which has its shape, too. 'pair':
    #: makes each element of one of both inputs, which 'broadcast_' repeats. 'gathers':
    #: hands on the elements of all inputs, summed at most, and 'joins' side by side along `dim`.
    #: 'recurs': goes over the steps of a sequence with states, and 'kernel' with the weights of
    #: several layers in one vector. 'loss': has a gradient of its own, whatever comes from above.
    #: 'value': gives the value of a loss, and no prediction.
    traits: frozenset[str] = frozenset()
    #: Takes a node and the types of the inputs that it reads; returns its output's type, or a tuple
    #: for several outputs. Without it, or if it returns None, see `types_of`.
    kinds: Callable[..., Any] | None = None

    @property
    def least_inputs(self) -> int:
        """How many inputs every node has: all that are not `optional`, and no lengths."""
        if self.bodies:
            return 0
        if self.variadic:
            return 1
        return sum(not each.optional and each.role != 'length' for each in self.inputs)

    def positions(self, *roles: str) -> tuple[int, ...]:
        """The inputs that have one of these roles."""
        return tuple(at for at, each in enumerate(self.inputs) if each.role in roles)

    def stated(self, node: AnyNode, at: int) -> tuple[int, ...]:
        """The first sizes of input `at` that the attributes of `node` state."""
        keys = self.inputs[at].sizes if at < len(self.inputs) else ()
        return tuple(self.value(node, key) for key in keys)

    def value(self, node: AnyNode, key: str) -> Any:
        """The attribute `key` of `node`, a `Node` of this operator.

        Raises
        ------
        AttributeValueError
            It is missing, or its text is invalid.
        """
        try:
            return self.attributes[key].value(node.attrs.get(key))
        except ValueError as error:
            raise AttributeValueError('%s, %s: %s %s' % (node.name, self.name, key, error)
                                      ) from None

    def num_outputs(self, node: AnyNode) -> int:
        """How many outputs `node` has, hidden ones included."""
        if isinstance(self.outputs, int):
            return self.outputs
        return self.outputs(lambda key: self.value(node, key))


#: The rows, by operators' names.
ROWS: dict[str, Row] = {}

#: MXNet 1.9's names for operators with other names in old versions.
_RENAMED: dict[str, str] = {}


def add(names: str, inputs: str = '', count: Count = 1,
        ends: str = '', /, **attributes: Attribute) -> None:
    """Add a row for each of the operators `names`, which spaces separate.

    Parameters
    ----------
    names : str
        'Concat=concat' also has an old name.
    inputs : str
        Names of the inputs: 'weight[num_hidden]' is a weight with its first size, 'bias[]?' one
        without, which some nodes lack; 'label:label' has a role; 'data...' is any number of inputs;
        'fn:body' is a graph.
    count
        The number of outputs: see `Row.outputs`.
    ends : str
        Ends of the outputs' names.
    """
    variadic = inputs.endswith('...')
    given = tuple(map(_input, inputs.rstrip('.').split()))
    taken = tuple(each for each in given if each.role != 'body')
    for words in names.split():
        name, *old = words.split('=')
        for each in [name, *old]:
            if each in ROWS or each in _RENAMED:
                raise ValueError('the operator %s has a row already' % each)
        made = Row(name, taken, attributes, count, tuple(ends.split()), variadic,
                   len(given) - len(taken))
        ROWS[name] = made._replace(unread=made.positions('label', 'like'))
        _RENAMED.update(dict.fromkeys(old, name))


def mark(trait: str, names: str) -> None:
    """Give the operators `names`, which spaces separate, a trait: see `Row.traits`."""
    traits = {trait, 'one shape'} if trait == 'elementwise' else {trait}
    for name in names.split():
        ROWS[name] = ROWS[name]._replace(traits=ROWS[name].traits | traits)


def typed(names: str, kinds: Callable[..., Any]) -> None:
    """Give the operators `names`, which spaces separate, a rule of types: see `Row.kinds`."""
    for name in names.split():
        ROWS[name] = ROWS[name]._replace(kinds=kinds)


#: Types from the narrowest to the widest.
_WIDER = 'bool uint8 int8 int32 int64 float16 bfloat16 float32 float64'.split()


def types_of(node: AnyNode, inputs: Sequence[str], outputs: int) -> list[str]:
    """The types of a node's `outputs`, from those of the inputs that it reads: by the rule of its
    row; else as its attribute says; else the widest of several inputs of one kind, or the first
    one's."""
    known = ROWS.get(node.op)
    kinds = known.kinds(node, *inputs) if known is not None and known.kinds else None
    if kinds is None:
        several = known is not None and (known.variadic or 'pair' in known.traits)
        read = [*inputs[:None if several else 1]] or ['float32']
        kinds = getattr(node, 'dtype', None) or getattr(node, 'out_dtype', None) or max(
            read, key=_WIDER.index)
    return [*kinds] if isinstance(kinds, tuple) else [kinds] * outputs


def has(op: str, trait: str) -> bool:
    """Whether the operator `op` is known to have a trait."""
    return op in ROWS and trait in ROWS[op].traits


def _input(text: str) -> Input:
    name, bracket, sizes = text.rstrip(']?').partition('[')
    name, _, role = name.partition(':')
    return Input(name, 'weight' if bracket else role, tuple(filter(None, sizes.split(','))),
                 text.endswith('?'))


#: Kinds of attributes, by their names for programs.
_KINDS = {'int': Int, 'float': Double, 'bool': Bool, 'str': Text, 'ints': Shape}
#: The operators whose rows programs have added.
_DESCRIBED: set[str] = set()


def describe(op: str, attributes: Mapping[str, str | tuple[str, Any]]) -> None:
    """Add or replace the row of a program's operator: kinds of its attributes, and defaults.

    Raises
    ------
    ValueError
        It is an operator of the table, or a kind is unknown.
    """
    if op in ROWS and op not in _DESCRIBED:
        raise ValueError('leave out attributes for %s: mxrnn knows that it has only %s'
                         % (op, ', '.join(ROWS[op].attributes) or 'none'))
    kinds = {}
    for key, (kind, *default) in ((key, (given,) if isinstance(given, str) else given)
                                  for key, given in attributes.items()):
        if kind not in _KINDS:
            raise ValueError('the kind of the attribute %s must be one of %s, got %r'
                             % (key, ', '.join(_KINDS), kind))
        kinds[key] = _KINDS[kind](*default)
    ROWS[op] = Row(op, (Input('data'),), kinds, 1, (), True)
    _DESCRIBED.add(op)


def row(op: str) -> Row | None:
    """The row of the operator `op`; None if it is not known."""
    return ROWS.get(op)


def canonical(op: str) -> str:
    """MXNet 1.9's name for the operator `op`."""
    if op in ROWS or op in _RENAMED:
        return _RENAMED.get(op, op)
    if op.startswith('_sparse_') and canonical(op[len('_sparse_'):]) in ROWS:
        return canonical(op[len('_sparse_'):])
    if op[:1] == '_' and op[1:2].isupper():  # _PlusScalar, _Greater_Equal
        words = ''.join('_' + letter.lower() if letter.isupper() else letter for letter in op[1:])
        words = words.replace('__', '_').replace('_r_', '_r')
        return words if words in ROWS else op
    return op


# ---- nodes that do not fit their row

#: Attributes that change no number: device and storage of an array, the choice of a kernel, and
#: attributes only for quantised graphs.
WITHOUT_MEANING = frozenset((
    'ctx', 'workspace', 'cudnn_tune', 'cudnn_off', 'forward_stype', 'sparse_grad', 'ndev', 'key',
    'min_calib_range', 'max_calib_range'))


def lacks_inputs(op: str, count: int) -> bool:
    """Whether the operator `op` needs more than `count` inputs."""
    known = row(op)
    return known is not None and count < known.least_inputs


def check_attributes(node: AnyNode) -> None:
    """Refuse a node whose attributes are missing, invalid or unknown, or that has too few or too
    many inputs.

    Raises
    ------
    AttributeValueError
    """
    known = row(node.op)
    if known is None:
        return
    if lacks_inputs(node.op, len(node.inputs)):
        raise AttributeValueError('%s, %s: has %d inputs, must have at least %d' % (
            node.name, node.op, len(node.inputs), known.least_inputs))
    if len(node.inputs) > len(known.inputs) and not known.variadic:  # another operator of MXNet 2
        raise AttributeValueError('%s, %s: has %d inputs, must have at most %d' % (
            node.name, node.op, len(node.inputs), len(known.inputs)))
    for key in known.attributes:
        known.value(node, key)
    unknown = [key for key in node.attrs if key not in known.attributes
               and key not in WITHOUT_MEANING and not key.startswith('__')]
    if unknown and known.attributes:  # MXNet ignores attributes of operators that take none
        raise AttributeValueError('%s, %s: has no attribute %s, only %s' % (
            node.name, node.op, ', '.join(unknown), ', '.join(known.attributes)))
