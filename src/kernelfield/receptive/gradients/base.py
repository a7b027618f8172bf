"""What every framework hands over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: A name of a layer, and which of its calls is meant, from 1; 0 for the last.
Call = tuple[str, int]


@dataclass(frozen=True)
class Pullback:
    """An output of a network for one image, and the way back from it.

    Parameters
    ----------
    shape : tuple of int
        Of the output tensor.
    dtype : str
        In which the output came, by NumPy's name.
    back : callable
        Takes an array of `shape`, the gradient of some number with respect to the output, and returns that with respect
        to the image.
    channels_last : bool
        Where the framework keeps channels.
    """

    shape: tuple[int, ...]
    dtype: str
    back: Callable[[np.ndarray], np.ndarray]
    channels_last: bool


#: What a model prepared for one of its layers does with an image, a float64 tensor with its batch of 1.
Prepared = Callable[[np.ndarray], Pullback]
