"""The shapes of fields that the transformations in folders of GluonTS tell."""
import numpy as np
import pytest

from mxrnn import interop
from mxrnn.interop import gluonts
from mxrnn.interop.gluonts import shapes_of_fields

from .models import S, V
from .test_commands import command, told
from .test_gluonts import _folder, _instance

PAST, AHEAD = 9, 4


def step(name, **given):
    return _instance('gluonts.transform.' + name, **given)


def chain(*steps):
    return step('Chain', trans=[step('Chain', transformations=[*steps[:1]]), *steps[1:]])


def target(axes):
    return step('AsNumpyArray', field='target', expected_ndim=axes)


def observed():
    return step('AddObservedValuesIndicator', target_field='target', output_field='observed')


def times(*more, features=('HourOfDay', 'DayOfWeek')):
    return [step('AddTimeFeatures', output_field='time', time_features=[
        _instance('gluonts.time_feature.' + each) for each in features]),
        step('AddAgeFeature', output_field='age'),
        step('VstackFeatures', input_fields=['time', 'age', *more], output_field='time')]


def splitter(**given):
    return step('InstanceSplitter', **{
        'target_field': 'target', 'is_pad_field': 'is_pad', 'past_length': PAST,
        'future_length': AHEAD, 'output_NTC': True, 'time_series_fields': ['time', 'observed'],
        **given})


def forks(fields=('time', 'observed'), decoded='time', **given):
    return step('ForkingSequenceSplitter', target_field='target', enc_len=PAST, dec_len=AHEAD,
                encoder_series_fields=[*fields], decoder_series_fields=[decoded],
                is_pad_out='is_pad', **given)


#: By model, its transformation, and the shapes of fields.
SHAPES = {
    'DeepAR': (chain(step('SetField', output_field='feat_static_real', value=[0.0]), target(1),
                     observed(), *times(), splitter()), {
        'feat_static_real': (0, 1), 'past_target': (0, 9), 'past_observed': (0, 9),
        'past_is_pad': (0, 9), 'past_time': (0, 9, 3), 'future_time': (0, 4, 3)}),
    'features of the data': (chain(target(1), *times('feat_dynamic_real'), splitter()), {
        'past_time': (0, 9, 0)}),
    'DeepVAR': (chain(target(2), observed(), *times(features=['FourierDateFeatures']), splitter(),
                      step('RenameFields', mapping={'past_target': 'past_target_cdf'})), {
        'past_target_cdf': (0, 9, 0), 'past_observed': (0, 9, 0), 'past_time': (0, 9, 3)}),
    'WaveNet': (chain(target(1), observed(), *times(), splitter(output_NTC=False)), {
        'past_target': (0, 9), 'past_observed': (0, 9), 'past_time': (0, 3, 9),
        'future_time': (0, 3, 4)}),
    'a longer training': (chain(target(1), *times(), splitter(future_length=12)), {
        'future_time': (0, 4, 3)}),
    'MQ-CNN': (chain(observed(), *times(), forks(num_forking=2)), {
        'past_target': (0, 9, 0), 'past_time': (0, 9, 3), 'future_time': (0, 2, 4, 3)}),
    'one feature ahead': (chain(*times()[1:2], forks(['age'], 'age')), {
        'past_age': (0, 9, 1), 'future_age': (0, 9, 4)}),
    'MQ-RNN': (chain(*times()[:1], step('RenameFields', mapping={'time': 'feat'}), forks()), {
        'future_time': (0, 9, 4, 2)})}


@pytest.mark.parametrize('name', SHAPES)
def test_shapes_of_fields(name):
    transform, wanted = SHAPES[name]
    found = shapes_of_fields(transform, AHEAD)
    assert {field: found[field] for field in wanted} == wanted


@pytest.mark.parametrize('transform', [
    {}, 3, chain(step('ForkingSequenceSplitter', target_in='target', enc_len=9)),
    chain(target('1')), chain(target(1), step('SwapAxes', field='target'), splitter())],
    ids=range(5))
def test_another_form_tells_no_shapes(transform, tmp_path):
    _, model = gluonts.network_of(_folder(tmp_path, transform))
    assert not any('__shape__' in node.attrs for node in model.graph.nodes)


@pytest.mark.parametrize('length', ['9', 9.5, [9], -9, None])
def test_a_length_that_is_none_is_asked_for(length, tmp_path):
    """-1 was written into the file, and ended ONNX's library; others were tracebacks."""
    folder = last_of_dense(_folder(tmp_path, chain(target(2), splitter(
        time_series_fields=[], past_length=length))))
    for words in (['--source', tmp_path / 'net.py'], ['--onnx', tmp_path / 'net.onnx']):
        assert '--input data1=batch,4,3' in told('export', folder, *words, status=2)


def last_of_dense(folder):
    """The folder with a network that reads the last four steps of data1."""
    dense = S.FullyConnected(V('data1'), num_hidden=2, flatten=False, name='dense')
    last = S.slice_axis(dense, axis=1, begin=-4, end=None)
    interop.save(interop.Model(interop.graph_from_json(last.tojson()), {
        'dense_weight': np.ones((2, 3), 'f'), 'dense_bias': np.ones(2, 'f')}, {}),
        str(folder / 'prediction_net'), 0)
    return folder


def test_a_field_of_other_axes_than_the_weights_take_is_named(tmp_path):
    folder = last_of_dense(_folder(tmp_path, chain(target(1), splitter(time_series_fields=[]))))
    assert ('input_transform.json gives the field past_target (data1 of the network) the shape (…, '
            '9), but the weights take (batch, data1_1, 3)') in told(
                'export', folder, '--source', tmp_path / 'net.py', status=2)
    assert command('export', folder / 'prediction_net', '--source', tmp_path / 'net.py',
                   '--input', 'data1=batch,9,3') == 0


def test_what_a_folder_tells_need_not_be_typed(tmp_path):
    """Its network reads the last four of nine steps."""
    folder = last_of_dense(_folder(tmp_path, chain(target(2), splitter(time_series_fields=[]))))
    assert 'data1=batch,9,3' in told('export', folder, '--source', tmp_path / 'net.py')
    assert '--input data1=batch,4,3' in told(
        'export', folder / 'prediction_net', '--source', tmp_path / 'other.py', status=2)
