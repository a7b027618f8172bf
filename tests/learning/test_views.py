"""The positions that fits without Gram matrix use, and fits of many weights against dense least squares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from kernelfield.learning import free as free_module
from kernelfield.learning import views as module
from kernelfield.learning.free import _parzen, fit_free
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support
from kernelfield.learning.views import View, quotient

pytestmark = pytest.mark.core
SUPPORT = Support(-1, -2, 3, 4)
KERNEL = np.random.default_rng(3).normal(size=(3, 4))


def pair_of(noise: float = 0.0, holes: bool = False, shape=(40, 45), offset: float = 3.0, channels: int = 1):
    rng = np.random.default_rng(0)
    before = 20.0 + rng.normal(size=(channels, *shape))
    after = np.zeros_like(before)
    for c in range(channels):
        windows = np.lib.stride_tricks.sliding_window_view(before[c], (3, 4))
        after[c, 1:-1, 2:-1] = np.einsum("ijab,ab->ij", windows, KERNEL) + offset * (c + 1)
    after += noise * rng.normal(size=after.shape)
    mask = rng.random(shape) > 0.1 if holes else None
    if channels == 1:
        return prepare(before[0], after[0], mask, clip=None)
    return prepare(before, after, mask, clip=None, channel_axis=0)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize(
    ("most", "shape"), [(None, (38, 42)), (1596, (38, 42)), (1595, (38, 41)), (400, (20, 20)), (90, (9, 10))]
)
def test_views_lie_in_the_middle(holes, most, shape):
    plane = pair_of(holes=holes).planes[0]
    view = View.of(plane, SUPPORT, most)
    assert view.y.shape == shape
    top, left = 1 + (38 - shape[0]) // 2, 2 + (42 - shape[1]) // 2
    np.testing.assert_array_equal(view.y, plane.after[top : top + shape[0], left : left + shape[1]])
    np.testing.assert_array_equal(view.x, plane.before[top - 1 : top + shape[0] + 1, left - 2 : left + shape[1] + 1])
    excluded = plane.excluded(SUPPORT)
    if not holes:
        assert view.good is None
        assert view.count == view.y.size
    else:
        np.testing.assert_array_equal(view.good, ~excluded[top - 1 :, left - 2 :][: shape[0], : shape[1]])
        assert view.count == view.good.sum()


@pytest.mark.parametrize("block", [1, 42 * 5, 1 << 18])
def test_blocks_of_rows(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    view = View.of(pair_of(holes=True).planes[0], SUPPORT, None)
    parts = list(view.blocks(3))
    height = max(3, block // 42)
    assert [len(y) for _, y, _ in parts] == [min(38, start + height) - start for start in range(0, 38, height)]
    np.testing.assert_allclose(np.concatenate([y for _, y, _ in parts]), view.y - view.after_shift)
    np.testing.assert_array_equal(np.concatenate([good for _, _, good in parts]), view.good)
    start = 0
    for x, y, _ in parts:
        np.testing.assert_allclose(x, view.x[start : start + len(y) + 2] - view.before_shift)
        start += len(y)


@pytest.mark.parametrize("holes", [False, True])
def test_the_quotient_of_spectra_is_near_the_kernel(holes):
    rng = np.random.default_rng(0)
    before = 100.0 + rng.normal(size=(120, 130))
    after = np.zeros_like(before)
    windows = np.lib.stride_tricks.sliding_window_view(before, (3, 4))
    after[1:-1, 2:-1] = np.einsum("ijab,ab->ij", windows, KERNEL)
    mask = rng.random(before.shape) > 0.002 if holes else None
    view = View.of(prepare(before, after, mask, clip=None).planes[0], SUPPORT, None)
    found = quotient(view, SUPPORT)
    np.testing.assert_allclose(found, KERNEL, atol=0.35 if holes else 0.1)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_conjugate_gradients_end_at_least_squares(monkeypatch, holes, channels, noise):
    monkeypatch.setattr(free_module, "_DECREASE", 1e-9)
    pair = pair_of(noise, holes, channels=channels)
    found = fit_free(pair, SUPPORT)
    design, right = [], []
    for c, plane in enumerate(pair.planes):
        windows = np.lib.stride_tricks.sliding_window_view(plane.before, (3, 4))
        excluded = plane.excluded(SUPPORT)
        good = np.ones(windows.shape[:2], bool) if excluded is None else ~excluded
        design.append(np.hstack([windows[good].reshape(-1, 12), np.tile(np.eye(channels)[c], (good.sum(), 1))]))
        right.append(plane.after[1:-1, 2:-1][good])
    expected = np.linalg.lstsq(np.vstack(design), np.concatenate(right), rcond=None)[0]
    np.testing.assert_allclose(found.kernel.ravel(), expected[:12], atol=1e-6)
    np.testing.assert_allclose(found.offsets, expected[12:], atol=1e-4)
    count = sum(len(part) for part in right)
    left = float(((np.concatenate(right) - np.vstack(design) @ expected) ** 2).sum())
    assert (found.count, found.rank) == (count, 12)
    assert found.square == pytest.approx(sum(float(((part - part.mean()) ** 2).sum()) for part in right))
    assert found.left == pytest.approx(left, rel=1e-6, abs=1e-6)
    assert found.variance == pytest.approx(found.left / (count - 12 - channels))
    if noise and not holes:
        # White pixels of variance 1: each weight has about the error of the noise over the root of the count.
        assert found.error == pytest.approx(noise / np.sqrt(count), rel=0.2)


def test_fewer_positions_than_weights_are_refused():
    # One row of positions: 13 are enough for 12 weights and an offset.
    assert fit_free(pair_of(shape=(3, 16)), SUPPORT) is not None
    assert fit_free(pair_of(shape=(3, 15)), SUPPORT) is None
    assert fit_free(pair_of(shape=(40, 45)), SUPPORT, 100).count == 100


def test_parzens_window():
    distance = np.array([0.0, 0.25, 0.4999, 0.5, 0.75, 1.0])
    expected = [1.0, 1 - 6 / 16 * 0.75, 0.25, 0.25, 2 / 64, 0.0]
    np.testing.assert_allclose(_parzen(distance), expected, atol=2e-4)


@pytest.mark.parametrize("size", [(5, 4), (3, 6), (6, 3)])
def test_frequencies_that_a_smooth_picture_lacks_are_damped(size):
    support = Support(-(size[0] // 2), -(size[1] // 2), *size)
    before = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(60, 66)), 1.2)
    found = quotient(View.of(prepare(before, before, clip=None).planes[0], support, None), support)
    # A blurred impulse over the output pixel: those frequencies are 0, whose bell stays below 1.
    assert np.unravel_index(found.argmax(), size) == (size[0] // 2, size[1] // 2)
    assert 0.5 < found.max() < 1.0
    assert found.min() > -0.2


def test_blocks_without_a_hole_and_without_a_column():
    view = View.of(pair_of().planes[0], SUPPORT, None)
    [(x, y, good)] = view.blocks(3)
    assert (x.shape, y.shape, good) == (view.x.shape, view.y.shape, None)
    none = View(np.zeros((6, 3)), np.zeros((4, 0)), None, 0.0, 0.0)
    assert [y.shape for _, y, _ in none.blocks(3)] == [(4, 0)]


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_quotient_has_no_unit(unit):
    before = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(60, 66)), 0.8)
    after = ndimage.correlate(before, KERNEL)
    one, other = (
        quotient(View.of(prepare(s * before, s * after, clip=None).planes[0], SUPPORT, None), SUPPORT)
        for s in (1.0, unit)
    )
    np.testing.assert_allclose(other, one, atol=1e-6)
