"""Trains the programs of tests/interop/programs.py.

    python -m tests.train_programs      # writes tests/golden/trained.json anew

A Module trains each program for 20 steps on data from a seed, by one of the optimisers. The file
has the mean square of the outputs of each step.
"""
import json
from pathlib import Path

import numpy as np

from . import mx
from .interop.programs import PROGRAMS

GOLDEN = Path(__file__).parent / 'golden' / 'trained.json'

STEPS = 20
OPTIMIZERS = [('sgd', {'learning_rate': .1, 'momentum': .9, 'wd': 1e-3}),
              ('adam', {'learning_rate': .01, 'wd': 1e-3}), ('nag', {'learning_rate': .05}),
              ('rmsprop', {}), ('adagrad', {}), ('adadelta', {}), ('ftrl', {}), ('sgd', {})]
SIZES = dict(batch=3, time=7, source_time=7, target_time=5, memory_2=4, memory_time=7,
             question_time=6)
#: Programs that are left out, and why.
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


def built(name):
    """Return the Symbol of a program, and the shapes of its data and labels."""
    program = PROGRAMS[name]
    with mx.name.NameManager():
        symbol = program.build()
    return symbol, {key: tuple(SIZES.get(size, size) for size in shape)
                    for key, shape in program.shapes.items()}


def summary(name):
    """Return the mean square of the outputs of each step of one program."""
    optimizer, options = OPTIMIZERS[len(name) % len(OPTIMIZERS)]
    mx.random.seed(1)
    symbol, shapes = built(name)
    labels = [key for key in shapes if 'label' in key]
    data = [key for key in shapes if key not in labels]
    module = mx.mod.Module(symbol, data, labels)
    module.bind([(key, shapes[key]) for key in data], [(key, shapes[key]) for key in labels])
    np.random.seed(1)
    module.init_params(mx.init.Xavier())
    module.init_optimizer(optimizer=optimizer, optimizer_params=options)
    random, results = np.random.RandomState(2), []
    for _ in range(STEPS):
        batch = mx.io.DataBatch(*[[mx.nd.array(random.randint(1, 5, shapes[key])) for key in keys]
                                  for keys in (data, labels)])
        module.forward(batch, is_train=True)
        results.append(float(np.mean([np.mean(np.square(output.asnumpy(), dtype='d'))
                                      for output in module.get_outputs()])))
        module.backward()
        module.update()
    return results


def write_golden():
    """Write what the test of these programs expects."""
    GOLDEN.write_text(json.dumps({name: ['%.9g' % each for each in summary(name)]
                                  for name in TRAINED}, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    write_golden()
