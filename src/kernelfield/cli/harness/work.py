"""The work of ``kernelfield bench``: images, kernels, and the definition that results are checked against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

import kernelfield as kf


class Work(NamedTuple):
    """Sizes of kernels, for the full table and for the quick one, and the sides of images."""

    kernels: tuple[int, ...]
    quick_kernels: tuple[int, ...]
    sizes: tuple[int, ...]


#: The kinds of work by name; "rgb" has one photograph, "small" the images and kernels of `_SMALL`.
WORK = {
    "dense": Work((3, 5, 7, 9, 11, 13, 15, 21, 31, 63), (3, 7, 15), (512, 1024, 2048, 4096)),
    "rank1": Work((3, 5, 7, 9, 11, 15, 31, 63), (3, 15), (2048, 4096)),
    "uint8": Work((3, 5, 7, 9, 11, 13, 15, 21, 31, 63), (3, 7), (2048, 4096)),
    "blur": Work((3, 5, 7, 9, 15, 31), (7,), (2048,)),
    "rgb": Work((3, 7, 15), (7,), ()),
    "bank": Work((7,), (7,), (512, 2048)),
    "small": Work((), (), ()),
}
_QUICK_SIZE = 1024
_PHOTOGRAPH = (3000, 4000)  # 12 megapixels
_SMALL = (((64, 64), (3, 3)), ((6, 8), (1, 2)))
_BANK = 16
_UINT8 = ("uint8", "blur")
# Side of the squares in which a result is checked.
_SQUARE = 24


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    work : str
        A key of `WORK`.
    shape : tuple of int
        Shape of the image: (H, W), or (H, W, 3) for a photograph.
    kernel : (int, int)
        Rows and columns of the kernel. Those of a Gaussian blur are six standard deviations.
    dtype : numpy.dtype
        Dtype of image and result.
    planned : bool
        The call is that of a plan made before.
    """

    work: str
    shape: tuple[int, ...]
    kernel: tuple[int, int]
    dtype: np.dtype
    planned: bool = False

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the definition."""
        return prod((*self.shape, *self.kernel)) * (_BANK if self.work == "bank" else 1)

    @property
    def is_product(self) -> bool:
        """Whether the kernel is the product of a column and a row."""
        return self.work in ("rank1", "blur")

    def task(self) -> Task:
        """Return the arrays of this case, the same at every call."""
        rows, columns = self.kernel
        rng = np.random.default_rng(rows)
        integers = self.dtype.kind == "u"
        image = rng.integers(0, 256, self.shape, np.uint8) if integers else rng.random(self.shape, np.float32)
        column, row = (rng.normal(size=n).astype(np.float32) for n in self.kernel)
        if self.work == "blur":
            gaussian = np.exp(-0.5 * ((np.arange(rows) - rows // 2) / (rows / 6)) ** 2)
            column = row = (gaussian / gaussian.sum()).astype(np.float32)
        kernel: np.ndarray
        if self.is_product:
            kernel = np.outer(column, row)
        elif integers:
            kernel = rng.normal(1 / (rows * columns), 0.5 / rows, self.kernel)
        else:
            kernel = rng.normal(size=(_BANK, *self.kernel) if self.work == "bank" else self.kernel)
        out = np.zeros((_BANK, *self.shape) if self.work == "bank" else self.shape, self.dtype)
        return Task(self, image, kernel.astype(np.float32), column, row, out)


@dataclass(frozen=True, slots=True)
class Task:
    """The arrays of a case.

    Attributes
    ----------
    case : Case
    image : numpy.ndarray, of the shape of the case
    kernel : numpy.ndarray, shape (kh, kw), or (16, kh, kw) for a bank
    column, row : numpy.ndarray, shapes (kh,) and (kw,)
        Their outer product is a kernel of rank 1.
    out : numpy.ndarray
        Memory for results: (H, W), (H, W, 3), or (16, H, W) for a bank.
    """

    case: Case
    image: np.ndarray
    kernel: np.ndarray
    column: np.ndarray
    row: np.ndarray
    out: np.ndarray

    @property
    def tolerance(self) -> float:
        """Allowed difference between results: one level of integers; the error of a float32 FFT, with a margin."""
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
        # Float64, as users' kernels are: an outer product rounded to float32 has full rank.
        kernel = np.outer(self.column.astype(np.float64), self.row) if case.is_product else self.kernel
        run = partial(call, image, kernel, out=out, dtype=case.dtype)

        def correlate() -> np.ndarray:
            run()
            return self.out

        return correlate

    def copy(self, threads: int) -> Callable[[], object]:
        """Return a call that reads the image and writes as much as a result: the limit set by memory."""
        image, out = self.image, self.out
        if self.case.work == "small":
            return partial(np.copyto, out, image)
        ends = np.linspace(0, len(image), threads + 1).astype(int)
        strips = [slice(start, end) for start, end in pairwise(ends)]
        pool = ThreadPoolExecutor(threads)
        pieces = [(out[:, s] if self.case.work == "bank" else out[s], image[s]) for s in strips]
        return lambda: list(pool.map(np.copyto, *zip(*pieces)))

    def error(self, result: np.ndarray) -> float:
        """Return the largest error in a middle square and two corners, by the definition in float64."""
        kh, kw = self.case.kernel
        height, width = self.image.shape[:2]
        rows, columns = (
            np.pad(np.arange(n), (k // 2, (k - 1) // 2), mode="reflect") for n, k in ((height, kh), (width, kw))
        )
        kernels = self.kernel.reshape(-1, kh, kw).astype(np.float64)
        if self.case.is_product:
            kernels = np.outer(self.column.astype(np.float64), self.row)[None]
        planes = result[None] if result.ndim == 2 else np.moveaxis(result, -1, 0) if self.image.ndim == 3 else result
        largest = 0.0
        for share in (0.0, 0.5, 1.0):
            top, left = (int(share * max(0, n - _SQUARE)) for n in (height, width))
            bottom, right = min(height, top + _SQUARE), min(width, left + _SQUARE)
            block = self.image[np.ix_(rows[top : bottom + kh - 1], columns[left : right + kw - 1])].astype(np.float64)
            windows = np.lib.stride_tricks.sliding_window_view(block, (kh, kw), axis=(0, 1))
            expected = np.tensordot(kernels, windows, axes=((1, 2), (-2, -1)))
            if self.image.ndim == 3:
                expected = np.moveaxis(expected[0], -1, 0)
            if self.image.dtype.kind == "u":
                expected = np.clip(np.rint(expected), 0, 255)
            largest = max(largest, float(np.abs(planes[:, top:bottom, left:right] - expected).max()))
        return largest


def cases(
    work: tuple[str, ...], sizes: tuple[int, ...] | None, kernels: tuple[int, ...] | None, quick: bool
) -> Iterator[Case]:
    """Yield the lines of the table; `sizes` and `kernels` replace those of `WORK`, except for small images."""
    single, byte = np.dtype(np.float32), np.dtype(np.uint8)
    for name in work:
        if name == "small":
            yield from (Case(name, *shapes, single, planned) for shapes in _SMALL for planned in (False, True))
            continue
        kind = WORK[name]
        widths = sorted(set(kernels)) if kernels else kind.quick_kernels if quick else kind.kernels
        if sizes:
            shapes = [(size, size) for size in sorted(set(sizes))]
        elif name == "rgb":
            shapes = [_PHOTOGRAPH]
        else:
            shapes = [(size, size) for size in ((_QUICK_SIZE,) if quick else kind.sizes)]
        for shape in shapes:
            for dtype in (byte, single) if name == "rgb" else (byte,) if name in _UINT8 else (single,):
                yield from (Case(name, (*shape, 3) if name == "rgb" else shape, (k, k), dtype) for k in widths)
