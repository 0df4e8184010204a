"""Types as a checker sees them: mypy reads a program of a user and one with mistakes."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope='module')
def messages():
    """The messages of mypy, with this project's configuration: {(file, line): [text]}"""
    pytest.importorskip('mypy', reason='mypy is not installed; CI has it on the newest Python')
    if sys.version_info < (3, 10):
        pytest.skip('mypy writes types otherwise on old Pythons')
    done = subprocess.run(
        [sys.executable, '-m', 'mypy',
         '-m', 'tests.typing.user_program', '-m', 'tests.typing.wrong_program'],
        cwd=str(HERE.parents[1]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    assert done.returncode in (0, 1), done.stdout
    found = {}
    for line in done.stdout.splitlines():
        match = re.match(r'(.*?):(\d+): (error: .*|note: Revealed type is "(.*)")$', line)
        if match:
            path, number, text, revealed = match.groups()
            found.setdefault((Path(path).name, int(number)), []).append(
                text if revealed is None else re.sub(r'\b(\w+\.)+(?=[A-Za-z])', '', revealed))
    return found


def lines(name):
    return list(enumerate((HERE / name).read_text(encoding='utf-8').splitlines(), 1))


def test_revealed_types(messages):
    wanted = {number: [line.rpartition('  # ')[2]] for number, line in lines('user_program.py')
              if line.lstrip().startswith('reveal_type(')}
    assert len(wanted) > 20
    assert {number: text for (name, number), text in messages.items()
            if name == 'user_program.py'} == wanted


def test_mistakes_are_found(messages):
    wanted = [number for number, line in lines('wrong_program.py') if line.endswith('# wrong')]
    assert len(wanted) > 8
    assert sorted(number for name, number in messages if name == 'wrong_program.py') == wanted
