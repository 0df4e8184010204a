"""Decoders in steps, behind encoders of every kind, against the whole of them in MXNet."""
import itertools

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours, rnn
from .compare import torch
from .encoders import ATTENTIONS, CELLS, ENCODERS, TARGET, sockeye, translator
from .models import S, V, over
from .sources import generate
from .test_states import model_for

from mxrnn.interop.export_onnx import write_onnx  # noqa: E402, I001  isort: skip
from mxrnn.interop.prepare.steps import LEFT_OUT  # noqa: E402  isort: skip
from mxrnn.interop.run.onnx_file import table_of  # noqa: E402  isort: skip

pytestmark = ours

LAYOUTS = ('NTC', 'TNC')
#: Each kind beside others.
PAIRS = [(encoder, list(CELLS)[at % 3], ATTENTIONS[(at + at // 3) % 3], LAYOUTS[at % 2])
         for at, encoder in enumerate(ENCODERS)]
CHUNKS = [1, 2, 4]


def translated(case):
    """The model, its data and its outputs in MXNet, batch first."""
    symbol, shapes = translator(*case)
    model, _ = model_for(symbol, shapes)
    random = np.random.RandomState(0)
    data = {name: random.randint(1, 11, shape).astype('f') for name, shape in shapes.items()}
    if 'source_length' in data:
        data['source_length'] = np.array([5, 2, 3], 'f')
    outputs = symbol.eval(**{name: mx.nd.array(array) for name, array in {
        **model.arg_params, **data}.items()})[0].asnumpy()
    del data['softmax_label']
    return model, data, by_sequence(outputs, TARGET, case)


def by_sequence(outputs, steps, case):
    """Outputs of (batch * time, ...) or (time * batch, ...), batch first."""
    if case[-1] == 'NTC':
        return outputs.reshape(3, steps, -1)
    return outputs.reshape(steps, 3, -1).swapaxes(0, 1)


def target_of(data, case, begin, count):
    """The next words, batch first."""
    words = data['target'] if case[-1] == 'NTC' else data['target'].T
    return words[:, begin:begin + count]


def apart(parts, wanted):
    return np.abs(np.concatenate(parts, 1) - wanted).max()


@pytest.mark.parametrize('case', PAIRS, ids='-'.join)
def test_onnx_files(case, tmp_path):
    model, data, wanted = translated(case)
    path = str(tmp_path / 'm.onnx')
    interop.to_onnx(model, path, states=True, check=False)
    stepper = interop.load_stepper(path)
    states, parts = stepper.begin(**{name: data[name] for name in stepper.encoder_names}), []
    for begin, count in zip((0, 1, 3), CHUNKS):
        found, states = stepper.read(states, target=target_of(data, case, begin, count))
        parts.append(found)
    assert apart(parts, wanted) < 1e-6


@pytest.mark.parametrize('case', PAIRS[1::2], ids='-'.join)
def test_sources(case):
    model, data, wanted = translated(case)
    module = generate(model, states=True).module
    given = {name: torch.as_tensor(array) for name, array in data.items() if name != 'target'}
    given['source'] = given['source'].long()  # numbers of words may be integers
    with torch.no_grad():
        states, parts = module.encode(**given), []
        for begin, count in zip((0, 1, 3), CHUNKS):
            words = torch.as_tensor(target_of(data, case, begin, count)).long()
            found, states = module.steps(words if case[-1] == 'NTC' else words.T, states)
            parts.append(by_sequence(found.numpy(), count, case))
    assert apart(parts, wanted) < 1e-6


@pytest.mark.parametrize('plain', [False, True])
def test_outputs_of_whole_sequences_are_left_out_or_named(plain, tmp_path):
    """A translator that also learns how long translations are, as Sockeye's may."""
    symbol, shapes = translator('plain', 'gru', 'dot', 'NTC')
    inner = symbol.get_internals()
    ratio = S.mean(inner['source_embed_output'], axis=(1, 2))
    length = S.sum(inner['target'], axis=1, name='length')
    loss = S.MakeLoss(S.square(ratio - length), name='loss')
    model, _ = model_for(S.Group([symbol, *([length] if plain else [
        loss, S.BlockGrad(length, name='counted')])]), shapes)
    path = str(tmp_path / 'm.onnx')
    if plain:
        with pytest.raises(interop.ExportError, match='length .sum. cannot be stepped') as caught:
            interop.to_onnx(model, path, states=True)
        assert 'add --output softmax_output' in str(caught.value)
        return
    written = write_onnx(model, path, states=True)
    assert written.plan.notes == [LEFT_OUT % 'loss_output, counted_output']
    assert written.checked[0] == 'checked'
    assert interop.load_stepper(path).output_names == ['softmax_output']
    assert 'left out, each a loss, a state or an output of BlockGrad: loss_output' in ' '.join(
        generate(model, states=True).text.split())


@pytest.mark.parametrize('loss', ['MakeLoss', 'LinearRegressionOutput'])
def test_a_loss_of_the_encoder_may_read_the_label(loss, tmp_path):
    """It is computed before the first step, although the prediction comes first in the graph."""
    symbol, shapes = translator('plain', 'gru', 'dot', 'NTC')
    inner = symbol.get_internals()
    ratio = S.mean(inner['source_embed_output'], axis=(1, 2))
    words = S.sum(inner['softmax_label'] != 0, axis=1)
    made = S.MakeLoss(S.square(ratio - words)) if loss == 'MakeLoss' else (
        S.LinearRegressionOutput(ratio, words))
    model, _ = model_for(S.Group([symbol, made]), shapes)
    path = str(tmp_path / 'm.onnx')
    assert write_onnx(model, path, states=True).checked[0] == 'checked'
    assert interop.load_stepper(path).encoder_names == ['source'] + ['softmax_label'] * (
        loss == 'MakeLoss')
    assert generate(model, {'softmax_label': ('batch', 'time'), 'target': ('batch', 'time')},
                    states=True).module


def test_outputs_of_a_second_graph_are_in_the_order_of_the_file(tmp_path):
    """The encoder's come first there: the check took one output for another, and refused it."""
    def translated(length):
        with mx.name.NameManager():
            encoder, decoder = (rnn.GRUCell(4, prefix=name) for name in ('encoder_', 'decoder_'))
            outputs, states = encoder.unroll(length, V('source'), merge_outputs=True)
            decoded = over(decoder, TARGET, 'target', begin_state=states)
            mean = S.sum(outputs, axis=1) * (1 / length)
            return model_for(S.Group([S.relu(decoded), mean]), {
                'source': (2, length, 3), 'target': (2, TARGET, 3)})[0]
    written = write_onnx(translated(6), str(tmp_path / 'm.onnx'), {
        'source': ('batch', 'words:6', 3), 'target': ('batch', 'time', 3)}, states=True,
        certify_by=translated(9).graph)
    assert 'and to the other graph' in written.checked.sentence


@pytest.mark.parametrize('options', [{}, {'tied': True}, {'ratio': True}], ids=''.join)
def test_states_have_the_batch_first(options):
    """So rows of beams can be chosen from each, also from what all steps of a source share."""
    model, _ = model_for(sockeye(9, TARGET, **options), {
        'source': (2, 9, 1), 'target': (2, TARGET), 'target_label': (2, TARGET)})
    module = generate(model, states=True).module
    with torch.no_grad():
        states = module.encode(torch.ones(2, 9, 1))
        assert len(states) == 6 + ('tied' in options) and {len(each) for each in states} == {2}
        words = torch.ones(3, 1, dtype=torch.long)
        found, _ = module.steps(words, tuple(state[torch.tensor([1, 0, 1])] for state in states))
    assert found.shape[0] == 3


@pytest.mark.parametrize('given', [None, ('batch', 'time:9', 1)])
def test_a_source_of_a_number_of_steps_keeps_it_or_is_freed(given, tmp_path):
    """Sockeye's coverage names it, in zeros that come before all cells."""
    symbol = sockeye(9, TARGET, coverage=True)
    model, _ = model_for(symbol, {'source': (2, 9, 1), 'target': (2, TARGET),
                                  'target_label': (2, TARGET)})
    path, source = str(tmp_path / 'm.onnx'), np.zeros((2, 9, 1), 'f')
    written = write_onnx(model, path, given and {'source': given}, states=True)
    assert written.checked[0] == 'checked'
    source[:, :, 0] = [5, 4, 3, 0, 0, 0, 0, 0, 0], [7, 1, 1, 2, 0, 0, 0, 0, 0]
    target = np.array([[2, 5, 4, 8, 1, 6, 3], [2, 7, 7, 9, 3, 1, 4]], 'f')
    wanted = symbol.eval(source=mx.nd.array(source), target=mx.nd.array(target),
                         target_label=mx.nd.zeros((2, TARGET)), **{
        name: mx.nd.array(array) for name, array in model.arg_params.items()})[0].asnumpy()
    assert dict(table_of(path))['load_stepper'] == [
        'begin(source=batch x %s x 1)' % ('time' if given else 9), 'step(states, target=batch)',
        'read(states, target=batch x time)']
    stepper = interop.load_stepper(path)
    if not given:
        with pytest.raises(ValueError, match='must fit the network, got source of shape'):
            stepper.begin(source=source[:, :4])
    for wrong in source[:0], source[:, :0], source[:, :, 0]:  # onnxruntime aborted for none
        with pytest.raises(ValueError, match=r'source must have the axes \(batch, (9|time), 1\) in '
                                             'begin, each of 1 or more, got the shape'):
            stepper.begin(source=wrong)
    with pytest.raises(TypeError, match='inputs of the encoder by name, source=…, got none'):
        stepper.begin(source[:, :, 0])
    with pytest.raises(TypeError, match=r'as begin and step return \(.*_in, .*\), got \[\]'):
        stepper.step([], target=[1])
    for length in (4, 9, 15) if given else (9,):
        states = stepper.begin(source=np.pad(source, ((0, 0), (0, 6), (0, 0)))[:, :length])
        found, _ = stepper.read(states, target=target)
        assert apart([found], wanted.reshape(2, TARGET, -1)) < 1e-6
    inputs = given and {'source': given}
    module = generate(model, inputs, states=True).module
    for length in (4, 9, 15) if given else (9,):
        read = torch.tensor(np.pad(source, ((0, 0), (0, 6), (0, 0)))[:, :length])
        with torch.no_grad():
            found, _ = module.steps(torch.tensor(target), module.encode(read))
        assert apart([found.numpy()], wanted) < 1e-6


@pytest.mark.nightly
@pytest.mark.parametrize('case', list(itertools.product(ENCODERS, CELLS, ATTENTIONS, LAYOUTS)),
                         ids='-'.join)
@pytest.mark.filterwarnings('ignore:lengths are clipped')  # as valid_length does
def test_all(case, tmp_path):
    test_onnx_files(case, tmp_path)
    test_sources(case)
