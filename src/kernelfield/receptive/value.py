"""A tensor as the builder sees it: where its elements lie, not what they hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Value:
    """A tensor: the node it comes from, its shape, and for each of its axes the axis of the node's grid.

    Parameters
    ----------
    node : str or None
        None for what does not depend on the image (weights, constants).
    shape : tuple of int
        Of the whole tensor, batch and channels included; the batch is 1.
    axes : tuple of (int or None)
        For each axis of the tensor the axis of the grid it runs along, in order; None for the batch, for channels, and
        for axes along which it is constant or broadcast.
    labels : numpy.ndarray, optional
        Where parts of the channels have sources of their own (a concatenation, and what keeps its channels apart):
        for each element of the axes that are not of the grid (these have extent 1) the number of its part.
    """

    node: str | None
    shape: tuple[int, ...]
    axes: tuple[int | None, ...]
    labels: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def ndim(self) -> int:
        """Axes of the tensor."""
        return len(self.shape)

    @property
    def grid(self) -> tuple[int, ...]:
        """The axes of the tensor that run along the grid."""
        return tuple(t for t, axis in enumerate(self.axes) if axis is not None)

    def axis(self, number: int) -> int:
        """Return a number of an axis as one from the front.

        >>> Value(None, (1, 3, 8, 8), (None,) * 4).axis(-1)
        3
        """
        return number + self.ndim if number < 0 else number

    def varies(self, axis: int) -> bool:
        """Return whether parts of the channels lie side by side along an axis."""
        labels = self.labels
        return labels is not None and bool((labels != labels.take([0], axis)).any())
