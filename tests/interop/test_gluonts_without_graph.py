"""Folders of GluonTS without a graph: what is built of them, and what is refused by name."""
import functools
import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._files.params import write_arrays
from mxrnn.interop import gluonts
from mxrnn.interop import gluonts_lacking_transforms as lacking
from mxrnn.interop import gluonts_without_graph as without

from .. import mx
from .test_commands import told, told_in_a_line

#: Networks as versions of GluonTS wrote them, with shorter lists of lags and bins.
NETWORKS = json.loads((Path(__file__).parent / 'data' / 'gluonts_networks.json').read_text())
each_network = pytest.mark.parametrize('case', NETWORKS)


@pytest.fixture
def folder(tmp_path):
    """Writes a folder as GluonTS does, of a network and its weights."""
    def write(network, version='0.8.1', weights=None):
        files = {'prediction_net-network.json': network}
        if version == '0.14.4':  # one file from 0.14 on
            files['gluonts-config.json'] = {'type': KIND, 'gluonts': version, 'model': version}
        else:
            (tmp_path / 'type.txt').write_text(KIND)
            files['version.json'] = {'gluonts': version, 'model': version}
        for name, content in files.items():
            (tmp_path / name).write_text(
                content if isinstance(content, str) else json.dumps(content))
        write_arrays(str(tmp_path / 'prediction_net-0000.params'), weights or {
            'weight': np.ones(3, 'f')})
        return tmp_path
    return write


KIND = 'gluonts.model.predictor.RepresentableBlockPredictor'


@pytest.fixture
def absent(monkeypatch):
    """GluonTS is not installed."""
    monkeypatch.setitem(sys.modules, 'gluonts', None)


@each_network
def test_where_gluonts_lacks_one_line_says_what_to_install(case, folder, absent):
    """The tables have all of the network: what they lack is refused before."""
    with pytest.raises(ImportError) as caught:
        gluonts.load_predictor(folder(NETWORKS[case], case.split()[0]))
    message, = str(caught.value).splitlines()
    assert "pip install 'gluonts[torch]>=0.16' && pip install --no-deps mxnet==1.9.1" in message


def test_an_older_gluonts_builds_nothing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gluonts', types.SimpleNamespace(__version__='0.14.4'))
    with pytest.raises(ImportError, match=r'\(GluonTS 0\.14\.4 is installed\)'):
        gluonts.network_of(folder(NETWORKS['0.5.2 WaveNet']))


@pytest.mark.skipif(importlib.util.find_spec('gluonts') is None, reason='needs GluonTS')
@each_network
def test_gluonts_makes_what_the_tables_have(case):
    network = without._walked(NETWORKS[case], without._NETWORKS, case.split()[0], without._made)
    assert isinstance(network, mx.gluon.HybridBlock) and network.collect_params()


# ---- refusals

def item(path, kind='instance', **given):
    return {'__kind__': kind, 'class': path, 'args': [], 'kwargs': given}


def deepar(**given):
    return item('gluonts.model.deepar._network.DeepARPredictionNetwork', **given)


DEEP = functools.reduce(lambda inner, _: [inner], range(400), item('os.system'))


@pytest.mark.parametrize('network, message', [
    (item('os.system'), r"names 'os\.system'"),
    (item('gluonts.core.serde.load_json'), r'serde\.load_json'),
    (item('gluonts.mx.mx.model.wavenet._network.WaveNetSampler'), r'mx\.mx\.model'),
    (item('model.wavenet._network.WaveNetSampler'), r"names 'model\."),
    (item('gluonts.model.wavenet._network.WaveNetSampler\n'), r'WaveNetSampler\\n'),
    (item('gluonts.model.wavenet.__builtins__.eval'), r'__builtins__\.eval'),
    (item('gluonts.block.rnn.RNN'), r'block\.rnn\.RNN'),  # a part is no network
    (item('gluonts.' + 'x' * 10 ** 6), 'names .x{100}., which'),
    (item('gluonts.model.deepar._network.DeepARPredictionNetwork', 'type'), 'DeepARPrediction'),
    (item('numpy.float32', 'type'), r'numpy\.float32'),
    (deepar(distr_output=item('os.system')), r'os\.system'),
    (deepar(cell_type=item('builtins.eval', 'type')), r'builtins\.eval'),
    (deepar(lags_seq=[1, [item('pathlib.Path')]]), r'pathlib\.Path'),
    (deepar(lags_seq=DEEP), r'os\.system'),
    (deepar(distr_output=deepar()), 'DeepARPredictionNetwork'),  # no network within a network
    (deepar(distr_output=item('gluonts.mx.distribution.neg_binomial.NegativeBinomialOutput')),
     'NegativeBinomialOutput computed other numbers before GluonTS 0.9, and 0.8.1 wrote it'),
    (deepar(dtype=item('numpy.load', 'type')), r'numpy\.load'),
    (deepar(num_cells={'class': 'os.system'}), 'must have __kind__'),
    (deepar(num_cells={'__kind__': 'stateful', 'class': 'os.system'}), 'must have __kind__'),
    ({**deepar(), 'args': ['/etc/passwd']}, "does not know: '/etc/passwd'"),
    ({**deepar(), 'kwargs': [1]}, 'must have __kind__'), ({**deepar(), 'class': [1]}, 'must have'),
    (deepar(params='x', shared=1), "does not know: 'params' .str., 'shared'"),
    ([deepar()], 'must have __kind__'), (3, 'must have __kind__')])
def test_what_the_tables_lack_is_refused_by_name(network, message, folder, absent):
    with pytest.raises(ValueError, match=message) as caught:
        gluonts.network_of(folder(network))
    assert len(str(caught.value)) < 600 and '\n' not in str(caught.value)


@pytest.mark.parametrize('case, version', [
    ('0.5.2 WaveNet', '0.4.3'), ('0.9.9 MQ-CNN', '0.5.2'), ('0.7.7 GPVAR', '0.4.0'),
    ('0.6.9 DeepAR', 'newest')])
def test_versions_that_computed_other_numbers_are_refused(case, version, folder, absent):
    with pytest.raises(ValueError, match=version):
        gluonts.network_of(folder(NETWORKS[case], version))


@pytest.mark.parametrize('name, content, message', [
    ('prediction_net-network.json', ' ' * (4 << 20) + '3', 'it has more than 4194304 characters'),
    ('prediction_net-network.json', '[' * 10 ** 5, 'prediction_net-network.json is damaged'),
    ('prediction_net-network.json', '{"__kind__"', 'prediction_net-network.json is damaged'),
    ('prediction_net-0000.params', 'x', 'prediction_net-0000.params is damaged'),
    ('version.json', '[]', 'does not tell gluonts'),
    ('gluonts-config.json', '{"gluonts": "0.14.4"}', 'does not tell type')])
def test_damaged_files_are_refused_by_name(name, content, message, folder):
    path = folder(NETWORKS['0.5.2 WaveNet'])
    (path / name).write_text(content)
    with pytest.raises(interop.CheckpointError, match=message):
        gluonts.network_of(path)


# ---- the graph, of classes that stand in for GluonTS's

@pytest.fixture
def stand_in(monkeypatch):
    class Output:
        def __init__(self, quantiles, quantile_weights=None):
            self.count = len(quantiles)

    class ForkingSeq2SeqPredictionNetwork(mx.gluon.HybridBlock):
        def __init__(self, quantile_output, scaling=None):
            super().__init__()
            with self.name_scope():
                self.quantile_proj = mx.gluon.nn.Dense(quantile_output.count, flatten=False)

        def hybrid_forward(self, F, past_target, future_feat_dynamic):
            both = F.concat(past_target, future_feat_dynamic, dim=2)
            return (self.quantile_proj(both),), None, None

    made = {'gluonts': types.SimpleNamespace(__version__='0.16.2')}
    made['gluonts.mx.model.seq2seq._forking_network'] = types.SimpleNamespace(
        ForkingSeq2SeqPredictionNetwork=ForkingSeq2SeqPredictionNetwork)
    made['gluonts.mx.block.quantile_output'] = types.SimpleNamespace(
        IncrementalQuantileOutput=Output)
    made['gluonts.mx.util'] = types.SimpleNamespace(
        get_hybrid_forward_input_names=lambda kind: ['past_target', 'future_feat_dynamic'])
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)


WEIGHTS = {'quantile_proj.projection.weight': np.arange(6, dtype='f').reshape(2, 3),
           'quantile_proj.projection.bias': np.array([1, 2], 'f')}


def forking(**given):
    return item('gluonts.model.seq2seq._forking_network.ForkingSeq2SeqPredictionNetwork', **given,
                quantile_output=item('gluonts.mx.block.quantile_output.QuantileOutput', is_iqf=True,
                                     quantiles=[0.1, 0.9], quantile_weights=None))


@pytest.mark.parametrize('version', ['0.9.9', '0.14.4'])
def test_the_graph_and_the_names_are_the_same_each_time(version, folder, stand_in):
    path = folder(forking(), version, WEIGHTS)
    for _ in range(2):
        fields, model = gluonts.network_of(path)
        assert fields == {'data0': 'past_target', 'data1': 'future_feat_dynamic'}
        assert model.inputs == ['data0', 'data1'] and len(model.outputs) == 1
        prefix = 'forkingseq2seqpredictionnetwork0_dense0_'
        assert {name: array.tolist() for name, array in model.arg_params.items()} == {
            prefix + 'weight': [[0, 1, 2], [3, 4, 5]], prefix + 'bias': [1, 2]}
        shapes = {node.name: node.attrs.get('__shape__') for node in model.graph.nodes}
        assert shapes[prefix + 'weight'] == '(2, 3)'


def test_the_command_exports_it(folder, stand_in):
    pytest.importorskip('torch')
    path = folder(forking(), '0.9.9', WEIGHTS)
    sizes = '--input', 'data0=batch,time,1', '--input', 'data1=batch,time,2'
    assert 'data1 is future_feat_dynamic' in told_in_a_line(
        'export', path, '--source', path / 'net.py', *sizes)
    assert 'prediction_net-0001.params' in told(
        'export', path, 1, '--source', path / 'net.py', status=2)


@pytest.mark.parametrize('weights, given, message', [
    ({'quantile_proj.weight': np.ones((2, 3), 'f')}, {}, 'differ in quantile_proj.bias'),
    ({**WEIGHTS, 'further': np.ones(2, 'f')}, {}, 'differ in further'),
    ({**WEIGHTS, 'quantile_proj.projection.bias': np.ones(5, 'f')}, {}, 'Expected shape'),
    (WEIGHTS, {'encoder': 3}, 'GluonTS raised TypeError: .*encoder')])
def test_what_gluonts_does_not_take_is_refused(weights, given, message, folder, stand_in):
    with pytest.raises(ValueError, match='has no graph, and it cannot be built here: .*' + message):
        gluonts.network_of(folder(forking(**given), '0.9.9', weights))


# ---- transformations of 0.4 to 0.6

def test_features_of_the_calendar_counted_from_one():
    index = types.SimpleNamespace(day=[1, 31], dayofyear=[1, 365], month=[1, 12])
    for name, first in (('day_of_month', 1 / 30), ('day_of_year', 1 / 364),
                        ('month_of_year', 1 / 11)):
        found = lacking.older_time(name, len, normalized=True)(index)
        np.testing.assert_allclose(found, [first - 0.5, found[1]])
        assert lacking.older_time(name, len) is len
    assert lacking.older_time('hour_of_day', len, normalized=True) is len
    with pytest.raises(ValueError, match='hour_of_day with normalized=False'):
        lacking.older_time('hour_of_day', len, normalized=False)


def test_older_arguments_become_todays(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gluonts', types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, 'gluonts.transform', types.SimpleNamespace(
        DummyValueImputation=lambda value: value, LeavesMissingValues=lambda: 'left'))
    assert lacking.older_arguments({'convert_nans': True, 'dummy_value': 2.0, 'a': 1}) == {
        'imputation_method': 2.0, 'a': 1}
    assert lacking.older_arguments({'convert_nans': False}) == {'imputation_method': 'left'}
    assert lacking.older_arguments({'pick_incomplete': True, 'past_length': 3}) == {
        'past_length': 3}
    forks = {'target_in': 'target', 'start_in': 'start', 'time_series_fields': None, 'enc_len': 3}
    made = lacking.older_arguments(dict(forks))
    assert made == {'target_field': 'target', 'start_input_field': 'start', 'enc_len': 3}
    found = lacking._forked({'target': np.ones(2), 'start': 5}, dec_len=1, is_pad_out='pad', **made)
    assert found['past_target'].tolist() == [[0], [1], [1]]
    assert found['past_pad'].tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match='with time_series_fields, which mxrnn does not make'):
        lacking.older_arguments({**forks, 'time_series_fields': ['feature']})
