"""The padding ``"SAME"`` of TensorFlow and Keras, which depends on the size of the image."""

from __future__ import annotations


def same_padding(extent: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Return the elements that ``"SAME"`` adds before and after an axis; an odd one goes after it.

    >>> same_padding(224, 3, 2), same_padding(225, 3, 2), same_padding(8, 1, 2)
    ((0, 1), (1, 1), (0, 0))
    """
    missing = max((-(-extent // stride) - 1) * stride + dilation * (kernel - 1) + 1 - extent, 0)
    return missing // 2, missing - missing // 2
