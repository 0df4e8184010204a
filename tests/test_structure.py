"""The house: which package may import which, and that nothing goes round in circles."""
import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'mxrnn'

#: In reading order: each may import from those before it. What is not listed is a face, which
#: gathers names for users: everything below is open to it, and nothing here may import it.
ORDER = ['_check', '_files', '_graph', '_runtime', '_cells', '_operator', '_checkpoint', '_data',
         '_inference', 'interop']

MODULES = {'.'.join(path.relative_to(PACKAGE).with_suffix('').parts): path
           for path in PACKAGE.rglob('*.py')}


def pattern(text):
    """A regular expression for what an expression may give: parts that it does not tell are any."""
    if isinstance(text, ast.Constant):
        return re.escape(str(text.value))
    if isinstance(text, ast.JoinedStr):
        return ''.join(map(pattern, text.values))
    if isinstance(text, ast.BinOp) and isinstance(text.op, ast.Add):
        return pattern(text.left) + pattern(text.right)
    return '.*'


def may_be_called(name, inside):
    """Modules that `importlib.import_module` may import by `name` in the package `inside`."""
    dots, wanted = re.fullmatch(r'((?:\\\.)*)(.*)', pattern(name)).groups()
    if dots:
        base = ['mxrnn', *inside[:len(inside) - len(dots) // 2 + 1]]
        wanted = re.escape('.'.join(base) + '.') + wanted
    modules = [re.sub(r'\.?__init__$', '', 'mxrnn.' + module) for module in MODULES]
    return [module for module in modules if re.fullmatch(wanted, module)]


def imports(module, text=None):
    """Modules of the package, relative to it, that `module` imports anywhere in its `text`."""
    if text is None:
        text = MODULES[module].read_text(encoding='utf-8')
    found = set()
    inside = module.split('.')[:-1]
    tree = ast.parse(text)
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = ['%s.%s' % (node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = inside[:len(inside) - node.level + 1] + (node.module or '').split('.')
            names = ['.'.join(['mxrnn', *filter(None, base), alias.name]) for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'import_module':
            names = may_be_called(node.args[0], inside)
        elif isinstance(node, ast.Constant) and node not in docstrings:
            names = re.findall(r'(?:from|import) (mxrnn\.[.\w]+)', str(node.value))  # code as text
        else:
            continue
        for name in names:
            parts = name.split('.')
            if parts[0] != 'mxrnn':
                continue
            while len(parts) > 1 and '.'.join(parts[1:]) not in MODULES:
                if '.'.join([*parts[1:], '__init__']) in MODULES:
                    parts.append('__init__')
                    break
                parts.pop()
            found.add('.'.join(parts[1:]) or '__init__')
    return found - {module}


@pytest.mark.parametrize('text, found', [
    ('def f():\n    from .._graph import graph', {'_graph.graph'}),
    ("importlib.import_module('..io', __package__)", {'io'}),
    ("importlib.import_module('mxrnn._graph.graph')", {'_graph.graph'}),
    ("importlib.import_module('..' + name, 'mxrnn._runtime')", MODULES.keys() - {'__init__'}),
    ("importlib.import_module(f'..{name}.graph', __package__)", {'_graph.graph'}),
    ("importlib.import_module('mxnet.' + name)", set()),
    ("CODE = 'import sys; from mxrnn._graph.graph import Graph'", {'_graph.graph'}),
    ('"""from mxrnn._graph import graph"""', set())])
def test_imports_in_functions_and_by_name_are_counted(text, found):
    assert imports('_runtime.mxnet', text) == {*found} - {'_runtime.mxnet'}


def rank(module):
    package = module.partition('.')[0]
    return ORDER.index(package) if package in ORDER else len(ORDER)


@pytest.mark.parametrize('module', sorted(MODULES))
def test_imports_go_downwards_only(module):
    wrong = {other for other in imports(module) if rank(other) > rank(module)}
    assert not wrong, '%s imports from above: %s' % (module, ', '.join(sorted(wrong)))


def in_circles(graph):
    """What imports itself through others, or is imported by such."""
    done = set()
    while True:
        free = {each for each in graph if each not in done and graph[each] & graph.keys() <= done}
        if not free:
            return sorted(graph.keys() - done)
        done |= free


def test_no_module_imports_itself_through_others():
    assert in_circles({module: imports(module) for module in MODULES
                       if rank(module) < len(ORDER)}) == []


#: The floors of interop from the ground up; what is not listed gathers these for users. The back
#: ends import neither each other nor what runs and checks their files.
FLOORS = [['pack_gate_weights'], ['model', 'registry'], ['seals'], ['prepare'],
          ['_onnx', '_source'], ['run'], ['check']]


def floor(module):
    name = module.split('.')[1]
    return next((at for at, names in enumerate(FLOORS) if name in names), len(FLOORS)), name


def test_floors_of_interop_import_from_below():
    wrong = [(module, other) for module in MODULES if module.startswith('interop.')
             for other in imports(module) if other.startswith('interop.')
             and floor(other)[1] != floor(module)[1]
             and floor(other)[0] >= floor(module)[0] < len(FLOORS)]
    assert wrong == []


def test_no_folder_of_interop_imports_itself_through_others():
    graph = {}
    for module in MODULES:
        if module.startswith('interop.') and module != 'interop.__init__':
            graph.setdefault(floor(module)[1], set()).update(
                floor(other)[1] for other in imports(module) if other.startswith('interop.')
                and floor(other)[1] != floor(module)[1])
    assert in_circles(graph) == []


def test_every_package_has_its_place():
    packages = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert packages <= set(ORDER)


def test_every_folder_of_modules_is_a_package():
    """setuptools installs no others."""
    folders = {path.parent for path in MODULES.values()}
    assert PACKAGE / 'interop' / '_onnx' in folders
    assert [folder for folder in folders if not (folder / '__init__.py').exists()] == []


@pytest.mark.parametrize('module', sorted(MODULES))
def test_no_module_is_long(module):
    assert len(MODULES[module].read_text(encoding='utf-8').splitlines()) <= 500


@pytest.mark.parametrize('package', sorted(
    module[:-len('.__init__')] for module in MODULES if module.endswith('.__init__')))
def test_a_package_lists_its_modules_in_reading_order(package):
    doc = ast.get_docstring(ast.parse(MODULES[package + '.__init__'].read_text(encoding='utf-8')))
    names = re.findall(r'^- `(\w+)`: \S.*$', doc, re.MULTILINE)
    assert sorted([*names, '__init__']) == sorted(
        module.rpartition('.')[2] for module in MODULES if module.rpartition('.')[0] == package)
    for i, name in enumerate(names):
        later = {'%s.%s' % (package, other) for other in names[i:]}
        assert not imports('%s.%s' % (package, name)) & later, name


@pytest.mark.parametrize('module', sorted(MODULES))
def test_a_module_is_one_thing(module):
    assert not {'and', 'or', 'that'} & {*module.replace('.', '_').split('_')}
