"""Images whose rows are converted before they are summed: the bits of sums that convert pixels as they go."""

import numpy as np
import pytest
from cases import BOUNDARIES, image, needs_halide
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernelfield.engine import choice

pytestmark = [
    needs_halide,
    pytest.mark.skipif(not choice.engine().native, reason="the processor has no AVX2 and FMA, or it is not Linux"),
]

if choice.engine().native:
    from kernelfield.engine.x86 import call, calls
    from kernelfield.engine.x86.ends import Border
    from kernelfield.engine.x86.numbers import LOADED, STORED
    from kernelfield.engine.x86.sliding import Sliding

    TYPES = [(i, s, o) for s in LOADED for i in LOADED[s] if i != s for o in (s, *STORED[s])]
else:
    TYPES = []


@settings(max_examples=150)
@given(st.data())
def test_rows_that_are_converted_first_give_the_same_bits(data):
    draw = data.draw
    image_type, sums, out_type = draw(st.sampled_from(TYPES))
    step, kernels = draw(st.sampled_from([(1, 1), (3, 1), (1, 3)]))
    kernel = draw(st.integers(1, 9)), draw(st.integers(4, 20))
    height, width = draw(st.integers(1, 60)), step * draw(st.integers(20, 90))
    border = None
    if draw(st.booleans()):
        boundary = draw(st.sampled_from(BOUNDARIES))
        before = tuple(draw(st.integers(0, k)) for k in kernel)
        border = Border(before, boundary, draw(st.sampled_from([0.0, 7.0])) if boundary == "constant" else 0.0)
    before = border.before if border else (0, 0)
    after = [draw(st.integers(0, 5)) if border else 0 for _ in range(2)]
    results = height + before[0] + after[0] - kernel[0] + 1, width // step + before[1] + after[1] - kernel[1] + 1
    assume(min(results) >= 1)
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    pixels = image(image_type, (1, height, width), 1)
    weights, bias = rng.normal(size=(kernels, *kernel)), rng.normal(size=kernels)
    down = out_type not in ("float32", "float64") and draw(st.booleans())
    outs = []
    for most in (1 << 24, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(call, "_MOST", most)
            calls._call.cache_clear()
            out = np.zeros((1, kernels, results[0], results[1] * step), out_type)
            done = calls.sliding(pixels, weights, out, np.dtype(sums), bias, 0.5, step, border, down)
            if done and not isinstance(done, bool):
                again = np.zeros_like(out)
                done(pixels, again)
                np.testing.assert_array_equal(again, out)
            outs.append((bool(done), out))
    calls._call.cache_clear()
    if outs[0][0] and outs[1][0]:
        np.testing.assert_array_equal(outs[0][1], outs[1][1])


def test_rows_are_converted_first_unless_that_takes_much_memory():
    def used(shape, sums="float32", kernel=(5, 5)):
        out = np.dtype("uint8")
        border = Border((2, 2), "mirror")
        made = calls._call(Sliding, kernel, 0, shape, out, (1, 1, *shape), out, np.dtype(sums), 1.0, 1, border, False)
        return made._function.table > 0

    assert used((500, 600))
    assert used((500, 600), "float64", (5, 3))
    assert not used((500, 600), "float32", (5, 3))
    assert not used((500, 30))
    assert not used((200, 1 << 20))


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [(1, 4), (3, 5), (5, 8), (4, 9), (2, 24)])
def test_rows_of_weights_that_mirror_fold_where_sums_are_exact(dtype, sign, size):
    rng = np.random.default_rng(0)
    limit = {"uint8": 9, "int16": 1}[dtype]
    half = rng.integers(-limit, limit, size, endpoint=True)
    kernel = half + sign * half[:, ::-1]
    assert calls._parity(kernel[None]) == sign
    assert abs(kernel).sum() * np.iinfo(dtype).max < 2**24
    pixels = image(dtype, (1, 70, 90))
    border = Border((size[0] // 2, size[1] // 2), "mirror")
    results = []
    for sums in ("float32", "float64"):
        out = np.zeros((1, 1, 70, 90), np.int16)
        assert calls.sliding(pixels, kernel[None], out, np.dtype(sums), None, 0.25, border=border)
        results.append(out)
    np.testing.assert_array_equal(*results)
    other = kernel.copy()
    other[0, 0] += 1
    assert calls._parity(other[None]) == 0
    assert calls._parity(np.stack([kernel, kernel])) == 0
