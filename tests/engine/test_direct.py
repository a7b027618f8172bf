"""Sliding products: the definition, its bits whatever the tile, the layouts they read and write."""

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernelfield import _core

pytestmark = pytest.mark.core

READ = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
PAIRS = [(i, o) for i in READ for o in ("float32", "float64")]


def nested_loops(image, kernel, dtype):
    """Return the definition, in float64, and the sum of the magnitudes of its terms."""
    kh, kw = kernel.shape
    shape = image.shape[0], image.shape[1] - kh + 1, image.shape[2] - kw + 1
    total, size = np.zeros(shape), np.zeros(shape)
    for a in range(kh):
        for b in range(kw):
            term = float(kernel[a, b]) * image[:, a : a + shape[1], b : b + shape[2]].astype(dtype).astype("f8")
            total += term
            size += abs(term)
    return total, size


def correlate(image, kernel, out, **options):
    _core.Correlation(kernel.astype(np.float64), sums=out.dtype.name, **options)(image, out)


def run(image, kernel, dtype="float32", **options):
    kh, kw = kernel.shape
    out = np.full((image.shape[0], image.shape[1] - kh + 1, image.shape[2] - kw + 1), -77, dtype)
    correlate(image, kernel, out, **options)
    return out


def random_image(rng, shape, dtype):
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


@st.composite
def views(draw, shape, dtype, seed):
    """A view of random numbers with an odd offset, gaps between rows and images; sometimes read-only or reversed."""
    lead, gap = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    rng = np.random.default_rng(seed)
    whole = random_image(rng, (shape[0], shape[1] + gap, shape[2] + lead + gap), dtype)
    view = whole[:, gap:, lead : lead + shape[2]]
    if draw(st.booleans()):
        view = view[:, ::-1, ::-1]
    if draw(st.booleans()):
        view.flags.writeable = False
    return view


@given(st.data())
def test_it_is_the_definition(engine, data):
    draw = data.draw
    image_type, out_type = draw(st.sampled_from(PAIRS))
    kh, kw = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    n, h, w = draw(st.integers(1, 3)), draw(st.integers(kh, 40)), draw(st.integers(kw, 90))
    seed = draw(st.integers(0, 99))
    image = draw(views((n, h, w), image_type, seed))
    kernel = np.random.default_rng(seed).normal(size=(kh, kw)).astype(out_type)
    around = np.full((n, h - kh + 3, w - kw + 5), -77, out_type)
    correlate(image, kernel, around[:, 1:-1, 2:-2])
    expected, size = nested_loops(image, kernel, out_type)
    bound = (kernel.size + 1) * np.finfo(out_type).eps * size
    assert (abs(around[:, 1:-1, 2:-2] - expected) <= bound).all()
    around[:, 1:-1, 2:-2] = -77
    assert (around == -77).all()


@given(
    st.sampled_from(["float32", "float64"]),
    *[st.integers(1, 9)] * 2,
    *[st.integers(0, 30)] * 2,
    *[st.integers(1, 40)] * 2,
)
@example("float32", 3, 3, 5, 7, 1, 1)
@example("float32", 15, 1, 0, 0, 1, 40)
def test_bits_do_not_depend_on_the_place(engine, dtype, kh, kw, y, x, height, width):
    rng = np.random.default_rng(kh * 9 + kw)
    image = rng.normal(size=(2, 90, 90)).astype(dtype)
    kernel = rng.normal(size=(kh, kw))
    whole = run(image, kernel, dtype)[:, y : y + height, x : x + width]
    part = run(image[:, y : y + height + kh - 1, x : x + width + kw - 1], kernel, dtype)
    np.testing.assert_array_equal(part, whole)


@pytest.mark.parametrize("kh", [1, 3, 4, 6])
def test_terms_are_added_in_row_major_order(engine, kh):
    rng = np.random.default_rng(kh)
    image, kernel = rng.normal(size=(1, kh + 5, 22)), rng.normal(size=(kh, 4))
    expected = np.zeros((6, 19))
    for i, j in np.ndindex(6, 19):
        for a, b in np.ndindex(kernel.shape):
            k, p = float(kernel[a, b]), float(image[0, i + a, j + b])
            if _core.fuses():
                expected[i, j] = float(Fraction(k) * Fraction(p) + Fraction(expected[i, j]))
            else:
                expected[i, j] = k * p + expected[i, j]
    np.testing.assert_array_equal(run(image, kernel, "float64")[0], expected)


def test_bits_do_not_depend_on_the_number_of_threads():
    code = (
        "import numpy as np, hashlib\n"
        "from kernelfield import engine, _core\n"
        "rng = np.random.default_rng(1)\n"
        "image, kernel = rng.normal(size=(2, 700, 500)).astype('f4'), rng.normal(size=(6, 7))\n"
        "out = np.empty((2, 695, 494), 'f4')\n"
        "_core.Correlation(kernel)(image, out)\n"
        "print(hashlib.sha256(out.tobytes()).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "KERNELFIELD_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "5")
    }
    assert len(digests) == 1


def test_instruction_sets_that_fuse_give_the_same_bits():
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(1, 90, 300)).astype("f4"), rng.normal(size=(5, 7))
    usual, found = _core.instruction_set(), {}
    try:
        for name in _core.instruction_sets():
            _core.use(name)
            found.setdefault(_core.fuses(), []).append(run(image, kernel).tobytes())
    finally:
        _core.use(usual)
    assert all(len(set(bits)) == 1 for bits in found.values())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("width", [12, 75])
@pytest.mark.parametrize("rows", [1, 2, 3, 6])
def test_nan_and_infinity_keep_to_their_footprint(engine, bad, width, rows):
    rng = np.random.default_rng(rows)
    kernel = rng.uniform(1, 2, (rows, 3)).astype("f4")
    kernel[0, 1] = 0
    for y in range(8, 13):
        image = rng.uniform(1, 2, (1, 20, width)).astype("f4")
        clean = run(image, kernel)
        image[0, y, -2] = bad
        out = run(image, kernel)
        with np.errstate(invalid="ignore"):  # infinity times zero
            expected, _ = nested_loops(image, kernel, "f4")
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(out[finite], clean[finite])
        np.testing.assert_array_equal(out[~finite], expected[~finite])


def test_what_lies_beyond_the_view_is_not_used(engine):
    memory = np.full((2, 30, 60), np.nan, "f4")
    image = memory[:1, 3:20, 5:50]
    image[...] = 1
    assert (run(image, np.ones((3, 5))) == 15).all()
    assert (run(image[:, :, :7], np.ones((3, 5))) == 15).all()


@pytest.mark.parametrize("shape", [(0, 5, 5), (2, 0, 3), (2, 3, 0)])
def test_nothing_is_asked(shape):
    correlate(np.zeros((shape[0], shape[1] + 2, shape[2] + 2)), np.ones((3, 3)), np.empty(shape))


def test_broadcast_images(engine):
    image = np.broadcast_to(np.arange(50.0), (3, 8, 50))
    np.testing.assert_array_equal(run(image, np.ones((2, 1)), "f8"), np.broadcast_to(2 * image[0, 0], (3, 7, 50)))


@pytest.mark.skipif(sys.platform == "win32", reason="takes memory for what is not touched")
def test_rows_spread_over_more_than_two_gigabytes():
    memory = np.empty((25, 100_000_000), np.uint8)
    rng = np.random.default_rng(0)
    image = memory[None, :, 1000:1080]
    image[...] = rng.integers(0, 256, image.shape)
    kernel = rng.normal(size=(3, 3))
    np.testing.assert_array_equal(run(image, kernel), run(image.copy(), kernel))


@pytest.mark.skipif(sys.platform == "win32", reason="takes memory for what is not touched")
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2)])
def test_strides_that_no_int32_holds(axes):
    memory = np.empty((2, 2_200_000_000), np.uint8)[:, :40]
    memory[...] = np.random.default_rng(0).integers(0, 256, memory.shape)
    image = memory[None].transpose(axes)
    kernel = np.ones((1, 3))
    np.testing.assert_array_equal(run(image, kernel), run(image.copy(), kernel))


def test_the_weights_are_copied():
    kernel = np.ones((3, 3))
    correlation = _core.Correlation(kernel)
    kernel[...] = 0
    out = np.empty((5, 5), np.float32)
    correlation(np.ones((7, 7), np.float32), out)
    assert (out == 9).all()


@pytest.mark.parametrize(
    ("image", "out"),
    [
        (np.ones((4, 4), ">f4"), np.empty((2, 2), "f4")),
        (np.ones((4, 4), "i8"), np.empty((2, 2), "f4")),
        (np.ones((4, 4), "f4"), np.empty((2, 2), "f2")),
        (np.ones((4, 4), "c8"), np.empty((2, 2), "f4")),
        (np.ones((2, 4, 4), "f4"), np.empty((2, 2), "f4")),
        (np.ones((4, 4), "f4"), np.broadcast_to(np.float32(0), (2, 2))),
        ([[1.0]], np.empty((2, 2), "f4")),
    ],
)
def test_what_it_cannot_read_or_write_is_refused(image, out):
    with pytest.raises((TypeError, ValueError)):
        _core.Correlation(np.ones((3, 3)))(image, out)
