"""The pages keep their word: their Python runs as it stands, one block after the other, and what
they name and link is there."""
import importlib.util
import os
import re
import runpy
import subprocess
from pathlib import Path

import pytest

import mxrnn

from . import needs_operator
from .processes import printed

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for folder in ('.', 'docs', 'benchmarks')
               for path in (ROOT / folder).glob('*.md'))

#: Packages that not all machines have, and how a page looks that is run only with them.
OPTIONAL = {'torch': r'import torch|to_torch', 'onnx': r'import onnx\b|to_onnx',
            'onnxruntime': r'import onnxruntime'}

#: Lines that must be among what a page prints.
PRINTED = {'README.md': ['tue', 'wed', 'thu', 'fri', 'sat', 'sun', 'mon'],
           'docs/recipes.md': ['answer: [8, 5, 5, 11, 4, 7, 3]',
                               'from the file: [8, 5, 5, 11, 4, 7, 3]'],
           'docs/training.md': [
               'they/PRON can/AUX fish/VERB', 'heard: [3, 3, 1, 5, 2, 4, 1]', 'killed',
               'goes on in epoch 3',
               'the weights are those of a run that was never killed: True']}
#: Those that a block prints which needs a module.
NEEDS = {'heard: [3, 3, 1, 5, 2, 4, 1]': 'onnxruntime'}


def text(page):
    return (ROOT / page).read_text(encoding='utf-8')


def blocks(page):
    """The Python of a page. After the word python stands a module that a block needs, if it does;
    or 'wrong', in docs/errors.md."""
    found = re.findall(r'^```python(?: (\w+))?\n(.*?)^```', text(page), re.MULTILINE | re.DOTALL)
    return [code for module, code in found if not module or importlib.util.find_spec(module)]


#: Pages that take long; `test_what_recipes_print` runs most of one.
LONG = ('docs/recipes.md', 'docs/training.md')


@pytest.mark.parametrize('page', [
    pytest.param(page, marks=[
        *[needs_operator] * ('FusedRNNCell(' in ''.join(blocks(page))),
        *[pytest.mark.nightly] * (page in LONG)]) for page in PAGES if blocks(page)])
def test_the_python_of_a_page_runs(page, tmp_path):
    code = '\n'.join(blocks(page))
    for module, use in OPTIONAL.items():
        if re.search(use, code):
            pytest.importorskip(module)
    rest = iter(printed('-c', code, folder=tmp_path).splitlines())
    assert all(line in rest for line in PRINTED.get(page, [])
               if importlib.util.find_spec(NEEDS.get(line, 'mxnet')))


def test_what_recipes_print(tmp_path, monkeypatch, capsys):
    """Without the last one, which is a program of its own."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r'^```python\n(.*?)^```', text('docs/recipes.md').rpartition('\n## ')[0],
                           re.MULTILINE | re.DOTALL):
        exec(compile(code, 'docs/recipes.md', 'exec'), names)
    names['server'].server_close()
    lines = dict(line.split(': ', 1) for line in capsys.readouterr().out.splitlines()
                 if ': ' in line)
    assert lines['greedy'] == lines['beam search'] == '[4, 3, 2, 1]'
    assert lines['served'] == '5 chances; 1 session'
    assert lines['shapes'] == '[(3, 5), (1, 5), (19, 5)]'


#: What gives a process its number, from the launchers of docs/distributed.md.
RANKS = ['SLURM_PROCID', 'OMPI_COMM_WORLD_RANK', 'PMI_RANK', 'RANK']


@pytest.mark.parametrize('variable', RANKS)
def test_launchers_give_each_process_its_role(variable, tmp_path):
    script, = [code for code in re.findall(r'^```bash\n(.*?)^```', text('docs/distributed.md'),
                                           re.MULTILINE | re.DOTALL) if code.startswith('rank=')]
    (tmp_path / 'roles.sh').write_text(script, encoding='utf-8')
    environment = {name: value for name, value in os.environ.items() if name not in RANKS}
    roles = [subprocess.run(
        ['bash', str(tmp_path / 'roles.sh'), 'sh', '-c', 'echo $DMLC_ROLE $DMLC_NUM_WORKER'],
        env={**environment, variable: str(rank)}, stdout=subprocess.PIPE, text=True,
        check=True).stdout for rank in range(4)]
    assert roles == ['scheduler 2\n', 'server 2\n', 'worker 2\n', 'worker 2\n']


@pytest.mark.parametrize('statuses, last', [((75, 137, 0), 0), ((75, 1, 0), 1)])
def test_what_was_killed_is_started_again(statuses, last, tmp_path):
    script, = re.findall(r'^again\(\) \{\n.*?^\}\n', text('docs/distributed.md'),
                         re.MULTILINE | re.DOTALL)
    for number, status in enumerate(statuses):
        (tmp_path / str(number)).write_text('rm $0; exit %d' % status)
    done = subprocess.run(['bash', '-c', script + "sleep() { :; }; again sh -c 'sh $(ls | head -1)'"
                           '; exit $?'], cwd=str(tmp_path))
    assert done.returncode == last and len(list(tmp_path.iterdir())) == (last == 1)


def test_the_reference_has_a_page_for_each_name(tmp_path, capsys):
    pytest.importorskip('pdoc')
    reference = runpy.run_path(str(ROOT / 'docs' / 'reference.py'))
    pages = {path.name: path.read_text(encoding='utf-8') for path in reference['build'](tmp_path)}
    names = {name for name in mxrnn.__all__ if name not in mxrnn._MODULES}
    names |= {'interop.' + name for name in mxrnn.interop.__all__}
    assert {name + '.html' for name in names} | {'index.html'} <= set(pages)
    for name, page in pages.items():
        for target, anchor in re.findall(r'<a href="([^"#]*)(?:#([^"]+))?"', page):
            if '://' not in target:
                assert target in pages, (name, target)
                assert not anchor or ' id="%s"' % anchor in pages[target], (name, target, anchor)
        shown = re.sub(r'<(pre|code|style|script).*?</\1>', '', page, flags=re.DOTALL)
        assert not re.search(r'``|\$\$|^>>> | at 0x|\.\. math', shown, re.MULTILINE), name
        assert 'mxrnn._' not in re.sub(r'<style.*?</style>', '', page, flags=re.DOTALL), name
    assert capsys.readouterr() == ('', '')


def test_the_readme_can_be_read_in_some_minutes():
    prose = re.sub(r'^```.*?^```', '', text('README.md'), flags=re.MULTILINE | re.DOTALL)
    assert len(prose.split()) <= 800


def test_each_row_of_the_differences_has_a_test():
    """Comments above tests, or at the top of their file, name it by its beginning."""
    rows = {*re.findall(r'^\| (?!what \||---)(.+?) \|', text('docs/differences.md'), re.MULTILINE)}
    named = {line for path in Path(__file__).parent.rglob('*.py') for line in re.findall(
        r'^# differences\.md: (.+)$', path.read_text(encoding='utf-8'), re.MULTILINE)}
    assert len(rows) > 100
    assert {name: [row for row in rows if row.startswith(name)] for name in named
            if sum(row.startswith(name) for row in rows) != 1} == {}
    assert [row for row in rows if not row.startswith(tuple(named))] == []


def test_the_names_of_the_tables_exist():
    tables = text('docs/names.md')
    first_cells = ' '.join(re.findall(r'^\| (`.*?) \|', tables, re.MULTILINE))
    names = re.findall(r'`([\w.]+)`', first_cells)
    assert set(mxrnn.__all__) - set(mxrnn._MODULES) <= set(names)
    for name in names:
        module, _, last = name.rpartition('.')
        owner = getattr(mxrnn, module) if module else mxrnn
        assert last in owner.__all__ or name == 'mx', name


def anchors(path):
    """By what the headings of a page are linked."""
    page = re.sub(r'^```.*?^```', '', path.read_text(encoding='utf-8'), flags=re.M | re.S)
    return {re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')
            for heading in re.findall(r'^#+ (.*)$', page, re.M)}


@pytest.mark.parametrize('page', PAGES)
def test_the_links_of_a_page_lead_somewhere(page):
    prose = re.sub(r'```.*?```', '', text(page), flags=re.DOTALL)
    here, missing = ROOT / page, []
    for target, anchor in re.findall(r'\]\(([^)#\s]*)(?:#([^)\s]+))?[^)]*\)', prose):
        if '://' not in target:
            path = here.parent / target if target else here
            if not path.exists() or anchor and anchor not in anchors(path):
                missing.append((target, anchor))
    assert not missing
