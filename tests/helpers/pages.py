"""The code in pages of Markdown, run as a reader would: `run` executes a page, and says where it is not as printed.

    python tests/helpers/pages.py README.md

Blocks marked ``python`` run in order in one namespace; a block marked ``text`` right behind one is what it prints. In
blocks marked ``console`` every line with ``$ kernelfield`` is run, and what follows is what it prints. "..." stands for
anything. A block marked ``c`` is written to the file that its first line names. Only the standard library and
kernelfield are needed: `make dist` tries README.md in an empty environment, where blocks that import what
is not installed are left out, and counted.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelfield.cli.main import main

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, the line in its page, and what it prints, if the page shows it."""

    language: str
    text: str
    line: int
    shown: str | None


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page that are run."""
    found = list(_BLOCK.finditer(page))
    made = []
    for block, after in zip(found, [*found[1:], None]):
        joined = after is not None and after[1] == "text" and not page[block.end() : after.start()].strip()
        line = page[: block.start()].count("\n") + 2
        if block[1] in ("python", "console", "c"):
            made.append(Block(block[1], block[2], line, after[2] if joined and after else None))
    return made


def commands(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with what it is shown to print."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2]))


def differs(printed: str, shown: str) -> str:
    """Return how a printed text differs from what a page shows; empty if it does not."""
    if doctest.OutputChecker().check_output(shown, printed, _FLAGS):
        return ""
    return f"the page shows\n{shown}\nand it prints\n{printed}"


def run(path: Path) -> tuple[list[str], int]:
    """Run a page in the current folder; return its faults, and how many blocks were left out for a missing package."""
    names: dict[str, Any] = {"__name__": "__main__"}
    faults, left_out = [], 0
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "console":
            for command, shown in commands(block):
                printed, said = io.StringIO(), io.StringIO()
                with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
                    status = main(shlex.split(command, comments=True)[1:])
                fault = differs(printed.getvalue(), shown) if status == 0 else said.getvalue()
                faults += [f"{path.name}:{block.line}: {command}: {fault}"] if fault else []
            continue
        if block.language == "c":
            Path(block.text.removeprefix("/* ").partition(":")[0]).write_text(block.text, encoding="utf-8")
            continue
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), names)
        except ImportError as error:
            if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("kernelfield"):
                left_out += 1
                continue
            faults.append(f"{path.name}:{block.line}: {traceback.format_exc()}")
        except Exception:
            faults.append(f"{path.name}:{block.line}: {traceback.format_exc()}")
        else:
            fault = "" if block.shown is None else differs(printed.getvalue(), block.shown)
            faults += [f"{path.name}:{block.line}: {fault}"] if fault else []
    return faults, left_out


if __name__ == "__main__":
    found, without = run(Path(sys.argv[1]))
    print("\n".join(found) or f"{sys.argv[1]} runs as printed", f"({without} blocks need other packages)")
    sys.exit(bool(found))
