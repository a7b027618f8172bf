"""Mutation testing: small changes to the source, one at a time, and the tests that do not notice them.

``python tests/mutants.py learning geometry.py --sample 200``; `make mutants`. The tests are collected once. A first run
notes which lines each test executes; then each change is put into the module as it lies in memory, in a process of its
own, and the tests that reach its line are run, those of the file that mirrors the module first, fast ones before slow.
"""

from __future__ import annotations
import __future__

import argparse
import ast
import copy
import functools
import importlib
import itertools
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCE = ROOT / "src" / "kernelfield"
# Changes that nothing can notice, a line each as printed after the line number, with the reason after "   # ".
EQUIVALENT = HERE / "equivalent_mutants.txt"
# Seconds of processor time within which all tests of a mutant are run, however many.
_BRIEF = 2.0
_ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
               ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Pow: ast.Mult, ast.MatMult: None}  # fmt: skip
_COMPARISON = {ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
               ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
               ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,)}  # fmt: skip
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "rint": "floor", "floor": "ceil", "ceil": "floor",
          "minimum": "maximum", "maximum": "minimum", "sum": "mean", "median": "mean"}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the file, its line, the text of the line, the change, and a function that makes the statement.

    The statement is that of the module's top level which holds the change, compiled.
    """

    path: Path
    line: int
    before: str
    after: str
    statement: ast.stmt
    made: Callable[[], types.CodeType]

    def __str__(self) -> str:
        return f"{self.path.relative_to(SOURCE)}: {self.before}: {self.after}"


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node is replaced by."""
    if isinstance(node, ast.BinOp) and _ARITHMETIC.get(type(node.op)):
        yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.Compare):
        for other in _COMPARISON.get(type(node.ops[0]), ()):
            yield ast.Compare(node.left, [other(), *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        for i in range(len(node.values)):
            rest = node.values[:i] + node.values[i + 1 :]
            # Copied, since the rest gets the place of the whole.
            yield ast.BoolOp(node.op, rest) if len(rest) > 1 else copy.copy(rest[0])
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        # A number that only keeps a divisor from 0 may be any that is as good as none.
        if 0.0 < node.value < 1e-250:
            return
        yield ast.Constant(node.value + 1 if isinstance(node.value, int) else node.value * 2.0 or 1.0)
        if node.value:
            yield ast.Constant(node.value - 1 if isinstance(node.value, int) else node.value / 2.0)
    elif isinstance(node, ast.Call) and _called(node) in _NAMES:
        other = copy.deepcopy(node)
        name = _NAMES[_called(node)]
        if isinstance(other.func, ast.Attribute):
            other.func.attr = name
        else:
            other.func.id = name
        yield other
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        for value in (True, False) if not isinstance(node, ast.While) else (False,):
            other = copy.copy(node)
            other.test = ast.Constant(value)
            yield other
    elif isinstance(node, (ast.Continue, ast.Break, ast.AugAssign, ast.Raise)) or _is_call(node):
        yield ast.Pass()


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield (parent, field, index, child) of all but annotations, imports for them, decorators and formatted text."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params") or isinstance(node, ast.JoinedStr):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not (isinstance(child, ast.If) and _head(child) == "if TYPE_CHECKING:"):
                yield node, name, index, child
                # A number below zero is one number: only its sign changes.
                if not (isinstance(child, ast.UnaryOp) and isinstance(child.operand, ast.Constant)):
                    yield from _places(child)


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield the mutants of a file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for statement in ast.parse(text).body:
        for parent, name, index, child in list(_places(ast.Module([statement], []))):
            for other in changed(child):
                ast.copy_location(other, child)
                if isinstance(child, (ast.If, ast.While)):
                    shown = f"{_head(child)[:60]} ⇒ {type(child).__name__.lower()} {ast.unparse(other.test)}:"
                else:
                    shown = f"{ast.unparse(child).splitlines()[0][:60]} ⇒ {ast.unparse(other).splitlines()[0][:60]}"
                made = functools.partial(_made, path, statement, parent, name, index, child, other)
                yield Mutant(path, child.lineno, lines[child.lineno - 1].strip()[:100], shown, statement, made)


def _head(node: ast.If | ast.While) -> str:
    return f"{type(node).__name__.lower()} {ast.unparse(node.test)}:"


def _made(
    path: Path, statement: ast.stmt, parent: ast.AST, name: str, index: int | None, child: ast.AST, other: ast.AST
) -> types.CodeType:
    """Return the compiled statement with a node in place of another."""
    if isinstance(parent, ast.Module):
        statement = other
    else:
        _put(parent, name, index, other)
    try:
        module = ast.fix_missing_locations(ast.Module([statement], []))
        return compile(module, str(path), "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    finally:
        if not isinstance(parent, ast.Module):
            _put(parent, name, index, child)


def _made_with(mutant: Mutant) -> Iterator[types.CodeType]:
    """Yield the statements after a change that were made with it: constants, and defaults."""
    if isinstance(mutant.statement, ast.FunctionDef):
        changed_names = {mutant.statement.name}
    elif isinstance(mutant.statement, (ast.Assign, ast.AnnAssign)):
        changed_names = {node.id for node in ast.walk(mutant.statement) if isinstance(node, ast.Name)}
    else:
        return
    for statement in ast.parse(mutant.path.read_text(encoding="utf-8")).body:
        read = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        if statement.lineno <= mutant.statement.end_lineno or not read & changed_names:
            continue
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            changed_names |= read
        module = ast.Module([statement], [])
        yield compile(module, str(mutant.path), "exec", __future__.annotations.compiler_flag, dont_inherit=True)


def _put(parent: ast.AST, name: str, index: int | None, child: ast.AST) -> None:
    if index is None:
        setattr(parent, name, child)
    else:
        getattr(parent, name)[index] = child


def graft(module: types.ModuleType, code: types.CodeType) -> None:
    """Put a changed statement of its top level into a module that others have imported from.

    Functions and the methods of classes keep their identity and get the changed code; other values are replaced in
    every module that has them.
    """
    names = dict(vars(module))
    exec(code, names)
    for name, new in names.items():
        old = vars(module).get(name)
        if new is old or name == "__builtins__":
            continue
        if isinstance(new, type) and isinstance(old, type):
            _graft_class(old, new)
        elif not _graft_function(old, new):
            for other in list(sys.modules.values()):
                held = getattr(other, "__dict__", None)
                if isinstance(held, dict) and name in held and held[name] is old:
                    held[name] = new
            setattr(module, name, new)


def _graft_function(old: Any, new: Any) -> bool:
    """Give an old function the code and the defaults of a new one; return whether they are functions."""
    if hasattr(old, "cache_clear"):
        old.cache_clear()
    while hasattr(old, "__wrapped__") and hasattr(new, "__wrapped__"):
        old, new = old.__wrapped__, new.__wrapped__
    if not (isinstance(old, types.FunctionType) and isinstance(new, types.FunctionType)):
        return False
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
    # What a function has been made with, as a check with its limits, lies in cells.
    for name, mine, other in zip(new.__code__.co_freevars, old.__closure__ or (), new.__closure__ or ()):
        if name != "__class__":
            mine.cell_contents = other.cell_contents
    return True


def _graft_class(old: type, new: type) -> None:
    for name, value in vars(new).items():
        mine = vars(old).get(name)
        for part in ("__func__", "fget", "func"):
            if hasattr(value, part) and hasattr(mine, part):
                value, mine = getattr(value, part), getattr(mine, part)
        # What a data class has been given needs no change but in the defaults of its fields.
        if not _graft_function(mine, value) and isinstance(value, (int, float, str, tuple)) and name[:2] != "__":
            setattr(old, name, value)
    if is_dataclass(new):
        for one, other in zip(fields(old), fields(new)):
            one.default = other.default


class Session:
    """A pytest plugin that runs the collected tests on one change after the other."""

    def __init__(self, given: argparse.Namespace, files: list[Path], mirrored: set[Path]) -> None:
        self.given, self.files, self.mirrored = given, files, mirrored
        self.failed: list[str] = []
        self.stop = False

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            if self.stop:
                os._exit(1)
            self.failed.append(report.nodeid)

    def pytest_runtestloop(self, session: Any) -> bool:
        items = {item.nodeid: item for item in session.items}
        with tempfile.TemporaryDirectory() as folder:
            facts = Path(folder, "facts.json")
            print(f"which of {len(items)} tests reaches which line …", file=sys.stderr, flush=True)
            in_child(lambda: self._traced(items, facts), 3600.0)
            learned = json.loads(facts.read_text())
        if learned["failed"]:
            print(f"left out, since they fail without any change: {', '.join(learned['failed'])}", file=sys.stderr)
        reached: dict[str, list[str]] = {}
        for test, lines in learned["lines"].items():
            for line in lines:
                reached.setdefault(line, []).append(test)
        seconds: dict[str, float] = learned["seconds"]
        order = {test: (items[test].path not in self.mirrored, seconds[test]) for test in seconds}
        known = set()
        if EQUIVALENT.exists():
            known = {line.split("   # ")[0].strip() for line in EQUIVALENT.read_text(encoding="utf-8").splitlines()}
        every = [mutant for file in self.files for mutant in mutants(file)]
        if self.given.sample and self.given.sample < len(every):
            every = random.Random(self.given.seed).sample(every, self.given.sample)
            every.sort(key=lambda mutant: (mutant.path, mutant.line))
        counts = dict.fromkeys(("killed", "survived", "reached by no test", "equivalent"), 0)
        for mutant in every:
            tests = sorted(_tests_of(mutant, reached), key=order.__getitem__)
            spent = list(itertools.accumulate(seconds[test] for test in tests))
            tests = [test for i, test in enumerate(tests) if i < self.given.most or spent[i] < _BRIEF]
            outcome = "reached by no test"
            if str(mutant) in known:
                outcome = "equivalent"
            elif tests:
                limit = 10.0 + 10.0 * sum(seconds[test] for test in tests)
                chosen = [items[test] for test in tests]
                mutant.made()  # a change that does not compile is an error of this tool, not a mutant killed
                status = in_child(lambda: self._tried(mutant, chosen), limit)  # noqa: B023
                outcome = "survived" if status == 0 else "killed"
            counts[outcome] += 1
            if outcome not in ("killed", "equivalent"):
                print(f"{outcome}, line {mutant.line}: {mutant}", flush=True)
        total = len(every)
        share = 100 * counts["killed"] / max(1, total - counts["equivalent"])
        print(f"{total} mutants: {', '.join(f'{n} {k}' for k, n in counts.items())}; {share:.1f} % killed", flush=True)
        return True

    def _tried(self, mutant: Mutant, items: list[Any]) -> None:
        """Run tests on a change, up to the first that fails."""
        # Loaded before pytest starts, it would be too late for pytest to rewrite it.
        from hypothesis import Phase

        self.stop = True
        module = importlib.import_module(_module(mutant.path))
        graft(module, mutant.made())
        for code in _made_with(mutant):
            graft(module, code)
        for item in items:
            settings = getattr(item.obj, "_hypothesis_internal_use_settings", None)
            if settings is not None:
                # One failing example is enough: it need not be the smallest.
                brief = type(settings)(settings, phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False)
                item.obj._hypothesis_internal_use_settings = brief
        for item, following in zip(items, [*items[1:], None]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _traced(self, items: dict[str, Any], facts: Path) -> None:
        """Write which lines of the files each test executes, and its seconds of processor time."""
        wanted = {str(file): str(file.relative_to(SOURCE)) for file in self.files}
        lines: dict[str, list[str]] = {}
        seconds: dict[str, float] = {}
        seen: set[tuple[str, int]] = set()

        def local(frame: Any, event: str, argument: Any) -> Any:
            seen.add((frame.f_code.co_filename, frame.f_lineno))
            return local

        def outer(frame: Any, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename not in wanted:
                return None
            seen.add((frame.f_code.co_filename, frame.f_lineno))
            return local

        ordered = list(items.items())
        for (test, item), (_, following) in zip(ordered, [*ordered[1:], ("", None)]):
            seen.clear()
            start = time.process_time()
            sys.settrace(outer)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.settrace(None)
            seconds[test] = time.process_time() - start
            lines[test] = [f"{wanted[file]}:{line}" for file, line in seen]
        good = {test: found for test, found in lines.items() if test not in self.failed}
        facts.write_text(json.dumps({"lines": good, "seconds": seconds, "failed": self.failed}))


def in_child(work: Callable[[], None], limit: float) -> int:
    """Return the status of some work in a child process, not 0 if it took more processor time than the limit."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
            with open(os.devnull, "w") as null:
                os.dup2(null.fileno(), 1)
                os.dup2(null.fileno(), 2)
            work()
            status = 0
        finally:
            os._exit(status)
    # A child that waits for ever takes no processor time; the machine may be busy.
    end = time.monotonic() + 20.0 * limit
    pause = 0.001
    while True:
        done, state = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(state)
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 124
        time.sleep(pause)
        pause = min(0.05, 1.5 * pause)


def main() -> None:
    """Try the mutants, print the survivors and their share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", help="folders or files below src/kernelfield")
    parser.add_argument("--tests", nargs="+", help="files of tests; by default those that mirror the parts")
    parser.add_argument("--sample", type=int, help="try so many, chosen at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--most", type=int, default=40, help="tests that are run on one mutant; more where they are brief"
    )
    parser.add_argument("-k", default="", help="only tests whose names match, as pytest has it")
    given = parser.parse_args()
    files = [file for part in given.parts for file in _files(part)]
    mirrored = {file: _mirror(file) for file in files}
    tests = given.tests or _tests_by_default(given.parts, mirrored)
    sys.path.insert(0, str(ROOT / "src"))
    os.environ.setdefault("KERNELFIELD_CACHE", "")
    # Collecting doctests, pytest would make a second module where others have one; and a line that is run by an import
    # belongs to all tests, not to the first that needs the module.
    for file in files:
        importlib.import_module(_module(file))
    plugin = Session(given, files, {*mirrored.values(), *files})
    options = [
        "-q",
        "-s",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-k",
        given.k,
        f"--rootdir={ROOT}",
        "-c",
        str(ROOT / "pyproject.toml"),
    ]
    sys.exit(int(pytest.main([*options, *tests], plugins=[plugin])))


def _module(file: Path) -> str:
    """Return the name of a module."""
    return "kernelfield." + ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def _mirror(file: Path) -> Path:
    """Return the file of tests that mirrors a module."""
    place = file.relative_to(SOURCE)
    return HERE / place.parent / f"test_{place.name}"


def _tests_by_default(parts: list[str], mirrored: dict[Path, Path]) -> list[str]:
    """Return the folders of tests of the parts that are folders; for a file, those of its own and its doctests."""
    found = []
    for part in parts:
        if not part.endswith(".py"):
            found.append(str(HERE / part))
            continue
        file = SOURCE / part
        found += [str(mirrored[file] if mirrored[file].exists() else mirrored[file].parent), str(file)]
        if part == "geometry.py":
            found += [str(HERE / "correlation"), str(HERE / "receptive" / "builder")]
    return found


def _files(part: str) -> list[Path]:
    """Return the files of a folder, or the file itself."""
    return [SOURCE / part] if part.endswith(".py") else sorted((SOURCE / part).rglob("*.py"))


def _tests_of(mutant: Mutant, reached: dict[str, list[str]]) -> set[str]:
    """Return the tests that reach the line of a mutant.

    Lines that are read at the import are those of a head, whose function tests have to reach, and of constants, which
    they have to read.
    """
    name = mutant.path.relative_to(SOURCE)

    def those(lines: Any) -> set[str]:
        return {test for line in lines for test in reached.get(f"{name}:{line}", [])}

    if found := those([mutant.line]):
        return found
    functions = [node for node in ast.walk(mutant.statement) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    if functions:
        # The innermost that holds the line; of one statement over several lines some are not noted.
        around = [node for node in functions if node.lineno <= mutant.line <= node.end_lineno]
        inner = min(around, key=lambda node: node.end_lineno - node.lineno)
        parts = [node for node in ast.walk(inner) if isinstance(node, ast.stmt) and node is not inner]
        parts = [node for node in parts if node.lineno <= mutant.line <= node.end_lineno]
        if parts and (found := those(range(parts[-1].lineno, parts[-1].end_lineno + 1))):
            return found
        return those(range(inner.lineno, inner.end_lineno + 1))
    own = {node.id for node in ast.walk(mutant.statement) if isinstance(node, ast.Name)}
    tree = ast.parse(mutant.path.read_text(encoding="utf-8"))
    read = {node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in own}
    return those(read) or those(range(1, len(mutant.path.read_text(encoding="utf-8").splitlines()) + 1))


if __name__ == "__main__":
    main()
