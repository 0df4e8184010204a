"""The README's Python runs as it stands, one block after the other."""
import os
import re
import subprocess
import sys

import mxrnn

README = os.path.join(os.path.dirname(__file__), os.pardir, 'README.md')
DIFFERENCES = os.path.join(os.path.dirname(README), 'docs', 'differences.md')


def test_the_tests_of_the_differences_exist():
    folder = os.path.dirname(__file__)
    sources = ''
    for name in os.listdir(folder):
        if name.endswith('.py'):
            with open(os.path.join(folder, name), encoding='utf-8') as file:
                sources += file.read()
    with open(DIFFERENCES, encoding='utf-8') as file:
        table = file.read()
    named = set(re.findall(r'`(test_\w+)`', table))
    assert len(named) > 50
    assert not {name for name in named if 'def %s(' % name not in sources}


def test_the_names_of_the_tables_exist():
    with open(README, encoding='utf-8') as file:
        tables = file.read().partition('## Cells and functions')[2].partition('\n## ')[0]
    first_cells = ' '.join(re.findall(r'^\| (`.*?) \|', tables, re.MULTILINE))
    names = [name for name in re.findall(r'`([\w.]+)`', first_cells)]
    assert len(names) > 30
    for name in names:
        owner = mxrnn
        for part in name.split('.'):
            owner = getattr(owner, part)


def test_the_blocks_of_python_run(tmp_path):
    with open(README, encoding='utf-8') as file:
        blocks = re.findall(r'^```python\n(.*?)^```', file.read(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    root = os.path.abspath(os.path.dirname(README))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(
        [root] + os.environ.get('PYTHONPATH', '').split(os.pathsep)))
    done = subprocess.run([sys.executable, '-c', '\n'.join(blocks)], cwd=str(tmp_path), text=True,
                          stdout=subprocess.PIPE, env=environment, check=True)
    lines = done.stdout.split()
    assert lines[:7] == ['tue', 'wed', 'thu', 'fri', 'sat', 'sun', 'mon']
    assert '[(4,' in lines
