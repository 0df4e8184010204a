"""Does padding leak? A language model reads sentences alone, and padded to the longest of them.

It is trained for a few epochs with `valid_length`, through the fused operator. Then each kind of
cell reads every validation sentence at its own length, padded without valid_length, and padded
with it. Printed are the perplexity, and by how much the states after the sentences differ from
those of the first way, as a share of the largest one.
"""
from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from _common import Table, configuration, mx, parse, parser, run
from _text import END, RARE, read_text
from bucketing_lm import PADDING, build_cell, embed, perplexity, predict

import mxrnn as rnn

LONGEST = 40
LIMIT = 1e-4  #: of the difference with valid_length, on any device


class Reader:
    """A language model of one kind of cell, whose graphs give the states at the end as well."""

    def __init__(self, kind: str, padded: bool, words: int, options: argparse.Namespace) -> None:
        self.cell = build_cell(rnn, options, kind, get_next_state=True)
        self.padded = padded
        self.words = words
        self.options = options

    def graph(self, length: int) -> Any:
        """Return the graph of a bucket; `valid_length` is the one thing to add against padding."""
        self.cell.reset()
        outputs, states = self.cell.unroll(
            length, embed(mx.sym.Variable('data'), self.words, self.options), layout='TNC',
            merge_outputs=True, valid_length=mx.sym.Variable('length') if self.padded else None)
        words = predict(outputs, self.words, self.options)
        return (mx.sym.Group([words, *map(mx.sym.BlockGrad, states)]),
                ('data', 'length') if self.padded else ('data',), ('softmax_label',))

    def data(self, sentences: list[list[int]], batch_size: int, buckets: list[int],
             **arguments: Any) -> rnn.BucketSentenceIter:
        """An iterator over what the graphs take."""
        return rnn.BucketSentenceIter(sentences, batch_size, buckets, invalid_label=PADDING,
                                      layout='TN', provide_length=self.padded, **arguments)

    def fit(self, sentences: list[list[int]], epochs: int) -> dict[str, mx.nd.NDArray]:
        """Train, and return the weights in the form that any cell can pack."""
        data = self.data(sentences, 32, [10, 20, LONGEST], seed=1, last_batch='pad')
        model = mx.mod.BucketingModule(self.graph, LONGEST, context=self.options.context)
        model.fit(data, eval_metric=perplexity(), num_epoch=epochs, optimizer='adam',
                  optimizer_params={'learning_rate': 0.003}, initializer=mx.init.Xavier())
        return self.cell.unpack_weights(model.get_params()[0])

    def read(self, sentences: list[list[int]], buckets: list[int],
             weights: dict[str, mx.nd.NDArray]) -> tuple[float, np.ndarray]:
        """Perplexity, and the states after each sentence."""
        data = self.data(sentences, 1, buckets, shuffle=False)
        model = mx.mod.BucketingModule(self.graph, data.default_bucket_key,
                                       context=self.options.context)
        model.bind(data.provide_data, data.provide_label, for_training=False)
        model.set_params(self.cell.pack_weights(weights), {})
        metric, states = perplexity(), []
        for batch in data:
            model.forward(batch)
            model.update_metric(metric, batch.label)
            states.append(np.concatenate([s.asnumpy().ravel() for s in model.get_outputs()[1:]]))
        return metric.get()[1], np.array(states)


def main() -> int:
    """Train, then read in three ways with each kind of cell."""
    options = parser(__doc__, plot=False)
    options.add_argument('--train', metavar='FILE', help='as for bucketing_lm.py')
    options.add_argument('--valid', metavar='FILE', help='as for bucketing_lm.py')
    options.add_argument('--cell', choices=['lstm', 'gru', 'rnn_tanh', 'rnn_relu'], default='lstm')
    options = parse(options)
    options.layers, options.dropout, options.epochs = 2, 0., 2 if options.quick else 6
    options.hidden = options.embedding = 32 if options.quick else 128
    configuration([options.context], longest=LONGEST, **vars(options))
    mx.random.seed(1)

    train, valid = ([[END, *sentence[:LONGEST - 2], END] for sentence in part]
                    for part in read_text(options.train, options.valid, 3, options.quick))
    train, vocabulary = rnn.encode_sentences(train, invalid_label=PADDING, start_label=1)
    vocabulary.setdefault(RARE, len(vocabulary))
    valid, _ = rnn.encode_sentences(sorted(valid, key=len), vocabulary, invalid_label=PADDING)
    weights = Reader('fused', True, len(vocabulary), options).fit(train, options.epochs)

    table = Table('cells', 'sentences', 'perplexity', 'states_differ_by')
    for kind in ('fused', 'unfused', 'fuse'):
        plain, masked = (Reader(kind, padded, len(vocabulary), options) for padded in (False, True))
        found, alone = plain.read(valid, sorted(set(map(len, valid))), weights)
        table.add(kind, 'alone', '%.5f' % found, 0)
        for reader, how in ((plain, 'padded'), (masked, 'padded with valid_length')):
            found, states = reader.read(valid, [LONGEST], weights)
            table.add(kind, how, '%.5f' % found,
                      float(abs(states - alone).max() / abs(alone).max()))
    worst = max(row[3] for row in table.rows if row[1] == 'padded with valid_length')
    passed = worst < LIMIT
    print('# %s: with valid_length the states differ by at most %.1g, where %g is allowed'
          % ('passed' if passed else 'failed', worst, LIMIT))
    return 0 if passed else 1


if __name__ == '__main__':
    run(main)
