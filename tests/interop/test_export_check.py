"""Exports are run beside the checkpoint before their names get the files."""
import logging
import re
import sys

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, rnn
from .models import S, V, over, random_model
from .test_commands import save, told
from .test_states import model_for

pytest.importorskip('onnxruntime')
torch = pytest.importorskip('torch', reason='torch is not installed')

from mxrnn.interop.check import export_check, source_check  # noqa: E402, I001  isort: skip
from mxrnn.interop.run import mxnet_process, onnx_file  # noqa: E402, I001  isort: skip
from mxrnn.interop.run.reference import Reference  # noqa: E402, I001  isort: skip
from mxrnn.interop.check.compare import compare  # noqa: E402, I001  isort: skip
from mxrnn.interop.check.difference import Seen, difference  # noqa: E402, I001  isort: skip
from mxrnn.interop.registry import ONNX, TORCH, Unsupported  # noqa: E402  isort: skip
from mxrnn.interop._source.emitter_api import SOURCE  # noqa: E402  isort: skip
from mxrnn.interop.export_source import write_source  # noqa: E402  isort: skip
from mxrnn.interop.export_onnx import write_onnx  # noqa: E402  isort: skip


def scores(length=6):
    hidden = S.Activation(over(rnn.GRUCell(6, 'gru_'), length), act_type='softrelu', name='first')
    hidden = S.Activation(hidden * 3, act_type='softsign', name='second')
    return S.FullyConnected(hidden, num_hidden=3, flatten=False, name='scores')


@pytest.fixture
def model():
    with mx.name.NameManager():
        return model_for(scores(), {'data': (2, 6, 5)})[0]


@pytest.fixture(params=['MXNet', 'torch'])
def library(request, monkeypatch):
    if request.param != 'MXNet':
        monkeypatch.setattr(export_check, 'of_mxnet', lambda: None)
    return request.param


def broken(monkeypatch):
    """Activation is wrong in a node."""
    right = ONNX['Activation']

    def other(node):
        return node._replace(attrs={'act_type': 'relu'}) if node.name == 'second' else node
    monkeypatch.setitem(ONNX.maps[1], 'Activation',
                        lambda builder, node, x: right(builder, other(node), x))


def test_a_wrong_file_is_refused_and_its_first_node_named(model, library, tmp_path, monkeypatch):
    path = tmp_path / 'a.onnx'
    interop.to_onnx(model, path, outputs=['first_output'])
    before = path.read_bytes()
    broken(monkeypatch)
    with pytest.raises(interop.ExportError, match=r'first node that differs is second \(Activation'
                       ) as error:
        write_onnx(model, path)
    assert 'scores_output' in str(error.value) and '--no-check' in str(error.value)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    assert write_onnx(model, path, check=False).checked[:2] == ('', '')
    assert path.read_bytes() != before


def test_a_wrong_source_is_refused_and_its_first_node_named(model, library, tmp_path, monkeypatch):
    """It said only that the source differs."""
    right = SOURCE['FullyConnected']
    monkeypatch.setitem(SOURCE.maps[1], 'FullyConnected', right._replace(
        function=lambda scope, node, *inputs: '%d * (%s)' % (
            1 + (node.name == 'scores'), right.function(scope, node, *inputs))))
    for states in False, True:
        with pytest.raises(interop.ExportError, match='first node that differs is scores .Fully'):
            interop.to_source(model, tmp_path / 'a.py', states=states)
    assert not list(tmp_path.iterdir())


def test_a_source_says_what_it_was_compared_with(model, library, tmp_path):
    """Without MXNet it is compared with torch alone, which the word 'checked' hid."""
    remarks = write_source(model, str(tmp_path / 'a.py'), None, None, None, True)
    text = ' '.join((tmp_path / 'a.py').read_text().split())
    beside = 'whole and in chunks, equal to ' + (
        'the checkpoint in MXNet' if library == 'MXNet' else "mxrnn's own evaluation of the graph")
    assert text.count(beside) == [title for title, _ in remarks].count('checked') == 1
    assert beside in dict(remarks)['checked']
    sizes = dict(remarks)['sizes']
    assert sizes.count('in chunks of 1 and 2') == 3 and sizes.startswith('data (3, 6, 5); data (4')


@pytest.mark.parametrize('inputs, runs, first', [
    (None, '1 size in its own graph, 2 in', 6), ({'data': ('batch', 9, 5)}, '3 sizes in', 9)],
    ids=['any', 'another number'])
def test_a_right_file_is_checked_at_three_sizes(model, library, inputs, runs, first, tmp_path):
    """A typed number of other steps than the graph's was not checked."""
    checked = write_onnx(model, tmp_path / 'a', inputs).checked
    (title, said), sizes = checked.remark, checked.sizes
    assert re.fullmatch(r'equal to the checkpoint in %s to \S+ \(%s the graph rewritten for any '
                        r'size\)' % (library, runs), said) and title == 'checked'
    assert sizes.count('data (') == 3 and sizes.startswith('data (3, %d, 5)' % first)


def features(pooled, length=4, **windows):
    """A convolution over the features of each step, or over other windows."""
    data = S.expand_dims(V('data'), axis=1)
    data = S.Convolution(data, **{'kernel': (1, 3), **windows}, num_filter=2, name='conv')
    if pooled:
        data = S.Pooling(data, kernel=(1, 2), stride=(1, 2), pool_type='max')
    data = S.reshape(S.transpose(data, (0, 2, 1, 3)), (0, 0, -1))
    return S.FullyConnected(over(rnn.LSTMCell(3, 'lstm_'), length, data), num_hidden=2,
                            flatten=False)


def images(length=4):
    """A convolution over the image of each step, whose size the graph does not have."""
    weights = {name: V('conv_' + name) for name in ('weight', 'bias')}
    steps = [S.Flatten(S.Pooling(S.Convolution(each, kernel=(3, 3), num_filter=5, **weights),
                                 kernel=(2, 2), stride=(2, 2), pool_type='max'))
             for each in S.split(V('data'), num_outputs=length, axis=1, squeeze_axis=True)]
    return over(rnn.LSTMCell(3, 'lstm_'), length, steps)


@pytest.mark.parametrize('shape', [None, ('batch', 'time', 1, 'height', 'width')])
def test_images_of_a_size_that_is_not_found_are_asked_for(shape, tmp_path):
    model, _ = model_for(images(), {'data': (2, 4, 1, 6, 2 * 9973 + 2)})
    with pytest.raises(interop.ExportError, match='cannot be any size: .* 99730' if shape else
                       'in place of …: --input data=batch,time,1,…,…'):
        interop.to_source(model, str(tmp_path / 'a.py'), shape and {'data': shape})


def test_other_lengths_are_run_at_a_width_that_windows_leave(tmp_path):
    """5 and 6 leave the same numbers."""
    model, _ = model_for(features(False, kernel=(3, 3), stride=(2, 2), pad=(1, 1)), {
        'data': (2, 8, 6)})
    said = write_onnx(model, str(tmp_path / 'a.onnx')).checked.sizes
    assert [size in said for size in ('(3, 7, 5)', '(4, 11, 5) in the', '(2, 16, 6) in the')] == [
        True] * 3, said


@pytest.mark.parametrize('what', ['other sizes', 'chunks'])
def test_every_size_and_every_chunk_counts(what, model, tmp_path, monkeypatch):
    """At its own length, in one piece, it is right."""
    of_file = onnx_file.open_file

    def opened(*args, **options):
        file = of_file(*args, **options)

        def outputs(data, counts):
            wrong = data['data'].shape[1] != 6 if what == 'other sizes' else counts[1:2] == [2]
            return [array + wrong for array in file.outputs(data, counts)]
        return file._replace(outputs=outputs)
    monkeypatch.setattr(export_check, 'open_file', opened)
    with pytest.raises(interop.ExportError, match='data .4, 11, 5.' if what == 'other sizes' else
                       'in chunks of 1 and 2 and 3'):
        interop.to_onnx(model, str(tmp_path / 'a.onnx'), states=what == 'chunks')
    assert not list(tmp_path.iterdir())


def test_a_file_that_its_reader_refuses_is_not_written(model, tmp_path, monkeypatch):
    """It was reported as written."""
    from mxrnn.interop._onnx import conversion
    table = conversion.table_of_states
    monkeypatch.setattr(conversion, 'table_of_states', lambda scope, stepped, encoder: (
        table(scope, stepped._replace(axes={}), encoder)))
    with pytest.raises(interop.ExportError, match='cannot be read: the table of states'):
        interop.to_onnx(model, str(tmp_path / 'a.onnx'), states=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('build', 'said'), [
    (lambda: V('data') + S.random_uniform(shape=(2, 3)), 'draws at random'),
    (lambda: S.Dropout(V('data'), mode='always'), 'draws at random'),
    (lambda: S.contrib.quadratic(V('data')), 'operator that a program')])
def test_what_cannot_be_checked_is_said(build, said, tmp_path, monkeypatch, caplog):
    for table in (ONNX, TORCH):
        monkeypatch.setattr(table, 'maps', [dict(table.maps[0]), *table.maps[1:]])
    interop.register('_contrib_quadratic', lambda node: lambda x: x,
                     onnx=lambda builder, node, x: builder.apply('Identity', x))
    model, _ = model_for(build(), {'data': (2, 3)})
    with caplog.at_level(logging.WARNING):
        interop.to_onnx(model, str(tmp_path / 'a.onnx'), {'data': (2, 3)})
    assert 'a.onnx was not checked: ' in caplog.text and said in caplog.text
    assert (tmp_path / 'a.onnx').exists()


def test_the_command_says_what_was_checked(tmp_path, monkeypatch):
    save(tmp_path / 'a', scores(), [], {'data': (2, 6, 5)})
    export = 'export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx'
    assert re.search(r'\nchecked:    equal to the checkpoint in MXNet to \S+ \(.*\)\n$',
                     told(*export), re.DOTALL)
    assert '\nsizes:      data (3, 6, 5); data (4, 11, 5) in the rewr' in told(*export, '--verbose')
    assert told(*export, '--quiet') == ''
    assert 'checked' not in told(*export, '--no-check')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert '\nnot checked: onnxruntime is not installed: pip install onnxruntime\n' in told(*export)


def unevaluated(checkpoint):
    raise NotImplementedError


def with_mean_apart(x):
    x = x + 1000
    return S.mean(x * x, axis=1) - S.square(S.mean(x, axis=1))


#: Graphs whose numbers have few digits that are right, since larger ones made them.
ROUNDED = {
    'variance': with_mean_apart, 'log_of_softmax': lambda x: S.log(S.softmax(x)),
    'rest_of_sigmoid': lambda x: 1 - S.sigmoid(x), 'rest_of_tanh': lambda x: 1 - S.tanh(x),
    'log_of_rest': lambda x: S.log(1 - S.sigmoid(x)),
    'log1p': lambda x: S.log1p(S.square(x) * 1e-5), 'exp_near_infinity': lambda x: S.exp(x * 3) - 1,
    'softrelu': lambda x: S.Activation(x, act_type='softrelu'),
    'float16': lambda x: S.Cast(S.tanh(S.FullyConnected(
        S.Cast(x, dtype='float16'), S.Cast(V('inner'), dtype='float16'), no_bias=True,
        num_hidden=9)), dtype='float32')}


@pytest.mark.parametrize('name, evaluated', [
    *[(name, True) for name in ROUNDED],
    *[(name, False) for name in ('variance', 'rest_of_tanh', 'log_of_rest')]])
def test_rounding_alone_refuses_nothing(name, evaluated, tmp_path, monkeypatch):
    """Where operations of torch cannot be rounded in other ways, outputs are judged as wholes."""
    if not evaluated:
        monkeypatch.setattr(Reference, 'in_torch', unevaluated)
    scores = S.FullyConnected(V('data'), num_hidden=300, no_bias=True, name='sums')
    model = random_model(ROUNDED[name](scores * 3), {'data': (2, 400)})
    assert write_onnx(model, str(tmp_path / 'a.onnx')).checked[0] == 'checked'
    assert 'checked' in dict(write_source(model, str(tmp_path / 'a.py'), {}, None, None, False))
    if name == 'log_of_rest':
        monkeypatch.setitem(ONNX.maps[1], 'log', lambda builder, node, x: builder.apply('Sqrt', x))
        with pytest.raises(interop.ExportError, match='first node that differs is log0 .log'):
            write_onnx(model, str(tmp_path / 'b.onnx'))


def test_a_running_sum_is_as_exact_as_the_sums_before_it(tmp_path):
    shapes = {'data': (60, 80, 5)}
    model = random_model(S.cumsum(V('data')), shapes)
    assert 'checked' in dict(write_source(model, str(tmp_path / 'a.py'), shapes, None, None, False))


def test_an_output_with_the_name_of_an_input_is_checked(tmp_path):
    """It is numbered in the file, which was refused as that of another model."""
    model, _ = model_for(S.Activation(V('last_output') + 1, act_type='tanh', name='last'),
                         {'last_output': (2, 3)})
    assert write_onnx(model, str(tmp_path / 'a.onnx')).checked[0] == 'checked'


def test_what_onnxruntime_cannot_run_is_written_and_not_checked(tmp_path):
    """It has no LSTM of float64."""
    cell = rnn.LSTMCell(3)
    outputs = over(cell, 3, begin_state=cell.begin_state(dtype='float64'))
    shapes = dict(zip(outputs.list_arguments(), outputs.infer_shape(data=(2, 3, 4))[0]))
    model = interop.Model(interop.graph_from_json(outputs.tojson()), {
        name: np.ones(shape) for name, shape in shapes.items() if name != 'data'}, {})
    title, said = write_onnx(model, str(tmp_path / 'a.onnx')).checked.remark
    assert title == 'not checked' and 'does not support double' in said
    assert (tmp_path / 'a.onnx').exists()


def test_a_type_loosens_only_what_it_reaches(tmp_path, monkeypatch):
    """A float16 bias of zeros hid a wrong slope."""
    model = random_model(S.broadcast_add(leaky(V('y')), S.Cast(V('bias'), dtype='float32')),
                         {'y': (5, 4), 'bias': (1, 4)})
    model.arg_params['bias'] = np.zeros((1, 4), 'float16')
    monkeypatch.setitem(ONNX.maps[1], 'LeakyReLU', lambda builder, node, x: builder.apply(
        'LeakyRelu', x, alpha=.102))
    with pytest.raises(interop.ExportError, match='in [1-9]+ of 12 numbers, the first .* leaky '):
        write_onnx(model, str(tmp_path / 'a.onnx'), {'y': ('batch', 4)}, types={'y': 'float32'})


@pytest.mark.parametrize('operators', [ONNX, SOURCE], ids=['onnx', 'source'])
def test_a_recurrence_without_a_counterpart_has_the_name_of_its_cell(
        operators, model, tmp_path, monkeypatch):
    """It had the name that rolling up gave it."""
    def refuse(*_):
        raise Unsupported('is not written')
    monkeypatch.setitem(operators.maps[1], 'RNN', refuse if operators is ONNX else (
        SOURCE['RNN']._replace(function=refuse)))
    export = interop.to_onnx if operators is ONNX else interop.to_source
    with pytest.raises(interop.ExportError, match=r'^node gru_ \(RNN\): .*is not written'):
        export(model, tmp_path / ('a.onnx' if operators is ONNX else 'a.py'))


def test_a_source_of_a_type_that_it_does_not_take_is_not_written(model, library, tmp_path):
    """It was written with MXNet's words for the types of nodes."""
    with pytest.raises(interop.ExportError, match=r'^The inputs have other types than the weights, '
                       r'float32: data=float16 \(types, --type\)'):
        interop.to_source(model, tmp_path / 'a.py', types={'data': 'float16'})
    assert not list(tmp_path.iterdir())


def test_outputs_without_numbers_show_nothing(tmp_path):
    """They were taken to be equal."""
    model, _ = model_for(S.log(-S.square(V('data'))), {'data': (2, 4)})
    title, said = write_onnx(model, str(tmp_path / 'a.onnx')).checked.remark
    assert title == 'not checked' and 'no finite number' in said
    model, _ = model_for(S.sigmoid(V('data') / 9 - 88), {'data': (2, 4)})  # onnxruntime makes 0
    title, said = write_onnx(model, str(tmp_path / 'a.onnx')).checked.remark
    assert title == 'not checked' and 'too close to 0' in said
    count = S.sum(S.ones_like(V('data')), axis=0)  # above 3 in other runs
    model, _ = model_for(S.log(V('most') - count), {'data': (2, 4)})
    model.arg_params['most'][:] = 3.5
    title, said = write_onnx(model, str(tmp_path / 'b.onnx'), {'data': ('batch', 4)}).checked.remark
    assert title == 'checked' and 'nothing was compared: the output log1_output has no' in said
    assert 'fit' not in said


def recurrence_of(values, fused, name='data'):
    """A recurrence over values of which many are NaN for normal data."""
    x = values(V(name))
    if fused:
        return rnn.FusedRNNCell(4, mode='gru', prefix='f_').unroll(5, x, layout='TNC')[0]
    return over(rnn.LSTMCell(4, 'f_'), 5, x)


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('values', [
    S.log, S.sqrt, S.arccosh, lambda x: S.log(1 - x),
    lambda x: S.log(S.relu(x))], ids='log sqrt arccosh of_rest infinite'.split())
def test_data_are_drawn_for_which_the_outputs_are_numbers(values, fused, tmp_path):
    """onnxruntime's LSTM and GRU make numbers of NaN, so that right files were refused."""
    model, _ = model_for(recurrence_of(values, fused), {'data': (5, 5, 3)})
    assert write_onnx(model, str(tmp_path / 'a.onnx')).checked[0] == 'checked'
    (_, far), = compare(model, str(tmp_path / 'a.onnx'), {}).outputs
    assert far < 1e-6


def pooled(x):
    return S.Pooling(S.expand_dims(S.log(x), 0), kernel=(3, 1), pad=(1, 0), pool_type='max')


@pytest.mark.parametrize('of', [
    lambda x: S.Activation(S.log(x), act_type='relu'), pooled,
    lambda x: over(rnn.RNNCell(4, 'relu', 'r_'), 5, S.sqrt(x))],
    ids='relu max_pooling recurrence'.split())
def test_what_operators_make_of_nan_is_no_difference(of, library, tmp_path):
    """MXNet's relu and max pooling make numbers of NaN, so that right files were refused."""
    model, _ = model_for(of(V('data')), {'data': (5, 5, 3)})
    assert write_onnx(model, str(tmp_path / 'a.onnx')).checked[0] == 'checked'
    remarks = write_source(model, str(tmp_path / 'a.py'), {}, None, None, False)
    assert 'checked' in dict(remarks)


def test_places_that_are_nan_for_all_data_show_nothing(tmp_path):
    model, _ = model_for(recurrence_of(lambda x: S.sqrt(x - 1.5), False), {'data': (5, 5, 1)})
    title, said = write_onnx(model, str(tmp_path / 'a.onnx')).checked.remark
    assert title == 'not checked' and said.endswith('NaN in places for all data that were tried, '
                                                    'and the file has numbers there')


def beside(nans, values):
    """An output with NaN for normal data, and another one."""
    with mx.name.NameManager():
        return model_for(S.Group([nans(), values(V('y'))]), {'x': (5, 5, 1), 'y': (5, 4)})[0]


def leaky(y, slope=.1):
    return S.LeakyReLU(y, slope=slope, name='leaky')


def steep(monkeypatch):
    """LeakyReLU is wrong for negative numbers."""
    monkeypatch.setitem(ONNX.maps[1], 'LeakyReLU', lambda builder, node, x: builder.apply(
        'LeakyRelu', x, alpha=.9))
    monkeypatch.setitem(SOURCE.maps[1], 'LeakyReLU', SOURCE['LeakyReLU']._replace(
        function=lambda scope, node, x: 'F.leaky_relu(%s, 0.9)' % (x,)))


def recurrence():
    return recurrence_of(lambda x: S.sqrt(x - 1.5), False, 'x')


@pytest.mark.parametrize('nans', [lambda: S.log(V('x')), recurrence],
                         ids=['in_places', 'in_a_recurrence'])
def test_negative_numbers_are_compared_beside_nan(nans, library, tmp_path, monkeypatch):
    """One NaN made all data positive, or ended the comparison of later outputs."""
    right = beside(nans, leaky)
    write_onnx(right, str(tmp_path / 'a.onnx'))
    outputs = dict(compare(beside(nans, lambda y: leaky(y, .9)), str(tmp_path / 'a.onnx'),
                           {'y': (5, 4)}).outputs)
    assert outputs.pop('leaky_output') > .01 and max(outputs.values(), default=0) < 1e-6
    steep(monkeypatch)
    with pytest.raises(interop.ExportError, match='leaky_output differs .* is leaky '):
        write_onnx(right, str(tmp_path / 'b.onnx'))
    with pytest.raises(interop.ExportError, match='leaky_output differs .* is leaky '):
        write_source(right, str(tmp_path / 'b.py'), {}, None, None, False)


def test_gradients_of_negative_numbers_are_compared_beside_nan(tmp_path, monkeypatch):
    """They were compared for positive data alone."""
    def loss():
        return S.MakeLoss(S.FullyConnected(leaky(V('y')), num_hidden=2))
    with mx.name.NameManager():
        model, _ = model_for(S.Group([S.log(V('x')), loss()]), {'x': (5, 4), 'y': (5, 4)})
    right, least = source_check._gradients, []

    def seen(loss, weights, inputs):
        least.extend(float(each.min()) for each in inputs.values())
        return right(loss, weights, inputs)
    monkeypatch.setattr(source_check, '_gradients', seen)
    write_source(model, str(tmp_path / 'a.py'), {}, None, None, False)
    assert min(least) < 0 < max(least)


def test_outputs_without_comparison_are_named(tmp_path):
    model = beside(recurrence, leaky)
    path = str(tmp_path / 'a.onnx')
    title, said = write_onnx(model, path).checked.remark
    name = model.outputs[0]
    assert title == 'checked' and 'Not compared: the output %s for x ' % name in said
    assert dict(compare(model, path, {}).missed)[name].startswith('it is NaN in places for all')


def root():
    """NaN of negative numbers, whose absolute values a wrong file takes."""
    return S.sqrt(V('x'), name='root')


def part_beside_infinity():
    x = V('x')
    return S.Group([S.relu(x, name='part'), S.log(S.relu(x - .5))])


def last_roots():
    return S.SliceChannel(root(), num_outputs=2, axis=2)[1]


def identity_of_part(builder, node, x):
    return builder.apply('Identity', x) if node.name == 'part' else RELU(builder, node, x)


def leaking(builder, node, x):
    return builder.apply('LeakyRelu', x, alpha=.9)


def root_of_size(builder, node, x):
    return SQRT(builder, node, builder.apply('Abs', x))


RELU, SQRT = ONNX['relu'], ONNX['sqrt']
OF_NUMBERS = root_of_size, 'by numbers for NaN, .* is root .sqrt'
#: By what is made: the graph, the shape of its inputs, the operator that is wrong in the file and
#: how, and what is said.
WRONG = {
    'numbers beside large ones': (lambda: S.concat(V('x') * 1e7, S.Activation(
        V('y'), act_type='tanh', name='act'), dim=1), (5, 4), 'Activation', leaking,
                                  'differs .* is act '),
    'numbers beside NaN': (lambda: S.Activation(S.log(V('x')) + 0 * V('y'), act_type='relu',
                                                name='act'), (5, 5, 3),
                           'Activation', leaking, 'differs .* is act '),
    'another node': (lambda: S.Activation(S.log(V('x')), act_type='relu') + leaky(V('y')), (5, 4),
                     'LeakyReLU', leaking, 'differs .* is leaky '),
    'an output beside infinity': (
        part_beside_infinity, (3, 4), 'relu', identity_of_part, 'part_output differs'),
    'numbers for NaN': (root, (5, 5, 2), 'sqrt', *OF_NUMBERS),
    'numbers for NaN, changed': (lambda: root() * 2, (5, 5, 2), 'sqrt', *OF_NUMBERS),
    'numbers for NaN in a recurrence': (
        lambda: over(rnn.LSTMCell(4, 'f_'), 5, last_roots()), (5, 5, 2), 'sqrt', *OF_NUMBERS)}


def test_compare_judges_small_numbers_beside_large_ones(tmp_path, monkeypatch):
    build, shape, op, wrong, _ = WRONG['numbers beside large ones']
    model, _ = model_for(build(), {'x': shape, 'y': shape})
    for low, high in (0, 1e-6), (.1, 10):
        write_onnx(model, str(tmp_path / 'a.onnx'), check=False)
        (_, far), = compare(model, str(tmp_path / 'a.onnx'), {}).outputs
        assert low <= far < high
        monkeypatch.setitem(ONNX.maps[1], op, wrong)


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_operator_is_found_beside_such_numbers(name, library, tmp_path, monkeypatch):
    """Where NaN was made into a number, nothing else was compared."""
    build, shape, op, wrong, said = WRONG[name]
    symbol = build()
    model, _ = model_for(symbol, {key: shape for key in 'xy' if key in symbol.list_arguments()})
    assert write_onnx(model, str(tmp_path / 'a.onnx')).checked[0] == 'checked'
    monkeypatch.setitem(ONNX.maps[1], op, wrong)
    with pytest.raises(interop.ExportError, match=said):
        write_onnx(model, str(tmp_path / 'b.onnx'))


def test_numbers_for_nan_need_data_for_which_the_output_is_finite():
    seen, nan = Seen(['a']), np.array([1, np.nan, np.inf])
    assert seen.difference('a', np.array([1, np.nan, np.inf]), nan) == 0 and seen.missed()
    seen.keep('a', nan)
    assert not seen.missed()
    assert seen.difference('a', np.array([1, 2, np.inf]), nan) == 0
    seen.keep('a', nan)
    assert not seen.whole() and 'a' in seen.missed()
    assert seen.difference('a', np.array([1, np.nan, 3]), nan) == np.inf
    assert seen.difference('a', nan, np.array([1, 2, np.inf])) == np.inf
    assert seen.difference('a', np.ones(3), np.ones(3)) == 0
    seen.keep('a', np.ones(3))
    assert seen.whole() and not seen.missed()


def test_sizes_that_the_graph_tells_together_are_asked_for(tmp_path):
    images = S.Convolution(V('data'), kernel=(3, 3), num_filter=2)
    images = S.Pooling(images, kernel=(2, 2), stride=(2, 2), pool_type='max')
    scores = S.FullyConnected(S.Flatten(images), num_hidden=3)
    model = random_model(scores, {'data': (2, 3, 10, 10)})
    with pytest.raises(interop.ExportError, match='--input data=batch,3,…,…'):
        write_onnx(model, str(tmp_path / 'a.onnx'))
    typed = {'data': ('batch', 3, 10, 10)}
    assert write_onnx(model, str(tmp_path / 'a.onnx'), typed).checked[0] == 'checked'
    assert 'checked' in dict(write_source(model, str(tmp_path / 'a.py'), typed, None, None, False))


@pytest.mark.parametrize('form', ['beside', 'alone', 'inside', 'preserved'])
def test_steps_that_a_loss_takes_apart_again_may_be_any(form, tmp_path):
    frames = over(rnn.LSTMCell(3, prefix='lstm_'), 20, S.swapaxes(V('data'), 0, 1), layout='TNC')
    scores = S.FullyConnected(S.Reshape(frames, shape=(-1, 3)), num_hidden=7)
    scores = S.Reshape(scores, shape=(20, -1, 7), name='frames')
    label = V('label')
    loss = S.make_loss(S.contrib.ctc_loss(scores, label), name='loss')
    save(tmp_path / 'a',
         {'beside': lambda: S.Group([S.softmax(scores, axis=2, name='chances'), loss]),
          'alone': lambda: loss, 'inside': lambda: loss,
          'preserved': lambda: S.SoftmaxOutput(scores, label, preserve_shape=True)}[form](), [],
         {'data': (2, 20, 5), 'label': (20, 2) if form == 'preserved' else (2, 3)})
    said = ' '.join(told('export', tmp_path / 'a', '--onnx', tmp_path / 'a.onnx', '--verbose',
                         *['--output', 'frames_output'] * (form == 'inside')).split())
    assert 'data (4, 11, 5)' in said and 'batch, time: any' in said


@pytest.mark.parametrize('got, wanted, expected', [
    ([1, 3], [1, 2], .5), ([], [], 0), ([1], [0], 1), ([np.nan, np.inf], [np.nan, np.inf], 0),
    ([np.nan, 2], [1, 2], np.inf), ([1, 2], [np.nan, 2], np.inf), ([np.inf, 2], [1, 2], np.inf),
    ([1], [1, 1], np.inf)])
def test_differences(got, wanted, expected):
    """One NaN was no difference to the check of a source."""
    assert difference(*(np.array(each, 'f') for each in (got, wanted))) == expected


def test_where_no_process_can_be_started_another_library_checks(model, tmp_path, monkeypatch):
    monkeypatch.setattr(mxnet_process, '_child', mxnet_process._Child())
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'python'))
    title, said = write_onnx(model, str(tmp_path / 'a.onnx')).checked.remark
    assert title == 'checked' and 'in torch' in said


def test_mxnet_fuses_nothing_in_a_check(tmp_path):
    """1.9.1 fuses what two operators read, and gives one of them wrong numbers."""
    scale = S.FullyConnected(V('data'), num_hidden=3, name='scale')
    model, _ = model_for(1 + scale - S.exp(scale), {'data': (2, 4)})
    assert write_onnx(model, str(tmp_path / 'a.onnx')).checked[0] == 'checked'


def test_weights_are_left_as_they_are(model, tmp_path):
    """oneDNN changes the order of weights in place."""
    image = S.Convolution(V('data'), kernel=(3, 3), num_filter=16, name='conv')
    model, _ = model_for(image, {'data': (2, 16, 9, 9)})
    before = {name: array.copy() for name, array in model.arg_params.items()}
    interop.to_onnx(model, str(tmp_path / 'a.onnx'), {'data': ('batch', 16, 9, 9)})
    for name, array in before.items():
        np.testing.assert_array_equal(model.arg_params[name], array)


def test_lengths_without_their_bound_are_compared_with_the_graph_without_it(tmp_path):
    cell = rnn.FusedRNNCell(6, mode='gru', prefix='gru_')
    outputs = over(cell, 4, layout='TNC', valid_length=V('length'))
    model, _ = model_for(outputs, {'data': (4, 2, 5), 'length': (2,)})
    title, said = write_onnx(model, str(tmp_path / 'a.onnx'), {
        'data': ('time:4', 'batch', 5), 'length': ('batch',)}).checked.remark
    assert title == 'checked' and 'in the graph rewritten for any size' in said


def test_a_source_is_not_run_where_no_check_is_wanted(model, tmp_path, monkeypatch):
    from mxrnn.interop import export_source
    monkeypatch.setattr(export_source, 'check_source', lambda *_: 1 / 0)
    interop.to_source(model, tmp_path / 'a.py', check=False)
    assert 'Checked' not in (tmp_path / 'a.py').read_text()
    with pytest.raises(ZeroDivisionError):
        interop.to_source(model, tmp_path / 'b.py')
    save(tmp_path / 'c', scores(), [], {'data': (2, 6, 5)})
    assert 'checked' not in told('export', tmp_path / 'c', '--source', tmp_path / 'c.py',
                                 '--no-check')


@pytest.mark.parametrize('fails', [False, True])
def test_the_process_of_mxnet_keeps_no_model(fails, model, tmp_path, monkeypatch):
    if fails:
        monkeypatch.setattr(export_check._Check, 'run', lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_onnx(model, tmp_path / 'a.onnx')
    else:
        write_onnx(model, tmp_path / 'a.onnx')
    assert mxnet_process._child._model is None
    assert mxnet_process.of_mxnet()[1](model, model.graph)({'data': np.zeros((2, 6, 5), 'f')})


def test_another_process_of_mxnet_gets_the_model(model):
    """If MXNet ended the one that had it."""
    run = mxnet_process.of_mxnet()[1](model, model.graph)
    data = {'data': np.zeros((2, 6, 5), 'f')}
    before = run(data)
    mxnet_process._child._process.kill()
    with pytest.raises(mxnet_process.EndedError):
        run(data)
    np.testing.assert_array_equal(run(data), before)


def test_an_interrupted_check_leaves_no_answer_to_the_next(model, tmp_path, monkeypatch):
    def interrupted(pipe):
        raise KeyboardInterrupt
    mxnet_process.of_mxnet()  # its process runs
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mxnet_process.pickle, 'load', interrupted)
        write_onnx(model, tmp_path / 'a.onnx')
    assert not list(tmp_path.iterdir())
    other, _ = model_for(scores(7), {'data': (2, 7, 5)})
    assert write_onnx(other, tmp_path / 'a.onnx').checked[0] == 'checked'
