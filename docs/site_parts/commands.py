"""The commands' own help in other forms: the page of the site, the man page and the completion files of the wheel.

``python docs/site_parts/commands.py`` writes share/ anew: `make share`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal
from unittest.mock import patch

from kernelfield import __version__
from kernelfield.cli.main import app

SHARE = Path(__file__).parents[2] / "share"

# Title and subtitle become the name of the man page.
_MAN = """\
kernelfield
###########

learn and apply the convolution kernels of images
*************************************************

:Manual section: 1
:Manual group: User Commands
:Version: {version}

SYNOPSIS
========

``kernelfield`` *COMMAND* ...

DESCRIPTION
===========

{summary}

{rest}

EXIT STATUS
===========

0
    Done; of compare: the filters are the same.
1
    An input cannot be used or a result cannot be written; of compare: the filters differ.
2
    The command cannot be understood; of compare: any trouble.
130
    Ctrl-C.
141
    The reader of the output went away.

ENVIRONMENT
===========

KERNELFIELD_THREADS
    Number of threads. By default the processors that this process may use.
KERNELFIELD_CPU
    Instruction set, as avx2 or baseline. By default the widest that the processor has.
KERNELFIELD_CACHE
    Folder for the figures of bench --tune, by default kernelfield in ~/.cache; nothing is stored where it is empty.
KERNELFIELD_LAB_PASSWORD
    Password of lab --host.
KERNELFIELD_TRACEBACK
    1 shows where an error comes from.
"""


def page() -> str:
    """Return the help in Markdown, without the list of contents that the site has beside a page."""
    before, _, rest = _help("markdown").partition("## Table of Contents")
    return before + rest[rest.index("**Commands**") :]


def man_page() -> str:
    """Return the help as a man page."""
    from docutils.core import publish_string

    text = re.sub(r"^\.\. contents::.*\n(?:   .*\n)*", "", _help("rst"), flags=re.MULTILINE)
    body = text.partition("\n::\n\n    kernelfield COMMAND\n")[2]
    summary, _, rest = body.strip().partition("\n\n")
    source = _MAN.format(version=__version__, summary=summary, rest=rest)
    quiet = {"report_level": 5, "datestamp": None}
    made = publish_string(source, writer="manpage", settings_overrides=quiet)
    return made.decode() if isinstance(made, bytes) else str(made)


def files() -> dict[str, str]:
    """Return the files of share/: the man page, and what completes commands and options in three shells."""
    return {
        "man/man1/kernelfield.1": man_page(),
        "bash-completion/completions/kernelfield": app.generate_completion(shell="bash"),
        "zsh/site-functions/_kernelfield": app.generate_completion(shell="zsh"),
        "fish/vendor_completions.d/kernelfield.fish": app.generate_completion(shell="fish"),
    }


def _help(form: Literal["markdown", "rst"]) -> str:
    """Return the help of all commands as cyclopts writes it, each with the name that users type."""
    # cyclopts takes the program's name from the words of this process.
    with patch.object(sys, "argv", ["kernelfield"]):
        text = app.generate_docs(output_format=form, heading_level=2)
    # The help is plain text: a star in a pattern is no emphasis, an address no link.
    text = re.sub(r"(?<=/)\*(?=\.)", r"\\*", text)
    if form == "rst":
        text = re.sub(r"(?<=\w)://", r"\\://", text)
    # Where a command writes its usage itself, its name is put in front once more.
    return re.sub(r"kernelfield (\w+) (?:kernelfield )?\1 ", r"kernelfield \1 ", text)


def write(path: Path, text: str) -> None:
    """Write a file, unless it is there as it is: Sphinx reads again what is newer."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name, content in files().items():
        write(SHARE / name, content)
