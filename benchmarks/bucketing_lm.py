"""Train a bucketed language model, predict with the other kind of cell, sample sentences.

With no options it reads the language reference that comes with Python, for less than two minutes.
It trains an LSTM through the fused operator with BucketingModule.fit and saves a checkpoint every
epoch; loads the last one with unfused cells (with --unfused the other way round), which must give
the same validation perplexity; and steps those cells to make up sentences.

    python benchmarks/bucketing_lm.py
    python benchmarks/bucketing_lm.py --train text.txt --valid more.txt
    python benchmarks/bucketing_lm.py --stock   # the same digits with mxnet.rnn
"""
from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from bisect import bisect_left
from typing import Any, Callable

import numpy as np
from _common import Table, configuration, contexts, figure, mx, parse, parser, run
from _options import (
    integers,
    learning_rate,
    positive,
    probability,
    seed_number,
    why_not_written,
)
from _text import END, RARE, read_text, unigram_perplexity
from _training import (
    QUIET,
    STORES,
    Progress,
    check_store,
    how_to_resume,
    open_store,
    show_log,
)

import mxrnn

#: How far the perplexities of the two kinds of cells may differ, relatively.
LIMIT = 1e-4

PADDING = 0  # what fills a sentence up to the length of its bucket; no word has this number


# ---- the model

def build_cell(rnn: Any, options: argparse.Namespace, kind: str,
               get_next_state: bool = False) -> Any:
    """A stack of layers, 'fused', 'unfused' or unfused and given to 'fuse'; same weights in each.

    Each layer is a fused cell of its own, with dropout around it, since on the CPU the fused
    operator of MXNet 1.9.1 ignores its dropout between layers.
    """
    stack = rnn.SequentialRNNCell()
    for i in range(options.layers):
        if options.dropout:
            stack.add(rnn.DropoutCell(options.dropout, prefix='dropout%d_' % i))
        layer = rnn.FusedRNNCell(options.hidden, mode=options.cell, get_next_state=get_next_state,
                                 prefix='%s%d_' % (options.cell, i))
        stack.add(layer if kind == 'fused' else layer.unfuse())
    return rnn.fuse(stack) if kind == 'fuse' else stack


def embed(data: mx.sym.Symbol, words: int, options: argparse.Namespace) -> mx.sym.Symbol:
    """Vectors for the numbers of words."""
    return mx.sym.Embedding(data, input_dim=words, output_dim=options.embedding, name='embed')


def decode(outputs: mx.sym.Symbol, words: int, options: argparse.Namespace) -> mx.sym.Symbol:
    """Scores for the next word, from outputs of the cells in rows."""
    if options.dropout:
        outputs = mx.sym.Dropout(outputs, p=options.dropout, name='dropout')
    return mx.sym.FullyConnected(outputs, num_hidden=words, name='decode')


def predict(outputs: mx.sym.Symbol, words: int, options: argparse.Namespace) -> mx.sym.Symbol:
    """Chances and loss of the next word at every step, from all outputs in one Symbol."""
    scores = decode(mx.sym.reshape(outputs, shape=(-1, options.hidden)), words, options)
    label = mx.sym.reshape(mx.sym.Variable('softmax_label'), shape=(-1,))
    return mx.sym.SoftmaxOutput(scores, label, use_ignore=True, ignore_label=PADDING,
                                name='softmax')


def perplexity() -> mx.metric.Perplexity:
    """The metric for `predict`, of which padding is no part."""
    return mx.metric.Perplexity(PADDING, output_names=['softmax_output'],
                                label_names=['softmax_label'])


def language_model(cell: Any, words: int, options: argparse.Namespace) -> Callable[[int], Any]:
    """Return, for BucketingModule, a function from a bucket's length to its graph."""
    def graph(length: int) -> Any:
        cell.reset()
        outputs, _ = cell.unroll(length, embed(mx.sym.Variable('data'), words, options),
                                 layout='TNC', merge_outputs=True)
        return predict(outputs, words, options), ('data',), ('softmax_label',)
    return graph


# ---- the data

def fill(sentences: list[list[int]], buckets: list[int], multiple: int) -> list[list[int]]:
    """Order by bucket, and add sentences of padding up to whole batches: none is left over.

    Padding counts neither in the loss nor in the perplexity.
    """
    filled = []
    for i, length in enumerate(buckets):
        inside = [s for s in sentences if bisect_left(buckets, len(s)) == i]
        filled += inside + [[PADDING] * length] * (-len(inside) % multiple)
    return filled


def load_data(rnn: Any, options: argparse.Namespace) -> tuple[Any, Any, dict[str, int], float]:
    """Iterators for training and validation, the vocabulary, the perplexity of a unigram model."""
    longest = options.buckets[-1] - 2  # longer sentences go in pieces; two marks for the ends
    train, valid = ([[END] + sentence[i:i + longest] + [END]
                     for sentence in part for i in range(0, len(sentence), longest)]
                    for part in read_text(options.train, options.valid, options.min_count,
                                          options.quick))
    train, vocabulary = rnn.encode_sentences(train, invalid_label=PADDING, start_label=1)
    vocabulary.setdefault(RARE, len(vocabulary))  # absent where every word is frequent enough
    valid, _ = rnn.encode_sentences(valid, vocab=vocabulary, invalid_label=PADDING)
    unigram = unigram_perplexity(*([word for sentence in part for word in sentence[1:]]
                                   for part in (train, valid)))
    print('# %d and %d sentences, %d different words, unigram perplexity %.3f'
          % (len(train), len(valid), len(vocabulary), unigram), flush=True)
    if options.batch_size * options.workers > len(train):
        raise SystemExit('--batch-size must be at most %d, the sentences that each worker has to '
                         'train on, got %d' % (len(train) // options.workers, options.batch_size))
    train = fill(train, options.buckets, options.batch_size * options.workers)
    parts: dict[str, int] = {}
    if options.stock:
        train = train[options.rank::options.workers]
    else:
        parts = {'num_parts': options.workers, 'part_index': options.rank}
    iterators = [rnn.BucketSentenceIter(sentences, options.batch_size, list(options.buckets),
                                        invalid_label=PADDING, layout='TN', **part)
                 for sentences, part in ((train, parts),
                                         (fill(valid, options.buckets, options.batch_size), {}))]
    return iterators[0], iterators[1], vocabulary, unigram


# ---- training

def seed(options: argparse.Namespace, epoch: int) -> None:
    """Seed everything random in an epoch: the order of sentences, dropout, the first weights.

    Workers draw the same order and the same first weights, and each a dropout of its own.
    """
    random.seed(options.seed + epoch)
    np.random.seed(options.seed + epoch)
    mx.random.seed((options.seed + epoch) * options.workers + (options.rank if epoch else 0))


def train_model(rnn: Any, cell: Any, train: Any, valid: Any, words: int, prefix: str,
                options: argparse.Namespace) -> Progress:
    """Fit, from the start or from the checkpoint to resume, and save a checkpoint every epoch."""
    model = mx.mod.BucketingModule(language_model(cell, words, options), train.default_bucket_key,
                                   logger=QUIET, context=options.contexts)
    more: dict[str, Any] = {} if options.stock else {
        'module': model, 'keep': None if options.checkpoint else 2}
    save = rnn.do_rnn_checkpoint(cell, prefix, **more)
    weights = {}
    if options.resume:
        for epoch in range(1, options.resume + 1):  # each shuffle starts from the one before
            seed(options, epoch)
            valid.reset()
            train.reset()
        arguments, auxiliary = resumed(rnn, cell, words, prefix, model, options)
        weights = {'arg_params': arguments, 'aux_params': auxiliary}
    progress = Progress(Table('epoch', 'train_perplexity', 'valid_perplexity',
                              'samples_per_second'), options.batch_size, len(train.idx),
                        options.epochs, begin=options.resume)
    try:
        with progress.interruptible():
            model.fit(train, eval_data=valid, eval_metric=perplexity(),
                      validation_metric=perplexity(), kvstore=options.store,
                      optimizer=options.optimizer, optimizer_params={'learning_rate': options.lr},
                      initializer=mx.init.Xavier(), begin_epoch=options.resume,
                      num_epoch=options.epochs, batch_end_callback=progress.batch_end,
                      epoch_end_callback=[progress.epoch_end, save, progress.after_save,
                                          lambda epoch, *_: seed(options, epoch + 1)],
                      eval_batch_end_callback=progress.check,
                      eval_end_callback=progress.eval_end, **weights)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how_to_resume(prefix, progress.saved, options)) from None
    return progress


def resumed(rnn: Any, cell: Any, words: int, prefix: str, model: Any,
            options: argparse.Namespace) -> tuple[Any, Any]:
    """The weights of the checkpoint to go on from, with the optimiser's states in the model."""
    try:
        _, arguments, auxiliary = rnn.load_rnn_checkpoint(cell, prefix, options.resume,
                                                          module=model)
    except (OSError, ValueError, mx.base.MXNetError) as error:
        raise SystemExit('--resume %d cannot be done: %s' % (options.resume, error)) from None
    graph = language_model(cell, words, options)(options.buckets[0])[0]
    shape = (options.buckets[0], options.batch_size)
    shapes, _, _ = graph.infer_shape(data=shape, softmax_label=shape)
    for name, needed in zip(graph.list_arguments(), shapes):
        if name not in ('data', 'softmax_label') and arguments[name].shape != needed:
            raise SystemExit(
                '--resume %d needs the text and the sizes that the training began with: %s has '
                'the shape %s in the checkpoint, and %s with these options'
                % (options.resume, name, arguments[name].shape, needed))
    return arguments, auxiliary


# ---- using the checkpoint

def evaluate(cell: Any, checkpoint: Any, words: int, valid: Any,
             options: argparse.Namespace) -> float:
    """Validation perplexity of loaded weights in these cells."""
    _, arguments, auxiliary = checkpoint
    model = mx.mod.BucketingModule(language_model(cell, words, options), valid.default_bucket_key,
                                   context=options.contexts)
    model.bind(valid.provide_data, valid.provide_label, for_training=False)
    model.set_params(arguments, auxiliary)
    return model.score(valid, perplexity())[0][1]


def sample(cell: Any, checkpoint: Any, vocabulary: dict[str, int], count: int,
           options: argparse.Namespace) -> list[str]:
    """Sentences made up word by word: the cells take one step, and their states are fed back."""
    _, arguments, auxiliary = checkpoint
    cell.reset()
    states = cell.begin_state(func=mx.sym.Variable)
    outputs, next_states = cell(embed(mx.sym.Variable('data'), len(vocabulary), options), states)
    chances = mx.sym.softmax(decode(outputs, len(vocabulary), options))
    step = mx.sym.Group([chances] + next_states).simple_bind(options.contexts[0], grad_req='null',
                                                             data=(count,))
    step.copy_params_from(arguments, auxiliary, allow_extra_params=True)

    draws = np.random.RandomState(options.seed)
    words, sentences = np.full(count, vocabulary[END]), []
    refused = [PADDING, vocabulary.get(RARE, PADDING), vocabulary[END]]  # not to start with
    for _ in range(options.buckets[-1]):
        chances, *values = step.forward(data=mx.nd.array(words))
        for state, value in zip(states, values):
            step.arg_dict[state.name][:] = value
        chances = chances.asnumpy()
        chances[:, refused] = 0
        below = chances.cumsum(axis=1)
        words = (below > below[:, -1:] * draws.rand(count, 1)).argmax(axis=1)
        sentences.append(words)
        refused = refused[:2]
    texts = {number: word for word, number in vocabulary.items()}
    return [' '.join(texts[w] for w in s).split(END)[0].strip() for s in np.transpose(sentences)]


# ---- the command

def read_options(argv: list[str]) -> argparse.Namespace:
    """The options given, with what cannot be had refused."""
    result = parser(__doc__, ctx=False)
    add = result.add_argument
    add('--train', metavar='FILE', help='text to train on, a sentence a line, words set apart by '
        'spaces (default: the language reference of Python)')
    add('--valid', metavar='FILE', help='text to validate on (default: a tenth of the other)')
    add('--min-count', type=positive, default=3,
        help='rarer words become %s (default: %%(default)s)' % RARE)
    add('--cell', choices=['lstm', 'gru', 'rnn_tanh', 'rnn_relu'], default='lstm',
        help='kind of cell (default: %(default)s)')
    kind = result.add_mutually_exclusive_group()
    kind.add_argument('--unfused', action='store_const', dest='kind', const='unfused',
                      default='fused', help='train ordinary cells, predict with fused ones')
    kind.add_argument('--fuse', action='store_const', dest='kind', const='fuse',
                      help='the same, but run the ordinary cells through the fused operator')
    add('--layers', type=positive, default=2, help='layers of cells (default: %(default)s)')
    add('--hidden', type=positive, default=200, help='units in a layer (default: %(default)s)')
    add('--embedding', type=positive, default=200, help='width of a word (default: %(default)s)')
    add('--dropout', type=probability, default=0.5,
        help='before each layer and after the last (default: %(default)s)')
    add('--batch-size', type=positive, default=32,
        help='sentences in a batch (default: %(default)s)')
    add('--buckets', type=integers, default=[10, 15, 20, 30, 40, 60], metavar='N,...',
        help='lengths, two marks included; longer sentences are cut (default: %(default)s)')
    add('--epochs', type=positive, default=12, help='passes over the text (default: %(default)s)')
    add('--optimizer', default='adam', metavar='NAME', help='of MXNet (default: %(default)s)',
        choices=sorted(mx.optimizer.Optimizer.opt_registry))
    add('--lr', type=learning_rate, default=0.002, help='learning rate (default: %(default)s)')
    add('--seed', type=seed_number, default=1, help='of all that is random (default: %(default)s)')
    add('--gpus', type=integers, default=[], metavar='N,...', help='numbers of the GPUs to run on '
        '(default: the CPU)')
    add('--kv-store', default='local', choices=STORES, metavar='STORE',
        help=', '.join(STORES) + ' (default: %(default)s): device for several GPUs; dist_sync '
        'for several workers, started as docs/distributed.md says')
    add('--checkpoint', metavar='PREFIX', help='path that files of checkpoints begin with, one '
        'for every epoch (default: '
        'the last two, in a new temporary folder that outlives the run)')
    add('--resume', type=positive, default=0, metavar='EPOCH', help='go on from this checkpoint')
    add('--stock', action='store_true', help='the same with mxnet.rnn')
    if '--quick' in argv:
        result.set_defaults(hidden=32, embedding=32, epochs=4, lr=0.01)
    options = parse(result, argv)
    options.contexts = contexts(options.gpus)
    if options.checkpoint and '://' not in options.checkpoint:
        why = why_not_written(options.checkpoint)
        if why:
            result.error('--checkpoint must be a folder and a name to begin with, but ' + why)
    if options.buckets[0] < 3:
        result.error('--buckets must be 3 or more, got %d' % options.buckets[0])
    if options.stock and options.kind == 'fuse':
        result.error('--fuse is not for --stock: mxnet.rnn has no such function')
    if options.resume >= options.epochs:
        result.error('--resume must be below --epochs, which is %d, got %d'
                     % (options.epochs, options.resume))
    if options.resume and options.stock:
        result.error('--resume is not for --stock: mxnet.rnn does not save the states of the '
                     'optimiser')
    if options.resume and not options.checkpoint:
        result.error('--resume needs --checkpoint, what the names of the files begin with')
    check_store(result, options)
    return options


def main() -> int:
    """Train, load what was saved into the other kind of cell, compare, sample."""
    options = read_options(sys.argv[1:])
    configuration(**vars(options))
    show_log()
    rnn = mx.rnn if options.stock else mxrnn
    open_store(options)
    seed(options, 0)
    train, valid, vocabulary, unigram = load_data(rnn, options)
    kinds = [options.kind, 'unfused' if options.kind == 'fused' else 'fused']
    trained, other = (build_cell(rnn, options, kind) for kind in kinds)
    if options.kind == 'fuse':
        print('# ' + repr(trained).replace('\n', '\n# '), flush=True)
    prefix = options.checkpoint or os.path.join(tempfile.mkdtemp(prefix='bucketing_lm-'), 'lm')
    progress = train_model(rnn, trained, train, valid, len(vocabulary), prefix, options)
    if options.rank:
        return 0
    found = [evaluate(cell, rnn.load_rnn_checkpoint(cell, prefix, options.epochs),
                      len(vocabulary), valid, options) for cell in (trained, other)]
    stepping = build_cell(rnn, options, 'unfused')
    checkpoint = rnn.load_rnn_checkpoint(stepping, prefix, options.epochs)
    sentences = sample(stepping, checkpoint, vocabulary, 5, options)

    difference = abs(found[1] / found[0] - 1)
    print('# ' + progress.speed_line())
    print('# validation perplexity: unigram model %.3f, %s cells as trained %.6f, loaded into '
          '%s cells %.6f, relative difference %.1g'
          % (unigram, kinds[0], found[0], kinds[1], found[1], difference))
    for sentence in sentences:
        print('# sampled: ' + sentence)
    if options.plot:
        with figure(options, 'Language model of %s cells' % options.cell, 'epoch',
                    'perplexity', whole=True, timed=False) as axes:
            epochs, *columns = zip(*progress.table.rows)
            axes.plot(epochs, [float(p) for p in columns[0]], marker='.',
                      label='training, with dropout')
            axes.plot(epochs, [float(p) for p in columns[1]], marker='.', label='validation')
            axes.axhline(unigram, color='grey', linestyle='--', label='validation, unigram model')
    print('# the last checkpoint is %s-%04d.params' % (prefix, options.epochs))
    passed = difference < LIMIT
    print('# %s: the perplexities of %s and %s cells differ by %.1g, where %g is allowed'
          % ('passed' if passed else 'failed', *kinds, difference, LIMIT))
    return 0 if passed else 1


if __name__ == '__main__':
    run(main)
