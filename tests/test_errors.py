"""docs/errors.md: each message is the one that its first program gives, and its second runs."""
from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from . import mx, needs_operator, rnn

if rnn.__name__ == 'mxnet.rnn':
    pytest.skip('the page is of mxrnn', allow_module_level=True)

PAGE = (Path(__file__).resolve().parent.parent / 'docs' / 'errors.md').read_text(encoding='utf-8')
BEGIN, *REST = re.split(r'^### `(.*)`\n', PAGE, flags=re.MULTILINE)
SECTIONS = dict(zip(REST[::2], REST[1::2]))


def programs(text, mark):
    return re.findall(r'^```python%s\n(.*?)^```' % mark, text, re.MULTILINE | re.DOTALL)


def run(program):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # what mxrnn says itself, in other tests
        exec('\n'.join([*programs(BEGIN, ''), program]), {})
        mx.nd.waitall()


@needs_operator
@pytest.mark.parametrize('message', SECTIONS)
def test_messages_and_remedies(message):
    (wrong,), (right,) = (programs(SECTIONS[message], mark) for mark in (' wrong', ''))
    with pytest.raises(Exception) as error:
        run(wrong)
    parts = map(re.escape, message.split('…'))
    assert re.search('.*'.join(parts), str(error.value), re.DOTALL), error.value
    run(right)


def test_the_page_has_all_that_it_promises():
    assert len(SECTIONS) >= 12
    assert not re.findall(r'^```(?!python( wrong)?$|$)', PAGE, re.MULTILINE)


@needs_operator
def test_errors_without_a_message():
    """The table at the end: it is silent, and as it says."""
    x = mx.sym.Variable('x')
    outputs, _ = rnn.FusedRNNCell(8, prefix='lstm_').unroll(20, x, merge_outputs=True)
    assert outputs.infer_shape(x=(20, 6, 5))[1] == [(20, 6, 8)]
    with pytest.raises(ValueError, match="length must be the number of steps.*layout 'NTC'"):
        data = rnn.BucketSentenceIter([[1] * 20] * 6, 6, layout='TN').provide_data[0]
        embedded = mx.sym.Embedding(mx.sym.Variable('data', shape=data.shape), input_dim=2,
                                    output_dim=5)
        rnn.FusedRNNCell(8, prefix='lstm_').unroll(20, embedded)
    outputs, _ = rnn.LSTMCell(8, prefix='lstm_').unroll(10, x, merge_outputs=True)
    assert outputs.infer_shape(x=(20, 10))[1] == [(20, 10, 8)]
    table = mx.nd.arange(6).reshape((3, 2))
    found = mx.nd.Embedding(mx.nd.array([2, 7]), table, input_dim=3, output_dim=2)
    assert found.asnumpy().tolist() == [[4, 5], [4, 5]]
    scores = mx.sym.FullyConnected(x, num_hidden=3, name='score')
    shapes = dict(zip(scores.list_arguments(), scores.infer_shape(x=(2, 10, 8))[0]))
    assert shapes['score_weight'] == (3, 80)
