"""The reference of Python: a section for each public module, with every name of its ``__all__``."""

from __future__ import annotations

import importlib

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
    """Return the public functions, classes and tables of a module; not its modules and the constants of OpenCV."""
    if module in _WITHOUT_IMPORT:
        return list(_WITHOUT_IMPORT[module])
    package = importlib.import_module(module)
    found = {name: getattr(package, name) for name in package.__all__ if not name.startswith("__")}
    return [n for n, v in found.items() if not isinstance(v, type(importlib)) and not isinstance(v, int | str)]


def page() -> str:
    """Return the page."""
    text = "# Python\n\nEvery public name, from its docstring. Importing `kernelfield` imports no framework.\n"
    sections = {"kernelfield": ("kernelfield", "What most work needs."), **MODULES}
    for module, (title, about) in sections.items():
        listed = "\n".join(f"   {name}" for name in names(module))
        text += _SECTION.format(title=title, about=about, module=module, names=listed)
    return text
