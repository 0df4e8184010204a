"""Sources of graphs: torch alone runs them, with MXNet's outputs and gradients."""

import numpy as np
import pytest

from mxrnn import interop
from mxrnn._graph.rolling import structure
from mxrnn.interop.check.random_inputs import data_for

from .. import mx, ours
from ..cases import CASES, OURS
from ..processes import printed
from ..running import quiet as quiet_cell
from ..running import random_value
from . import programs
from .compare import Evaluated, torch
from .compositions import WIDTH, composition
from .models import random_model
from .programs import ASKED, EACH_STEP, PROGRAMS, UNTOLD
from .rolling import in_float64, unrolled
from .sources import check, generate, quiet, source_of
from .test_programs_leave import model_of as model_of_program
from .test_programs_leave import settled

pytestmark = [ours, pytest.mark.filterwarnings('ignore:.*(time-major|not applied in training)')]

#: Programs whose images may have any number of columns in a source.
WIDER_SOURCES = ('keyword_spotting', 'columns_joined_again', 'crnn_of_three_axes',
                 'deep_speech_by_hand')


def graph_of(name):
    with mx.name.NameManager():
        return quiet(PROGRAMS[name].build())


def data_of(name, model, batch, time):
    """Data for a program; labels are classes that it has."""
    random, data = np.random.RandomState(5), {}
    for key, shape in settled({**PROGRAMS, **ASKED}[name].shapes, batch, time).items():
        # A class, which a loss head reads; CTC's labels are data.
        label = 'label' in key and all(node.op != 'CTCLoss' for node in model.graph.nodes)
        data[key] = random.randint(1, 4, shape).astype('float32') if label else data_for(
            model.graph, key, shape, 'float32', 3, random)
    few = {node.num_hidden for node in model.graph.nodes if node.op == 'FullyConnected'} & {2}
    return {key: value % 2 if few and key == 'softmax_label' else value
            for key, value in data.items()}


def program_of(name):
    """The Symbol of a program, and the network with weights."""
    symbol = graph_of(name)
    return symbol, random_model(symbol, settled(PROGRAMS[name].shapes, 3, 7))


@pytest.mark.parametrize('name', sorted({*PROGRAMS} - {*EACH_STEP}))
def test_programs(name, monkeypatch):
    """The source of a program, at the lengths and batches that its graph leaves open."""
    symbol, model = program_of(name)
    rolled = PROGRAMS[name].rolled
    source = generate(model, rolled if name in UNTOLD else None)
    sizes = [size for shape in rolled.values() for size in shape]
    for batch, time in ((3, 7), (2, 4)):
        batch = 3 if rolled.get('data', ())[:1] == (3,) else batch
        if 7 in sizes or name not in WIDER_SOURCES and not any(
                'time' in str(each) for each in sizes):
            time = 7
        monkeypatch.setattr(programs, 'TIME', time)
        check(source, graph_of(name), data_of(name, model, batch, time),
              2e-6 if name.startswith(('conv', 'crnn', 'columns_before')) else 1e-6)


@pytest.mark.parametrize('name', ASKED)
def test_other_numbers_of_axes_are_asked_for(name):
    symbol, model = model_of_program(name)
    with pytest.raises(interop.ExportError, match=r'data with \d or more axes[^\0]*--input data='):
        generate(model)
    source = generate(model, ASKED[name].rolled)
    for batch in 3, 2:
        check(source, quiet(symbol), data_of(name, model, batch, 7))


BOUND = [case for case in CASES + OURS if case.binds]


def check_composition(seed):
    """The source of a random stack of random cells, at another length and batch as well."""
    source = None
    for batch, length in ((3, 4), (2, 3)):
        cell, options = composition(seed)
        symbol = unrolled(quiet_cell(cell), length, **{**options, 'merge_outputs': True})
        shape = (length, batch, WIDTH) if options['layout'] == 'TNC' else (batch, length, WIDTH)
        data = {'data': random_value('data', shape).astype('float32')}
        if source is None:
            source = source_of(symbol, data)
        check(source, symbol, data, gradients=False)  # norms of few units make noise of them
    data = {'data': torch.tensor(random_value('data', shape))}
    module = source.module.double()
    graph = Evaluated(in_float64(structure(source.model.graph).graph), {
        name: array.astype('float64') for name, array in source.model.arg_params.items()})
    for each in module(*data.values()), graph(**data):
        sum((one * torch.linspace(.5, 1, one.numel()).reshape(one.shape)).sum()
            for one in each).backward()
    trained = dict(module.named_parameters(remove_duplicate=False))
    # A bias that a layer of nn.RNN must have, and the cell has not, is fixed at 0.
    grads = interop.from_source({key: trained[key].grad if key in trained and (
        trained[key].requires_grad) else torch.zeros_like(value)
        for key, value in module.state_dict().items()}, source.model)
    for name, wanted in graph.gradients().items():
        np.testing.assert_allclose(grads.arg_params[name], wanted.numpy().astype('f'),
                                   err_msg=name, atol=1e-6 * float(wanted.abs().max()) + 1e-10)


@pytest.mark.parametrize('seed', [*range(8), 134])  # layers with biases, and without
def test_random_compositions(seed):
    check_composition(seed)


@pytest.mark.nightly
def test_tools_find_nothing(tmp_path):
    """ruff and mypy over the sources of all programs."""
    ruff, mypy = (pytest.importorskip(name) for name in ('ruff', 'mypy'))
    for name in PROGRAMS:
        for states in (False, True):
            try:
                source = generate(program_of(name)[1], states=states)
            except interop.ExportError:
                continue
            (tmp_path / (name + '_steps' * states + '.py')).write_text(source.text,
                                                                       encoding='utf-8')
    assert ruff and mypy
    for arguments in (['ruff', 'check', '--select', 'E,F,W,I,B,UP', '--line-length',
                       '100', '--target-version', 'py38', '--isolated',
                       '--no-cache', '.'],
                      ['mypy', '--strict', '--no-warn-return-any', '--cache-dir',
                       str(tmp_path / 'cache'), '.']):
        printed('-m', *arguments, folder=tmp_path)


@pytest.mark.parametrize('name', ['dynamic', 'zoneout_and_variational_dropout'])
def test_begin_states_of_words_follow_the_type_of_the_weights(name):
    model = program_of(name)[1]
    module = interop.to_torch(model)
    data = torch.tensor(data_of(name, model, 3, 7)['data'])
    single, double = module(data), module.double()(data.long())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single)
