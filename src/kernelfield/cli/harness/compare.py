"""Candidates of a benchmark: their results are compared before their calls are timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.cli.harness.timing import interleaved
from kernelfield.errors import DataError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A call that is timed, and a function that makes a NumPy array of its value."""

    call: Callable[[], Any]
    array: Callable[[Any], np.ndarray] = np.asarray

    def result(self) -> np.ndarray:
        """Return the result of a call."""
        return self.array(self.call())


def largest_difference(result: np.ndarray, expected: np.ndarray, margins: tuple[int, ...] | None = None) -> float:
    """Return the largest difference between two results; NaN if one of them holds NaN.

    Parameters
    ----------
    result, expected : numpy.ndarray, of the same shape
    margins : tuple of int, optional
        Elements at both ends of each axis that do not count.

    Examples
    --------
    >>> largest_difference(np.array([9.0, 1.0, 2.0, 9.0]), np.array([0.0, 1.0, 2.5, 0.0]), (1,))
    0.5
    """
    if result.shape != expected.shape:
        raise DataError(f"result: expected the shape {expected.shape}; received {result.shape}")
    inside = tuple(slice(m, n - m) for m, n in zip(margins or (0,) * expected.ndim, expected.shape))
    difference = result[inside].astype(np.float32)
    difference -= expected[inside]
    return float(np.abs(difference, out=difference).max(initial=0.0))


def compare_and_time(
    candidates: Mapping[str, Candidate],
    tolerance: float,
    *,
    rounds: int,
    seconds: float = 4.0,
    shortest: float = 2e-3,
) -> dict[str, float]:
    """Return the median seconds of a call of each candidate.

    Parameters
    ----------
    candidates : mapping of str to Candidate
        The first is the one that the others are compared with.
    tolerance : float
        Allowed difference between results, as a share of the largest magnitude; infinite for no comparison.
    rounds, seconds, shortest
        As `interleaved` takes them.

    Raises
    ------
    DataError
        If a result differs.

    Examples
    --------
    >>> calls = {"one": Candidate(lambda: [1.0, 2.0]), "two": Candidate(lambda: [1.0, 2.5])}
    >>> compare_and_time(calls, 1e-3, rounds=1)
    Traceback (most recent call last):
        ...
    kernelfield.errors.DataError: two: expected the result of one within 0.002; received a difference of 0.5
    """
    names = list(candidates)
    if np.isfinite(tolerance):
        # Copied, for calls may write into the same memory.
        expected = candidates[names[0]].result().copy()
        allowed = tolerance * float(np.abs(expected).max())
        for name in names[1:]:
            difference = largest_difference(candidates[name].result(), expected)
            if not difference <= allowed:
                raise DataError(
                    f"{name}: expected the result of {names[0]} within {allowed:.3g}; received a difference of "
                    f"{difference:.3g}"
                )
    calls = {name: candidate.call for name, candidate in candidates.items()}
    return interleaved(calls, rounds, seconds, shortest=shortest)
