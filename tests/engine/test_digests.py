"""The bits of results, frozen: digests of what `correlate` and its kin return, over a seeded choice of cases.

What docs/explanation/numerics.md promises bit for bit must not change when the engine does. Inputs are made of integers
and powers of two by exact operations, so that they are the same with every version of NumPy; everything goes through
the public face. A part of the cases is also held against the definition: nested loops of fused multiply-adds in exact
fractions.

``python tests/engine/test_digests.py --write`` computes digests.json anew: only where the contract is to change.
"""

from __future__ import annotations

import json
import math
import platform
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.dropin import cv2, ndimage

pytestmark = pytest.mark.core

FILE = Path(__file__).with_name("digests.json")

PIXELS = (
    "bool", "uint8", "int8", "uint16", "int16", "int32", "uint32", "float16", "float32", "float64", "float32-big",
)  # fmt: skip
INTEGERS = ("uint8", "uint16", "int16", "int32")
PLANNED = (*INTEGERS, "float32", "float64")
BOUNDARIES = ("reflect", "constant", "nearest", "mirror", "wrap")
MODES = ("same", "valid", "full")
SIZES = ((1, 1), (1, 7), (6, 8), (5, 200), (37, 53), (130, 260), (200, 3), (301, 703))
KERNELS = (
    (1, 1), (1, 2), (2, 1), (3, 3), (2, 5), (4, 4), (5, 5), (7, 7), (9, 3), (11, 11), (1, 15), (15, 1), (21, 21),
)  # fmt: skip
LAYOUTS = (
    "C", "fortran", "reversed", "second", "interleaved", "batch", "read-only", "unaligned", "out", "out-second",
    "out-interleaved", "out-itself", "out-shifted",
)  # fmt: skip
RESULTS = ("default", "float32", "float64", *INTEGERS)
WEIGHTS = (
    "any", "whole", "dyadic", "gauss", "box", "mirrored", "even", "odd", "zeros", "binomial", "rank1", "rank2",
)  # fmt: skip
# Those of full rank, whatever the size: no method but `direct` is ever better for fewer than 200 of them.
FULL_RANK = ("any", "zeros")
FEW = 200
CVALS = (0.0, 3.0, -2.0, 0.5)


@dataclass(frozen=True)
class Case:
    """One call; its name says all of it.

    `extras` are words such as ``cval=3.0``, ``origin=-1,0``, ``padding=1,2,0,3``, ``bias=0.1``, ``bank=3``,
    ``precision=exact``, ``via=plan`` and ``content=special``.
    """

    method: str
    dtype: str
    result: str
    boundary: str
    mode: str
    kernel: tuple[int, int]
    weights: str
    size: tuple[int, int]
    layout: str
    extras: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        kernel, size = ("x".join(map(str, shape)) for shape in (self.kernel, self.size))
        parts = (self.method, self.dtype, self.result, self.boundary, self.mode, kernel, self.weights, size)
        return "/".join((*parts, self.layout, *self.extras))

    @classmethod
    def named(cls, name: str) -> Case:
        method, dtype, result, boundary, mode, kernel, weights, size, layout, *extras = name.split("/")
        (kh, kw), (rows, columns) = (map(int, shape.split("x")) for shape in (kernel, size))
        return cls(method, dtype, result, boundary, mode, (kh, kw), weights, (rows, columns), layout, tuple(extras))

    def extra(self, key: str, default: str = "") -> str:
        return next((word.partition("=")[2] for word in self.extras if word.startswith(key + "=")), default)

    def numbers(self, key: str) -> tuple[int, ...] | None:
        return tuple(map(int, self.extra(key).split(","))) if self.extra(key) else None

    @property
    def group(self) -> str:
        return f"{self.method}/{self.dtype}"

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def cval(self) -> float:
        return float(self.extra("cval", "0"))

    @property
    def content(self) -> str:
        return self.extra("content", "full")

    @property
    def pixels(self) -> np.dtype[Any]:
        return np.dtype(">f4") if self.dtype == "float32-big" else np.dtype(self.dtype)

    @property
    def output(self) -> np.dtype[Any]:
        wide = self.dtype in ("int32", "uint32", "float64")
        return np.dtype(("float64" if wide else "float32") if self.result == "default" else self.result)

    @property
    def sums(self) -> np.dtype[Any]:
        """The dtype in which the definition adds up."""
        wide = self.output.kind != "f" or self.extra("precision") == "exact"
        return np.dtype(np.float64) if wide else self.output

    @property
    def windows(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """How many pixels the image is extended by: ((top, bottom), (left, right))."""
        padding = self.numbers("padding")
        if padding is not None:
            top, bottom, left, right = padding
            return (top, bottom), (left, right)
        ends = []
        for n, origin in zip(self.kernel, self.numbers("origin") or (0, 0)):
            centre = n // 2 + origin
            before = n - 1 - centre if self.extra("via") == "convolve" else centre
            ends.append({"same": (before, n - 1 - before), "valid": (0, 0), "full": (n - 1, n - 1)}[self.mode])
        return ends[0], ends[1]


# Inputs: integers from a hash of their places, and powers of two.


def hashed(n: int, seed: str) -> np.ndarray:
    """Return 64 bits for each of `n` places: SplitMix64, whose products wrap in every version of NumPy."""
    x = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x += np.uint64(zlib.crc32(seed.encode()) * 0x9E3779B1 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


def top_bits(bits: np.ndarray, count: int) -> np.ndarray:
    """Return signed integers of the highest `count` bits, as float64: exact up to 53."""
    return (bits >> np.uint64(64 - count)).astype(np.int64).astype(np.float64) - 2.0 ** (count - 1)


def full_mantissas(bits: np.ndarray, digits: int, spread: int) -> np.ndarray:
    """Return numbers of so many binary digits, within ±1, of sizes that differ by up to 2**spread."""
    scales = np.array([2.0 ** -(digits - 1 + n) for n in range(spread + 1)])
    return top_bits(bits, digits) * scales[(bits & np.uint64(63)).astype(np.intp) % (spread + 1)]


@lru_cache(maxsize=256)
def image_of(dtype: str, shape: tuple[int, ...], content: str) -> np.ndarray:
    """Return an image in native byte order, C-contiguous; not to be written to."""
    name = "float32" if dtype == "float32-big" else dtype
    bits = hashed(math.prod(shape), f"{name} {shape} {content}")
    if name == "bool":
        return (bits >> np.uint64(63)).astype(bool).reshape(shape)
    kind = np.dtype(name)
    if kind.kind != "f":
        unsigned = np.dtype(f"uint{8 * kind.itemsize}")
        return (bits >> np.uint64(64 - 8 * kind.itemsize)).astype(unsigned).view(kind).reshape(shape)
    if content == "dyadic":
        return (top_bits(bits, 10) / 8).astype(kind).reshape(shape)
    digits, spread = {"float16": (11, 3), "float32": (24, 7), "float64": (53, 7)}[name]
    values = 8 * full_mantissas(bits, digits, spread)
    short = (bits >> np.uint64(7)) % np.uint64(3) == 0
    values[short] = top_bits(bits, 8)[short] / 16
    if content == "tiny":  # subnormal numbers, and products that are
        values *= {"float32": 2.0**-130, "float64": 2.0**-1030}[name]
    if content == "special":
        values[values.size // 3] = np.nan
        values[values.size * 2 // 3] = np.inf
    return values.astype(kind).reshape(shape)


@lru_cache(maxsize=512)
def kernel_of(style: str, shape: tuple[int, int], number: int = 0) -> np.ndarray:
    """Return weights in float64; not to be written to."""
    kh, kw = shape
    bits = hashed(kh * kw, f"{style} {shape} {number}")
    whole = (bits >> np.uint64(33)).astype(np.int64) % 19 - 9.0
    anything = full_mantissas(bits, 53, 2).reshape(shape)
    if style == "any":
        return anything
    if style == "zeros":
        anything.ravel()[bits % np.uint64(5) == 0] = 0.0
        anything.ravel()[bits % np.uint64(5) == 1] = -0.0
        return anything
    if style == "dyadic":
        return (whole * 37 / 256).reshape(shape)
    if style == "box":
        return np.full(shape, 1 / (kh * kw))
    if style in ("mirrored", "even", "odd"):
        half = anything if style == "even" else whole.reshape(shape)
        return half - half[:, ::-1] if style == "odd" else half + half[:, ::-1]
    lines = {"gauss": gaussian, "binomial": binomial}.get(style)
    if lines is not None:
        return np.multiply.outer(lines(kh), lines(kw))
    if style == "rank1":
        return np.multiply.outer(full_mantissas(bits[:kh], 30, 2), full_mantissas(hashed(kw, f"row {number}"), 20, 2))
    if style == "rank2":
        columns, rows = (top_bits(hashed(2 * n, f"{style} {n}"), 7).reshape(2, n) for n in shape)
        return (np.multiply.outer(columns[0], rows[0]) + np.multiply.outer(columns[1], rows[1])) / 4096
    return whole.reshape(shape)


def gaussian(n: int) -> np.ndarray:
    """Return weights of sum 1; by decimals, because exponentials of libraries differ in the last place."""
    with localcontext() as context:
        context.prec = 40
        values = [float((-Decimal((2 * i - n + 1) ** 2) * 2 / Decimal((n + 1) ** 2)).exp()) for i in range(n)]
    return np.array(values) / math.fsum(values)


def binomial(n: int) -> np.ndarray:
    return np.array([float(min(math.comb(n - 1, i), 40)) for i in range(n)])


def placed(image: np.ndarray, layout: str) -> np.ndarray:
    """Return the same pixels in another layout of memory."""
    if layout == "fortran":
        return np.asfortranarray(image)
    if layout == "reversed":
        return image[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    if layout == "second":
        return image.repeat(2, axis=-2).repeat(2, axis=-1)[..., ::2, ::2]
    if layout in ("interleaved", "out-interleaved"):
        return np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)
    if layout == "unaligned":
        view = np.zeros(image.nbytes + 1, np.uint8)[1:].view(image.dtype).reshape(image.shape)
        view[...] = image
        return view
    if layout == "out-shifted":
        below = np.zeros((image.shape[0] + 2, image.shape[1]), image.dtype)
        below[:-2] = image
        return below[:-2]
    copy = image.copy()
    copy.flags.writeable = layout != "read-only"
    return copy


def pixels_of(case: Case) -> np.ndarray:
    lead = {"interleaved": (3,), "out-interleaved": (3,), "batch": (2,)}.get(case.layout, ())
    return image_of(case.dtype, (*lead, *case.size), case.content)


def weights_of(case: Case) -> np.ndarray:
    """Return the kernel, or the bank of them."""
    count = case.numbers("bank")
    if count is None:
        return kernel_of(case.weights, case.kernel)
    return np.stack([kernel_of(case.weights, case.kernel, number) for number in range(count[0])])


def bias_of(case: Case) -> Any:
    if not case.extra("bias"):
        return None
    number, count = float(case.extra("bias")), case.numbers("bank")
    return number if count is None else number * np.arange(1.0, count[0] + 1)


def result_of(case: Case) -> np.ndarray:
    """Make the call."""
    image = placed(pixels_of(case).astype(case.pixels, copy=False), case.layout)
    kernel, options = weights_of(case), dict(boundary=case.boundary, cval=case.cval, mode=case.mode)
    via, origin, padding = case.extra("via", "correlate"), case.numbers("origin"), case.numbers("padding")
    if via == "corr2d":
        return kf.corr2d(image, kernel)
    options["origin"] = origin
    options["padding"] = None if padding is None else (padding[:2], padding[2:])
    options["method"] = None if case.method in ("default", "bank") else case.method
    options["channel_axis"] = None
    if via == "plan":
        planned = kf.plan(image.shape, kernel, dtype=image.dtype, **options)
        first = planned(image)
        again = planned(image)  # may go another way, once it is known
        assert digest(first) == digest(again), case.name
        return again
    options["bias"], options["precision"] = bias_of(case), case.extra("precision") or None
    options["bank"] = True if kernel.ndim == 3 else None
    if case.layout.startswith("out"):
        options["out"] = out_of(case, image)
    elif case.result != "default":
        options["dtype"] = case.result
    result = {"correlate": kf.correlate, "convolve": kf.convolve}[via](image, kernel, **options)
    assert options.get("out") is None or result is options["out"]
    return result


def out_of(case: Case, image: np.ndarray) -> np.ndarray:
    """Return where results are to be written, filled with what must not remain."""
    if case.layout == "out-itself":
        return image
    if case.layout == "out-shifted":
        assert image.base is not None
        return image.base[1:-1]
    rows, columns = (n + sum(ends) - k + 1 for n, ends, k in zip(case.size, case.windows, case.kernel))
    lead = (*image.shape[:-2], *(case.numbers("bank") or ()))
    shape = (*lead, rows, columns)
    if case.layout == "out-second":
        return np.full((*lead, 2 * rows, 2 * columns), 77, case.output)[..., ::2, ::2]
    if case.layout == "out-interleaved" and len(lead) == 1:
        return np.full((rows, columns, *lead), 77, case.output).transpose(2, 0, 1)
    return np.full(shape, 77, case.output)


def digest(result: np.ndarray) -> str:
    """Return the digest of dtype, shape and elements, whatever the layout."""
    values = np.array(result, order="C")
    if values.dtype.kind == "f":
        values[np.isnan(values)] = np.nan  # which of the many NaNs it is depends on the processor
    head = f"{values.dtype.newbyteorder('<').str} {values.shape} ".encode()
    return blake2b(head + values.astype(values.dtype.newbyteorder("<")).tobytes(), digest_size=8).hexdigest()


# The choice of cases.


class Draws:
    """A linear congruential generator (Knuth's MMIX): NumPy's streams and Python's may change."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, n: int) -> int:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % n

    def one(self, values: Any) -> Any:
        return values[self.below(len(values))]


def is_allowed(case: Case) -> bool:
    """Return whether there is such a call, and its bits are promised."""
    floats, result = "float" in case.dtype, case.output
    extended = [n + sum(ends) for n, ends in zip(case.size, case.windows)]
    if any(n < k for n, k in zip(extended, case.kernel)) or (case.taps * math.prod(case.size) > 3e7):
        return False
    if case.extra("padding") and (case.extra("origin") or case.mode != "same"):
        return False
    if case.extra("origin") and case.mode != "same":
        return False
    if case.extra("cval") and case.boundary != "constant":
        return False
    if case.boundary != "reflect" and case.windows == ((0, 0), (0, 0)):
        return False  # all boundaries are one
    if case.content != "full" and (not floats or (case.content == "tiny" and case.dtype == "float16")):
        return False
    alike = case.result == case.dtype and extended == [n + k - 1 for n, k in zip(case.size, case.kernel)]
    if case.layout in ("out-itself", "out-shifted") and (case.method == "bank" or not alike):
        return False
    via = case.extra("via")
    if via == "plan" and (
        case.dtype not in PLANNED or case.result != "default" or case.layout.startswith("out") or case.extra("bias")
    ):
        return False
    if via and (case.extra("bank") or case.extra("precision")):
        return False
    if (case.method == "bank") != bool(case.extra("bank")):
        return False
    if case.extra("precision") and case.method not in ("direct", "default", "bank"):
        return False
    return _is_promised(case, result.kind != "f")


def _is_promised(case: Case, integers: bool) -> bool:
    """Return whether the bits are promised with the method asked for, or with any that may be chosen."""
    wide = case.dtype in ("uint32", "float64")
    if case.method == "separable":
        if case.weights not in ("gauss", "box", "binomial", "rank1", "rank2") and not (
            case.weights == "any" and min(case.kernel) <= 3
        ):
            return False
        # Pixels that the code for float32 sums cannot load.
        held = case.cval in (0.0, 3.0) or "float" in case.dtype
        return case.sums == np.float64 or not (wide or not held)
    if case.method == "spectral":
        small = case.dtype in ("uint8", "int8", "uint16", "int16", "float32")
        plain = case.content in ("full", "dyadic") and case.weights not in ("box", "even")
        return integers and small and plain and case.taps >= 25
    if case.method == "default":
        if case.extra("precision") == "exact" or (case.weights in FULL_RANK and case.taps < FEW):
            return True
        if not integers:
            return False
        # Whichever method is chosen: sums are exact, or far from halves.
        exact = ("whole", "dyadic", "mirrored", "odd", "binomial")
        if case.weights == "gauss":
            return case.dtype not in ("int32", "uint32")
        return case.weights in exact and (case.content == "dyadic" or not wide)
    return True


def _drawn(method: str, draws: Draws) -> Case:
    weights = {
        "separable": ("gauss", "box", "binomial", "rank1", "rank2", "rank2", "rank1", "any"),
        "bank": ("any", "whole", "dyadic", "zeros", "gauss", "mirrored"),
        "spectral": ("any", "whole", "dyadic", "gauss", "mirrored", "zeros"),
    }.get(method, WEIGHTS)
    sizes = (*SIZES, *SIZES[1:5], *SIZES[2:5]) if draws.below(4) else SIZES[:7]
    kernels = ((5, 5), (7, 7), (11, 11), (21, 21), (9, 3), (4, 9)) if method == "spectral" else KERNELS
    kernel, boundary = draws.one(kernels), draws.one(BOUNDARIES)
    dtype, result = draws.one(PIXELS), draws.one(RESULTS if method != "spectral" else INTEGERS)
    layout = draws.one(LAYOUTS)
    if layout in ("out-itself", "out-shifted"):
        dtype = draws.one(("uint8", "uint16", "int16", "float32", "float64"))
        result = dtype
    extras = []
    if method == "bank":
        extras.append(f"bank={draws.one((2, 3, 5))}")
    if draws.below(7) == 0:
        extras.append(f"bias={draws.one((0.8125, 0.1, -3.7))}")
    if draws.below(4) == 0:
        extras.append(f"content={draws.one(('dyadic', 'dyadic', 'special', 'tiny'))}")
    if boundary == "constant":
        extras.append(f"cval={draws.one(CVALS)}")
    mode = draws.one(MODES)
    if mode == "same" and draws.below(4) == 0:
        origin = [draws.below(n) - n // 2 for n in kernel]
        extras.append(f"origin={origin[0]},{origin[1]}")
    elif mode == "same" and draws.below(5) == 0:
        extras.append("padding=" + ",".join(str(draws.below(4)) for _ in range(4)))
    if draws.below(6) == 0:
        extras.append("precision=exact")
    elif method != "bank" and draws.below(6) == 0:
        extras.append(f"via={draws.one(('convolve', 'plan'))}")
    return Case(
        method, dtype, result, boundary, mode, kernel, draws.one(weights), draws.one(sizes), layout, tuple(extras)
    )


def _pairs(case: Case) -> Iterator[tuple[str, ...]]:
    """Yield what is crossed in a case, two and two."""
    parts = case.name.split("/")[1:]
    yield from combinations([f"{place} {part}" for place, part in enumerate(parts[:8])] + parts[8:], 2)


# Cases of each method, and how many of them may be large.
_COUNTS = {"direct": (800, 30), "separable": (460, 20), "default": (400, 20), "bank": (220, 8), "spectral": (80, 6)}


@lru_cache(maxsize=1)
def chosen() -> dict[str, Case]:
    """Return the cases by name: of a few drawn, each time the one that crosses most that was not crossed."""
    found: dict[str, Case] = {}
    for method, (count, large) in _COUNTS.items():
        draws, crossed, mine = Draws(len(method) * 1000 + count), set(), 0
        while mine < count:
            few: list[Case] = []
            while len(few) < 4:
                case = _drawn(method, draws)
                if case.name not in found and is_allowed(case) and (large or case.size != SIZES[-1]):
                    few.append(case)
            best = max(few, key=lambda case: len({*_pairs(case)} - crossed))
            crossed.update(_pairs(best))
            large -= best.size == SIZES[-1]
            found[best.name] = best
            mine += 1
    for dtype in PIXELS:
        for size, kernel in (((6, 8), (2, 5)), ((37, 53), (5, 5)), ((1, 7), (1, 2))):
            case = Case("default", dtype, "default", "reflect", "valid", kernel, "any", size, "C", ("via=corr2d",))
            found[case.name] = case
    for dtype in PLANNED:
        for layout, size in (("C", (6, 8)), ("batch", (37, 53)), ("second", (130, 260)), ("interleaved", (37, 53))):
            for method, weights in (("direct", "any"), ("separable", "gauss"), ("default", "any")):
                case = Case(method, dtype, "default", "mirror", "same", (5, 5), weights, size, layout, ("via=plan",))
                found[case.name] = case
    return found


def _dropped_in() -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Yield names and calls of the drop-in modules: whole weights, or those of full rank."""
    size = (37, 53)
    for dtype in (*INTEGERS, "float32", "float64"):
        image = image_of(dtype, size, "dyadic" if "float" in dtype else "full")
        for mode in BOUNDARIES:
            whole = kernel_of("whole", (3, 4))
            yield f"ndimage/{dtype}/correlate/{mode}", lambda i=image, m=mode, k=whole: ndimage.correlate(i, k, mode=m)
            yield f"ndimage/{dtype}/sobel/{mode}", lambda i=image, m=mode: ndimage.sobel(i, 0, mode=m)
        for name in ("prewitt", "laplace"):
            yield f"ndimage/{dtype}/{name}", lambda i=image, n=name: getattr(ndimage, n)(i)
        line, anything = np.array([1.0, -3.0, 5.0, 2.0]), kernel_of("any", (4, 4))
        yield f"ndimage/{dtype}/correlate1d", lambda i=image, k=line: ndimage.correlate1d(i, k, axis=0)
        yield f"ndimage/{dtype}/convolve1d", lambda i=image, k=line: ndimage.convolve1d(i, k, output=np.float64)
        yield (
            f"ndimage/{dtype}/convolve",
            lambda i=image, k=anything: ndimage.convolve(i, k, np.float64, "constant", 2.0, (1, -2)),
        )
    for dtype, depth in (("uint8", cv2.CV_16S), ("uint8", -1), ("uint16", cv2.CV_32F), ("int16", cv2.CV_64F)):
        image, three = image_of(dtype, size, "full"), image_of(dtype, (*size, 3), "full")
        for border in (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT, cv2.BORDER_REFLECT_101):
            where, kernel = f"{depth}/{border}", kernel_of("whole", (3, 5))
            yield (
                f"cv2/{dtype}/filter2D/{where}",
                lambda i=image, d=depth, b=border, k=kernel: cv2.filter2D(i, d, k, borderType=b),
            )
            yield (
                f"cv2/{dtype}/Sobel/{where}",
                lambda i=three, d=depth, b=border: cv2.Sobel(i, d, 1, 1, ksize=3, borderType=b),
            )
        yield f"cv2/{dtype}/Laplacian/{depth}", lambda i=image, d=depth: cv2.Laplacian(i, d, ksize=3)
        yield f"cv2/{dtype}/Scharr/{depth}", lambda i=image, d=depth: cv2.Scharr(i, d, 0, 1)
    image = image_of("uint8", (*size, 3), "full")
    for n in (3, 5, 7):
        yield f"cv2/uint8/GaussianBlur/{n}", lambda i=image, n=n: cv2.GaussianBlur(i, (n, n), 0)
        yield f"cv2/uint8/blur/{n}", lambda i=image, n=n: cv2.blur(i, (n, n))


def everything() -> dict[str, Case | Callable[[], np.ndarray]]:
    """Return cases, and calls of the drop-in modules, by name."""
    return {**chosen(), **dict(_dropped_in())}


# Where processors need not fuse.


def fused() -> bool:
    """Return whether the engine in use adds products without rounding them first."""
    try:
        from kernelfield import _core
    except ImportError:
        return True
    return bool(_core.instruction_set() != "baseline")


@lru_cache(maxsize=1)
def recorded() -> dict[str, list[Any]]:
    """Return digest and flag of each name: the flag says that the bits depend neither on fusing nor on the order."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def _groups() -> list[str]:
    return sorted({"/".join(name.split("/")[:2]) for name in recorded()})


def test_cases():
    assert sorted(recorded()) == sorted(everything()), "cases were changed: see --write"


# Results that the range of an integer does not hold are SciPy's own, of the machine at hand: on Arm they saturate.
FROZEN_ON = ("x86_64", "AMD64")


@pytest.mark.parametrize("group", _groups())
def test_digests(group):
    known, calls, differ = recorded(), everything(), []
    for name in known:
        if not name.startswith(group + "/"):
            continue
        frozen, exact = known[name]
        if not (exact or fused()):
            continue
        call = calls[name]
        result = result_of(call) if isinstance(call, Case) else call()
        if group.startswith("ndimage") and result.dtype.kind in "iu" and platform.machine() not in FROZEN_ON:
            continue
        found = digest(result)
        if found != frozen:
            differ.append(f"{name}: {found}, not {frozen}")
    assert not differ, "\n".join([f"{len(differ)} of {group} differ", *differ[:8]])


# The definition, in exact fractions; it shares no code with the engine.


def place(position: int, n: int, boundary: str) -> int | None:
    """Return the pixel that stands at a position of an axis of `n`; None for the constant."""
    while not 0 <= position < n:
        if boundary == "constant":
            return None
        if boundary == "nearest":
            return 0 if position < 0 else n - 1
        if boundary == "wrap":
            position += n if position < 0 else -n
        elif boundary == "reflect":
            position = -1 - position if position < 0 else 2 * n - 1 - position
        else:
            position = 0 if n == 1 else (-position if position < 0 else 2 * (n - 1) - position)
    return position


def nearest(value: Fraction, dtype: np.dtype[Any]) -> float:
    """Return the nearest number of float32 or float64, halves to even, subnormal ones included."""
    digits, least = {4: (24, -149), 8: (53, -1074)}[dtype.itemsize]
    above, below = abs(value.numerator), value.denominator
    exponent = max(above.bit_length() - below.bit_length() - digits, least)
    while True:
        unit = below << max(0, exponent)
        steps, rest = divmod(above << max(0, -exponent), unit)
        if steps < 2**digits:
            break
        exponent += 1
    steps += 2 * rest > unit or (2 * rest == unit and steps % 2)
    return math.copysign(math.ldexp(steps, exponent), -1 if value < 0 else 1)


def multiply_add(weight: float, pixel: float, total: float, dtype: np.dtype[Any]) -> float:
    """Return ``weight * pixel + total``, rounded once."""
    if not all(map(math.isfinite, (weight, pixel, total))):
        return weight * pixel + total
    exact = Fraction(weight) * Fraction(pixel) + Fraction(total)
    if exact == 0:
        return weight * pixel + total if 0.0 in (weight, pixel) else 0.0
    return nearest(exact, dtype)


def defined(case: Case, lead: tuple[int, ...], number: int, i: int, j: int) -> float:
    """Return one output of kernel `number`, as the definition has it."""
    sums, image = case.sums, pixels_of(case)[lead]
    kernel = weights_of(case).reshape(-1, *case.kernel)[number]
    kernel = kernel[::-1, ::-1] if case.extra("via") == "convolve" else kernel
    (top, _), (left, _) = case.windows
    total = 0.0
    for a in range(case.kernel[0]):
        for b in range(case.kernel[1]):
            row = place(i + a - top, case.size[0], case.boundary)
            column = place(j + b - left, case.size[1], case.boundary)
            pixel = case.cval if row is None or column is None else image[row, column]
            total = multiply_add(float(sums.type(kernel[a, b])), float(sums.type(pixel)), total, sums)
    if case.extra("bias"):
        added = float(sums.type(np.ravel(bias_of(case))[number]))
        total = multiply_add(1.0, added, total, sums)
    if case.output.kind == "f":
        return float(case.output.type(total))
    if math.isnan(total):
        return 0.0
    limits = np.iinfo(case.output)
    return float(min(max(total, limits.min), limits.max).__round__())


def check_definition(case: Case, count: int) -> None:
    """Hold up to `count` outputs of a case against the definition: corners, and places by a hash."""
    result = result_of(case)
    filters = (case.numbers("bank") or (1,))[0]
    shape = (*pixels_of(case).shape[:-2], filters, *result.shape[-2:])
    values = result.reshape(shape)
    some = {0, values.size - 1, *(hashed(count - 2, case.name) % np.uint64(values.size)).tolist()}
    for flat in sorted(some):
        *lead, number, i, j = (int(n) for n in np.unravel_index(flat, shape))
        found, wanted = float(values[(*lead, number, i, j)]), defined(case, tuple(lead), number, i, j)
        same = found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
        assert same or (math.isnan(found) and math.isnan(wanted)), (case.name, (*lead, number, i, j), found, wanted)


def by_definition(most: int, taps: int) -> list[Case]:
    """Return cases of `direct`, at even distances, whose bits are those of the definition: most of them of floats."""
    cases = [
        case
        for number, case in enumerate(chosen().values())
        if (case.method in ("direct", "bank") or case.extra("precision") == "exact")
        and case.taps <= taps
        and (case.output.kind == "f" or number % 5 == 0)
    ]
    return cases[:: max(1, len(cases) // most)][:most]


@pytest.mark.skipif(not fused(), reason="products are rounded")
def test_definition():
    for case in by_definition(most=60, taps=25):
        check_definition(case, 12)


# Digests are written anew.


def _lowest_bit(values: np.ndarray) -> int:
    """Return the exponent of the lowest binary digit of finite numbers, at most 0."""
    fraction, exponent = np.frexp(values[np.isfinite(values) & (values != 0)])
    digits = (fraction * 2.0**53).astype(np.int64)
    lowest = np.frexp((digits & -digits).astype(np.float64))[1] - 1
    return int((exponent - 53 + lowest).min(initial=0))


def is_exact(case: Case, result: np.ndarray) -> bool:
    """Return whether the bits depend neither on fused products nor on the order of the sum; check the result too."""
    sums = case.sums
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        image = pixels_of(case).astype(sums).astype(np.float64)
        kernels = weights_of(case).astype(sums).astype(np.float64).reshape(-1, *case.kernel)
        kernels = kernels[:, ::-1, ::-1] if case.extra("via") == "convolve" else kernels
        read = [
            [place(p, n, case.boundary) for p in range(-before, n + after)]
            for n, (before, after) in zip(case.size, case.windows)
        ]
        for axis, places in ((-2, read[0]), (-1, read[1])):
            image = image.take([p or 0 for p in places], axis=axis)
            outside = [n for n, p in enumerate(places) if p is None]
            image[(..., outside, slice(None)) if axis == -2 else (..., outside)] = float(sums.type(case.cval))
        rows, columns = (n - k + 1 for n, k in zip(image.shape[-2:], case.kernel))
        total = np.zeros((*image.shape[:-2], len(kernels), rows, columns))
        size = np.zeros_like(total)
        for a, b in np.ndindex(*case.kernel):
            part = image[..., None, a : a + rows, b : b + columns]
            weights = kernels[:, a, b, None, None]
            total += weights * part
            size += np.abs(weights * np.where(np.isfinite(part), part, 0))
        if case.extra("bias"):
            total += np.ravel(bias_of(case))[:, None, None]
            size += np.abs(np.ravel(bias_of(case)))[:, None, None]
        largest = float(size.max())
        unit = 2.0 ** -(24 if sums == np.float32 else 53)
        # Generous: factors of a kernel of rank 2 are larger than it is.
        error = 64 * (case.taps + 4) * unit * size
        found = result.reshape(total.shape).astype(np.float64)
        integers = case.output.kind != "f"
        limits = np.iinfo(case.output) if integers else np.finfo(case.output)
        if integers:
            wanted = np.nan_to_num(np.clip(total, limits.min, limits.max), nan=0.0)
            near = np.abs(found - wanted) <= 0.5 + np.maximum(error, 1e-9)
        else:
            slack = error + np.abs(total) * 2.0 ** (-23 if case.output.itemsize == 4 else -52) + 2.0**-145
            near = (np.abs(found - total) <= slack) | (found == total) | (np.isnan(found) & np.isnan(total))
        if case.method == "separable":
            # Terms of a kernel of higher rank may hold opposite infinities: the sum is NaN then.
            near |= ~np.isfinite(total)
        assert near.all(), case.name
        lowest = _lowest_bit(image) + _lowest_bit(kernels)
        held = lowest > -200 and largest * 2.0**-lowest < 1 / unit
        # Only factors that are whole keep the sums of passes exact.
        if held and (case.method != "separable" or case.weights == "binomial"):
            return True
        if not integers or (case.method == "separable" and not np.isfinite(total).all()):
            return False
        # Sums further from halves than they can err round to the same integers; so do those beyond the limits.
        inside = (total > limits.min - 1) & (total < limits.max + 1)
        doubtful = np.abs(np.abs(total - np.floor(total)) - 0.5) <= error
        return not (doubtful & inside & np.isfinite(total)).any()


def write() -> None:
    """Compute digests.json anew, and check what is checked nowhere else."""
    lines: dict[str, list[Any]] = {}
    for name, call in everything().items():
        if not isinstance(call, Case):
            # Whole weights are exact; those of the one other filter are not.
            lines[name] = [digest(call()), not name.endswith("/convolve")]
            continue
        result = result_of(call)
        exact = is_exact(call, result)
        one_method = call.method in ("direct", "separable", "bank") or call.extra("precision") == "exact"
        safe = exact or one_method or (call.method == "default" and call.weights in FULL_RANK and call.taps < FEW)
        assert safe, f"{name}: depends on the method that is chosen"
        lines[name] = [digest(result), exact]
    for case in by_definition(most=400, taps=121):
        check_definition(case, 24)
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(lines[name])}" for name in sorted(lines))
    FILE.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    import sys

    if sys.argv[1:] != ["--write"]:
        sys.exit("to compute digests.json anew: --write")
    write()
