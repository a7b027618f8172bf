"""Correlations done lately, ready to be done again.

Programs apply one kernel to many images of one size. What must be found out for that (the rank of the kernel, the
fastest method, the code, where borders read) depends on the kernel and on how arrays are laid out, not on pixels. It
takes long: the work before it left the interpreter no caches.
"""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from kernelfield import memory
from kernelfield.engine import tuning
from kernelfield.engine.choice import engine
from kernelfield.engine.plan import Again
from kernelfield.geometry import is_exact
from kernelfield.kernels import Kernel

# Kernels of more bytes are not compared.
_LARGEST = 1 << 16
_MOST = 32

_known: dict[Hashable, Repeat] = {}
_lock = Lock()
tuning.on_change(_known.clear)


class Repeat(NamedTuple):
    """A correlation to be done again.

    Attributes
    ----------
    again : callable
        Images and results, laid out as at first, to what is written into the results.
    shape, dtype
        Of the results.
    interleaved : bool
        Whether new results have channels side by side.
    """

    again: Again
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    interleaved: bool

    def __call__(self, image: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Return the results, in `out` if it is given."""
        if out is None:
            out = results(self.shape, self.dtype, self.interleaved)
        self.again(image, out)
        return out


def results(shape: tuple[int, ...], dtype: np.dtype[Any], interleaved: bool) -> np.ndarray:
    """Return an array for results (..., H, W), which may have its channels (..., C, H, W) side by side in memory."""
    if interleaved:
        return np.moveaxis(memory.empty((*shape[:-3], *shape[-2:], shape[-3]), dtype), -1, -3)
    return memory.empty(shape, dtype)


def key_of(image: Any, kernel: Any, out: Any, asked: tuple[Any, ...], windows: tuple[Any, ...]) -> Hashable | None:
    """Return all that a correlation depends on but pixels; None where that may be more than is looked at here."""
    if type(image) is not np.ndarray:
        return None
    weights, anchor = (kernel.weights, kernel.anchor) if type(kernel) is Kernel else (kernel, None)
    if type(weights) is not np.ndarray or weights.nbytes > _LARGEST or not _is_plain(*windows):
        return None
    lies = None
    if out is not None:
        if type(out) is not np.ndarray:
            return None
        lies = out.shape, out.strides, out.dtype, out.flags.writeable, out.flags.aligned
    pixels = image.shape, image.strides, image.dtype, image.flags.aligned
    key = (*pixels, weights.shape, weights.dtype, weights.tobytes(), anchor, lies, engine(), *asked, *windows)
    try:
        hash(key)
    except TypeError:  # wrong arguments, or lists
        return None
    return key


def _is_plain(
    mode: Any, boundary: Any, cval: Any, origin: Any, padding: Any, stride: Any, dilation: Any, groups: Any
) -> bool:
    """Return whether these are worth keeping, and mean the same where they are equal: True is no integer here."""
    if not (type(stride) is type(dilation) is type(groups) is int and stride == dilation == groups == 1):
        return False
    return type(cval) in (int, float) and is_exact(origin) and is_exact(padding)


def known(key: Hashable) -> Repeat | None:
    """Return what was kept."""
    return _known.get(key)


def keep(key: Hashable, repeat: Repeat) -> None:
    """Keep a correlation, and forget the oldest of many."""
    with _lock:
        while len(_known) >= _MOST:
            del _known[next(iter(_known))]
        _known[key] = repeat
