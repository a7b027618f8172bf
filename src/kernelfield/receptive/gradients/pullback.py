"""The gradient function of a network's output, as every framework provides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: A name of a layer and the number of one of its calls, from 1; 0 for the last call.
Call = tuple[str, int]


@dataclass(frozen=True)
class Pullback:
    """The backward pass from an output of a network, for one image.

    Parameters
    ----------
    shape : tuple of int
        Shape of the output tensor.
    dtype : str
        Dtype of the output, by NumPy's name.
    back : callable
        Takes an array of `shape`, the gradient of a scalar with respect to the output, and returns the gradient with
        respect to the image.
    channels_last : bool
        Whether the framework keeps channels on the last axis.
    """

    shape: tuple[int, ...]
    dtype: str
    back: Callable[[np.ndarray], np.ndarray]
    channels_last: bool


#: A model prepared for one of its layers: takes an image, a float64 array with a batch of 1.
Prepared = Callable[[np.ndarray], Pullback]
