"""Programs as people wrote them for mx.rnn, run with --fuse: the same arguments and losses."""
import functools

import numpy as np
import pytest

from . import mx, needs_operator, rnn, running
from .processes import python
from .train_programs import built

if rnn.__name__ != 'mxrnn':
    pytest.skip('--fuse is of mxrnn', allow_module_level=True)

pytestmark = needs_operator

T, N, C, H = 5, 3, 4, 6
DATA = {'data': (N, T, C), 'label': (N,)}


def data():
    return mx.sym.Variable('data')


def loss(vector):
    scores = mx.sym.FullyConnected(vector, num_hidden=3, name='out')
    return mx.sym.SoftmaxOutput(scores, mx.sym.Variable('label'), name='softmax')


stack = functools.partial(running.stack, rnn)


def lstm(name='lstm_', units=H, **options):
    return rnn.LSTMCell(units, prefix=name, **options)


def gru(name='gru_', units=H):
    return rnn.GRUCell(units, prefix=name)


def both(kind, name='bi_'):
    return rnn.BidirectionalCell(kind(name + 'l_'), kind(name + 'r_'))


def of_mean(cell, **options):
    outputs, _ = cell.unroll(T, data(), merge_outputs=True, **options)
    return loss(mx.sym.mean(outputs, axis=1))


def last_of_a_list():
    outputs, _ = lstm().unroll(T, data())
    return loss(outputs[-1])


def decoder_by_hand():
    outputs, states = stack(lstm('a_'), gru('b_')).unroll(T, data())
    cell = stack(lstm('a2_'), gru('b2_'))
    step = outputs[-1]
    for _ in range(3):
        step, states = cell(step, states)
    return loss(step)


class Noisy(rnn.LSTMCell):
    """A subclass of a program."""

    def __call__(self, inputs, states):
        output, states = super().__call__(inputs * 2, states)
        return output + 1, states


def two_unrolls_of_one_cell():
    x, cell = data(), gru()
    first, states = cell.unroll(T, x, merge_outputs=True)
    cell.reset()
    second, _ = cell.unroll(T, x + 1, begin_state=states, merge_outputs=True)
    return loss(mx.sym.mean(first * second, axis=1))


def inner_outputs():
    outputs, states = stack(lstm('l0_'), lstm('l1_')).unroll(T, data(), merge_outputs=True)
    heads = mx.sym.Group([mx.sym.BlockGrad(outputs), loss(states[-1] + states[1])])
    return mx.sym.Group([heads[1], heads[0]])


PROGRAMS = {
    'the last of a list': last_of_a_list, 'a decoder by hand': decoder_by_hand,
    'two unrolls': two_unrolls_of_one_cell, 'several heads': inner_outputs,
    'a sigmoid': lambda: of_mean(stack(rnn.RNNCell(H, 'sigmoid', prefix='s_'), lstm())),
    'residual': lambda: of_mean(stack(lstm('l0_'), rnn.ResidualCell(gru('g_')))),
    'unfused': lambda: of_mean(rnn.FusedRNNCell(H, 2, 'lstm', True, prefix='f_').unfuse()),
    'a subclass': lambda: of_mean(stack(Noisy(H, prefix='own_'), lstm())),
    'deep both ways': lambda: of_mean(stack(both(gru, 'b0_'), both(lstm, 'b1_'), lstm('top_'))),
}
#: Of tests/interop/programs.py.
OTHERS = ('lstm_bucketing rnn_relu_bucketing lstm_time_major lists_joined_by_hand tied_weights '
          'predictions_and_states begin_states_that_are_variables sentiment_of_the_last_step '
          'bidirectional encoder_and_decoder two_losses characters_and_words').split()


def train(symbol, steps=20):
    """Return the losses of some steps, and the parameters before them."""
    generator = np.random.RandomState(0)
    names = [name for name in symbol.list_arguments() if 'begin_state' in name]
    shapes = dict(DATA, **{name: (N, H) for name in names})
    module = mx.mod.Module(symbol, ['data', *names], ['label'])
    module.bind([(name, shape) for name, shape in shapes.items() if name != 'label'],
                [('label', DATA['label'])])
    mx.random.seed(3)
    module.init_params(mx.init.Uniform(0.3))
    first = {name: array.asnumpy() for name, array in module.get_params()[0].items()}
    module.init_optimizer(optimizer='adam', optimizer_params={'learning_rate': 0.02})
    arrays = [mx.nd.array(generator.randn(*shape)) for name, shape in shapes.items()
              if name != 'label']
    label = mx.nd.array(generator.randint(0, 3, DATA['label']))
    losses = []
    for _ in range(steps):
        module.forward(mx.io.DataBatch(arrays, [label]), is_train=True)
        scores = module.get_outputs()[0].asnumpy()
        losses.append(-np.log(scores[range(N), label.asnumpy().astype(int)]).mean())
        module.backward()
        module.update()
    return losses, first


def train_alike(fusing, build, atol=0):
    """Train what `build` builds without and with --fuse; return both graphs, and the losses."""
    graphs, runs = [], []
    for fuse in (False, True):
        fusing(fuse)
        with mx.name.NameManager():
            graphs.append(build())
        runs.append(train(graphs[-1]))
    (losses, first), (fused_losses, fused_first) = runs
    for each in first:  # drawn in the order of the arguments
        np.testing.assert_array_equal(fused_first[each], first[each])
    np.testing.assert_allclose(fused_losses, losses, rtol=1e-5, atol=atol * losses[0])
    return graphs, losses


# differences.md: unmodified programs at the operator's speed
@pytest.mark.parametrize('name', PROGRAMS)
def test_old_programs_train_alike_with_fuse(name, fusing):
    (plain, fused), losses = train_alike(fusing, PROGRAMS[name])
    assert losses[-1] < losses[0]
    assert ['"op": "RNN"' in each.tojson() for each in (plain, fused)] == [False, True]
    assert fused.list_arguments() == plain.list_arguments()
    assert plain.list_outputs()[0] == fused.list_outputs()[0]


def saved(symbol, path):
    symbol.save(str(path))
    return path.read_bytes()


# differences.md: unmodified programs at the operator's speed
def test_files_and_names_are_those_without_fuse(fusing, tmp_path):
    build = {**PROGRAMS, **{name: lambda name=name: built(name)[0] for name in (
        *OTHERS, 'norms_inside', 'an_input_for_each_step')}}
    for name, program in build.items():
        files, names = [], []
        for fuse in (False, True):
            fusing(fuse)
            with mx.name.NameManager():
                symbol = program()
                names.append([(data() + data()).name, mx.sym.concat(data(), dim=0).name])
            files.append(saved(symbol, tmp_path / 'graph.json'))
        assert '"op": "RNN"' in symbol.tojson(), name
        if name != 'a subclass':  # may do anything when it is unrolled once more
            assert names[0] == names[1], name
            assert files[0] == files[1], name


def test_an_unroll_of_a_program_calls_that_of_its_base(fusing):
    class Own(Noisy):
        def unroll(self, *args, **kwargs):
            outputs, states = super().unroll(*args, **kwargs)
            return outputs * 2, states

    graphs = []
    for fuse in (False, True):
        fusing(fuse)
        with mx.name.NameManager():
            graphs.append(Own(H).unroll(T, data(), merge_outputs=True)[0].tojson())
    assert graphs[0] == graphs[1]


def layers():
    outputs = data()
    for name in ('one_', 'two_'):
        outputs, _ = lstm(name).unroll(T, outputs, merge_outputs=True)
    return loss(mx.sym.mean(outputs, axis=1))


# differences.md: unmodified programs at the operator's speed
def test_a_file_whose_steps_are_lost_is_all_fused_and_says_so(fusing, tmp_path, monkeypatch):
    from mxrnn import _check
    from mxrnn._operator import automatic_fuse
    monkeypatch.setattr(_check, 'GIVEN', set())
    fusing(True)
    monkeypatch.setattr(automatic_fuse, '_unrolled', type(automatic_fuse._unrolled)())
    with mx.name.NameManager():
        symbol = layers()
    assert len(automatic_fuse._unrolled) == 2
    automatic_fuse._unrolled.popitem(last=False)
    with pytest.warns(UserWarning, match=r'save writes softmax_output with its recurrences as '
                      r'operators, .*: some of their steps are not kept any more. .* unroll '):
        text = saved(symbol, tmp_path / 'graph.json').decode()
    assert text.count('"op": "RNN"') == 2 and '__unrolled__' not in text
    with mx.name.NameManager():
        layers()  # the same cells, so that the older graph is known again
    assert b'"op": "RNN"' not in saved(symbol, tmp_path / 'graph.json')


# differences.md: unmodified programs at the operator's speed
def test_what_is_kept_of_unrolls_is_small_and_bounded(fusing, monkeypatch):
    from mxrnn._operator import automatic_fuse
    fusing(True)
    kept = type(automatic_fuse._unrolled)()
    monkeypatch.setattr(automatic_fuse, '_unrolled', kept)
    texts = set()
    for _ in range(5):
        with mx.name.NameManager():
            texts.add(lstm().unroll(50, data(), merge_outputs=True)[0].tojson())
    assert len(texts) == 1 and len(kept) == 1  # what is built again is the same
    assert sum(map(len, kept.values())) < 50 * 400
    monkeypatch.setattr(automatic_fuse, '_MOST', 3 * sum(map(len, kept.values())))
    for length in range(40, 50):
        lstm().unroll(length, data())
        assert sum(map(len, kept.values())) <= automatic_fuse._MOST
    assert 3 <= len(kept) < 10


def test_cells_are_planned_once_and_errors_are_seen(fusing, monkeypatch):
    from mxrnn._operator import automatic_fuse
    planned = []
    plan = automatic_fuse.FusedUnroll._plan_
    monkeypatch.setattr(automatic_fuse.FusedUnroll, '_plan_',
                        lambda fused: planned.append(fused) or plan(fused))
    fusing(True)
    stack(lstm(), gru()).unroll(T, data(), merge_outputs=True)
    assert len(planned) == 1
    monkeypatch.setattr(automatic_fuse.FusedUnroll, '_unroll_', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lstm().unroll(T, data())
    cell = lstm()
    monkeypatch.setattr(automatic_fuse.base_cells, 'unroll_checked',
                        lambda cell, *_: setattr(cell, '_counter', 7) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cell.unroll(T, data())
    assert cell._counter == -1


PROGRAM = '''
import sys
import mxnet as mx
cell = mx.rnn.SequentialRNNCell()
cell.add(mx.rnn.LSTMCell(4, prefix='lstm_'))
cell.add(mx.rnn.RNNCell(4, 'sigmoid', prefix='rnn_'))
for _ in range(2):
    cell.reset()
    outputs, _ = cell.unroll(3, mx.sym.Variable('data'), merge_outputs=True)
print('RNN' in outputs.tojson().replace('RNNCell', ''),
      mx.sym.Symbol.save.__globals__['__name__'].startswith('mxrnn'), sys.argv[1:])
'''


def run(tmp_path, *options, code=PROGRAM, **environment):
    (tmp_path / 'old.py').write_text(code, encoding='utf-8')
    return python('-W', 'ignore', '-m', 'mxrnn', 'run', *options, 'old.py', '--an-option',
                  folder=tmp_path, OMP_NUM_THREADS='1', **environment)


# differences.md: unmodified programs at the operator's speed
def test_run_fuses_where_it_is_asked_to(tmp_path):
    for options, environment, fused in (['--fuse', '--report'], {}, True), (
            [], {'MXRNN_FUSE': '1'}, True), ([], {'MXRNN_FUSE': '0'}, False), ([], {}, False):
        ended = run(tmp_path, *options, **environment)
        assert ended.stdout == "%s %s ['--an-option']\n" % (fused, fused), ended.stderr
        if options:
            report = ended.stderr
    assert report.endswith(
        "mxrnn, run with --fuse:\nSequentialRNNCell(sym.RNN('lstm', 4: LSTMCell(4, "
        "prefix='lstm_')), RNNCell(4, prefix='rnn_') [not fused: sym.RNN has no "
        "activation 'sigmoid']), unrolled 2 times\n"), ended.stderr


def test_what_tells_whether_to_fuse_is_yes_or_no(tmp_path):
    ended = run(tmp_path, MXRNN_FUSE='yes')
    assert ended.returncode and "MXRNN_FUSE must be 0 or 1, got 'yes'" in ended.stderr
    ended = run(tmp_path, '--report')
    assert ended.returncode == 2 and '--report needs --fuse' in ended.stderr
    with pytest.raises(TypeError, match="fuse must be a bool or None, got 'yes'"):
        rnn.install(fuse='yes')
