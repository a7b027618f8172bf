"""The report of a fit: one file that asks nothing of others, whose views move together."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from html import unescape

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import kernelfield as kf
from kernelfield.errors import ArgumentError, FileError


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    before = ndimage.gaussian_filter(rng.normal(size=(90, 120)), 1) * 200 + 128
    before = before.clip(0, 255).astype(np.uint8)
    after = kf.correlate(before, kf.kernels.gaussian(1.0, 5)) + rng.normal(size=before.shape)
    return before, after.clip(0, 255).round().astype(np.uint8)


def written(fit, folder, *arguments, **options):
    fit.report(folder / "report.html", *arguments, **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def pictures_of(page):
    """Return the pictures of the views, by name."""
    found = re.findall(r'<img alt="(\w+)"[^>]*base64,([^"]+)"', page)
    return {name: np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for name, data in found}


def test_the_page_shows_the_pair_on_one_scale_and_what_was_found(pair, tmp_path):
    fit = kf.learn(*pair, size=5)
    page = written(fit, tmp_path, *pair, command="kernelfield learn a b --report <c>")
    shown = pictures_of(page)
    np.testing.assert_array_equal(shown["Before"], pair[0])
    np.testing.assert_array_equal(shown["After"], pair[1])
    off = shown["Predicted"].astype(float) - fit.apply(pair[0], dtype=np.float64)
    assert np.abs(off).max() <= 0.51
    left = pair[1] - fit.apply(pair[0], dtype=np.float64)
    strong = np.abs(left) > 1
    assert (shown["Residual"][strong & (left > 0)][:, 0] > shown["Residual"][strong & (left > 0)][:, 2]).all()
    text = unescape(page)
    assert "kernelfield learn a b --report <c>" in text
    assert "MTF50" in text
    assert "± " in text
    assert f"R² {fit.held_out_r2(*pair):.6f} of tiles" in text
    assert fit.explanation in text


@pytest.mark.parametrize("kind", ["not linear", "undetermined", "sobel", "crop", "colour", "large", "NaN", "mixed"])
def test_every_kind_of_fit_has_a_page(kind, pair, tmp_path):
    before, after = pair
    if kind == "not linear":
        after = ndimage.median_filter(before, 5)
    elif kind == "undetermined":
        after = before = np.repeat(before[:1], 50, axis=0)
    elif kind == "sobel":
        after = kf.correlate(before, kf.kernels.sobel(), dtype=np.float64)
    elif kind == "crop":
        after = kf.correlate(before, [[1.0, 2.0, 1.0]])[5:80, 7:100]
    elif kind == "colour":
        before, after = (np.stack([one, one[::-1], 255 - one], axis=2) for one in pair)
    elif kind == "mixed":
        before = np.stack([before, before[::-1], 255 - before // 2], axis=2)
        after = np.clip(before @ np.array([[0.5, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.1, 0.7]]), 0, 255)
    elif kind == "large":
        before, after = (np.tile(one, (1, 10)) for one in pair)
    elif kind == "NaN":
        after = np.where(np.arange(120) == 40, np.nan, after)
    fit = kf.learn(before, after, size=3 if kind in ("undetermined", "NaN", "large", "mixed") else None)
    page = written(fit, tmp_path, before, after)
    shown = pictures_of(page)
    assert set(shown) == {"Before", "After", "Predicted", "Residual"}
    step = -(-max(after.shape[:2]) // 1000)
    assert shown["After"].shape[:2] == tuple(n // step for n in after.shape[:2])
    assert ("<h2>Modulation transfer</h2>" in page) == (kind not in ("not linear", "sobel", "mixed"))
    assert ("<h2>Kernel</h2>" in page) == (kind != "not linear")
    if kind == "NaN":
        assert (shown["After"][:, 40, 1] == 0).all()


def test_the_page_holds_no_markup_of_others(pair, tmp_path):
    fit = dataclasses.replace(kf.learn(*pair, size=3), description="<script>alert(1)</script>", notes=("<b>",))
    page = written(fit, tmp_path, *pair, command="<img src=x onerror=alert(2)>")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<b></td>" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_another_pair_and_a_place_that_cannot_be_written_are_refused(pair, tmp_path):
    fit = kf.learn(*pair, size=3)
    with pytest.raises(ArgumentError, match="give the pair learned"):
        fit.report(tmp_path / "a.html", pair[0], pair[1][:-9])
    with pytest.raises(FileError):
        fit.report(tmp_path / "none" / "a.html", *pair)
    assert not list(tmp_path.iterdir())


def test_the_views_move_together_in_a_browser(browser, pair, tmp_path):
    written(kf.learn(*pair, size=3), tmp_path, *pair)
    page = browser.new_page(viewport={"width": 390, "height": 800})
    problems, asked = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    views = page.locator(".view img")

    def moved():
        return {one.evaluate("image => image.style.transform") for one in views.all()}

    page.locator("#in").click()
    [zoomed] = moved()
    assert "scale(1.5)" in zoomed
    page.locator(".view").nth(3).press("ArrowRight")
    [after] = moved()
    assert after != zoomed
    page.locator("#all").click()
    assert moved() == {"translate(0px, 0px) scale(1)"}
    page.locator(".view").nth(2).hover(position={"x": 5, "y": 5})
    assert page.locator("#where").text_content() == "row 1, column 1"
    assert not problems
    assert all(url.startswith(("file:", "data:")) for url in asked)
    page.close()
