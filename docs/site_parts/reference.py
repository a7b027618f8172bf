"""The reference of Python: a section for each public module, with every name of its ``__all__``."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path

import kernelfield

#: The public module -> its title, and a sentence about it.
MODULES = {
    "kernelfield.scale": ("Scale", "Images that no memory holds, tile by tile: [how to](../howto/scale.md)."),
    "kernelfield.matrix": ("Matrix", "The operation as a matrix: [the page about it](matrix.md)."),
    "kernelfield.kernels": (
        "Kernels",
        "The kernel, the families of designed kernels and their names: [by theme](kernels.md).",
    ),
    "kernelfield.receptive": (
        "Receptive fields",
        "Which elements of an image affect a unit: [how to](../howto/receptive.md).",
    ),
    "kernelfield.coding": ("Coding", "Photographs by sensors: [explained](../explanation/coding.md)."),
    "kernelfield.images": ("Images", "Picture files."),
    "kernelfield.torch": ("PyTorch", "Layers in the place of those of `torch.nn`."),
    "kernelfield.keras": ("Keras", "Layers in the place of those of `keras.layers`."),
    "kernelfield.jax": ("Flax", "Layers in the place of those of `flax.nnx` and `flax.linen`."),
    "kernelfield.mxnet": ("Gluon", "Layers in the place of those of `mxnet.gluon.nn`."),
    "kernelfield.dropin.ndimage": (
        "scipy.ndimage",
        "Functions under SciPy's signatures: [what they cover](dropin.md).",
    ),
    "kernelfield.dropin.signal": ("scipy.signal", "Functions under SciPy's signatures: [what they cover](dropin.md)."),
    "kernelfield.dropin.cv2": ("OpenCV", "Functions under OpenCV's signatures: [what they cover](dropin.md)."),
}
#: MXNet needs a NumPy of its own, so that it is not there where the site is built.
_WITHOUT_IMPORT = {"kernelfield.mxnet": ("Conv2D", "Filter2D")}
_SECTION = """
## {title}

{about}

```{{eval-rst}}
.. currentmodule:: {module}

.. autosummary::
   :toctree: generated

{names}
```
"""


def names(module: str) -> list[str]:
    """Return the public functions, classes and tables of a module; each name in one section.

    What `kernelfield` exports of its modules is in its own section, but for the kernel, which is among the kernels.
    Modules and the constants of OpenCV have no entry.
    """
    if module in _WITHOUT_IMPORT:
        return list(_WITHOUT_IMPORT[module])
    package = importlib.import_module(module)
    found = {n: getattr(package, n) for n in package.__all__ if not n.startswith("__")}
    if package is kernelfield:
        del found["Kernel"]
    else:
        above = {n: getattr(kernelfield, n) for n in kernelfield.__all__ if n != "Kernel"}
        found = {n: v for n, v in found.items() if above.get(n) is not v}
    return [n for n, v in found.items() if not isinstance(v, type(importlib) | int | str)]


def types() -> dict[str, str]:
    """Return the public classes and errors by the names that docstrings call them, each with its module.

    Names that two classes of the package have are left out: the word alone does not say which one is meant.
    """
    source = Path(kernelfield.__file__).parent
    classes = Counter(
        name for path in source.rglob("*.py") for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.M)
    )
    found = {}
    for module in ("kernelfield", *MODULES.keys() - _WITHOUT_IMPORT.keys(), "kernelfield.errors"):
        package = importlib.import_module(module)
        listed = vars(package) if module == "kernelfield.errors" else names(module)
        found |= {n: f"{module}.{n}" for n in listed if classes[n] == 1 and isinstance(getattr(package, n), type)}
    return found | {"Kernel": "kernelfield.kernels.Kernel"}


def page() -> str:
    """Return the page."""
    text = "# Python\n\nEvery public name, from its docstring. Importing `kernelfield` imports no framework.\n"
    sections = {"kernelfield": ("kernelfield", "What most work needs."), **MODULES}
    for module, (title, about) in sections.items():
        listed = "\n".join(f"   {name}" for name in names(module))
        text += _SECTION.format(title=title, about=about, module=module, names=listed)
    return text


def remove_stale(folder: Path, *pages: str) -> None:
    """Remove the pages of names that are no longer listed, which autosummary leaves where they are."""
    listed = {line.strip() for page in pages for line in page.splitlines()}
    for path in folder.glob("*.rst"):
        if path.stem.rpartition(".")[2] not in listed:
            path.unlink()
