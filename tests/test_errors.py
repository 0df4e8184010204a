"""docs/errors.md: each message is the one that its first program gives, and its second runs."""
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


@needs_operator
def test_the_message_under_fuse():
    text = next(SECTIONS[message] for message in SECTIONS if 'trying to split' in message)
    wrong, = programs(text, ' wrong')
    with pytest.raises(Exception) as error:
        run(re.sub(r'rnn\.LSTMCell\(.*?\)', r'rnn.fuse(\g<0>)', wrong))
    told, = re.findall(r'Under `fuse`: `(.*)`', text)
    assert told in str(error.value)
