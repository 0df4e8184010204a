"""Trains the programs of tests/interop/programs.py, so that versions of MXNet can be compared.

    python -m tests.train_programs                      # writes tests/golden/trained.json anew
    python -m tests.train_programs numbers.npz          # every number, with each version of MXNet
    python -m tests.train_programs one.npz other.npz    # the largest difference of each program

A Module trains each program for 20 steps on data from a seed, by one of the optimisers. The file
has the outputs of each step and the weights at the end.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import mx
from .interop.programs import PROGRAMS

__all__ = ['GOLDEN', 'LEFT_OUT', 'TRAINED', 'built', 'summary', 'train']

GOLDEN = Path(__file__).parent / 'golden' / 'trained.json'

STEPS = 20
OPTIMIZERS = [('sgd', {'learning_rate': .1, 'momentum': .9, 'wd': 1e-3}),
              ('adam', {'learning_rate': .01, 'wd': 1e-3}), ('nag', {'learning_rate': .05}),
              ('rmsprop', {}), ('adagrad', {}), ('adadelta', {}), ('ftrl', {}), ('sgd', {})]
SIZES = dict(batch=3, time=7, source_time=7, target_time=5, memory_2=4, memory_time=7,
             question_time=6)
#: Programs that tell nothing of a version of MXNet, and why.
LEFT_OUT = {'text_of_images': 'CTC reads memory that nobody wrote where a label is too long',
            'one_step_for_inference': 'it has no loss',
            **dict.fromkeys('''
                deep_speech_by_hand gluon_stack_of_cells gluon_lstm_layer columns_before_rows
                lstm_of_scala_for_inference
                '''.split(), 'it has outputs without a loss'),
            'gluon_foreach': 'a Module takes the first axis for the batch',
            **dict.fromkeys(['graph_of_r', 'lstm_of_r', 'weights_that_are_normed'],
                            'a Module does not know how its weights begin')}
TRAINED = [name for name in PROGRAMS if name not in LEFT_OUT]


def built(name: str) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """Return the Symbol of a program, and the shapes of its data and labels."""
    program = PROGRAMS[name]
    with mx.name.NameManager():
        symbol = program.build()
    return symbol, {key: tuple(SIZES.get(size, size) for size in shape)
                    for key, shape in program.shapes.items()}


def train(name: str, context: Any = None) -> dict[str, np.ndarray]:
    """Return the outputs of each step, and the weights, of one program, trained on a device."""
    optimizer, options = OPTIMIZERS[len(name) % len(OPTIMIZERS)]
    mx.random.seed(1)
    symbol, shapes = built(name)
    labels = [key for key in shapes if 'label' in key]
    data = [key for key in shapes if key not in labels]
    module = mx.mod.Module(symbol, data, labels, context=context or mx.cpu())
    module.bind([(key, shapes[key]) for key in data], [(key, shapes[key]) for key in labels])
    np.random.seed(1)
    module.init_params(mx.init.Xavier())
    module.init_optimizer(optimizer=optimizer, optimizer_params=options)
    random, results = np.random.RandomState(2), {}
    for step in range(STEPS):
        batch = mx.io.DataBatch(*[[mx.nd.array(random.randint(1, 5, shapes[key])) for key in keys]
                                  for keys in (data, labels)])
        module.forward(batch, is_train=True)
        for i, output in enumerate(module.get_outputs()):
            results['%s/step%02d/%d' % (name, step, i)] = output.asnumpy()
        module.backward()
        module.update()
    for key, array in module.get_params()[0].items():
        results['%s/%s' % (name, key)] = array.asnumpy()
    return results


def summary(name: str, context: Any = None) -> list[float]:
    """Return the mean square of the outputs of each step."""
    numbers = train(name, context)
    return [float(np.mean([np.mean(np.square(array, dtype='d')) for key, array in numbers.items()
                           if key.startswith('%s/step%02d/' % (name, step))]))
            for step in range(STEPS)]


def write_golden() -> None:
    """Write what the test of these programs expects."""
    GOLDEN.write_text(json.dumps({name: ['%.9g' % each for each in summary(name)]
                                  for name in TRAINED}, indent=1) + '\n', encoding='utf-8')


def write_numbers(path: str) -> None:
    """Train all programs and write every number."""
    results: dict[str, Any] = {}
    for name in TRAINED:
        results.update(train(name))
    np.savez(path, **results)


def compare(one: str, other: str) -> None:
    """Print the largest difference of each program, in parts of the largest number."""
    first, second = np.load(one), np.load(other)
    for name in TRAINED:
        keys = [key for key in first.files if key.startswith(name + '/')]
        print('%-32s %.1e' % (name, max(
            np.abs(first[key] - second[key]).max() / max(np.abs(first[key]).max(), 1e-3)
            for key in keys)))


if __name__ == '__main__':
    [write_golden, write_numbers, compare][len(sys.argv) - 1](*sys.argv[1:])
