"""A tensor as the builder sees it: its shape and its spatial axes, not its contents."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Value:
    """A tensor: the node that computes it, its shape, and for each of its axes the axis of the node's grid.

    Parameters
    ----------
    node : str or None
        None for a tensor that does not depend on the image (weights, constants).
    shape : tuple of int
        Of the whole tensor, batch and channels included; the batch is 1.
    axes : tuple of (int or None)
        For each axis of the tensor the axis of the grid it runs along, in order; None for the batch, for channels, and
        for axes along which the tensor is constant or broadcast.
    labels : numpy.ndarray, optional
        Where some channels read other sources than the rest (after a concatenation, and after operations that keep
        channels separate): a label for each channel, equal for channels with the same sources. Of extent 1 along
        spatial axes.
    """

    node: str | None
    shape: tuple[int, ...]
    axes: tuple[int | None, ...]
    labels: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def ndim(self) -> int:
        """Number of axes of the tensor."""
        return len(self.shape)

    @property
    def grid(self) -> tuple[int, ...]:
        """The axes of the tensor that run along the grid."""
        return tuple(t for t, axis in enumerate(self.axes) if axis is not None)

    def axis(self, number: int) -> int:
        """Return the number of an axis counted from the front.

        >>> Value(None, (1, 3, 8, 8), (None,) * 4).axis(-1)
        3
        """
        return number + self.ndim if number < 0 else number

    def varies(self, axis: int) -> bool:
        """Return whether channels along an axis carry different labels."""
        labels = self.labels
        return labels is not None and bool((labels != labels.take([0], axis)).any())
