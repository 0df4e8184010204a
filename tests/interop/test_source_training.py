"""Generated sources in training: MXNet's trace, back to MXNet, and files that tools accept."""
import subprocess
import sys

import numpy as np
import pytest

from mxrnn import interop

from .. import mx, ours
from .compare import difference, torch
from .sources import check, generate, run_mxnet, total
from .test_source import PROGRAMS, data_of, program_of

pytestmark = ours

#: Programs that are trained: a language model, CNN + BiLSTM + CTC, encoder and decoder with
#: attention, zoneout and residuals.
TRAINED = ['cudnn_lstm_bucketing', 'text_of_images', 'attention_with_input_feeding',
           'zoneout_and_variational_dropout']
EPOCHS, BATCHES, RATE = 5, 3, .02


@pytest.mark.parametrize('name', TRAINED)
def test_five_epochs(name):
    """The losses of each step and the weights after it, by the same updates."""
    symbol, model = program_of(name)
    source = generate(model)
    random = np.random.RandomState(3)
    batches = [{key: random.permutation(value) for key, value in data_of(
        name, model, 3, 7).items()} for _ in range(BATCHES)]
    executor = run_mxnet(symbol, batches[0], {**model.arg_params, **model.aux_params})
    module = source.module.train()
    optimiser = torch.optim.SGD(module.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for batch in batches:
            for key, value in batch.items():
                executor.arg_dict[key][:] = value
            executor.forward(is_train=True)
            executor.backward([mx.nd.ones(each.shape) for each in executor.outputs])
            for key, grad in executor.grad_dict.items():
                if grad is not None:
                    mx.nd.sgd_update(executor.arg_dict[key], grad, lr=RATE,
                                     out=executor.arg_dict[key])
            optimiser.zero_grad()
            total(source, batch, [np.ones(each.shape, 'float32') for each in executor.outputs]
                  ).backward()
            optimiser.step()
        trained = interop.from_source(module.state_dict(), model, inputs=source.inputs)
        worst = {key: difference(executor.arg_dict[key].asnumpy(), value)
                 for key, value in trained.arg_params.items()}
        assert max(worst.values()) <= 2e-5, worst
    assert any(abs(model.arg_params[key] - value).max() > 1e-3
               for key, value in trained.arg_params.items())  # it did learn
    # What was trained on goes back to MXNet.
    check(source._replace(model=trained, module=module.eval()), symbol, batches[0], 1e-6,
          gradients=False)


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
        done = subprocess.run([sys.executable, '-m', *arguments], cwd=str(tmp_path), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
