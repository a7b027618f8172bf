"""The lab in the pages: its files beside the site, and the directive ``{lab}``, which shows it in a saved state.

The state is what stands behind # in the lab's own address; none is the first visit.
"""

from __future__ import annotations

import html
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ASSETS = Path(__file__).parents[2] / "src" / "kernelfield" / "lab" / "assets"


def copy(folder: Path) -> None:
    """Lay the files of the page into a folder of the site."""
    shutil.copytree(ASSETS, folder, dirs_exist_ok=True)


class Lab(SphinxDirective):
    """The lab in a frame, in the state that is given."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the frame, and a link to the same state in a page of its own."""
        state = f"#{self.arguments[0]}" if self.arguments else ""
        address = html.escape("../" * self.env.docname.count("/") + "lab/index.html" + state)
        frame = (
            f'<iframe class="lab" src="{address}" title="The lab" loading="lazy"></iframe>'
            f'<p class="lab"><a href="{address}">The same in a page of its own</a></p>'
        )
        return [nodes.raw("", frame, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("lab", Lab)
    # Another number reads all pages again: what the directive gives is kept with them.
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
