"""The tutorial as notebooks, one for each framework, from the pages and the snippets that the site shows."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from site_parts.steps import FRAMEWORKS

TUTORIAL = Path(__file__).parents[1] / "tutorial"
_STEP = re.compile(r"^```\{snippet\} (\w+)\n```\n", re.MULTILINE)
_LAB = re.compile(r"```\{lab\}.*\n```\n\n?")
_OUTPUT = re.compile(r"```\{literalinclude\} (outputs/\w+\.txt)\n(?::.*\n)*```")
# The words for a picture may hold brackets themselves.
_PICTURE = re.compile(r"!\[((?:[^\[\]]|\[[^\]]*\])*)\]\(\.\./_drawn/([^)]+)\)")


def pages() -> list[Path]:
    """Return the pages of the tutorial in the order of its table of contents."""
    index = (TUTORIAL / "index.md").read_text(encoding="utf-8")
    contents = re.search(r"```\{toctree\}\n(?::.*\n)*\n((?:[\w-]+\n)+)```", index)
    assert contents is not None
    return [TUTORIAL / f"{name}.md" for name in contents[1].split()]


def write(drawn: Path) -> None:
    """Write the notebooks into a folder that holds the pictures too."""
    (drawn / "notebooks").mkdir(exist_ok=True)
    for framework in FRAMEWORKS:
        text = json.dumps(notebook(framework, drawn), indent=1, ensure_ascii=False) + "\n"
        path = drawn / "notebooks" / f"convolutions-{framework}.ipynb"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def notebook(framework: str, drawn: Path) -> dict[str, Any]:
    """Return the tutorial in one framework, with its outputs, in the format of Jupyter (nbformat 4.5)."""
    cells: list[dict[str, Any]] = []
    for page in pages():
        parts = _STEP.split(page.read_text(encoding="utf-8"))
        for prose, step in zip(parts[::2], [*parts[1::2], ""]):
            if prose.strip():
                cells.append(_prose(prose.strip(), drawn))
            if step:
                cells.append(_code(TUTORIAL / "snippets" / framework / f"{step}.py", len(cells)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _code(snippet: Path, number: int) -> dict[str, Any]:
    """Return a snippet as a cell with its output."""
    stream = {"name": "stdout", "output_type": "stream", "text": _lines(snippet.with_suffix(".txt"))}
    code = "".join(_lines(snippet)).rstrip("\n")
    return {
        "cell_type": "code",
        "execution_count": number,
        "metadata": {},
        "outputs": [stream],
        "source": code.splitlines(keepends=True),
    }


def _prose(text: str, drawn: Path) -> dict[str, Any]:
    """Return prose as a cell that holds its own pictures; links to other pages become their words."""
    attachments = {}
    text = _LAB.sub("", text)
    text = _OUTPUT.sub(lambda match: f"```\n{(TUTORIAL / match[1]).read_text(encoding='utf-8')}```", text)
    for _, name in _PICTURE.findall(text):
        kind = "jpeg" if name.endswith(".jpg") else "png"
        attachments[name] = {f"image/{kind}": base64.b64encode((drawn / name).read_bytes()).decode()}
    text = _PICTURE.sub(r"![\1](attachment:\2)", text)
    text = re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
    cell = {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"attachments": attachments} if attachments else {})


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)
