"""The verdict for evidence on either side of each threshold, and the sentence that says which sign decided."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from kernelfield.learning.alternatives import Signs
from kernelfield.learning.verdict import Evidence, explain, judge

pytestmark = pytest.mark.core

NOISE = Signs(0.0, 1.0, 0.0, None)
STRONG = Evidence(False, True, 1.0, 1.0, 0.99, 9, 10_000, 0, NOISE)


def signs(**changes) -> Evidence:
    return replace(STRONG, signs=replace(NOISE, **changes))


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (replace(STRONG, exact=True), "exact"),
        (replace(STRONG, exact=True, complete=False), "undetermined"),
        (replace(STRONG, complete=False), "undetermined"),
        (replace(STRONG, signs=None), "approximate"),
        (STRONG, "approximate"),
        (signs(looks_like="the median"), "not linear"),
        (replace(signs(curve=0.2, compressed=True), r2=0.7), "approximate"),
        (replace(signs(looks_like="the median"), channels=0.99), "not linear"),
        (replace(signs(curve=0.5), channels=0.99), "approximate"),
        (replace(signs(curve=0.5), channels=0.5), "not linear"),
        (replace(signs(curve=0.5), channels=0.99, complete=False), "undetermined"),
        # The brightness.
        (signs(curve=0.15), "approximate"),
        (signs(curve=0.151), "not linear"),
        # A picture that repeats.
        (replace(signs(curve=0.5), repeats="5 rows", windows=90, r2=0.89), "undetermined"),
        (replace(signs(curve=0.5), repeats="5 rows", windows=90, r2=0.91), "not linear"),
        (replace(signs(looks_like="the median"), repeats="5 rows", windows=90, r2=0.51), "not linear"),
        (replace(signs(looks_like="light"), repeats="5 rows", windows=90, r2=0.49), "undetermined"),
        (replace(STRONG, repeats="5 rows", windows=90, r2=0.2, exact=True), "exact"),
        (replace(STRONG, repeats="5 rows", windows=90), "approximate"),
        (replace(STRONG, repeats="5 rows", windows=89), "undetermined"),
        (replace(STRONG, windows=89), "approximate"),
        # Busy parts.
        (signs(texture=3.0), "approximate"),
        (signs(texture=3.01), "not linear"),
        (signs(texture=3.01, grows=True), "approximate"),
        (signs(texture=3.01, grows=True, curve=0.021), "not linear"),
        # R² counts where the residual is unlike noise.
        (replace(signs(curve=0.03), r2=0.901), "approximate"),
        (replace(signs(curve=0.03), r2=0.899), "not linear"),
        (replace(signs(curve=0.019), r2=0.1), "approximate"),
        (replace(signs(texture=1.49), r2=0.6), "approximate"),
        (replace(signs(texture=1.51), r2=0.6), "not linear"),
        (replace(signs(texture=0.67), r2=0.6), "approximate"),
        (replace(signs(texture=0.66), r2=0.6), "not linear"),
        (replace(signs(correlation=0.49), r2=0.6), "approximate"),
        (replace(signs(correlation=-0.51), r2=0.6), "not linear"),
        # The end of the search excuses what is missing, but no curve.
        (replace(signs(texture=5.0), limit=31), "approximate"),
        (replace(signs(texture=5.0, curve=0.16), limit=31), "not linear"),
        (replace(signs(texture=5.0), limit=31, r2=0.9), "not linear"),
        (replace(signs(texture=5.0, curve=0.15), limit=31), "not linear"),
        (signs(texture=3.01, grows=True, curve=0.015), "approximate"),
        (signs(texture=3.01, grows=True, curve=0.02), "not linear"),
        (replace(signs(texture=1.5), r2=0.6), "not linear"),
        (replace(signs(curve=0.02), r2=0.6), "not linear"),
        (replace(signs(correlation=0.5), r2=0.6), "not linear"),
        (replace(signs(curve=0.5), channels=0.51), "approximate"),
        # The null: an F statistic of at least 1 + 8 √(2 / 9) = 4.77 of 9 weights.
        (replace(STRONG, r2=0.0045), "approximate"),
        (replace(STRONG, r2=0.0040), "not linear"),
        (replace(signs(correlation=0.4), r2=0.0045), "not linear"),
        (replace(signs(correlation=0.4), r2=0.03), "approximate"),
        (replace(STRONG, r2=0.76, count=9), "approximate"),
        (replace(STRONG, r2=0.74, count=9), "not linear"),
    ],
)
def test_the_verdict_beside_each_threshold(evidence, verdict):
    assert judge(evidence) == verdict


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (replace(STRONG, exact=True), "only rounding is left"),
        (replace(STRONG, exact=True, outliers=1), "without 1 pixel that it"),
        (replace(STRONG, exact=True, outliers=1200), "without 1,200 pixels that it"),
        (STRONG, "accounts for 99 % of the variance; the residual has a standard deviation of 1, 3.46 times that of"),
        (STRONG, "the same in calm and busy parts, as noise is"),
        (replace(STRONG, step=0.0), "a standard deviation of 1; it"),
        (signs(correlation=0.2), "as noise is; neighbours are alike .correlation 0.2."),
        (signs(texture=3.5, grows=True), "in its size alone, as shot noise and speckle do"),
        (signs(correlation=0.1), "as noise is$"),
        (signs(correlation=0.11), "neighbours are alike"),
        (signs(grows=True), "the same in calm and busy parts, as noise is"),
        (signs(texture=1.5, curve=0.02), "completely: .* 1.5 times as large"),
        (replace(signs(curve=0.03, correlation=0.3), r2=0.4), "too large for a linear filter"),
        (replace(signs(curve=0.03, correlation=0.31), r2=0.4), "hardly follows the before"),
        (signs(texture=2.0), "completely: .* 2 times as large in busy parts"),
        (signs(texture=0.5), "completely: .* 0.5 times as large in busy parts"),
        (signs(correlation=0.6), "completely: .* neighbouring pixels of it are alike"),
        (signs(curve=0.05), "completely: .* 5 % of it follow the brightness"),
        (signs(curve=0.2), "the picture: .* depends on the brightness, as after a tone curve"),
        (signs(texture=3.5), "the picture: .* 3.5 times as large in busy parts .* adapts to edges"),
        (signs(looks_like="the median", every=True), "looks like the median, which gives every pixel"),
        (replace(signs(curve=0.03), r2=0.8), "too large for a linear filter"),
        (replace(signs(curve=0.15), r2=0.8), "too large for a linear filter"),
        (replace(STRONG, r2=0.001), "does not follow the before"),
        (replace(signs(correlation=0.6), r2=0.4), "hardly follows the before"),
        (replace(STRONG, limit=31), "ended at its limit of 31×31"),
        (replace(signs(curve=0.05), channels=0.99), "channels='separate'"),
        (replace(STRONG, complete=False), "does not determine the kernel"),
        (replace(STRONG, exact=True), "^the filter explains the picture; only"),
        (replace(signs(curve=0.2, compressed=True), r2=0.7), "completely: .* no more than JPEG's quantisation"),
        (replace(STRONG, blank=True), "has a single value"),
        (signs(texture=0.1, grows=True), "in its size alone"),
        (signs(texture=0.67, grows=True), "the same in calm and busy parts"),
    ],
)
def test_the_sentence_names_the_sign(evidence, words):
    assert re.search(words, explain(judge(evidence), evidence))


def test_evidence_says_nothing_that_it_was_not_told():
    assert judge(Evidence(False, True, 1.0, 1.0, 0.99, 9, 10_000, 0, NOISE)) == "approximate"
    assert judge(Evidence(True, True, 1.0, 1.0, 0.99, 9, 10_000, 0, None, blank=True)) == "undetermined"


@pytest.mark.parametrize(
    ("r2", "outliers", "related"),
    [(0.3, 500, True), (0.3, 501, False), (0.49, 501, False), (0.5, 5000, True), (0.51, 5000, True)],
)
def test_many_pixels_left_out_of_a_fit_that_explains_little(r2, outliers, related):
    assert replace(STRONG, r2=r2, outliers=outliers).related == related


@pytest.mark.parametrize(
    ("r2", "count", "correlation", "related"),
    [
        # Of 31 pixels and 9 weights 21 degrees of freedom: F of 4.77 is R² of 0.6716.
        (0.673, 31, 0.0, True),
        (0.670, 31, 0.0, False),
        # Nine weights of nine pixels explain any after.
        (0.7, 10, 0.0, False),
        # A correlation of 0.95, the most that is believed, leaves 657 of a million pixels.
        (0.064, 1_000_000, 0.99, True),
        (0.060, 1_000_000, 0.99, False),
        (0.064, 1_000_000, -0.99, True),
        (0.060, 1_000_000, -0.99, False),
    ],
)
def test_the_null_counts_degrees_of_freedom(r2, count, correlation, related):
    assert replace(signs(correlation=correlation), r2=r2, count=count).related == related
