"""What a pair does not tell, as pictures: against the pair itself, and against a projection of NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.learning.null_space import null_space

# Columns of a sine: two directions are known of three rows and columns.
BEFORE = np.tile(np.sin(np.arange(50) * 0.9) * 50.0 + 100.0, (40, 1))
AFTER = kf.correlate(BEFORE, kf.kernels.box(3))


@pytest.fixture(scope="module")
def fit():
    return kf.learn(BEFORE, AFTER, size=3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 4))
def test_shares_and_kernels_are_those_of_the_projection(seed, count, most):
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0][:, :count]
    found = null_space(basis.T.reshape(count, 2, 3), most)
    projection = basis @ basis.T
    np.testing.assert_allclose(found.share.ravel(), np.diag(projection), atol=1e-12)
    kernels = found.kernels.reshape(len(found.kernels), 6)
    assert len(kernels) == min(most, count)
    np.testing.assert_allclose(kernels @ projection, kernels, atol=1e-5)
    np.testing.assert_allclose(np.abs(kernels).max(axis=1, initial=0.0), 1.0, atol=1e-9)
    inner = kernels @ kernels.T
    np.testing.assert_allclose(inner - np.diag(np.diag(inner)), 0.0, atol=1e-5)


def test_kernels_that_are_shown_change_nothing_in_the_pair(fit):
    assert fit.verdict == "undetermined"
    found = null_space(fit.undetermined, 3)
    assert found.count == 7 == 9 - fit.rank
    for kernel in found.kernels:
        change = kf.correlate(BEFORE, kernel, mode="valid")
        np.testing.assert_allclose(change - change.mean(), 0.0, atol=1e-9)


def test_the_figure_and_the_report_show_them(fit, tmp_path):
    alone = [axes.get_title() for axes in fit.plot().axes]
    assert [title for title in alone if title] == [
        "Kernel 3×3, one of several",
        "Share of each weight not told",
        "A kernel that changes nothing",
        "Another",
    ]
    with_pair = {axes.get_title() for axes in fit.plot(BEFORE, AFTER).axes}
    assert {
        "Before",
        "After",
        "Residual",
        "Share of each weight not told",
        "A kernel that changes nothing",
    } <= with_pair
    assert any(axes.get_xlabel() == "7 of 9 directions are not determined" for axes in fit.plot().axes)
    fit.report(tmp_path / "report.html", BEFORE, AFTER)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Not determined</h2>" in page
    assert "7 of 9 directions of the kernel" in page
    known = kf.learn(np.random.default_rng(0).normal(size=(30, 30)), np.random.default_rng(0).normal(size=(30, 30)))
    assert len([axes for axes in known.plot().axes if axes.get_title()]) == 1
