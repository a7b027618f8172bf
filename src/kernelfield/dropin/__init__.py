"""Functions of SciPy and OpenCV under their own signatures, computed by kernelfield's engine.

Change the import and leave the calls as they are::

    from kernelfield.dropin import ndimage  # from scipy import ndimage
    from kernelfield.dropin import signal  # from scipy import signal
    from kernelfield.dropin import cv2  # import cv2, where it is used for its linear filters
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfield.dropin import cv2, ndimage, signal

__all__ = ["cv2", "ndimage", "signal"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kernelfield.dropin' has no attribute {name!r}")
    return importlib.import_module(f"kernelfield.dropin.{name}")


def __dir__() -> list[str]:
    return sorted(__all__)
