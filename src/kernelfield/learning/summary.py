"""The summary that a `KernelLearner` keeps of the pairs it has seen, and the file it is saved in."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, DataError, FileError
from kernelfield.images.arrays import arrays_in
from kernelfield.learning.estimate import LARGEST_GRAM
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.support import Support, centred

#: The version of the file.
FORMAT = 1
_MOST_CHANNELS = 64
_LARGEST_ARRAYS = 512 << 20


@dataclass(frozen=True)
class Summary:
    """Sums of the pairs that were seen.

    Attributes
    ----------
    support : Support
    statistics : tuple of Statistics
        One for each channel.
    pairs, excluded : int
        Pairs, and positions that were left out.
    step : float
        The step of the grid of the afters, 0 if any has none.
    epsilon : float
        The largest rounding error of a value, relative.
    """

    support: Support
    statistics: tuple[Statistics, ...]
    pairs: int
    excluded: int
    step: float
    epsilon: float

    def __add__(self, other: Summary) -> Summary:
        """Return the sums of both."""
        if self.support != other.support:
            raise ArgumentError(
                "after: expected pairs of one kind, all of the size of the before or all smaller, and one size of the "
                "kernel; received others; learn them apart"
            )
        if len(self.statistics) != len(other.statistics):
            raise ArgumentError(
                f"before: expected {len(self.statistics)} channel(s), as learned; received {len(other.statistics)}"
            )
        return replace(
            self,
            statistics=tuple(a + b for a, b in zip(self.statistics, other.statistics)),
            pairs=self.pairs + other.pairs,
            excluded=self.excluded + other.excluded,
            step=min(self.step, other.step),
            epsilon=max(self.epsilon, other.epsilon),
        )


def packed(summary: Summary) -> bytes:
    """Return the file of a summary: an NPZ file of plain numbers, of each Gram matrix one triangle."""
    upper = np.triu_indices(summary.statistics[0].cross.size)
    every = summary.statistics
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        format=np.int64(FORMAT),
        size=np.array(summary.support.size, np.int64),
        same_size=np.int64(summary.support == centred(summary.support.size)),
        seen=np.array([summary.pairs, summary.excluded], np.int64),
        grid=np.array([summary.step, summary.epsilon]),
        count=np.array([one.count for one in every], np.int64),
        shift=np.array([(one.before_shift, one.after_shift) for one in every]),
        after=np.array([(one.after_total, one.after_square) for one in every]),
        total=np.array([one.total for one in every]),
        cross=np.array([one.cross for one in every]),
        gram=np.array([one.gram[upper] for one in every]),
    )
    return buffer.getvalue()


def unpacked(data: bytes, name: str) -> Summary:
    """Return the summary in the data of the file `name`, every number checked.

    Raises
    ------
    DataError
        If it is another file, or its numbers are those of no pair.
    """
    try:
        arrays = arrays_in(data, _LARGEST_ARRAYS)
        return _checked(arrays)
    except (FileError, ValueError, KeyError) as error:
        text = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{name}: expected the file that KernelLearner.save wrote; {text}; save it again") from None


def _checked(arrays: dict[str, np.ndarray]) -> Summary:
    """Return the summary of some arrays; raise ValueError for those of no pair."""

    def of(key: str, kind: Any, *shape: int) -> np.ndarray:
        found = arrays[key]
        if found.dtype != kind or found.shape != shape:
            raise ValueError(f"{key}: expected {np.dtype(kind)} of shape {shape}, received {found.dtype} {found.shape}")
        _agree(bool(np.isfinite(found).all()), f"{key}: expected finite numbers")
        return found

    version = int(of("format", np.int64))
    _agree(version == FORMAT, f"format: expected {FORMAT}, received {version}")
    rows, columns = (int(n) for n in of("size", np.int64, 2))
    p = rows * columns
    _agree(rows > 0 < columns and p <= LARGEST_GRAM, f"size: expected at most {LARGEST_GRAM} weights")
    channels = arrays["count"].size
    _agree(1 <= channels <= _MOST_CHANNELS, "count: expected a number for each channel")
    counts = of("count", np.int64, channels)
    pairs, excluded = (int(n) for n in of("seen", np.int64, 2))
    step, epsilon = (float(n) for n in of("grid", np.float64, 2))
    _agree(min(pairs, excluded, int(counts.min())) >= 0 <= step and 0.0 <= epsilon <= 1.0, "numbers below 0")
    shift, after = of("shift", np.float64, channels, 2), of("after", np.float64, channels, 2)
    total, cross = of("total", np.float64, channels, p), of("cross", np.float64, channels, p)
    triangles = of("gram", np.float64, channels, p * (p + 1) // 2)
    upper = np.triu_indices(p)
    statistics = []
    for i in range(channels):
        gram = np.zeros((p, p))
        gram[upper] = triangles[i]
        gram.T[upper] = triangles[i]
        _possible(gram, cross[i], total[i], after[i], int(counts[i]))
        totals = float(after[i, 0]), float(after[i, 1]), float(shift[i, 0]), float(shift[i, 1])
        statistics.append(Statistics((rows, columns), int(counts[i]), gram, cross[i].copy(), total[i].copy(), *totals))
    same = int(of("same_size", np.int64))
    _agree(same in (0, 1), "same_size: expected 0 or 1")
    support = centred((rows, columns)) if same else Support(0, 0, rows, columns)
    return Summary(support, tuple(statistics), pairs, excluded, step, epsilon)


def _possible(gram: np.ndarray, cross: np.ndarray, total: np.ndarray, after: np.ndarray, count: int) -> None:
    """Raise ValueError for sums that no numbers have: those against Cauchy and Schwarz."""
    square, slack = np.diag(gram), 1.0 + 1e-6
    sd = np.sqrt(np.maximum(square, 0.0))
    _agree(bool((square >= 0.0).all()) and after[1] >= 0.0, "gram: expected squares of at least 0")
    _agree(bool((np.abs(gram) <= np.outer(sd, sd) * slack).all()), "gram: expected sums of products of real numbers")
    _agree(bool((np.abs(cross) <= sd * np.sqrt(after[1]) * slack).all()), "cross: expected sums of products")
    _agree(bool((total**2 <= square * count * slack).all()), "total: expected sums of as many numbers as count says")
    _agree(bool(after[0] ** 2 <= after[1] * count * slack), "after: expected sums of as many numbers as count says")


def _agree(condition: bool, problem: str) -> None:
    """Raise unless a condition holds."""
    if not condition:
        raise ValueError(problem)
