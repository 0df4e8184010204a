"""The drop-in claim: wherever mxnet.rnn works, the module under test does the same."""
import functools
import inspect
import itertools
import json

import mxnet.rnn as stock
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import differs, golden, mx, rnn
from .cases import CASES, NOT_UNPACKED, Case, each, each_case, each_stepped, each_way
from .checkpoints import without_checksum
from .running import begin_state, flat, inputs, random_value, reset, run, stack, step, walk

LAYOUTS = ('NTC', 'TNC')
MERGES = (None, True, False)
KINDS = ('symbol', 'list')
BEGINS = (None, 'default', 'zeros', 'variable', 'uniform')

#: Constructors of the original mark a container as shared by reading it; here only others do.
DIFFERENT_ATTRIBUTES = {'_own_params'}
#: Attributes that a reset sets back, which here reaches the cell within a modifier.
COUNTERS = {'_counter', '_init_counter'}


def structure(nested):
    """The names of the outputs of Symbols in nested lists, which stay lists."""
    if isinstance(nested, (list, tuple)):
        return [type(nested).__name__] + [structure(item) for item in nested]
    return nested.list_outputs()


def plain(value):
    """An attribute of a cell, in a form that compares across modules."""
    if isinstance(value, mx.sym.Symbol):
        return value.list_outputs()
    if isinstance(value, (stock.RNNParams, rnn.RNNParams)):
        return value._prefix, [(name, symbol.list_attr()) for name, symbol in value._params.items()]
    if isinstance(value, (stock.BaseRNNCell, rnn.BaseRNNCell)):
        return type(value).__name__
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    return [plain(item) for item in value] if isinstance(value, list) else value


def attributes(cell, like, but=()):
    """The part of a cell that programs see: the attributes that its counterpart `like` has."""
    names = set(vars(like)) | {'state_info', 'state_shape', '_gate_names', '_num_gates'}
    return {name: plain(getattr(cell, name))
            for name in sorted(names - DIFFERENT_ATTRIBUTES - set(but)) if readable(like, name)}


def within_modifiers(cell):
    return [inner for each in walk(cell) if hasattr(each, 'base_cell')
            for inner in walk(each.base_cell)]


def readable(cell, name):
    try:
        getattr(cell, name)
    except (AttributeError, NotImplementedError, TypeError):
        return False
    return True


def build(module, case, unroll):
    """Everything there is to see of a graph built from the case's cell by `unroll`."""
    with mx.name.NameManager() as names:
        cell = case.make(module)
        outputs, states = unroll(cell)
        graph = mx.sym.Group(flat(outputs) + flat(states))
        return cell, {
            'outputs': structure(outputs),
            'states': structure(states),
            'arguments': graph.list_arguments(),
            'json': graph.tojson(),
            'attributes': graph.attr_dict(),
            'automatic names': dict(names._counter),
            'name of the next layer': mx.sym.Flatten(mx.sym.concat(graph[0], graph[0])).name}


def compare(case, unroll):
    """Require of both modules the same; return False where the original itself fails."""
    try:
        cell, expected = build(stock, case, unroll)
    except Exception:
        return False
    ours, found = build(rnn, case, unroll)
    for what, value in expected.items():
        if what == 'json' and found[what] != value:  # shown node by node
            assert json.loads(found[what])['nodes'] == json.loads(value)['nodes']
        assert found[what] == value, what
    assert len(walk(ours)) == len(walk(cell))
    reset_here = within_modifiers(ours)
    for mine, its in zip(walk(ours), walk(cell)):
        names = COUNTERS if any(mine is each for each in reset_here) else ()
        assert attributes(mine, its, names) == attributes(its, its, names), type(its).__name__
    return True


def unrolled(cell, layout='NTC', merge_outputs=None, kind='symbol', begin=None, length=2):
    states = None if begin is None else begin_state(cell, begin)
    return cell.unroll(length, inputs(kind, length), begin_state=states, layout=layout,
                       merge_outputs=merge_outputs)


@each_case
def test_unrolled_graphs_are_the_same(case):
    compared = 0
    for layout, merge, kind, begin in itertools.product(LAYOUTS, MERGES, KINDS, BEGINS):
        same = compare(case, lambda cell, a=layout, b=merge, c=kind, d=begin:
                       unrolled(cell, a, b, c, d))
        assert same or begin is not None, 'mxnet.rnn does not unroll it at all'
        compared += same
    assert compared >= (24 if case.begins else 12)


def scoped(cell):
    with mx.name.Prefix('net_'), mx.AttrScope(ctx_group='first', __lr_mult__='0.5'):
        return unrolled(cell)


def turns(cell):
    first = unrolled(cell)
    second = step(cell, 2, flat(first[1]))
    reset(cell)
    third = step(cell, 2, flat(first[1]))
    return [second[0], third[0]], [second[1], third[1]]


def twice(cell, between):
    first = unrolled(cell)
    between(cell)
    second = unrolled(cell)
    return flat(first[0]) + flat(second[0]), [first[1], second[1]]


def fed_back(cell):
    outputs, states = unrolled(cell)
    reset(cell)
    return cell.unroll(2, outputs, begin_state=flat(states), merge_outputs=False)


def resets_all(case):
    """Whether unrolling in the original resets every cell: of modifiers, only ResidualCell's."""
    return all(isinstance(cell, stock.ResidualCell) for cell in walk(case.make(stock))
               if isinstance(cell, stock.ModifierCell))


def is_whole(case):
    return any(isinstance(each, (stock.FusedRNNCell, stock.BidirectionalCell))
               for each in walk(case.make(stock)))


#: What is built of a cell, and for which cases mxnet.rnn builds the same; None: or nothing.
WAYS = {
    'begin states': (lambda cell: ([mx.sym.Variable('x')], cell.begin_state()),
                     lambda case: case.begins),
    **{'%d steps of a %s' % (length, kind): (
        functools.partial(lambda cell, **options: unrolled(cell, **options), kind=kind,
                          length=length), lambda case: True)
       for length in (1, 5) for kind in KINDS},
    'in scopes': (scoped, lambda case: True),
    'steps and unrolls by turns': (turns, lambda case: case.can_step),
    'twice after reset': (lambda cell: twice(cell, reset), lambda case: True),
    'twice': (lambda cell: twice(cell, lambda cell: None), resets_all),
    'twice after reset of the outermost': (lambda cell: twice(cell, lambda cell: cell.reset()),
                                           resets_all),
    'fed back': (fed_back, lambda case: None if is_whole(case) else True),
}


@each_way([(case, way) for case in CASES for way, (_, built_there) in WAYS.items()
           if built_there(case) is not False])
def test_graphs_are_the_same(case, way):
    build_graph, built_there = WAYS[way]
    assert compare(case, build_graph) or built_there(case) is None


@each_case
def test_cells_made_in_scopes_are_the_same(case):
    def make(module):
        with mx.name.Prefix('net_'), mx.AttrScope(__wd_mult__='0.1'):
            return case.make(module)
    assert compare(case._replace(make=make), scoped)


@each_stepped
def test_stepped_graphs_are_the_same(case):
    compared = [compare(case, lambda cell, begin=begin: step(cell, 3, begin_state(cell, begin)))
                for begin in BEGINS[1:]]
    assert any(compared) or not case.begins


def arrays(case, module, layout='NTC'):
    """A cell, its graph and arguments of it with values."""
    with mx.name.NameManager():
        cell = case.make(module)
        outputs, states = unrolled(cell, layout, True)
        graph = mx.sym.Group(flat(outputs) + flat(states))
    names = graph.list_arguments()
    shapes = graph.infer_shape(data=(2, 2) + case.step)[0]
    return cell, graph, {name: mx.nd.array(random_value(name, shape))
                         for name, shape in zip(names, shapes) if name != 'data'}


def bits(args):
    return {name: (array.shape, array.dtype, array.asnumpy().tobytes())
            for name, array in args.items()}


UNPACKED = [case for case in CASES if case.name not in NOT_UNPACKED]
each_unpacked = each(UNPACKED)


@each_unpacked
def test_weights_unpack_and_pack_to_the_same_bits(case):
    theirs, _, args = arrays(case, stock)
    ours = arrays(case, rnn)[0]
    before = bits(args)
    expected = theirs.unpack_weights(dict(args))
    unpacked = ours.unpack_weights(dict(args))
    assert list(bits(unpacked).items()) == list(bits(expected).items())
    packed = ours.pack_weights(dict(expected))
    assert list(bits(packed).items()) == list(bits(theirs.pack_weights(dict(expected))).items())
    assert bits(packed) == before
    assert bits(args) == before


def with_norm(case, module):
    """As `arrays`, with a layer besides the cell that has auxiliary states."""
    cell, graph, args = arrays(case, module)
    norm = mx.sym.BatchNorm(mx.sym.Variable('other'), name='norm')
    args.update(norm_gamma=mx.nd.ones(3), norm_beta=mx.nd.zeros(3))
    aux = {'norm_moving_mean': mx.nd.arange(3), 'norm_moving_var': mx.nd.ones(3)}
    return cell, mx.sym.Group([graph, norm]), args, aux


@each_unpacked
def test_checkpoints_are_the_same_bytes(case, tmp_path):
    contents = []
    for module in (stock, rnn):
        cell, graph, args, aux = with_norm(case, module)
        prefix = tmp_path / module.__name__
        module.save_rnn_checkpoint(cell, str(prefix), 7, graph, dict(args), aux)
        saved = module.do_rnn_checkpoint([cell], str(prefix) + '-callback', period=2)
        for epoch in range(4):
            saved(epoch, graph, dict(args), aux)
        files = sorted(path for path in tmp_path.iterdir() if path.name.startswith(prefix.name))
        contents.append([(path.name[len(prefix.name):], without_checksum(path.read_bytes()))
                         for path in files])
    if stock is not rnn:
        assert contents[1] == contents[0]
    assert [name for name, _ in contents[1]] == [
        '-0007.params', '-callback-0002.params', '-callback-0004.params',
        '-callback-symbol.json', '-symbol.json']
    # Each module reads what the other one wrote.
    for reader, writer in ((stock, rnn), (rnn, stock)):
        cell, graph, args, aux = with_norm(case, reader)
        symbol, loaded, loaded_aux = reader.load_rnn_checkpoint(
            [cell], str(tmp_path / writer.__name__), 7)
        assert bits(loaded) == bits(args)
        assert symbol.tojson() == graph.tojson()
        assert bits(loaded_aux) == bits(aux)


INITIALISERS = [mx.init.Xavier(), mx.init.Uniform(0.3), mx.init.Orthogonal(),
                mx.init.MSRAPrelu('in'), mx.init.Normal(2.0)]


def draw(initialiser, name, attrs, array, module):
    """Initialise as Module does; for the original with MXNet's FusedRNN, which ours replaces."""
    desc = mx.init.InitDesc(name, attrs)
    own = (attrs or {}).get('__init__', '')
    if module is stock and own.startswith('["fusedrnn"'):
        assert mx.init.FusedRNN.__module__ == 'mxnet.initializer'
        desc.global_init = initialiser
        mx.init.FusedRNN(**json.loads(own)[1])._init_weight(desc, array)
    else:
        initialiser(desc, array)


@each_case
def test_initial_values_are_the_same_draws(case):
    graphs = [arrays(case, module)[1:] for module in (stock, rnn)]
    for initialiser in INITIALISERS:
        drawn = []
        for module, (graph, args) in zip((stock, rnn), graphs):
            attrs = graph.attr_dict()
            args = {name: array.copy() for name, array in args.items()}
            mx.random.seed(11)
            np.random.seed(11)
            for name in sorted(args):  # the order in which Module goes
                draw(initialiser, name, attrs.get(name), args[name], module)
            drawn.append(bits(args))
        assert drawn[1] == drawn[0], initialiser


# Beside differences (docs/differences.md), what works in mxnet.rnn

def test_modifiers_take_init_sym_as_ever():
    cell = rnn.ResidualCell(rnn.LSTMCell(4))
    for states in (cell.begin_state(mx.sym.Variable), cell.begin_state(init_sym=mx.sym.Variable)):
        assert [each.name for each in states] == mx.sym.Group(states).list_arguments()


# differences.md: `ResidualCell` over both directions, or of unequal widths
@pytest.mark.parametrize('widths', [(2, 2), (1, 3)])
@pytest.mark.parametrize('length', [1, 2])
def test_residual_over_both_directions_of_any_width_as_ever(widths, length):
    def cell():
        return rnn.BidirectionalCell(*map(rnn.LSTMCell, widths, ('l_', 'r_')))

    plain, residual = run(cell(), (4,), length), run(rnn.ResidualCell(cell()), (4,), length)
    np.testing.assert_allclose(residual.outputs, plain.outputs + plain.args['data'], rtol=1e-6)


def test_weights_by_the_prefix_of_the_cell_are_taken_as_ever():
    packed = {'a_' + name: mx.nd.ones(shape) for name, shape in (
        ('i2h_weight', (16, 4)), ('i2h_bias', (16,)), ('h2h_weight', (16, 4)), ('h2h_bias', (16,)))}
    cell = rnn.LSTMCell(4, 'a_', params=rnn.RNNParams('shared_'))
    assert 'a_h2h_o_bias' in cell.unpack_weights(packed)


# Random compositions

SIZES = st.integers(1, 4)
RATES = st.sampled_from([0.0, 0.25, 0.5])
ORDINARY = (
    st.tuples(st.just('RNNCell'), SIZES, st.sampled_from(['tanh', 'relu', 'softrelu'])) |
    st.tuples(st.just('LSTMCell'), SIZES) | st.tuples(st.just('GRUCell'), SIZES))
STEPPABLE = st.recursive(
    ORDINARY,
    lambda inner: st.tuples(st.just('ZoneoutCell'), inner, RATES, RATES) |
    st.tuples(st.just('ResidualCell'), inner), max_leaves=1)
FUSED = st.tuples(st.just('FusedRNNCell'), SIZES, st.integers(1, 3),
                  st.sampled_from(['rnn_tanh', 'rnn_relu', 'lstm', 'gru']), st.booleans(), RATES,
                  st.booleans())
LEAVES = STEPPABLE | FUSED | st.tuples(st.just('DropoutCell'), RATES)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.just('SequentialRNNCell'), st.lists(inner, max_size=3)) |
    st.tuples(st.just('BidirectionalCell'), inner, inner) |
    st.tuples(st.just('ResidualCell'), inner), max_leaves=6)


def grow(module, tree, count):
    """The cell that a tree describes, every leaf with a prefix of its own."""
    kind, *rest = tree
    if kind == 'SequentialRNNCell':
        return stack(module, *[grow(module, each, count) for each in rest[0]])
    cells = [grow(module, each, count) for each in rest if isinstance(each, tuple)]
    rest = [each for each in rest if not isinstance(each, tuple)]
    if cells:
        return getattr(module, kind)(*cells, *rest)
    return getattr(module, kind)(*rest, prefix='c%d_' % next(count))


def case_of(tree):
    return Case('tree', lambda module: grow(module, tree, itertools.count()))


@pytest.mark.filterwarnings('ignore:MXNet 1.7 corrupts memory')  # only with training, not done here
def test_random_compositions_are_the_same():
    compared = []

    @given(TREES, st.sampled_from(LAYOUTS), st.sampled_from(MERGES), st.sampled_from(KINDS),
           st.integers(1, 3))
    @settings(max_examples=300, deadline=None)
    def check(tree, layout, merge, kind, length):
        def consistent(cell):
            outputs, states = unrolled(cell, layout, merge, kind, length=length)
            mx.sym.Group(flat(outputs) + flat(states)).infer_shape_partial()  # or fails
            return outputs, states
        compared.append(compare(case_of(tree), consistent))
    check()
    assert sum(compared) >= 200


@given(STEPPABLE, st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_random_cells_step_the_same(tree, length):
    assert compare(case_of(tree), lambda cell: step(cell, length))


# Names, signatures, golden files

CELLS = [name for name, value in list(vars(stock).items()) if isinstance(value, type)
         and issubclass(value, (stock.BaseRNNCell, stock.RNNParams, stock.BucketSentenceIter))]
FUNCTIONS = ['rnn_unroll', 'save_rnn_checkpoint', 'load_rnn_checkpoint', 'do_rnn_checkpoint',
             'encode_sentences']


def with_activation(module, kind):
    """A cell of a program's subclass that has an activation of its own, of either name."""
    class Own(getattr(module, kind)):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._activation = 'relu'

        def _get_activation(self, inputs, act, **kwargs):
            return super()._get_activation(inputs, act, **kwargs) * 2
    return Own((2, 3, 5, 5), 4) if kind.startswith('Conv') else Own(4)


@pytest.mark.parametrize('kind', ['RNNCell', 'LSTMCell', 'GRUCell', 'ConvRNNCell', 'ConvLSTMCell',
                                  'ConvGRUCell'])
def test_activations_of_subclasses_are_heeded_where_they_are_there(kind):
    case = Case(kind, lambda module: with_activation(module, kind))
    assert compare(case, unrolled)


#: The constructor's arguments of a cell of each class, behind the module.
MADE = {
    'BaseRNNCell': lambda module: ('base_',),
    **dict.fromkeys(['RNNCell', 'LSTMCell', 'GRUCell', 'FusedRNNCell'], lambda module: (4,)),
    **dict.fromkeys(['ConvRNNCell', 'ConvLSTMCell', 'ConvGRUCell'],
                    lambda module: ((2, 3, 5, 5), 4)),
    'SequentialRNNCell': lambda module: (),
    'BidirectionalCell': lambda module: (module.LSTMCell(4, 'l_'), module.GRUCell(4, 'r_')),
    'DropoutCell': lambda module: (0.5,),
    **dict.fromkeys(['ModifierCell', 'ZoneoutCell', 'ResidualCell'],
                    lambda module: (module.LSTMCell(4),)),
}


def added_attributes(kind):
    """Names that instances of a class have here and those of mxnet.rnn do not."""
    ours, theirs = (getattr(module, kind)(*MADE[kind](module)) for module in (rnn, stock))
    return {name for name in set(dir(ours)) - set(dir(theirs)) if not name.startswith('__')}


@pytest.mark.parametrize('kind', MADE)
def test_added_attributes_have_names_that_no_subclass_uses(kind):
    assert all(name.startswith('_') and name.endswith('_') or name == 'can_step'
               for name in added_attributes(kind))


def with_names(module, kind):
    """A cell of a program's subclass that has, for each attribute that was added here, one of
    the name that comes to mind first."""
    names = {name.strip('_') for name in added_attributes(kind)} - {'can_step'}
    own = type('Own', (getattr(module, kind),), {'_' + name: 'of the program' for name in names})
    return own(*MADE[kind](module))


@pytest.mark.parametrize('kind', sorted(MADE.keys() - {'BaseRNNCell', 'ModifierCell'}))
def test_attributes_of_subclasses_replace_nothing(kind):
    case = Case(kind, lambda module: with_names(module, kind))
    assert compare(case, functools.partial(unrolled, layout='TNC'))


def test_every_public_name_is_there():
    assert len(CELLS) == 17
    for name in CELLS + FUNCTIONS:
        assert getattr(rnn, name)
    if rnn is not stock:
        assert set(CELLS + FUNCTIONS) <= set(rnn.__all__)
        assert all(hasattr(rnn, name) for name in rnn.__all__)
    for submodule, names in {'rnn_cell': CELLS, 'rnn': FUNCTIONS[:4],
                             'io': ['encode_sentences', 'BucketSentenceIter']}.items():
        for name in names:
            if name in vars(getattr(stock, submodule)):
                assert getattr(getattr(rnn, submodule), name) is getattr(rnn, name)


def callables():
    for name in FUNCTIONS:
        yield name, getattr(stock, name), getattr(rnn, name)
    for name in CELLS:
        theirs, ours = getattr(stock, name), getattr(rnn, name)
        for method in dir(theirs):
            if callable(getattr(theirs, method)) and (method == '__init__' or
                                                      not method.startswith('_')):
                yield '%s.%s' % (name, method), getattr(theirs, method), getattr(ours, method)


SIGNATURES = list(callables())


@pytest.mark.parametrize('name, theirs, ours', SIGNATURES, ids=[each[0] for each in SIGNATURES])
def test_signatures_are_the_same_with_additions_last(name, theirs, ours):
    theirs, ours = (list(inspect.signature(each).parameters.values()) for each in (theirs, ours))
    named = [each for each in theirs if each.kind is not each.VAR_KEYWORD]
    for mine, its in zip(ours, named):
        renamed = (its.name, mine.name) == ('init_sym', 'func')  # its modifiers' name, still taken
        assert (mine.name, mine.kind) == (its.name, its.kind) or renamed
        default = mine.default
        if getattr(default, 'keywords', None) == {}:  # a function that is shown by name
            default = default.func
        assert plain(default) == plain(its.default) or its.default is its.empty
    for added in ours[len(named):]:
        assert added.default is not added.empty or added.kind in (added.VAR_KEYWORD,
                                                                  added.VAR_POSITIONAL)
    assert len(ours) >= len(named)


def test_class_hierarchy_is_the_same():
    for name in CELLS:
        bases = [base.__name__ for base in getattr(stock, name).__mro__ if base.__name__ in CELLS]
        ours = [base.__name__ for base in getattr(rnn, name).__mro__ if base.__name__ in CELLS]
        assert ours == bases, name


@pytest.mark.parametrize('name', [*sorted(golden.CELLS), *(
    pytest.param(name, marks=differs) for name in sorted(golden.OWN_CELLS))])
def test_golden_names_shapes_and_attributes(name):
    expected = json.loads(golden.path(name).read_text(encoding='utf-8'))
    assert golden.describe(rnn, name) == expected, (
        'if this change is meant: python -m tests.golden')
