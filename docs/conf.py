"""The configuration of the site: `make docs`. What pages show and no file holds is made here before they are read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "src"))
# Frameworks are imported to read docstrings; what they say at the start is not of the pages.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from numpydoc.xref import DEFAULT_LINKS  # noqa: E402
from site_parts import reference  # noqa: E402

import kernelfield  # noqa: E402

project = "kernelfield"
author = "The kernelfield developers"
copyright = "The kernelfield developers; Apache-2.0"
release = version = kernelfield.__version__
extensions = [
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "site_parts.lab",
    "site_parts.steps",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_drawn", "tutorial/snippets"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]

autosummary_generate = True
# A name in backticks in a docstring is a link where the reference has it.
default_role = "autolink"
autosummary_imported_members = False
autodoc_mock_imports = ["mxnet"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
# Types of arguments, results and errors are links where the reference has them.
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = reference.types()
# Those of numpydoc lead to Python's and NumPy's pages.
DEFAULT_LINKS.clear()

html_theme = "pydata_sphinx_theme"
html_title = "kernelfield"
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_extra_path = ["_drawn/extra"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars: dict[str, list[str]] = {"index": [], "start": []}
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
smartquotes = False

# What a block prints is not copied, nor are prompts; blocks that only show results have no button.
copybutton_selector = "div[class*=highlight-]:not(.highlight-text) pre"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_copy_empty_lines = False


def setup(app: Any) -> None:
    from site_parts import commands, lab, notebooks, pictures

    from kernelfield.kernels.conventions import table

    drawn = HERE / "_drawn"
    (drawn / "extra").mkdir(parents=True, exist_ok=True)
    lab.copy(drawn / "extra" / "lab")
    pictures.draw(drawn)
    commands.write(drawn / "commands.md", commands.page())
    commands.write(drawn / "conventions.md", table())
    commands.write(HERE / "reference" / "api.md", reference.page())
    errors = (HERE / "reference" / "errors.md").read_text(encoding="utf-8")
    reference.remove_stale(HERE / "reference" / "generated", reference.page(), errors)
    notebooks.write(drawn)
