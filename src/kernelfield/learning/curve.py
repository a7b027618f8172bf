"""Curves: monotone functions of single pixels, before or after a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Curve:
    """A monotone curve through points, straight between them, and constant beyond the first and the last.

    Attributes
    ----------
    place : {"before", "after"}
        Whether the curve acts on the pixels that the kernel reads, or on its results.
    inputs, outputs : tuple of float
        The points; the inputs increase.
    description : str
        The curve as a phrase, such as ``"brightness to the power 0.45"``.
    """

    place: Literal["before", "after"]
    inputs: tuple[float, ...]
    outputs: tuple[float, ...]
    description: str

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the outputs for the inputs `values`, in float64.

        Examples
        --------
        >>> Curve("after", (0.0, 1.0), (10.0, 30.0), "a contrast stretch")(np.array([0.0, 0.25, 2.0]))
        array([10., 15., 30.])
        """
        results: np.ndarray = np.interp(np.asarray(values, np.float64), self.inputs, self.outputs)
        return results

    def undo(self, values: np.ndarray) -> np.ndarray:
        """Return the inputs for the outputs `values`, in float64; of equal outputs the first.

        Examples
        --------
        >>> Curve("after", (0.0, 1.0), (30.0, 10.0), "inverted").undo(np.array([10.0, 25.0]))
        array([1.  , 0.25])
        """
        outputs, inputs = np.array(self.outputs), np.array(self.inputs)
        if outputs[-1] < outputs[0]:
            outputs, inputs = outputs[::-1], inputs[::-1]
        outputs, first = np.unique(outputs, return_index=True)
        results: np.ndarray = np.interp(np.asarray(values, np.float64), outputs, inputs[first])
        return results
