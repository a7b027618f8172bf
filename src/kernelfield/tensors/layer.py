"""The operation of a convolutional layer, from the settings of any framework's own layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from kernelfield.errors import ArgumentError
from kernelfield.geometry import Boundary, Operation, Window, check_padding, positive_pair

#: A layer's padding mode -> the boundary. The names and meanings of PyTorch, and "symmetric": the edge pixel twice.
PADDING_MODES: dict[str, Boundary] = {
    "zeros": "constant",
    "reflect": "mirror",
    "replicate": "nearest",
    "circular": "wrap",
    "symmetric": "reflect",
}

# Above any image of practice; frameworks take more.
_LARGEST = 2**16


@lru_cache(maxsize=1024)
def layer_operation(
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    image: tuple[int, int] | None = None,
) -> Operation:
    """Return the cross-correlation that a layer with these settings computes.

    Parameters
    ----------
    kernel_size, stride, dilation : int or (int, int)
        Along rows and columns.
    padding : int, (int, int), ((int, int), (int, int)), "valid" or "same"
        The same on all sides, along rows and columns, or ``((top, bottom), (left, right))``. ``"same"`` keeps the
        size, divided by the stride; an odd row or column of padding is at the bottom or on the right, as in every
        framework. Zeros depend on the stride, as in TensorFlow; pixels of the image do not, as in Flax.
    groups : int
    padding_mode : str
        One of `PADDING_MODES`.
    image : (int, int), optional
        Rows and columns of the image, on which zeros for ``"same"`` depend if there is a stride.

    Raises
    ------
    ArgumentError
        For a setting that is out of range.

    Examples
    --------
    >>> layer_operation(4, padding="same").windows[0]
    Window(size=4, before=1, after=2, stride=1, dilation=1)
    >>> layer_operation(3, 2, "same", image=(8, 9)).before
    (0, 1)
    """
    check_padding_mode(padding_mode)
    size, steps, spacing = (
        positive_pair(value, name)
        for value, name in ((kernel_size, "kernel_size"), (stride, "stride"), (dilation, "dilation"))
    )
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise ArgumentError(f"padding: expected 'valid', 'same' or integers; received {padding!r}")
        strided = steps != (1, 1) and padding_mode == "zeros"
        if padding == "same" and strided and image is None:
            raise ArgumentError(f"padding: expected integers beside stride={stride}; received 'same'")
        reach = [d * (k - 1) for d, k in zip(spacing, size)]
        if strided and image is not None:
            reach = [max(0, (-(-n // s) - 1) * s + r + 1 - n) for n, s, r in zip(image, steps, reach)]
        pads = ((0, 0), (0, 0)) if padding == "valid" else tuple((n // 2, n - n // 2) for n in reach)
    else:
        pads = check_padding(padding)
    for name, numbers in (("kernel_size", size), ("stride", steps), ("dilation", spacing), ("padding", sum(pads, ()))):
        if max(numbers) > _LARGEST:
            raise ArgumentError(f"{name}: expected at most {_LARGEST}; received {max(numbers)}")
    rows, columns = (Window(n, *p, s, d) for n, p, s, d in zip(size, pads, steps, spacing))
    return Operation((rows, columns), PADDING_MODES[padding_mode], 0.0, groups)


def check_padding_mode(padding_mode: str) -> str:
    """Return `padding_mode` if it is one of `PADDING_MODES`."""
    if padding_mode not in PADDING_MODES:
        raise ArgumentError(f"padding_mode: expected one of {', '.join(PADDING_MODES)}; received {padding_mode!r}")
    return padding_mode


def fits(operation: Operation, image: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Return whether an image (N, C, H, W) or (C, H, W) and weights (C_out, C_in/groups, kh, kw) go together."""
    if len(image) not in (3, 4) or len(weight) != 4 or 0 in weight or weight[0] % operation.groups:
        return False
    windows = operation.windows
    return (
        image[-3] == weight[1] * operation.groups
        and weight[2:] == (windows[0].size, windows[1].size)
        and all(n > 0 and w.output_size(n) > 0 for n, w in zip(image[-2:], windows))
    )


def with_padding_mode(theirs: Callable[..., None]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives an ``__init__`` the signature of `theirs`, with a keyword ``padding_mode``."""
    signature = inspect.signature(theirs)
    *names, rest = signature.parameters.values()
    mode = inspect.Parameter("padding_mode", inspect.Parameter.KEYWORD_ONLY, default="zeros")

    def decorate(method: Callable[..., None]) -> Callable[..., None]:
        method.__signature__ = signature.replace(parameters=[*names, mode, rest])  # type: ignore[attr-defined]
        return method

    return decorate
