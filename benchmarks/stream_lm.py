"""Is it worth it to carry states on? A language model reads one long text in parallel streams.

The text is cut into streams, which are read together, some steps at a time (truncated
backpropagation through time). It is done twice, from the same weights and in the same order: with
states that are zero at the start of each batch, and with states carried over from the one before.

    python benchmarks/stream_lm.py
    python benchmarks/stream_lm.py --train text.txt --valid more.txt --bptt 20
"""
from __future__ import annotations

import argparse
import math
import sys
from itertools import chain
from typing import Any

from _common import Table, configuration, figure, mx, parse, parser, run
from _options import learning_rate, positive, probability, seed_number
from _text import END, RARE, read_text, unigram_perplexity
from _training import QUIET, STORES, Progress, check_store, open_store, show_log
from bucketing_lm import PADDING, build_cell, embed, perplexity, predict

import mxrnn as rnn


def train_model(carry: bool, train: rnn.StreamIter, valid: rnn.StreamIter, words: int,
                table: Table, options: argparse.Namespace) -> None:
    """Fit, and add a row to the table for each epoch."""
    cell = build_cell(rnn, options, 'fuse')
    carried = rnn.carry_states(cell)
    outputs, states = cell.unroll(options.bptt, embed(mx.sym.Variable('data'), words, options),
                                  begin_state=carried.begin_state, layout='TNC',
                                  merge_outputs=True)
    network = carried.group(predict(outputs, words, options), states)
    model = mx.mod.Module(network, state_names=carried.state_names,
                          logger=QUIET, context=options.context)
    callbacks = [carried if carry else lambda param: carried.zero(model)]
    steps = options.batch_size * options.bptt
    progress = Progress(table, steps, len(train), options.epochs, 'carried' if carry else 'zero')
    mx.random.seed(options.seed)
    train.reset()
    with progress.interruptible():
        model.fit(train, eval_data=valid, eval_metric=perplexity(), validation_metric=perplexity(),
                  kvstore=options.store,
                  optimizer='adam', optimizer_params={'learning_rate': options.lr},
                  initializer=mx.init.Xavier(), num_epoch=options.epochs,
                  batch_end_callback=[progress.batch_end, *callbacks],
                  epoch_end_callback=progress.epoch_end,
                  eval_batch_end_callback=[progress.check, *callbacks],
                  eval_end_callback=[progress.eval_end, *callbacks])


def read_options() -> argparse.Namespace:
    """The options given."""
    result = parser(__doc__)
    add = result.add_argument
    add('--train', metavar='FILE', help='as for bucketing_lm.py')
    add('--valid', metavar='FILE', help='as for bucketing_lm.py')
    add('--min-count', type=positive, default=3,
        help='rarer words become %s (default: %%(default)s)' % RARE)
    add('--cell', choices=['lstm', 'gru', 'rnn_tanh', 'rnn_relu'], default='lstm',
        help='kind of cell (default: %(default)s)')
    add('--layers', type=positive, default=2, help='layers of cells (default: %(default)s)')
    add('--hidden', type=positive, default=200, help='units in a layer (default: %(default)s)')
    add('--embedding', type=positive, default=200, help='width of a word (default: %(default)s)')
    add('--dropout', type=probability, default=0.3,
        help='before each layer and after the last (default: %(default)s)')
    add('--batch-size', type=positive, default=20, help='streams (default: %(default)s)')
    add('--bptt', type=positive, default=35, help='steps in a batch (default: %(default)s)')
    add('--epochs', type=positive, default=10, help='passes over the text (default: %(default)s)')
    add('--lr', type=learning_rate, default=0.002, help='learning rate (default: %(default)s)')
    add('--seed', type=seed_number, default=1, help='of all that is random (default: %(default)s)')
    add('--states', choices=['zero', 'carried'], action='append', help='train one way only')
    add('--kv-store', default='local', choices=STORES, metavar='STORE',
        help=', '.join(STORES) + ' (default: %(default)s): dist_sync for several workers, '
        'started as docs/distributed.md says; needs --states, since their servers train one model')
    if '--quick' in sys.argv:
        result.set_defaults(hidden=32, embedding=32, epochs=4, lr=0.01, bptt=8)
    options = parse(result)
    check_store(result, options)
    options.states = options.states or ['zero', 'carried']
    if 'dist' in options.kv_store and len(options.states) > 1:
        result.error('--kv-store %s needs --states zero or --states carried' % options.kv_store)
    return options


def main() -> int:
    """Train twice, and compare."""
    options = read_options()
    configuration([options.context], **vars(options))
    show_log()
    parts: list[Any] = [[sentence + [END] for sentence in part] for part in read_text(
        options.train, options.valid, options.min_count, options.quick)]
    parts[0], vocabulary = rnn.encode_sentences(parts[0], invalid_label=PADDING, start_label=1)
    vocabulary.setdefault(RARE, len(vocabulary))
    parts[1], _ = rnn.encode_sentences(parts[1], vocabulary, invalid_label=PADDING)
    texts = [list(chain.from_iterable(part)) for part in parts]
    unigram = unigram_perplexity(*texts)
    print('# %d and %d words, %d different ones, unigram perplexity %.3f'
          % (*map(len, texts), len(vocabulary), unigram))
    open_store(options)
    parts = {'num_parts': options.workers, 'part_index': options.rank}
    iterators = []
    for text, part, purpose in zip(texts, (parts, {}), ('train', 'validate')):
        try:
            iterators.append(rnn.StreamIter(text, options.batch_size, options.bptt, PADDING,
                                            layout='TN', last_batch='pad', **part))
        except ValueError as error:
            raise SystemExit('--batch-size %d is too much for the text to %s on: %s'
                             % (options.batch_size, purpose, error)) from None
    train, valid = iterators

    table = Table('states', 'epoch', 'train_perplexity', 'valid_perplexity', 'words_per_second')
    for states in options.states:
        train_model(states == 'carried', train, valid, len(vocabulary), table, options)
    found = {kind: [float(row[3]) for row in table.rows if row[0] == kind]
             for kind in options.states}
    if len(found) > 1:
        print('# best validation perplexity: zero states %.3f, carried states %.3f, ratio %.3f'
              % (min(found['zero']), min(found['carried']),
                 min(found['zero']) / min(found['carried'])))
    if options.plot:
        with figure(options, 'States of %s cells between batches' % options.cell, 'epoch',
                    'validation perplexity', whole=True, timed=False) as axes:
            for kind, values in found.items():
                axes.plot(range(1, len(values) + 1), values, marker='.', label='states ' + kind)
            axes.axhline(unigram, color='grey', linestyle='--', label='unigram model')
    passed = all(math.isfinite(value) for values in found.values() for value in values)
    print('# passed' if passed else '# failed: a perplexity is not a finite number')
    return 0 if passed else 1


if __name__ == '__main__':
    run(main)
