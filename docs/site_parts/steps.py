"""The directive ``{snippet}``: a step of the tutorial and its output, a tab for each framework.

The files are ``snippets/<framework>/<step>.py`` and ``.txt``; `tests/docs/test_snippets.py` runs the first and compares
the second.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: The folder of a framework's snippets -> its name.
FRAMEWORKS = {"numpy": "NumPy", "torch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX", "mxnet": "MXNet"}

_TAB = """
````{{tab-item}} {name}
:sync: {folder}

```{{literalinclude}} snippets/{folder}/{step}.py
:language: python
```

```{{literalinclude}} snippets/{folder}/{step}.txt
:language: text
:class: output
```
````
"""


class Snippet(SphinxDirective):
    """A step of the tutorial in the tabs of all frameworks."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the tabs."""
        tabs = "".join(_TAB.format(name=n, folder=f, step=self.arguments[0]) for f, n in FRAMEWORKS.items())
        return self.parse_text_to_nodes("`````{tab-set}\n:sync-group: framework\n" + tabs + "`````\n")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("snippet", Snippet)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
