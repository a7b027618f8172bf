"""The page with its server, as a person uses them: files opened and learned from in Python, Cancel, a lost server."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.lab import served
from playwright.sync_api import Page, expect
from scipy import signal

import kernelfield as kf

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def opened(lab, page) -> Page:
    page.goto(lab.address)
    expect(page.locator("[data-learn]")).to_be_attached()
    return page


def give(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files(files)


def test_the_token_leaves_the_address_and_a_page_that_is_loaded_again_has_it(lab, opened):
    assert lab.token not in opened.url
    opened.reload()
    give(opened, EXAMPLES / "before.png", EXAMPLES / "after.png")
    opened.locator("[data-learn]").click()
    expect(opened.locator(".verdict strong")).to_have_text("exact")
    fit = kf.learn(EXAMPLES / "before.png", EXAMPLES / "after.png")
    expect(opened.locator(".verdict")).to_contain_text(f"{fit.samples} used, {fit.excluded} left out")


def test_sixteen_bits_stay_sixteen_bits(opened, tmp_path):
    before = np.random.default_rng(0).integers(0, 40_000, (60, 70), np.uint16)
    after = kf.correlate(before, [[1, 2, 1]], boundary="mirror").astype(np.uint16)
    for name, pixels in (("before", before), ("after", after)):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
    give(opened, tmp_path / "before.tif", tmp_path / "after.tif")
    opened.locator("[data-learn]").click()
    fit = kf.learn(before, after)
    expect(opened.locator(".verdict strong")).to_have_text(fit.verdict)
    expect(opened.locator(".verdict")).to_contain_text(f"{fit.samples}")


def test_transparency_is_left_out_and_said(opened, tmp_path):
    tifffile.imwrite(tmp_path / "clear.tif", np.full((20, 30, 4), 200, np.uint8), photometric="rgb", extrasamples=(2,))
    give(opened, tmp_path / "clear.tif")
    expect(opened.locator(".message")).to_contain_text("transparency is left out")


def test_a_file_that_is_no_picture_is_one_line(opened, tmp_path):
    (tmp_path / "note.png").write_text("not a picture")
    give(opened, tmp_path / "note.png")
    expect(opened.locator(".message")).to_contain_text("'note.png': the content is not PNG")


def test_cancel(opened, tmp_path):
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (2000, 2000), np.uint8)
    # Many weights of no pattern, and noise: some seconds of work on a fast machine.
    after = signal.fftconvolve(before - 127.5, rng.random((61, 61)) / 180.0, mode="same") + rng.normal(
        128, 20, before.shape
    )
    np.save(tmp_path / "before.npy", before)
    np.save(tmp_path / "after.npy", np.clip(after, 0, 255).astype(np.uint8))
    give(opened, tmp_path / "before.npy", tmp_path / "after.npy")
    expect(opened.locator(".pane.before")).to_contain_text("2000 × 2000")
    opened.locator("[data-learn]").click()
    cancel = opened.get_by_role("button", name="Cancel")
    expect(opened.locator(".working .note")).to_have_text(
        re.compile(r"(searching|solving|estimating|trying) [a-z ]*, \d+ s")
    )
    assert 0 < opened.locator("progress").evaluate("bar => bar.value") < 1
    cancel.click()
    expect(cancel).to_be_hidden()
    give(opened, EXAMPLES / "before.png", EXAMPLES / "after.png")
    expect(opened.locator(".pane.before")).to_contain_text("512 × 512")
    opened.locator("[data-learn]").click()
    expect(opened.locator(".verdict strong")).to_have_text("exact")


def test_code_is_shown(opened):
    opened.locator("summary", has_text="export").click()
    opened.locator("[data-code=opencv]").click()
    expect(opened.locator("dialog pre")).to_contain_text(re.compile(r"# difference.*cv2\.filter2D", re.DOTALL))


def test_a_server_that_goes_is_said(page):
    page.expected.append("WebSocket connection to .* failed")
    with served() as own:
        page.goto(own.address)
        give(page, EXAMPLES / "before.png", EXAMPLES / "after.png")
        expect(page.locator(".pane.before")).to_contain_text("512 × 512")
    page.locator("[data-learn]").click()
    expect(page.locator(".message")).to_have_text(
        "kernelfield lab does not answer; start it again and open the address that it prints"
    )
