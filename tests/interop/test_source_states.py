"""Sources in steps: MXNet's outputs of whole sequences, with the weights of sources without steps.
"""

import numpy as np
import pytest

from mxrnn import interop

from .. import ours, rnn
from .compare import torch
from .models import S, V, over
from .programs import EACH_STEP, PROGRAMS, stack
from .sources import generate
from .test_source import program_of
from .test_states import REFUSED, WIDTHS, model_for

pytestmark = ours

#: Programs that are not left to the slow tests.
STEPPED = ('cudnn_lstm_time_major', 'conv_lstm', 'sentiment_of_the_last_step', 'recommender',
           'begin_states_that_are_variables', 'encoder_and_decoder',
           'attention_with_input_feeding', 'caption_of_an_image')
#: Refusals of sources that differ: they are rolled up as for training, and their layers are merged.
OWN = {'bidirectional': 'l_ cannot be stepped: it reads sequences forwards and backwards',
       'tagger_of_stacked_directions': 'it reads sequences forwards and backwards',
       'noise_at_every_step': 'number of steps is fixed',
       'columns_before_rows': 'number of steps is fixed, see pooling0',
       **dict.fromkeys(('rnn_with_norms_of_2016', 'tree_of_cells'),
                       'no recurrence along an axis of any size')}


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.nightly] * (name not in STEPPED))
    for name in PROGRAMS if name not in (*REFUSED, *EACH_STEP)])
def test_programs_in_steps(name):
    """The export runs each source in chunks beside its graph."""
    assert 'def steps(' in generate(program_of(name)[1], states=True).text


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.nightly] * (place % 4 > 0))
    for place, name in enumerate(REFUSED)])
def test_refusals_are_those_of_onnx(name):
    with pytest.raises(interop.ExportError) as info:
        generate(program_of(name)[1], WIDTHS.get(name), states=True)
    assert OWN.get(name, REFUSED[name]) in str(info.value)


@pytest.mark.parametrize('in_memory', [False, True])
def test_states_of_another_batch_are_refused(in_memory):
    """A loop repeated a state of one row."""
    model = program_of('attention_with_input_feeding')[1]
    module = interop.to_torch(model, states=True) if in_memory else generate(
        model, states=True).module
    target, source = torch.ones(3, 2), torch.ones(3, 4)
    module.steps(target, module.encode(source))
    for wrong in (source[:1], source[:2]):
        said = r'states\[0\] must be \(3, 6\), got \(%d, 6\)' if in_memory else (
            r'target.shape\[0\], .* must be equal: 3, %d')
        with pytest.raises(ValueError, match=said % len(wrong)):
            module.steps(target, module.encode(wrong))
    if in_memory:
        with pytest.raises(ValueError, match=r'source must be \(batch, source_time\), got'):
            module.encode(source[0])


def recurrent(name='data', fc='fc', first='first', gru='gru'):
    """A GRU of three units, behind a layer, of an input of a name."""
    rows = S.FullyConnected(V(name), num_hidden=3, flatten=False, no_bias=True, name=fc)
    outputs = S.RNN(rows, V('vector'), S.zeros((1, 0, 3), name=first), mode='gru', state_size=3,
                    num_layers=1, name=gru)
    return interop.Model(interop.graph_from_json(outputs.tojson()), {
        fc + '_weight': np.eye(3, dtype='f'), 'vector': np.linspace(-1, 1, 72, dtype='f')}, {})


def test_names_of_methods_stay_free():
    """Layers that are called like the methods get other names."""
    module = generate(recurrent(fc='steps', first='states', gru='begin_rnn'), states=True).module
    data = torch.rand(5, 2, 3)
    first, states = module.steps(data[:2], module.begin(2))
    last, (state,) = module.steps(data[2:], states)
    torch.testing.assert_close(torch.cat([first, last]), module(data))
    torch.testing.assert_close(state[0], last[-1])


@pytest.mark.parametrize('name', ['states', 'batch', 'zeros', 'steps', 'begin', 'encode', 'gru',
                                  'forward', 'loss', 'parameters', 'train'])
def test_an_input_is_called_like_an_argument_of_the_methods(name):
    model = recurrent(name)
    module = generate(model, {name: ('time', 'batch', 3)}, states=True).module
    data = torch.rand(4, 2, 3)
    torch.testing.assert_close(module.steps(data, module.begin(2))[0], module(data))


def test_a_graph_that_has_no_steps_is_refused_for_that():
    """Not because it does not take the numbers that the writer draws."""
    split = S.SliceChannel(V('data'), num_outputs=5, axis=1)
    graph = interop.graph_from_json(S.tanh(split[0]).tojson())
    with pytest.raises(interop.ExportError, match='axis 1 of data cannot be any size: .* 5 parts'):
        generate(interop.Model(graph, {}, {}), {'data': ('batch', 'time', 4)}, states=True)


def test_a_loss_that_is_left_out_takes_its_label_along():
    outputs = over(rnn.GRUCell(4, 'gru_'), 5, layout='TNC')
    loss = S.MakeLoss(S.ctc_loss(outputs, V('label')), name='ctc')
    model, _ = model_for(S.Group([S.softmax(outputs), loss]), {'data': (5, 2, 3), 'label': (2, 2)})
    source = generate(model, states=True)
    assert 'BlockGrad: ctc_output' in source.text and 'label' not in source.text
    data = torch.rand(3, 2, 3)
    torch.testing.assert_close(source.module.steps(data, source.module.begin(2))[0],
                               source.module(data))


@pytest.mark.parametrize('first', [True, False], ids=['all', 'the second layer'])
def test_layers_whose_begin_states_are_inputs_begin_with_zeros(first):
    """As in ONNX files; nn.LSTM has them in one tensor."""
    cell = stack(rnn.LSTMCell(4, 'l0_'), rnn.LSTMCell(4, 'l1_'))
    begin = cell.begin_state(func=V)
    if not first:
        begin[:2] = [S.zeros((0, 4))] * 2
    outputs = over(cell, 5, begin_state=begin)
    names = [each.name for each in begin if each.list_arguments()]
    model, _ = model_for(outputs, {'data': (2, 5, 3), **dict.fromkeys(names, (2, 4))})
    module, data = generate(model, states=True).module, torch.rand(2, 5, 3)
    torch.testing.assert_close(module.steps(data, module.begin(2))[0],
                               module(data, *[torch.zeros(2, 4)] * len(names)))


def test_zero_states_need_an_input_of_encode_with_their_batch():
    outputs = S.Group([over(rnn.LSTMCell(4, 'lstm_'), 5), S.tanh(V('heat'))])
    model, _ = model_for(outputs, {'data': (2, 5, 3), 'heat': (5,)})
    with pytest.raises(interop.ExportError, match='no input of encode has the axis batch'):
        generate(model, {'data': ('batch', 'time', 3), 'heat': (5,)}, states=True)


def test_an_encoder_and_steps_refuse_other_numbers_of_axes():
    """torch took one sentence without a batch."""
    module = generate(program_of('encoder_and_decoder')[1], states=True).module
    for call in (lambda: module.encode(torch.zeros(3)),
                 lambda: module.steps(torch.zeros(2), module.encode(torch.zeros(2, 3)))):
        with pytest.raises(ValueError,
                           match=r'(source|target) must have the shape \(batch, \1_time\), got'):
            call()
