"""The reference has every public name, and every option with its help; share/ holds the commands' own files."""

from __future__ import annotations

import contextlib
import inspect
import io
import pkgutil
import re
import sys
from pathlib import Path

import nbformat
import pytest
from rich.console import Console

import kernelfield
from kernelfield.cli.main import app

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from site_parts import commands, notebooks, reference, steps  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow, pytest.mark.jax]
#: Modules that are public without a section, for the reason given.
ELSEWHERE = {"learning", "correlation", "engine", "tensors", "cli", "lab", "errors", "dropin"}


def test_every_public_name_has_its_entry():
    text = reference.page()
    packages = {p.name for p in pkgutil.iter_modules(kernelfield.__path__) if p.ispkg and not p.name.startswith("_")}
    assert {f"kernelfield.{name}" for name in packages - ELSEWHERE} <= set(reference.MODULES)
    for name in ("correlate", "Fit", "gaussian", "apply", "AxisMap", "swap", "CATALOGUE", "GaussianBlur"):
        assert f"\n   {name}\n" in text
    assert all(inspect.getdoc(getattr(kernelfield, name)) for name in reference.names("kernelfield"))


def help_of(command: str) -> str:
    """Return what ``kernelfield COMMAND --help`` prints, as words: without lines, boxes and colours."""
    console = Console(file=io.StringIO(), width=200, color_system=None, force_terminal=False)
    app([command, "--help"], console=console, exit_on_error=False, result_action="return_value")
    return words(console.file.getvalue())


def words(text: str) -> str:
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("command", [name for name in app if not name.startswith("-")])
def test_the_reference_of_a_command_is_its_help(command):
    text = commands.page()
    section = re.search(rf"^### kernelfield {command}\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    printed = help_of(command)
    assert re.search(r"^```console\n(.*)\n```", section, re.MULTILINE)[1] in printed
    entries = re.findall(r"^\* `([^\s`,]+)[^`]*`: (.*(?:\n    .*)*)", section, re.MULTILINE)
    assert len(entries) > 1 or command in ("doctor",)
    for option, text in entries:
        sentence = words(re.sub(r"\*+\[.*", "", text, flags=re.DOTALL))
        assert option in printed
        assert sentence.replace("\\", "") in printed


def test_patterns_and_addresses_of_the_help_are_whole_everywhere():
    special = {word.strip('",.') for name in app if not name.startswith("-") for word in help_of(name).split()}
    special = {word for word in special if re.search(r"\*\.|://", word)}
    assert len(special) > 2
    man = commands.man_page().replace(r"\(dq", '"').replace("\\", "")
    for word in special:
        assert re.search(rf"[\s\"]{re.escape(word)}[\s\",.]", man), word
        assert word.replace("*", r"\*") in commands.page()


def test_share_holds_the_man_page_and_completions_of_these_commands():
    for name, text in commands.files().items():
        assert (commands.SHARE / name).read_text(encoding="utf-8") == text, "after a change of the commands: make share"


@pytest.fixture
def drawn(tmp_path):
    """A folder with the pictures of the tutorial, as far as a notebook asks."""
    for name in set(re.findall(r"\.\./_drawn/([^)]+)\)", "".join(p.read_text("utf-8") for p in notebooks.pages()))):
        (tmp_path / name).write_bytes(b"picture")
    return tmp_path


@pytest.mark.parametrize("framework", steps.FRAMEWORKS)
def test_notebooks_hold_the_snippets_that_run(framework, drawn):
    made = nbformat.from_dict(notebooks.notebook(framework, drawn))
    nbformat.validate(made)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    folder = ROOT / "docs" / "tutorial" / "snippets" / framework
    sources = {path.read_text(encoding="utf-8").rstrip("\n"): path for path in folder.glob("*.py")}
    assert sorted(cell.source if isinstance(cell.source, str) else "".join(cell.source) for cell in code) == sorted(
        sources
    )
    assert not any("```{" in "".join(cell.source) or "../_drawn" in "".join(cell.source) for cell in made.cells)


@pytest.mark.parametrize("framework", [name for name in steps.FRAMEWORKS if name != "mxnet"])
@pytest.mark.filterwarnings("ignore")
def test_a_notebook_runs_from_top_to_bottom(framework, drawn):
    """All cells in one namespace; `test_snippets.py` runs each by itself, those of MXNet too."""
    names = {"__name__": "__main__"}
    for cell in notebooks.notebook(framework, drawn)["cells"]:
        if cell["cell_type"] == "code":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile("".join(cell["source"]), "a cell", "exec"), names)
            assert printed.getvalue() == "".join(cell["outputs"][0]["text"])
