"""Each check of rolling up, taken out: which graph or test notices?

``python -m tests.interop.rolling_checks match_rnn recurrences`` makes mutants of two modules of
``mxrnn/_graph/rolling`` (none named: of all). In each of them one condition always or never holds,
or one part of a condition is missing. It names those that nothing notices, but for those that
`EQUIVALENT` says are as good as the original, and those that hang or end their process.

The corpus is graphs whose outputs and gradients must stay: unchanged ones, which must also be
rolled up as before, changed ones (rolling_changes), pairs of two lengths; and tests of rolling.
What a graph must give is computed once. Each mutant is tried in a process of its own, on those
alone that reach its line.
"""
from __future__ import annotations

import ast
import bisect
import contextlib
import functools
import importlib
import io
import itertools
import multiprocessing
import os
import random
import resource
import sys
import time
import types
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import pytest

import mxrnn._graph.rolling as rolling
from mxrnn._graph.graph import Graph
from mxrnn._graph.rolling import RolledGraph, certify, roll
from mxrnn.interop import graph_from_json

from .. import mx, rnn
from ..cases import CASES, OURS
from .rolling import unrolled, values_of
from .rolling_changes import are_near, bases, change, is_refused, run
from .rolling_programs import PROGRAMS

__all__ = ['Case', 'Mutant', 'caught_by', 'deciding', 'must_stay', 'mutants']

#: Where a check is: module, and begin and end of lines and columns.
Place = Tuple[Any, ...]

FOLDER = Path(rolling.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob('[!_]*.py'))
#: Tests of these files are a part of the corpus, if they need no fixture.
TESTS = ['cells', 'edges', 'parts', 'lengths', 'lifting', 'loops']
#: How many seconds of the processor a mutant may take, and how many the cases take, the fastest
#: ones first, on which it is tried. What survives them is tried on the others, too.
LIMIT, ENOUGH = 20, 5
#: What is said of a mutant that takes longer, or ends its process.
ENDED = 'its process ended'
#: How many mutants are tried at a time.
JOBS = 2
#: What begins the names of mutants that are as good as the original, and why they are.
EQUIVALENT = {
    'candidates._in_group: no failed < _PATIENCE in': 'it takes longer',
    'candidates._way_back: never len(queue) > limit': 'it takes longer',
    'symbolic_length._reshape: never keeps': 'a Reshape that changes nothing is written',
    'ranks.find_ranks: always key not in known': 'it takes longer',
    'recurrences._Search._is_early: never each in seen': 'it takes longer',
    'recurrences._Search._is_early: never len(seen) > 100': 'it takes longer',
    'recurrences._Search._odd: ': 'a message names another node',
    'value_numbering.Values._read: always op in _SEEN_THROUGH': 'it takes longer',
    'value_numbering.Values._read: always stands != begin': 'it takes longer',
}


class Mutant(NamedTuple):
    """A function of a module with one check less."""

    module: str
    function: str
    line: int
    #: What is different, in words.
    change: str
    code: types.CodeType
    #: It makes a difference only where the check at this place is one of these.
    place: Place
    values: tuple[bool, ...]

    def __str__(self) -> str:
        return '%s.%s: %s' % (self.module, self.function, self.change)


class Case(NamedTuple):
    """Something that must hold: `wrong` says what does not."""

    name: str
    wrong: Callable[[], str | None]


#: By check and value, the cases in which it has it, and how many seconds each takes.
Deciding = Dict[Tuple[Place, bool], List[Tuple[float, str, Case]]]


# ---- checks

def _tree(module: str) -> ast.Module:
    return ast.parse((FOLDER / (module + '.py')).read_text())


def _place(module: str, node: ast.expr) -> Place:
    return module, node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods of a module, by name."""
    for each in tree.body:
        inside = each.body if isinstance(each, ast.ClassDef) else [each]
        for function in inside:
            if isinstance(function, ast.FunctionDef):
                name = function.name if function is each else '%s.%s' % (each.name, function.name)
                yield name, function


def mutants(module: str) -> Iterator[Mutant]:
    """The functions of a module, each with one check less."""
    tree = _tree(module)
    for name, function in _functions(tree):
        for parent in [node for line in function.body for node in ast.walk(line)]:
            for field, value in ast.iter_fields(parent):
                checks = value if isinstance(value, list) else [value]
                for at, check in enumerate(checks):
                    if isinstance(check, ast.expr):
                        for words, other, decides, values in _without(parent, field, check):
                            _put(parent, field, at, other)
                            code = _code(tree, name)
                            _put(parent, field, at, check)
                            yield Mutant(module, name, check.lineno, words, code,
                                         _place(module, decides), values)


def _put(parent: ast.AST, field: str, at: int, value: ast.expr) -> None:
    if isinstance(getattr(parent, field), list):
        getattr(parent, field)[at] = value
    else:
        setattr(parent, field, value)


def _code(tree: ast.Module, name: str) -> types.CodeType:
    """The code of a function, as it is in `tree`."""
    code = compile(ast.fix_missing_locations(tree), '<mutant>', 'exec')
    for part in name.split('.'):
        code = next(each for each in code.co_consts
                    if isinstance(each, types.CodeType) and each.co_name == part)
    return code


def _set(module: str, name: str, code: types.CodeType) -> types.CodeType:
    """Give a function of the package other code; returns the code that it had."""
    owner: Any = importlib.import_module('%s.%s' % (rolling.__name__, module))
    for part in name.split('.'):
        owner = vars(owner)[part]
    for wrapped in ('fget', '__func__', 'func'):  # of properties, class methods, cached properties
        owner = getattr(owner, wrapped, owner)
    before, owner.__code__ = owner.__code__, code
    return before


def _without(parent: ast.AST, field: str, check: ast.expr
             ) -> Iterator[tuple[str, ast.expr, ast.expr, tuple[bool, ...]]]:
    """What may take the place of a check: in words, the expression, which one decides whether it
    makes a difference, and at which values."""
    words = ast.unparse(check)
    if _is_check(parent, field, check):
        if field != 'ifs':
            yield 'never ' + words, ast.Constant(False), check, (True,)
        if not isinstance(parent, ast.While):
            yield 'always ' + words, ast.Constant(True), check, (False,)
    if isinstance(check, ast.BoolOp):
        for k, part in enumerate(check.values):
            rest = check.values[:k] + check.values[k + 1:]
            decides = isinstance(check.op, ast.Or)
            yield 'no %s in %s' % (ast.unparse(part), words), (
                ast.BoolOp(check.op, rest) if len(rest) > 1 else rest[0]), part, (
                    (decides,) if k < len(rest) or field == 'test' else (True, False))
    if isinstance(check, ast.Compare) and len(check.ops) > 1:
        terms = [check.left, *check.comparators]
        for k, op in enumerate(check.ops):
            alone = ast.Compare(terms[k], [op], [terms[k + 1]])
            yield 'only %s of %s' % (ast.unparse(alone), words), alone, check, (False,)


def _is_check(parent: ast.AST, field: str, value: ast.expr) -> bool:
    """Whether an expression is true or false, and no part of a condition."""
    if isinstance(parent, (ast.BoolOp, ast.Assert)) or (
            isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not)):
        return False
    return field in ('test', 'ifs') or isinstance(value, ast.Compare) or (
        isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)) or (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
        and value.func.id in ('any', 'all', 'isinstance'))


class _Noting(ast.NodeTransformer):
    """Makes each expression that decides something tell its value."""

    def __init__(self, module: str) -> None:
        self.module = module

    def generic_visit(self, parent: ast.AST) -> ast.AST:
        for field, value in ast.iter_fields(parent):
            checks = value if isinstance(value, list) else [value]
            for at, check in enumerate(checks):
                if not isinstance(check, ast.AST):
                    continue
                noted = self.visit(check)
                if isinstance(check, ast.expr) and (isinstance(parent, ast.BoolOp) or _is_check(
                        parent, field, check)):
                    noted = ast.Call(ast.Name('noted', ast.Load()), [
                        ast.Constant(_place(self.module, check)), noted], [])
                _put(parent, field, at, noted)
        return parent


# ---- what must hold

def must_stay(name: str, graph: Graph, values: dict[str, Any], rolled: Callable[[], RolledGraph],
          before: bool = True) -> Case | None:
    """`rolled` gives what `graph` gives, and if `before` it is rolled up as now; None if it
    computes nothing."""
    first, expected = rolled(), run(graph, values)

    def wrong() -> str | None:
        found = rolled()
        if before and found.findings != first.findings:
            return 'other findings'
        if found.graph == first.graph:
            return None
        if before and len(list(found.graph.walk())) > len(list(first.graph.walk())):
            return 'more nodes'
        if found.graph.outputs != graph.outputs:
            return 'other outputs'
        return None if are_near(run(found.graph, values), expected) else 'other numbers'
    return None if expected is None else Case(name, wrong)


def unchanged() -> Iterator[Case | None]:
    """Graphs of cells and programs must be rolled up as they are now."""
    for base in bases():
        for training in (False, True):
            yield must_stay('%s, training=%s' % (base.name, training), base.graph, base.values,
                        functools.partial(roll, base.graph, training=training))


def _two_lengths() -> Iterator[Case | None]:
    """Graphs of a cell or program for two lengths, which prove each other."""
    makes = [(case.name, functools.partial(_cell, case, ('NTC', 'TNC')[number % 2]))
             for number, case in enumerate(CASES + OURS) if case.binds and not case.fused]
    makes += [(program.name, functools.partial(_program, program))
              for program in PROGRAMS if not program.lists]
    for name, make in makes:
        (first, _), (second, shapes) = make(4), make(7)
        graph, other = graph_from_json(first.tojson()), graph_from_json(second.tojson())
        values = values_of(second, shapes)
        yield must_stay(name, other, values, functools.partial(roll, other))
        if roll(other).findings:
            yield must_stay(name + ' of two lengths', other, values,
                        functools.partial(certify, other, graph))


def _cell(case: Any, layout: str, length: int) -> Any:
    shape = (2, length) if layout == 'NTC' else (length, 2)
    return unrolled(case.make(rnn), length, layout=layout), {'data': (*shape, *case.step)}


def _program(program: Any, length: int) -> Any:
    with mx.name.NameManager():
        return program.build(length), program.shapes(length, 2)


def _changed(count: int) -> Iterator[Case | None]:
    draw, graphs = random.Random(0), bases()
    for number in range(count):
        made = change(draw, draw.choice(graphs))
        if made is not None and not is_refused(made.graph, made.values):
            yield must_stay('%s in %s (%d)' % (made.kind, made.base, number), made.graph,
                            made.values, functools.partial(roll, made.graph), before=False)


def _tests() -> Iterator[Case]:
    """Tests of rolling, of which each case is one."""
    class Collected:
        def pytest_collection_finish(self, session: Any) -> None:
            self.items = session.items
    collected = Collected()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(['--collect-only', '-q', *[str(Path(__file__).with_name(
            'test_rolling_%s.py' % name)) for name in TESTS]], plugins=[collected])
    for item in collected.items:
        given = item.callspec.params if hasattr(item, 'callspec') else {}
        if set(item.fixturenames) <= {*given, 'fresh_start', 'request'} and 'case' not in given:
            yield Case(item.nodeid.rpartition('/')[2], functools.partial(_failure, item.obj, given))


def _failure(test: Callable[..., None], given: dict[str, Any]) -> str | None:
    try:
        with mx.name.NameManager():
            test(**given)
    except pytest.skip.Exception:
        pass
    except (Exception, pytest.fail.Exception) as error:
        return type(error).__name__
    return None


def corpus() -> list[Case]:
    """All that must hold."""
    return [case for cases in (unchanged(), _changed(800), _two_lengths(), _tests())
            for case in cases if case is not None]


# ---- what notices

def deciding(modules: Sequence[str], cases: Sequence[Case]) -> Deciding:
    """Find out which cases a check decides something in."""
    found: Deciding = {}
    values: set[tuple[Place, bool]] = set()

    def noted(place: Place, value: Any) -> Any:
        values.add((place, bool(value)))
        return value
    before = []
    for module in modules:
        vars(importlib.import_module('%s.%s' % (rolling.__name__, module)))['noted'] = noted
        tree = _tree(module)
        functions = list(_functions(tree))
        for _, function in functions:
            function.body = [_Noting(module).visit(line) for line in function.body]
        for name, _ in functions:
            before.append((module, name, _set(module, name, _code(tree, name))))
    for case in cases:
        values.clear()
        begin = time.process_time()
        wrong = case.wrong()
        seconds = time.process_time() - begin
        if wrong is not None:
            print('left out: %s: %s' % (case.name, wrong))
            continue
        for each in values:
            found.setdefault(each, []).append((seconds, case.name, case))
    for module, name, code in before:
        _set(module, name, code)
    return found


def caught_by(mutant: Mutant, found: Deciding) -> str | None:
    """The case that notices; None if none does."""
    own = sorted({each for value in mutant.values for each in found.get((mutant.place, value), ())})
    until = list(itertools.accumulate(seconds for seconds, _, _ in own))
    cases = [case for _, _, case in own]
    first = max(1, bisect.bisect(until, ENOUGH))
    answer = _tried(mutant, cases[:first], LIMIT)
    if answer is None and cases[first:] and not str(mutant).startswith(tuple(EQUIVALENT)):
        answer = _tried(mutant, cases[first:], LIMIT + int(3 * until[-1]))
    return answer


def _tried(mutant: Mutant, cases: Sequence[Case], limit: int) -> str | None:
    """The case that notices, tried in a process of its own; None if none does."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            _set(mutant.module, mutant.function, mutant.code)
            os.write(writing, (_noticed(cases) + '\n').encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        answer = said.readline().strip()
    os.waitpid(child, 0)
    return None if answer == '-' else answer or ENDED


def _noticed(cases: Sequence[Case]) -> str:
    for case in cases:
        try:
            wrong = case.wrong()
        except Exception as error:
            wrong = type(error).__name__
        if wrong is not None:
            return '%s: %s' % (case.name, wrong)
    return '-'


class _Trying:
    """What a process that tries mutants has of the one that began it."""

    tried: Sequence[Mutant]
    found: Deciding

    @classmethod
    def begin(cls, tried: Sequence[Mutant], found: Deciding) -> None:
        cls.tried, cls.found = tried, found

    @classmethod
    def run(cls, number: int) -> str | None:
        return caught_by(cls.tried[number], cls.found)


def main(names: Sequence[str]) -> None:
    """Try all mutants of the modules `names`."""
    names = names or MODULES
    tried = [mutant for name in names for mutant in mutants(name)]
    cases = corpus()
    decided = deciding(names, cases)
    print('%d mutants, %d cases' % (len(tried), len(cases)), flush=True)
    count = dict.fromkeys(['caught', 'ended', 'equivalent', 'survived'], 0)
    # Threads would fork while another one holds a lock of MXNet's.
    pool = multiprocessing.get_context('fork').Pool(JOBS, _Trying.begin, (tried, decided))
    results = pool.imap(_Trying.run, range(len(tried)))
    for number, (mutant, caught) in enumerate(zip(tried, results)):
        result = ('ended' if caught == ENDED else 'caught' if caught else
                  'equivalent' if str(mutant).startswith(tuple(EQUIVALENT)) else 'survived')
        count[result] += 1
        if result in ('ended', 'survived'):
            print('%d %s, %s.py:%d %s' % (number, result, mutant.module, mutant.line, mutant),
                  flush=True)
    print(count)


if __name__ == '__main__':
    main(sys.argv[1:])
