"""Whatever is wrong with the input of learn: one line, status 1 or 2, nothing written."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import kernelfield.learning.plot


@pytest.fixture
def broken(pictures, pixels, tmp_path_factory):
    """A folder of pictures that are wrong."""
    folder = tmp_path_factory.mktemp("broken")
    whole = (pictures / "grey.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("this is no picture")
    (folder / "empty.png").write_bytes(b"")
    grey = pixels(pictures / "grey.png")
    Image.fromarray(grey[:-90]).save(folder / "smaller.png")
    Image.fromarray(np.pad(grey, 4)).save(folder / "larger.png")
    Image.fromarray(np.ones((5, 5), np.uint8)).save(folder / "other-size.png")
    Image.fromarray(np.zeros_like(grey)).save(folder / "black.png")
    np.save(folder / "nan.npy", np.full(grey.shape, np.nan, np.float32))
    np.save(folder / "tiny.npy", np.arange(4.0).reshape(2, 2))
    np.save(folder / "objects.npy", np.array([["a", "b"]]))
    return folder


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ("missing.png", "no such file"),
        ("cut.png", "cut short"),
        ("text.png", "not PNG"),
        ("empty.png", "empty"),
        ("objects.npy", "real numbers"),
        ("", "a folder"),
        ("smaller.png", "crop both"),
        ("larger.png", "expected at most"),
        ("nan.npy", "only NaN"),
    ],
)
def test_pictures(refused, pictures, broken, tmp_path, after, says):
    targets = "--save", tmp_path / "filter.json", "--plot", tmp_path / "report.png"
    assert says in refused(1, "learn", pictures / "grey.png", broken / after, *targets)
    assert list(tmp_path.iterdir()) == []


def test_grey_and_colour(refused, pictures):
    line = refused(1, "learn", pictures / "flower.png", pictures / "grey.png")
    assert "expected 3 channel(s) (R, G, B)" in line
    assert "received 1 (grey)" in line
    assert "expected 3 channel(s)" in refused(
        1, "learn", pictures / "flower.png", pictures / "grey.png", "--per-channel"
    )


def test_too_small(refused, broken):
    assert "expected at least" in refused(1, "learn", broken / "tiny.npy", broken / "tiny.npy", "--size", "3")


@pytest.mark.parametrize(
    ("mask", "says"),
    [("other-size.png", "mask: expected the shape"), ("black.png", "received only 0"), ("cut.png", "cut short")],
)
def test_masks(refused, pictures, broken, mask, says):
    pair = pictures / "grey.png", pictures / "grey-sharpen.png"
    assert says in refused(1, "learn", *pair, "--mask", broken / mask)


@pytest.mark.parametrize(("name", "channel"), [("flower", "X"), ("grey", "R")])
def test_unknown_channel(refused, pictures, name, channel):
    pair = pictures / f"{name}.png", pictures / f"{name}-sharpen.png"
    assert "--channel: expected one of" in refused(1, "learn", *pair, "--channel", channel)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--size", "99"), "size: expected"),
        (("--max-size", "0"), "max_size: expected"),
        (("--max-pixels", "100"), "--max-pixels"),
        (("--max-pixels", "0"), "max_pixels: expected"),
        (("--save", "nowhere/filter.json"), "choose another place"),
        (("--save", "."), "is a folder"),
        (("--plot", "nowhere/report.png"), "choose another place"),
    ],
)
def test_options_that_the_library_refuses(refused, pictures, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused(1, "learn", pictures / "grey.png", pictures / "grey-sharpen.png", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--size", "5x"), "--size: expected"),
        (("--size", "0"), "--size: expected"),
        (("--size", "3,4,5"), "--size: expected"),
        (("--size", "-3"), "--size"),
        (("--size",), "--size"),
        (("--clip", "5"), "--clip: expected LOW,HIGH"),
        (("--clip", "9,3"), "--clip: expected LOW,HIGH"),
        (("--clip", "nan,3"), "--clip: expected LOW,HIGH"),
        (("--max-size", "big"), "--max-size"),
        (("--plot", "report.gif"), "--plot: expected"),
        (("--channel", "R", "--per-channel"), "--per-channel"),
        (("--sise", "3"), "Did you mean --size?"),
        (("more.png",), "more.png"),
    ],
)
def test_usage(refused, pictures, options, says):
    line = refused(2, "learn", pictures / "grey.png", pictures / "grey-sharpen.png", *options)
    assert says in line
    assert line.endswith("See: kernelfield learn --help")


def test_usage_of_commands(refused):
    assert "Did you mean" in refused(2, "lern")
    assert refused(2, "learn").endswith("See: kernelfield learn --help")
    assert "sideways" in refused(2, "apply", "a", "b", "c", "--boundary", "sideways")


def test_a_folder_without_permission(refused, pictures, tmp_path, monkeypatch):
    # Root, as which tests may run, can write anywhere.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    target = tmp_path / "filter.json"
    line = refused(1, "learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--save", target)
    assert "no folder that can be written" in line


def test_nothing_half_written_is_left(refused, pictures, tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    line = refused(1, "learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--save", tmp_path / "f.json")
    assert "No space left on device" in line
    assert list(tmp_path.iterdir()) == []


def test_names_cannot_break_the_line(refused, pictures, tmp_path):
    line = refused(1, "learn", tmp_path / "a\nb\x1b[31m.png", pictures / "grey.png")
    assert "\x1b" not in line
    refused(1, "apply", tmp_path / "a\nb\x1b[31m.json", pictures / "grey.png", tmp_path / "c.png")


def test_no_matplotlib(refused, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(kernelfield.learning.plot.importlib.util, "find_spec", lambda name: None)
    line = refused(1, "learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--plot", tmp_path / "a.png")
    assert "pip install 'kernelfield[plot]'" in line


def test_no_memory(refused, pictures, monkeypatch):
    def out_of_memory(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("kernelfield.apps.learn.learn_kernel", out_of_memory)
    assert "not enough memory" in refused(1, "learn", pictures / "grey.png", pictures / "grey-sharpen.png")


def test_interrupted(run, pictures, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("kernelfield.apps.learn.learn_kernel", interrupt)
    result = run("learn", pictures / "grey.png", pictures / "grey-sharpen.png")
    assert (result.status, result.out, result.err) == (130, "", "")
