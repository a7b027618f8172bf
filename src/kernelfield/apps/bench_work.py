"""The work that ``kernelfield bench`` times: images, kernels, and what the result has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

import kernelfield as kf

#: What can be asked for: the sizes of kernels and of images that it is done with, first fully, then quickly.
WORK: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "dense": ((3, 5, 7, 9, 11, 13, 15, 31, 63), (3, 7, 15)),
    "rank1": ((3, 5, 7, 9, 11, 15, 31, 63), (3, 15)),
    "uint8": ((3, 5, 7, 9, 11, 13, 15), (3, 7)),
    "blur": ((3, 5, 7, 9, 15, 31), (7,)),
    "rgb": ((3, 7, 15), (7,)),
    "bank": ((7,), (7,)),
    "small": ((3,), (3,)),
}
_SIZES = {"dense": (2048, 4096), "rank1": (2048, 4096), "uint8": (2048, 4096), "blur": (2048,), "bank": (2048,)}
_QUICK_SIZE = 1024
_PHOTOGRAPH = (3000, 4000)  # 12 megapixels
_SMALL = 64
_BANK = 16
# Works on images of integers.
_INTEGERS = ("uint8", "blur")
# Side of the squares in which a result is held against the definition.
_SQUARE = 24


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    work : str
        A key of `WORK`.
    shape : tuple of int
        Of the image: (H, W), or (H, W, 3) for a photograph.
    k : int
        Rows and columns of the kernel, odd; six times the standard deviation of a Gaussian blur.
    dtype : numpy.dtype
        Of image and result.
    planned : bool
        A plan made before is called.
    """

    work: str
    shape: tuple[int, ...]
    k: int
    dtype: np.dtype
    planned: bool = False

    @property
    def multiply_adds(self) -> int:
        """Of the definition."""
        return int(np.prod(self.shape)) * self.k**2 * (_BANK if self.work == "bank" else 1)

    @property
    def is_product(self) -> bool:
        """Whether the kernel is the product of a column and a row."""
        return self.work in ("rank1", "blur")

    def task(self) -> Task:
        """Return the arrays of this case, always the same."""
        rng = np.random.default_rng(self.k)
        integers = self.dtype.kind == "u"
        image = rng.integers(0, 256, self.shape, np.uint8) if integers else rng.random(self.shape, np.float32)
        column, row = rng.normal(size=(2, self.k)).astype(np.float32)
        if self.work == "blur":
            gaussian = np.exp(-0.5 * ((np.arange(self.k) - self.k // 2) / (self.k / 6)) ** 2)
            column = row = (gaussian / gaussian.sum()).astype(np.float32)
        if self.is_product:
            kernel = np.outer(column, row)
        elif integers:
            kernel = rng.normal(1 / self.k**2, 0.5 / self.k, (self.k, self.k))
        else:
            kernel = rng.normal(size=(_BANK, self.k, self.k) if self.work == "bank" else (self.k, self.k))
        result = (_BANK, *self.shape) if self.work == "bank" else self.shape
        out = np.zeros(result, self.dtype)
        return Task(self, image, kernel.astype(np.float32), column, row, out)


@dataclass(frozen=True, slots=True)
class Task:
    """The arrays of a case.

    Attributes
    ----------
    case : Case
    image : numpy.ndarray, shape of the case
    kernel : numpy.ndarray, shape (k, k), or (16, k, k) for a bank
    column, row : numpy.ndarray, shape (k,)
        Their outer product is a kernel of rank 1.
    out : numpy.ndarray
        Where results may be written: (H, W), (H, W, 3), or (16, H, W) for a bank.
    """

    case: Case
    image: np.ndarray
    kernel: np.ndarray
    column: np.ndarray
    row: np.ndarray
    out: np.ndarray

    @property
    def tolerance(self) -> float:
        """How far results may be apart: one level of integers; what float32 FFTs lose, with a margin."""
        if self.image.dtype.kind == "u":
            return 1.0
        return 1e-5 * float(np.abs(self.kernel).sum(axis=(-2, -1)).max() * np.abs(self.image).max())

    def ours(self) -> Callable[[], np.ndarray]:
        """Return the call of kernelfield."""
        case = self.case
        if case.planned:
            return partial(kf.plan(case.shape, self.kernel, dtype=case.dtype, boundary="mirror"), self.image)
        call = partial(kf.correlate, boundary="mirror")
        if case.work == "small":
            return partial(call, self.image, self.kernel)
        image, out = self.image, self.out
        if image.ndim == 3:
            image, out = image.transpose(2, 0, 1), out.transpose(2, 0, 1)
        # In float64, as kernels are made: rounded to float32 an outer product has full rank.
        kernel = np.outer(self.column.astype(np.float64), self.row) if case.is_product else self.kernel
        run = partial(call, image, kernel, out=out, dtype=case.dtype)

        def correlate() -> np.ndarray:
            run()
            return self.out

        return correlate

    def copy(self, threads: int) -> Callable[[], object]:
        """Return a call that reads the image and writes a result's worth of it: the limit that memory sets."""
        image, out = self.image, self.out
        if self.case.work == "small":
            return partial(np.copyto, out, image)
        ends = np.linspace(0, len(image), threads + 1).astype(int)
        strips = [slice(start, end) for start, end in pairwise(ends)]
        pool = ThreadPoolExecutor(threads)
        pieces = [(out[:, s] if self.case.work == "bank" else out[s], image[s]) for s in strips]
        return lambda: list(pool.map(np.copyto, *zip(*pieces)))

    def error(self, result: np.ndarray) -> float:
        """Return how far a result is from the definition, summed in float64, in a middle square and two corners."""
        k, (height, width) = self.case.k, self.image.shape[:2]
        rows, columns = (np.pad(np.arange(n), k // 2, mode="reflect") for n in (height, width))
        kernels = self.kernel.reshape(-1, k, k).astype(np.float64)
        if self.case.is_product:
            kernels = np.outer(self.column.astype(np.float64), self.row)[None]
        planes = result[None] if result.ndim == 2 else np.moveaxis(result, -1, 0) if self.image.ndim == 3 else result
        worst = 0.0
        for share in (0.0, 0.5, 1.0):
            top, left = (int(share * max(0, n - _SQUARE)) for n in (height, width))
            bottom, right = min(height, top + _SQUARE), min(width, left + _SQUARE)
            block = self.image[np.ix_(rows[top : bottom + k - 1], columns[left : right + k - 1])].astype(np.float64)
            windows = np.lib.stride_tricks.sliding_window_view(block, (k, k), axis=(0, 1))
            right_ones = np.tensordot(kernels, windows, axes=((1, 2), (-2, -1)))
            if self.image.ndim == 3:
                right_ones = np.moveaxis(right_ones[0], -1, 0)
            if self.image.dtype.kind == "u":
                right_ones = np.clip(np.rint(right_ones), 0, 255)
            worst = max(worst, float(np.abs(planes[:, top:bottom, left:right] - right_ones).max()))
        return worst


def cases(
    work: tuple[str, ...], sizes: tuple[int, ...] | None, kernels: tuple[int, ...] | None, quick: bool
) -> Iterator[Case]:
    """Yield the lines of the table; `sizes` and `kernels` replace those of `WORK`, but for small images."""
    single, byte = np.dtype(np.float32), np.dtype(np.uint8)
    for name in work:
        widths = sorted(set(kernels)) if kernels and name != "small" else WORK[name][quick]
        if name == "small":
            yield from (Case(name, (_SMALL, _SMALL), k, single, planned) for k in widths for planned in (False, True))
            continue
        if sizes:
            shapes = [(size, size) for size in sorted(set(sizes))]
        elif name == "rgb":
            shapes = [_PHOTOGRAPH]
        else:
            shapes = [(size, size) for size in ((_QUICK_SIZE,) if quick else _SIZES[name])]
        for shape in shapes:
            for dtype in (byte, single) if name == "rgb" else (byte,) if name in _INTEGERS else (single,):
                yield from (Case(name, (*shape, 3) if name == "rgb" else shape, k, dtype) for k in widths)
