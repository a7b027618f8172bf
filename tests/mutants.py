"""Mutation testing: small changes to the source, one at a time, and the tests that do not notice them.

``python tests/mutants.py learning geometry.py --sample 200``; `make mutants`. A first run of the tests notes which
lines each test executes; then each change is tried, in a process of its own, on the tests that reach its line, fast
ones first.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCE = ROOT / "src" / "kernelfield"
# Changes that nothing can notice, a line each as printed after the line number, with the reason after "   # ".
EQUIVALENT = HERE / "equivalent_mutants.txt"
_ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
               ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Pow: ast.Mult, ast.MatMult: None}  # fmt: skip
_COMPARISON = {ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
               ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
               ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,)}  # fmt: skip
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "rint": "floor", "floor": "ceil", "ceil": "floor",
          "minimum": "maximum", "maximum": "minimum", "sum": "mean", "median": "mean"}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the file, its line, the text of the line, the change, and the whole changed source."""

    path: Path
    line: int
    before: str
    after: str
    source: str

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
        yield from (ast.BoolOp(node.op, node.values[:i] + node.values[i + 1 :]) for i in range(len(node.values)))
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
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
    """Yield (parent, field, index, child) of everything but annotations, docstrings, decorators and formatted text."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params") or isinstance(node, ast.JoinedStr):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                yield node, name, index, child
                # A number below zero is one number: only its sign changes.
                if not (isinstance(child, ast.UnaryOp) and isinstance(child.operand, ast.Constant)):
                    yield from _places(child)


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield the mutants of a file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = text.splitlines()
    for parent, name, index, child in list(_places(tree)):
        for other in changed(child):
            _put(parent, name, index, ast.copy_location(other, child))
            source = ast.unparse(ast.fix_missing_locations(tree))
            if isinstance(child, (ast.If, ast.While)):
                after = f"{type(child).__name__.lower()} {ast.unparse(other.test)}:"
            else:
                after = ast.unparse(other).splitlines()[0]
            shown = f"{ast.unparse(child).splitlines()[0][:60]} ⇒ {after[:60]}"
            yield Mutant(path, child.lineno, lines[child.lineno - 1].strip()[:100], shown, source)
            _put(parent, name, index, child)


def _put(parent: ast.AST, name: str, index: int | None, child: ast.AST) -> None:
    if index is None:
        setattr(parent, name, child)
    else:
        getattr(parent, name)[index] = child


class Tracer:
    """A pytest plugin: the lines of the files of interest that each test executes, and its seconds."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.lines: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}
        self.imported: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> Any:
        seen: set[tuple[str, int]] = set()

        def local(frame: Any, event: str, argument: Any) -> Any:
            seen.add((frame.f_code.co_filename, frame.f_lineno))
            return local

        def outer(frame: Any, event: str, argument: Any) -> Any:
            name = frame.f_code.co_filename
            if not name.startswith(self.root):
                return None
            seen.add((name, frame.f_lineno))
            return local

        start = time.process_time()
        sys.settrace(outer)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.seconds[item.nodeid] = time.process_time() - start
            self.lines[item.nodeid] = [f"{name[len(self.root) + 1 :]}:{line}" for name, line in seen]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.seconds.pop(report.nodeid, None)
            self.imported.add(report.nodeid)


def in_child(source: Path, arguments: list[str], timeout: float, tracer: Path | None = None) -> int:
    """Return pytest's status for a copy of the source, in a child process; 124 if it ran too long."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setpgid(0, 0)
            sys.dont_write_bytecode = tracer is None
            sys.path.insert(0, str(source))
            with open(os.devnull, "w") as null:
                for number in (1, 2) if tracer is None else (1,):
                    os.dup2(null.fileno(), number)
            plugin = Tracer(source / "kernelfield") if tracer else None
            options = ["-q", "--no-header", "-p", "no:cacheprovider", *([] if tracer else ["-x"])]
            status = int(pytest.main([*options, *arguments], plugins=[plugin] if plugin else []))
            if plugin:
                failed = sorted(plugin.imported)
                plugin.lines = {name: lines for name, lines in plugin.lines.items() if name not in plugin.imported}
                facts = {"lines": plugin.lines, "seconds": plugin.seconds, "failed": failed}
                tracer.write_text(json.dumps(facts))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    end = time.monotonic() + timeout
    while True:
        done, state = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(state)
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 124
        time.sleep(0.02)


def main() -> None:
    """Try the mutants, print the survivors and their share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", help="folders or files below src/kernelfield")
    parser.add_argument("--tests", nargs="+", help="files of tests; by default those that mirror the parts")
    parser.add_argument("--sample", type=int, help="try so many, chosen at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--most", type=int, default=40, help="tests that are run on one mutant, the fastest of its line"
    )
    given = parser.parse_args()
    files = [f for part in given.parts for f in _files(part)]
    mirrored = [path for part in given.parts for path in (HERE / part, HERE / f"test_{part}") if path.exists()]
    tests = given.tests or [str(path) for path in mirrored]
    if not given.tests and "geometry.py" in given.parts:
        tests += [str(HERE / "correlation"), str(HERE / "receptive" / "builder")]
    known = set()
    if EQUIVALENT.exists():
        known = {line.split("   # ")[0].strip() for line in EQUIVALENT.read_text(encoding="utf-8").splitlines()}
    for module in ("numpy", "scipy.ndimage", "scipy.optimize", "PIL.Image", "cv2", "skimage.filters"):
        __import__(module)
    os.environ.setdefault("KERNELFIELD_CACHE", "")
    with tempfile.TemporaryDirectory() as folder:
        source, facts = Path(folder, "src"), Path(folder, "facts.json")
        shutil.copytree(SOURCE, source / "kernelfield", ignore=shutil.ignore_patterns("__pycache__"))
        print("which test reaches which line …", file=sys.stderr)
        in_child(source, tests, 3600, facts)
        learned = json.loads(facts.read_text())
        seconds: dict[str, float] = learned["seconds"]
        if learned["failed"]:
            print(f"{len(learned['failed'])} tests fail without any change and are left out", file=sys.stderr)
        reached: dict[str, list[str]] = {}
        for test, lines in learned["lines"].items():
            for line in lines:
                reached.setdefault(line, []).append(test)
        every = [mutant for file in files for mutant in mutants(file) if str(mutant) not in known]
        if given.sample and given.sample < len(every):
            every = sorted(random.Random(given.seed).sample(every, given.sample), key=lambda m: (m.path, m.line))
        counts = {"killed": 0, "survived": 0, "reached by no test": 0}
        for mutant in every:
            outcome = _tried(mutant, source, reached, seconds, given.most)
            counts[outcome] += 1
            if outcome != "killed":
                print(f"{outcome}, line {mutant.line}: {mutant}", flush=True)
    total = sum(counts.values())
    share = 100 * counts["killed"] / max(1, total)
    print(f"{total} mutants: {', '.join(f'{n} {k}' for k, n in counts.items())}; {share:.1f} % killed")


def _files(part: str) -> list[Path]:
    """Return the files of a folder, or the file itself."""
    return [SOURCE / part] if part.endswith(".py") else sorted((SOURCE / part).rglob("*.py"))


def _around(mutant: Mutant) -> range:
    """Return the lines of the function whose head holds a mutant's line; of the file, outside of functions."""
    tree = ast.parse(mutant.path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.lineno <= mutant.line <= node.end_lineno:
            head = mutant.line < node.body[0].lineno
            return range(node.lineno, node.end_lineno + 1) if head else range(0)
    return range(1, 100_000)


def _tried(mutant: Mutant, source: Path, reached: dict[str, list[str]], seconds: dict[str, float], most: int) -> str:
    """Return the outcome of the tests for a mutant."""
    name = mutant.path.relative_to(SOURCE)
    tests = reached.get(f"{name}:{mutant.line}", [])
    if not tests:
        # Defaults and constants are read at the import: the tests of their function, or of the whole file.
        lines = _around(mutant)
        tests = list({test for line in lines for test in reached.get(f"{name}:{line}", [])})
    if not tests:
        return "reached by no test"
    chosen = sorted(tests, key=lambda test: seconds.get(test, 0.0))[:most]
    target = source / "kernelfield" / name
    target.write_text(mutant.source, encoding="utf-8")
    for cached in (target.parent / "__pycache__").glob(f"{target.stem}.*"):
        cached.unlink()
    limit = 30 + 10 * sum(seconds.get(test, 0.0) for test in chosen)
    status = in_child(source, chosen, limit)
    shutil.copy(mutant.path, target)
    return "survived" if status == 0 else "killed"


if __name__ == "__main__":
    main()
