"""Kernels and backgrounds that vary over the field, against least squares on explicit windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.field_basis import Axis, Basis
from kernelfield.learning.models.field_moments import Design, products
from kernelfield.learning.models.field_sums import window_products
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support

SHAPE = (48, 60)


def functions(order: int | tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Return the functions of the place over a field, shape (n, H, W), written out."""
    r, c = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    if isinstance(order, int):
        one = [lambda t: 1 + 0 * t, lambda t: t, lambda t: (3 * t**2 - 1) / 2, lambda t: (5 * t**3 - 3 * t) / 2]
        return np.array([one[d - b](r) * one[b](c) for d in range(order + 1) for b in range(d + 1)])
    hats = []
    for i in range(order[0]):
        for j in range(order[1]):
            nodes = np.zeros(order)
            nodes[i, j] = 1.0
            at = [(t + 1) / 2 * (n - 1) for t, n in zip((r, c), order)]
            hats.append(scipy.ndimage.map_coordinates(nodes, at, order=1))
    return np.array(hats)


def table_of(x: np.ndarray, size: tuple[int, int], order: int | tuple[int, int], background: int) -> np.ndarray:
    """Return the columns of least squares, a row for every position with its window inside."""
    windows = np.lib.stride_tricks.sliding_window_view(x, size)
    top, left = size[0] // 2, size[1] // 2
    inside = slice(top, top + windows.shape[0]), slice(left, left + windows.shape[1])
    f, g = (functions(each, x.shape)[:, inside[0], inside[1]] for each in (order, background))
    columns = [fi[..., None, None] * windows for fi in f]
    return np.hstack([np.concatenate([c.reshape(f[0].size, -1) for c in columns], axis=1), g.reshape(len(g), -1).T])


def inner(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return image[size[0] // 2 : image.shape[0] - (size[0] - 1) // 2, size[1] // 2 : image.shape[1] - (size[1] - 1) // 2]


def made(seed: int, order: int | tuple[int, int], background: int = 1, noise: float = 0.1) -> tuple[np.ndarray, ...]:
    """Return before, after and the kernels of a varying filter of 3×5."""
    rng = np.random.default_rng(seed)
    x = scipy.ndimage.gaussian_filter(rng.normal(size=SHAPE), 0.8) * 20 + 100
    f = functions(order, SHAPE)
    bank = rng.normal(size=(len(f), 3, 5)) * 0.1
    bank[..., 1, 2] += 1.0 if isinstance(order, tuple) else 0.0
    bank[0, 1, 2] += 0.0 if isinstance(order, tuple) else 1.0
    y = sum(fi * scipy.ndimage.correlate(x, k, mode="reflect") for fi, k in zip(f, bank))
    g = functions(background, SHAPE)
    y = y + np.tensordot(np.arange(1, len(g) + 1), g, 1)
    return x, y + noise * rng.normal(size=SHAPE), bank


@settings(max_examples=30)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.integers(0, 4),
    st.floats(-2, 2),
    st.integers(0, 1000),
)
def test_window_products(size: tuple[int, int], more: tuple[int, int], degree: int, shift: float, seed: int) -> None:
    """Against the sum over all pairs of pixels of every window, weighted."""
    rng = np.random.default_rng(seed)
    rows, columns = size[0] + more[0], size[1] + more[1]
    x = rng.normal(size=(rows + size[0] - 1, columns + size[1] - 1))
    axes = Axis.over(-1.0, rows + 2.0), Axis.over(0.0, columns - 1.0)
    found = window_products(x, size, shift, axes, degree)
    windows = np.lib.stride_tricks.sliding_window_view(x - shift, size).reshape(rows, columns, -1)
    r = np.polynomial.legendre.legvander(-1 + 2 * (np.arange(rows) + 1) / (rows + 3), degree)
    half = max(columns - 1, 1) / 2
    c = np.polynomial.legendre.legvander((np.arange(columns) - (columns - 1) / 2) / half, degree)
    expected = np.einsum("ia,jc,iju,ijv->acuv", r, c, windows, windows, optimize=True)
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("order", [0, 1, 2, 3, (2, 2), (3, 4), (1, 2)])
@pytest.mark.parametrize("background", [0, 1, 3])
def test_equals_least_squares(order: int | tuple[int, int], background: int) -> None:
    x, y, _ = made(1, order)
    fit = kf.learn(x, y, size=(3, 5), varying=order, background=background)
    table = table_of(x, (3, 5), order, background)
    solution, _, rank, _ = np.linalg.lstsq(table, inner(y, (3, 5)).ravel(), rcond=None)
    assert rank == table.shape[1]
    count = fit.varying.bank.size
    assert np.abs(fit.varying.bank.ravel() - solution[:count]).max() < 1e-8
    assert np.abs(fit.varying.background[0] - solution[count:]).max() < 1e-6
    left = inner(y, (3, 5)).ravel() - table @ solution
    variance = left @ left / (left.size - table.shape[1])
    errors = np.sqrt(np.diag(np.linalg.inv(table.T @ table)) * variance)
    assert (fit.varying.stderr.ravel() > 0.999 * errors[:count]).all()
    assert np.median(fit.varying.stderr.ravel() / errors[:count]) < 1.35
    assert fit.varying.background_stderr[0] == pytest.approx(errors[count:], rel=1e-5)
    assert fit.degrees_of_freedom == count
    assert fit.residual_sd == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_mask_and_weights(share: float) -> None:
    """Pixels that do not count, and weights, are rows of the table left out and scaled."""
    x, y, _ = made(2, 1)
    rng = np.random.default_rng(0)
    good, weights = rng.random(SHAPE) > share, rng.random(SHAPE) + 0.1
    weights[5:9] = 0.0
    table, values = table_of(x, (3, 5), 1, 1), inner(y, (3, 5)).ravel()
    kept, scale = inner(good, (3, 5)).ravel(), np.sqrt(inner(weights, (3, 5)).ravel())
    fit = kf.learn(x, np.where(good, y, np.nan), size=(3, 5), varying=1, background=1)
    expected = np.linalg.lstsq(table[kept], values[kept], rcond=None)[0]
    assert np.abs(fit.varying.bank.ravel() - expected[:45]).max() < 1e-8
    assert fit.samples == kept.sum()
    fit = kf.learn(x, y, size=(3, 5), varying=1, background=1, weights=7.0 * weights * good)
    scale = scale * kept
    expected = np.linalg.lstsq(table * scale[:, None], values * scale, rcond=None)[0]
    assert np.abs(fit.varying.bank.ravel() - expected[:45]).max() < 1e-8
    assert fit.samples == np.count_nonzero(scale)


def test_channels_share_the_kernel_and_have_a_background_each() -> None:
    x, y, _ = made(3, 1)
    other, _, _ = made(4, 1)
    bank = kf.learn(x, y, size=(3, 5), varying=1, background=1).varying.bank
    f = functions(1, SHAPE)
    second = sum(fi * scipy.ndimage.correlate(other, k, mode="reflect") for fi, k in zip(f, bank)) - 5 * f[2]
    fit = kf.learn(np.dstack([x, other]), np.dstack([y, second]), size=(3, 5), varying=1, background=1, channel_axis=2)
    tables = [table_of(each, (3, 5), 1, 1) for each in (x, other)]
    zeros = np.zeros((len(tables[0]), 3))
    table = np.vstack([np.hstack([tables[0], zeros]), np.hstack([tables[1][:, :45], zeros, tables[1][:, 45:]])])
    values = np.concatenate([inner(each, (3, 5)).ravel() for each in (y, second)])
    expected = np.linalg.lstsq(table, values, rcond=None)[0]
    assert np.abs(fit.varying.bank.ravel() - expected[:45]).max() < 1e-8
    assert np.abs(fit.varying.background.ravel() - expected[45:]).max() < 1e-6
    assert fit.apply(np.dstack([x, other]), boundary="reflect") == pytest.approx(np.dstack([y, second]), abs=0.6)


@pytest.mark.parametrize("before", ["uint8", "uint16", "float32"])
def test_types_and_far_origins(before: str) -> None:
    """Integers, and floats far from 0, whose background has a lower degree than the kernel."""
    x, y, _ = made(5, 2)
    x = x.astype(before) if before != "float32" else (x + 30000).astype(before)
    f = functions(2, SHAPE)
    bank = np.random.default_rng(0).normal(size=(6, 3, 3))
    bank[0] += 1
    y = sum(fi * scipy.ndimage.correlate(x.astype(float), k) for fi, k in zip(f, bank)) + 3
    fit = kf.learn(x, y, size=3, varying=2)
    assert fit.varying.bank == pytest.approx(bank, abs=1e-6)
    assert fit.verdict == "exact"
    assert fit.apply(x, dtype="float64") == pytest.approx(y, abs=1e-6 * np.abs(y).max())


def test_the_kernel_at_a_place_and_the_maps() -> None:
    x, y, bank = made(6, (2, 2), noise=0.0)
    fit = kf.learn(x, y, size=(3, 5), varying=(2, 2), background=1)
    field = fit.varying
    assert field.kernel_at(0, 0) == pytest.approx(bank[0], abs=1e-8)
    assert field.kernel_at(47, 59) == pytest.approx(bank[3], abs=1e-8)
    assert field.kernel_at(23.5, 29.5) == pytest.approx(bank.mean(axis=0), abs=1e-8)
    assert fit.kernel.weights == pytest.approx(bank.mean(axis=0), abs=1e-8)
    assert field.ratio_map()[0, -1] == pytest.approx(bank[1].sum())
    assert field.background_map()[[0, 0, -1], [0, -1, 0]] == pytest.approx([-4, 2, 0], abs=1e-6)
    assert fit.offset == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(ArgumentError, match="row, column: expected a place in the field of 48×60"):
        field.kernel_at(48, 0)


def test_records(tmp_path: Path) -> None:
    x, y, _ = made(7, 1)
    fit = kf.learn(x, y, size=(3, 5), varying=1, background=2)
    fit.save(tmp_path / "fit.json")
    again = kf.Fit.load(tmp_path / "fit.json")
    assert np.array_equal(again.apply(x), fit.apply(x))
    assert again.degrees_of_freedom == fit.degrees_of_freedom
    with pytest.raises(ArgumentError, match="image: expected the field of the kernel, 48×60"):
        again.apply(x[1:])
    broken = replace(fit, varying=replace(fit.varying, order=2))
    broken.save(tmp_path / "broken.json")
    with pytest.raises(DataError, match="varying: expected 6 kernels"):
        kf.Fit.load(tmp_path / "broken.json")


def test_the_degree_is_chosen_by_evidence() -> None:
    """The degree that made the data is found in 99 % of problems."""
    right, shape = 0, (32, 36)
    rng = np.random.default_rng(0)
    for number in range(100):
        degree = 1 + number % 2
        x = rng.normal(size=shape)
        f = functions(degree, shape)
        bank = 0.1 * rng.normal(size=(len(f), 3, 1))
        y = sum(fi * scipy.ndimage.correlate(x, k) for fi, k in zip(f, bank)) + 0.02 * rng.normal(size=shape)
        right += kf.learn(x, y, size=(3, 1), varying="auto").varying.order == degree
    assert right >= 99


def test_a_kernel_that_does_not_vary_has_the_plain_answer() -> None:
    x, y, _ = made(0, 0, background=0)
    plain, chosen = kf.learn(x, y, size=(3, 5)), kf.learn(x, y, size=(3, 5), varying="auto")
    assert chosen.varying is None
    assert np.array_equal(chosen.kernel.weights, plain.kernel.weights)
    x, y, _ = made(0, 0, background=1)
    # A background that was asked for stays.
    assert kf.learn(x, y, size=(3, 5), varying="auto", background=1).varying.background[0] == pytest.approx(
        [1, 2, 3], abs=1.0
    )


def test_intervals_cover() -> None:
    hits, behind = [], []
    for seed in range(60):
        x, y, bank = made(seed, 1, noise=2.0)
        fit = kf.learn(x, y, size=(3, 5), varying=1, background=1)
        hits.append(np.abs(fit.varying.bank - bank) < 1.96 * fit.varying.stderr)
        behind.append(np.abs(fit.varying.background[0] - [1, 2, 3]) < 1.96 * fit.varying.background_stderr[0])
        hits.append(np.abs(fit.kernel.weights - bank[0]) < 1.96 * fit.stderr)
    assert 0.93 <= np.mean(np.concatenate([each.ravel() for each in hits])) <= 0.97
    assert 0.90 <= np.mean(behind) <= 0.99


def test_restrictions_hold_over_the_field() -> None:
    x, y, _ = made(8, 1)
    for order in (1, (2, 3)):
        fit = kf.learn(x, y, size=(3, 5), varying=order, background=1, sum_to=1.0, symmetric="h")
        assert fit.varying.ratio_map() == pytest.approx(np.ones(SHAPE), abs=1e-10)
        assert np.array_equal(fit.varying.bank, fit.varying.bank[..., ::-1])
    # A strong penalty draws the variation towards nothing, and leaves fewer parameters in use.
    weak, strong = (
        kf.learn(x, y, size=(3, 5), varying=2, background=2, regularise=("ridge", s)) for s in (1e-6, 100.0)
    )
    assert strong.degrees_of_freedom < 10 < weak.degrees_of_freedom <= 90


def test_the_size_is_searched_where_the_kernel_varies_little() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 400)) * 20
    f = functions(1, (400, 400))
    bank = np.array([np.eye(5) / 5, np.fliplr(np.eye(5)) / 5, np.ones((5, 5)) / 50])
    y = sum(fi * scipy.ndimage.correlate(x, k) for fi, k in zip(f, bank)) + 0.01 * rng.normal(size=x.shape)
    fit = kf.learn(x, y, varying=1)
    assert fit.size == (5, 5)
    assert fit.varying.bank == pytest.approx(bank, abs=1e-3)


def test_unrelated_pictures_are_said_to_be() -> None:
    rng = np.random.default_rng(0)
    fit = kf.learn(rng.normal(size=SHAPE), rng.normal(size=SHAPE), size=3, varying=1)
    assert fit.verdict == "not linear"
    fit = kf.learn(rng.normal(size=SHAPE), np.full(SHAPE, 7.0), size=3, varying=1)
    assert fit.verdict == "undetermined"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"varying": -1}, "varying: expected a degree from 0 to 5"),
        ({"varying": (3,)}, "varying: expected a degree"),
        ({"varying": True}, "varying: expected a degree"),
        ({"varying": (0, 2)}, "varying: expected a degree"),
        ({"background": 1.5}, "background: expected a degree"),
        ({"varying": 1, "nonnegative": True}, "nonnegative, varying: expected one of them"),
        ({"varying": (20, 20)}, "varying, size: expected at most 8,000 weights"),
        ({"varying": (10**9, 10**9)}, "varying, size: expected at most 8,000 weights"),
        ({"varying": 1, "noise": (1, 1)}, "noise: expected none"),
        ({"varying": 1, "weights": np.ones((3, 3))}, "weights: expected the shape of after"),
        ({"weights": -np.ones(SHAPE)}, "weights: expected finite numbers"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    x, y, _ = made(0, 0)
    with pytest.raises(ArgumentError, match=message):
        kf.learn(x, y, size=5, **arguments)


def test_cells_are_as_large_as_the_kernel() -> None:
    x, y, _ = made(0, 0)
    with pytest.raises(DataError, match="varying: expected cells of at least the kernel's 3×5"):
        kf.learn(x, y, size=(3, 5), varying=(1, 18))


def test_products_of_a_crop_and_of_halves_add() -> None:
    """The sums of two parts of the positions are those of the whole: nothing is counted twice, or lost."""
    x, y, _ = made(9, 1)
    design = Design(Support(-1, -2, 3, 5), Basis(1, SHAPE), Basis(1, SHAPE), 100.0, 100.0)
    left = np.zeros(SHAPE, bool)
    left[:, :21] = True
    parts = [products(prepare(x, y, mask=m, clip=None).planes[0], design) for m in (None, left, ~left)]
    assert parts[0][1] > parts[1][1] + parts[2][1] - 1
    whole, first, second = (p[0] for p in parts)
    seam = products(prepare(x, np.where(left | ~left, y, 0), clip=None).planes[0], design)[0]
    assert np.allclose(whole, seam)
    assert first[45, 45] + second[45, 45] <= whole[45, 45]


@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect", "mirror", "wrap"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_border_of_a_kernel_that_varies_is_found_and_used(mode, noise):
    """Two kernels of scipy.ndimage, weighted over the field, and a plane."""
    rng = np.random.default_rng(0)
    before = ndimage.gaussian_filter(rng.normal(size=(90, 110)), 1.0) * 60.0 + 120.0
    rows, columns = np.linspace(-1, 1, 90)[:, None], np.linspace(-1, 1, 110)
    narrow, wide = (np.outer(line, line) for line in (np.array([0, 1, 4, 1, 0]) / 6.0, np.array([1, 2, 3, 2, 1]) / 9.0))
    sums = [ndimage.correlate(before, kernel, mode=mode, cval=7.0) for kernel in (narrow, wide)]
    after = (0.6 + 0.3 * rows) * sums[0] + (0.4 + 0.1 * columns) * sums[1] + 3.0 + 2.0 * columns
    fit = kf.learn(before, after + noise * rng.normal(size=after.shape), size=5, varying=1, background=1)
    assert (fit.verdict, fit.boundary) == ("approximate" if noise else "exact", mode)
    assert fit.cval == pytest.approx(7.0 if mode == "constant" else 0.0, abs=noise)
    assert np.abs(fit.apply(before) - after).max() < (4.0 if noise else 1e-9)
    assert any(note.startswith("the background is ") for note in fit.notes)
    corner = fit.at(0, 109)
    truth = 0.3 * narrow + 0.5 * wide
    assert np.abs(corner.kernel.weights - truth).max() < 5.0 * corner.stderr.max() + 1e-9
    assert corner.offset == pytest.approx(5.0, abs=40.0 * noise + 1e-6)
    assert corner.plain
    assert corner.mtf().value[0] == pytest.approx(1.0)
    assert "that of row 0, column 109" in corner.export("numpy")


def test_a_border_whose_weights_are_rescaled_is_that_of_the_place():
    rng = np.random.default_rng(2)
    before = rng.normal(size=(60, 70))
    share = np.linspace(0.2, 0.8, 60)[:, None]
    kernels = [np.full((3, 3), 1.0 / 9.0), np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]) / 6.0]
    wide = np.pad(before, 1, constant_values=np.nan)
    after = np.empty(before.shape)
    for (i, j), _ in np.ndenumerate(after):
        own = share[i, 0] * kernels[0] + (1.0 - share[i, 0]) * kernels[1]
        window = wide[i : i + 3, j : j + 3]
        held = np.isfinite(window)
        after[i, j] = (own[held] @ window[held]) * own.sum() / own[held].sum()
    fit = kf.learn(before, after, size=3, varying=1)
    assert (fit.verdict, fit.boundary) == ("exact", "renormalised")
    np.testing.assert_allclose(fit.apply(before), after, atol=1e-9)


def test_errors_at_a_place_cover_the_truth():
    """Of weights at the corners, over pairs with noise: the share within two errors."""
    rng = np.random.default_rng(4)
    inside = count = 0
    for _ in range(20):
        before = rng.normal(size=(50, 60))
        rows = np.linspace(-1, 1, 50)[:, None]
        kernel = rng.normal(size=(3, 3))
        after = (1.0 + 0.5 * rows) * kf.correlate(before, kernel) + rng.normal(scale=0.3, size=before.shape)
        fit = kf.learn(before, after, size=3, varying=1)
        for row, factor in ((0, 0.5), (24.5, 1.0), (49, 1.5)):
            place = fit.at(row, 3)
            inside += int((np.abs(place.kernel.weights - factor * kernel) < 1.96 * place.stderr).sum())
            count += 9
    assert 0.90 < inside / count < 0.985


def test_a_place_is_saved_and_refused_outside(tmp_path):
    rng = np.random.default_rng(1)
    before = rng.normal(size=(40, 50))
    fit = kf.learn(before, kf.correlate(before, rng.normal(size=(3, 3))), size=3, varying=1)
    fit.save(tmp_path / "fit.json")
    again = kf.Fit.load(tmp_path / "fit.json")
    np.testing.assert_array_equal(again.at(3, 4).stderr, fit.at(3, 4).stderr)
    assert (again.boundary, again.cval) == (fit.boundary, fit.cval)
    with pytest.raises(ArgumentError, match="row, column: expected a place in the field of 40×50"):
        fit.at(40, 0)
    with pytest.raises(ArgumentError, match="row: expected a number"):
        fit.at("top", 0)
    with pytest.raises(ArgumentError, match="fit: expected a kernel that varies"):
        fit.at(0, 0).at(0, 0)
    with pytest.raises(ArgumentError, match=r"take fit.at\(row, column\)"):
        fit.mtf()


@pytest.mark.parametrize("share", [1e10, 3e7])
def test_held_out_tiles_of_a_kernel_that_varies(monkeypatch, share):
    """The oracle: the share that noise of 0.5 leaves; with few pixels a weight, free weights explain what is chance."""
    monkeypatch.setattr("kernelfield.learning.models.held_out_r2._EXPLICIT", share)
    rng = np.random.default_rng(0)
    before = rng.normal(size=(96, 104))
    rows = np.linspace(-1, 1, 96)[:, None]
    after = (1.0 + 0.5 * rows) * ndimage.uniform_filter(before, 3) + 2.0 * rows + 0.5 * rng.normal(size=before.shape)
    fit = kf.learn(before, after, size=3, varying=1, background=1)
    assert fit.held_out_r2(before, after) == pytest.approx(1.0 - 0.25 / after.var(), abs=0.02 if share > 1e9 else 0.06)
    # As many weights as a quarter of the pixels: held-out pixels are worse than those learned from.
    small = before[:30, :32], after[:30, :32]
    loose = kf.learn(*small, size=5, varying=2)
    assert loose.held_out_r2(*small) < loose.r2 - 0.01
    with pytest.raises(ArgumentError, match="after: expected the field of the kernel, 96×104"):
        fit.held_out_r2(*small)
