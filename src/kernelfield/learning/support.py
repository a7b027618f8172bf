"""The support of a kernel: the rectangle of offsets that it covers, and the windows it reads in a pair."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Support:
    """The rectangle of offsets ``u`` in ``after[p] = sum over u of kernel[u] * before[p + u]``.

    Attributes
    ----------
    top, left : int
        First row and column offset, negative above and left of the output pixel.
    rows, columns : int
        The size of the kernel.
    separable : bool
        Whether the kernel is the product of a column and a row.
    """

    top: int
    left: int
    rows: int
    columns: int
    separable: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def parameters(self) -> int:
        """The number of weights that are free; of a column and a row the scale counts once."""
        return self.rows + self.columns - 1 if self.separable else self.rows * self.columns

    @property
    def anchor(self) -> tuple[int, int]:
        """The element over the output pixel."""
        return -self.top, -self.left

    def positions(self, before: tuple[int, ...], after: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the rows and columns of `after` with their window inside `before`."""
        ends = (
            min(after[0], before[0] - (self.top + self.rows - 1)),
            min(after[1], before[1] - (self.left + self.columns - 1)),
        )
        starts = max(0, -self.top), max(0, -self.left)
        return slice(starts[0], max(starts[0], ends[0])), slice(starts[1], max(starts[1], ends[1]))

    def windows(self, positions: tuple[slice, slice]) -> tuple[slice, slice]:
        """Return the rows and columns of the before covered by the windows at `positions`."""
        rows, columns = positions
        return (
            slice(rows.start + self.top, rows.stop + self.top + self.rows - 1),
            slice(columns.start + self.left, columns.stop + self.left + self.columns - 1),
        )


def centred(size: tuple[int, int]) -> Support:
    """Return the support of `size` with its element ``size // 2`` over the output pixel."""
    return Support(-(size[0] // 2), -(size[1] // 2), *size)
