"""The rows of the table of operators, and the facts of a node that they tell."""
from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Protocol, Sequence, Union

from .attributes import Attribute, AttributeValueError, Bool, Double, Int, Shape, Text

__all__ = ['Input', 'Row', 'add', 'canonical', 'check_attributes', 'describe', 'has',
           'mark', 'row']

#: Attributes that change no number: where an array lies and how it is stored there, which kernel
#: of several computes it, and what only quantised graphs read.
WITHOUT_MEANING = frozenset((
    'ctx', 'workspace', 'cudnn_tune', 'cudnn_off', 'forward_stype', 'sparse_grad', 'ndev', 'key',
    'min_calib_range', 'max_calib_range'))


class AnyNode(Protocol):
    """A `Node`, whose module comes after this one."""

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
    #: 'weight', 'aux' (a state that the operator itself changes), 'label' (which only gradients
    #: need), 'like' (which nothing is computed of), 'length' (of sequences), 'index' (places to
    #: look up), or '' for data.
    role: str = ''
    #: The attributes that state its first sizes.
    sizes: tuple[str, ...] = ()


Count = Union[int, Callable[[Callable[[str], Any]], int]]


class Row(NamedTuple):
    """The facts of an operator."""

    name: str
    #: The last one stands for any number of further ones if `variadic`.
    inputs: tuple[Input, ...]
    attributes: Mapping[str, Attribute]
    #: How many outputs there are, hidden ones included: a number, or a function of what gives the
    #: value of an attribute.
    outputs: Count = 1
    #: Ends of the names of outputs; several without names are numbered.
    output_names: tuple[str, ...] = ()
    variadic: bool = False
    #: How many graphs a node has in it: bodies of loops, branches.
    bodies: int = 0
    #: The inputs that outputs do not depend on: labels, and what only says a shape.
    unread: tuple[int, ...] = ()
    #: 'draws': gives something else each time. 'trained': behaves otherwise in training. 'reals':
    #: calculates with reals alone, and 'no half': has no float16 on CPUs; MXNet raises both too
    #: late, in another call. 'moves': moves or converts the elements of the first input, and
    #: changes no value. 'one shape': all that it reads has the shape of its output, but lengths.
    #: 'elementwise': makes each element of one of its input, which has its shape, too. 'gathers':
    #: hands on the elements of all inputs, summed at most, and 'joins' side by side along `dim`.
    #: 'recurs': goes over the steps of a sequence with states, and 'kernel' with the weights of
    #: several layers in one vector.
    traits: frozenset[str] = frozenset()

    @property
    def least_inputs(self) -> int:
        """The inputs that no node lacks: both sides of a sum or product, all of where, the data."""
        names = [each.name for each in self.inputs]
        if self.bodies:
            return 0
        if names[:1] == ['condition']:
            return len(names)
        return 2 if names[:2] in (['lhs', 'rhs'], ['A', 'B']) else min(len(names), 1)

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
            It is missing, or its text means nothing.
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


#: The rows, by the operators' names.
ROWS: dict[str, Row] = {}

#: The names that MXNet 1.9 has for operators that old versions called otherwise.
_RENAMED: dict[str, str] = {}


def add(names: str, inputs: str = '', count: Count = 1,
        ends: str = '', /, **attributes: Attribute) -> None:
    """Enter a row for each of the operators `names`, which spaces separate.

    Parameters
    ----------
    names : str
        'Concat=concat' has an old name, too.
    inputs : str
        Names of the inputs: 'weight[num_hidden]' is a weight with its first size, 'bias[]' one
        without; 'label:label' has a role; 'data...' is any number of inputs; 'fn:body' is a graph.
    count
        How many outputs: see `Row.outputs`.
    ends : str
        Of the names of the outputs.
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


def has(op: str, trait: str) -> bool:
    """Whether the operator `op` is known to have a trait."""
    return op in ROWS and trait in ROWS[op].traits


def _input(text: str) -> Input:
    name, bracket, sizes = text.rstrip(']').partition('[')
    if bracket:
        return Input(name, 'weight', tuple(filter(None, sizes.split(','))))
    name, _, role = name.partition(':')
    return Input(name, role)


#: Kinds of attributes by what programs call them.
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
        raise ValueError('attributes of %s are known, and cannot be others than %s'
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
    """The row of the operator `op`, None if it is not known."""
    return ROWS.get(op)


def canonical(op: str) -> str:
    """The name that MXNet 1.9 has for the operator `op`."""
    if op in ROWS or op in _RENAMED:
        return _RENAMED.get(op, op)
    if op.startswith('_sparse_') and canonical(op[len('_sparse_'):]) in ROWS:
        return canonical(op[len('_sparse_'):])
    if op[:1] == '_' and op[1:2].isupper():  # _PlusScalar, _Greater_Equal
        words = ''.join('_' + letter.lower() if letter.isupper() else letter for letter in op[1:])
        words = words.replace('__', '_').replace('_r_', '_r')
        return words if words in ROWS else op
    return op


def lacks_inputs(op: str, count: int) -> bool:
    """Whether the operator `op` needs more than `count` inputs."""
    known = row(op)
    return known is not None and count < known.least_inputs


def check_attributes(node: AnyNode) -> None:
    """Refuse attributes of `node` that are missing, mean nothing, or that its operator lacks, and a
    node with too few or too many inputs.

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
    if unknown and known.attributes:  # MXNet reads none of those that have none
        raise AttributeValueError('%s, %s: has no attribute %s, only %s' % (
            node.name, node.op, ', '.join(unknown), ', '.join(known.attributes)))
