from __future__ import annotations

import html
import json
import re
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

SHARPEN = np.array([[-2, -2, -2], [-2, 32, -2], [-2, -2, -2]]) / 16


def test_the_answer_is_seen_at_a_glance(run, pictures):
    result = run("learn", pictures / "grey.png", pictures / "grey-sharpen.png")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "Sharpen, amount 0.125, 8 neighbours (Pillow's SHARPEN)"
    assert lines[1].startswith("exact: ")
    assert lines[3:6] == ["   -1  -1  -1", "   -1 [16] -1", "   -1  -1  -1"]
    assert "Cross-correlation weights, each over 8; for convolution they are the same." in lines
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in result.out


def test_json_alone_on_stdout(run, pictures, valid):
    result = run("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--json")
    assert (result.status, result.err) == (0, "")
    record = valid(result.out)
    np.testing.assert_array_equal(record["kernel"], SHARPEN)
    assert (record["verdict"], record["name"], record["boundary"]) == ("exact", "sharpen", "copy")
    assert (record["size"], record["anchor"], record["channels"]) == ([3, 3], [1, 1], ["grey"])


def test_save_writes_what_json_prints(run, pictures, tmp_path):
    pair = pictures / "grey.png", pictures / "grey-sharpen.png"
    shown = run("learn", *pair, "--save", tmp_path / "filter.json")
    assert shown.out.startswith("Sharpen")
    assert (tmp_path / "filter.json").read_text() == run("learn", *pair, "--json").out


def test_json_of_a_pair_that_cannot_tell(run, tmp_path, valid):
    # The chapter's edge image: two columns of change know little of nine weights.
    edge = np.ones((6, 8), np.float32)
    edge[:, 2:6] = 0
    after = np.zeros((6, 8), np.float32)
    after[:, 1:] = edge[:, :-1] - edge[:, 1:]
    np.save(tmp_path / "before.npy", edge)
    np.save(tmp_path / "after.npy", after)
    result = run("learn", tmp_path / "before.npy", tmp_path / "after.npy", "--size", "3", "--json")
    record = valid(result.out)
    assert record["verdict"] == "undetermined"
    assert any(None in row for row in record["stderr"])
    assert len(record["undetermined"]) == 9 - record["rank"] > 0
    text = run("learn", tmp_path / "before.npy", tmp_path / "after.npy", "--size", "3").out
    assert text.splitlines()[1].startswith("undetermined: ")


def test_not_linear_is_said_first(run, pictures):
    result = run("learn", pictures / "grey.png", pictures / "grey-median.png", "--max-size", "9")
    assert result.status == 0
    first, second = result.out.splitlines()[:2]
    assert first.startswith("No linear filter; like the median of")
    assert second.startswith("not linear: the filter does not explain the picture")


@pytest.mark.parametrize(("typed", "size"), [("5", [5, 5]), ("3,5", [3, 5]), ("3x7", [3, 7])])
def test_size(run, pictures, valid, typed, size):
    result = run("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--size", typed, "--json")
    assert valid(result.out)["size"] == size


def test_max_size(run, pictures, valid):
    pair = pictures / "grey.png", pictures / "grey-median.png"
    assert max(valid(run("learn", *pair, "--max-size", "5", "--json").out)["size"]) <= 5


def test_mask_leaves_pixels_out(run, pictures, pixels, tmp_path, valid):
    spoilt = pixels(pictures / "grey-sharpen.png").copy()
    spoilt[20:60, 30:90] = 7
    mask = np.full(spoilt.shape, 255, np.uint8)
    mask[20:60, 30:90] = 0
    Image.fromarray(spoilt).save(tmp_path / "after.png")
    Image.fromarray(np.stack([mask] * 3, axis=2)).save(tmp_path / "mask.png")
    pair = pictures / "grey.png", tmp_path / "after.png"
    result = run("learn", *pair, "--mask", tmp_path / "mask.png", "--size", "3", "--json")
    assert valid(result.out)["verdict"] == "exact"
    assert "leaves out 2,400 of 48,000 pixels" in result.err
    assert valid(run("learn", *pair, "--size", "3", "--json").out)["verdict"] != "exact"


def test_clip(run, tmp_path, valid):
    rng = np.random.default_rng(3)
    before = rng.integers(0, 4096, (90, 100)).astype(np.uint16)
    after = before.astype(float)
    after[:, 1:-1] = 1.5 * before[:, 1:-1] - 0.25 * before[:, :-2].astype(float) - 0.25 * before[:, 2:]
    np.save(tmp_path / "before.npy", before)
    np.save(tmp_path / "after.npy", np.clip(np.rint(after), 0, 4095).astype(np.uint16))
    pair = "learn", tmp_path / "before.npy", tmp_path / "after.npy", "--size", "1,3", "--json"
    right = valid(run(*pair, "--clip", "0,4095").out)
    np.testing.assert_allclose(right["kernel"], [[-0.25, 1.5, -0.25]], atol=2e-3)
    assert right["excluded"] > 100
    for wrong in ("none", "-1,5000"):
        record = valid(run(*pair, "--clip", wrong).out)
        assert record["excluded"] == 0
        assert abs(record["kernel"][0][1] - 1.5) > 0.02


def test_channels_share_a_filter(run, pictures, valid):
    record = valid(run("learn", pictures / "flower.png", pictures / "flower-sharpen.png", "--json").out)
    assert record["channels"] == ["R", "G", "B"]
    assert len(record["offset"]) == 3
    np.testing.assert_array_equal(record["kernel"], SHARPEN)


def test_one_channel(run, pictures, valid):
    arguments = "learn", pictures / "flower.png", pictures / "flower-sharpen.png", "--channel", "g", "--json"
    record = valid(run(*arguments).out)
    assert record["channels"] == ["G"]
    assert record["offset"] == 0


def test_each_channel(run, pictures, tmp_path, pixels, valid):
    names = ("emboss", "sharpen", "emboss")
    mixed = [pixels(pictures / f"flower-{name}.png")[..., i] for i, name in enumerate(names)]
    Image.fromarray(np.stack(mixed, axis=2)).save(tmp_path / "after.png")
    pair = pictures / "flower.png", tmp_path / "after.png"
    record = valid(run("learn", *pair, "--per-channel", "--json").out)
    assert [record["channels"][c]["name"] for c in "RGB"] == ["emboss", "sharpen", "emboss"]
    text = run("learn", *pair, "--per-channel").out
    assert re.findall(r"^([RGB]): (\w+)", text, re.M) == [("R", "Emboss"), ("G", "Sharpen"), ("B", "Emboss")]
    together = run("learn", *pair, "--max-size", "5", "--channels", "shared")
    assert "the channels disagree" in " ".join(together.out.split())


def test_notes_of_pictures_go_to_stderr(run, pictures, pixels, tmp_path, valid):
    for name in ("flower", "flower-sharpen"):
        rgb = pixels(pictures / f"{name}.png")
        alpha = np.full((*rgb.shape[:2], 1), 200, np.uint8)
        Image.fromarray(np.concatenate([rgb, alpha], axis=2)).save(tmp_path / f"{name}.png")
    result = run("learn", tmp_path / "flower.png", tmp_path / "flower-sharpen.png", "--json")
    assert valid(result.out)["verdict"] == "exact"
    lines = result.err.splitlines()
    assert [line.startswith("note: ") and line.endswith("alpha channel left out") for line in lines] == [True] * 2


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_plot(run, pictures, tmp_path, suffix, start):
    target = tmp_path / f"report.{suffix}"
    result = run("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--plot", target, "--size", "3")
    assert (result.status, result.err) == (0, "")
    assert target.read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_plot_of_each_channel(run, pictures, tmp_path):
    pair = pictures / "flower.png", pictures / "flower-sharpen.png"
    result = run("learn", *pair, "--plot", tmp_path / "report.png", "--per-channel", "--size", "3")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"report-{c}.png" for c in "BGR"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    assert result.err.startswith("note: one figure a channel: ")


@pytest.fixture
def broken(pictures, pixels, tmp_path_factory):
    """A folder of pictures that are wrong."""
    folder = tmp_path_factory.mktemp("broken")
    whole = (pictures / "grey.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("this is no picture")
    (folder / "empty.png").write_bytes(b"")
    grey = pixels(pictures / "grey.png")
    noise = np.random.default_rng(1).integers(0, 255, (grey.shape[0] - 90, grey.shape[1])).astype(np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
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
        ("text.png", "the content is not"),
        ("empty.png", "empty"),
        ("objects.npy", "real numbers"),
        ("", "a folder"),
        ("noise.png", "crop both"),
        ("larger.png", "expected at most"),
        ("nan.npy", "only NaN"),
    ],
)
def test_pictures(refused, pictures, broken, tmp_path, after, says):
    targets = "--save", tmp_path / "filter.json", "--plot", tmp_path / "report.png"
    assert says in refused(1, "learn", pictures / "grey.png", broken / after, *targets)
    assert list(tmp_path.iterdir()) == []


def test_grey_and_colour(refused, pictures):
    line = refused(1, "learn", pictures / "flower.png", pictures / "grey.png", "--channels", "shared")
    assert "expected 3 channel(s) (R, G, B)" in line
    assert "received 1 (grey)" in line
    assert "expected 3 channel(s)" in refused(
        1, "learn", pictures / "flower.png", pictures / "grey.png", "--per-channel"
    )


def test_too_small(refused, broken):
    assert "expected at least" in refused(1, "learn", broken / "tiny.npy", broken / "tiny.npy", "--size", "3")


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ("other-size.png", "mask: expected the shape"),
        ("black.png", "received only 0"),
        ("cut.png", "cut short"),
    ],
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
        (("--size", "999"), "size: expected"),
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
        (("--noise", "3"), "--noise: expected BEFORE,AFTER"),
        (("--noise", "3,-1"), "--noise: expected BEFORE,AFTER"),
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
    assert "cannot be written (no permission)" in line


def test_nothing_half_written_is_left(refused, pictures, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    line = refused(1, "learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--save", tmp_path / "f.json")
    assert "No space left on device" in line
    assert list(tmp_path.iterdir()) == []


def test_names_cannot_break_the_line(refused, pictures, tmp_path):
    line = refused(1, "learn", tmp_path / "a\nb\x1b[31m.png", pictures / "grey.png")
    assert "\x1b" not in line
    refused(1, "apply", tmp_path / "a\nb\x1b[31m.json", pictures / "grey.png", tmp_path / "c.png")


def test_no_memory(refused, pictures, monkeypatch):
    def out_of_memory(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("kernelfield.learn", out_of_memory)
    assert "not enough memory" in refused(1, "learn", pictures / "grey.png", pictures / "grey-sharpen.png")


def test_interrupted(run, pictures, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("kernelfield.learn", interrupt)
    result = run("learn", pictures / "grey.png", pictures / "grey-sharpen.png")
    assert (result.status, result.out, result.err) == (130, "", "")


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """Stacks of grey images and what a kernel makes of them, as NPY and as TIFF; page 3 is filtered otherwise."""
    folder = tmp_path_factory.mktemp("stacks")
    before = np.random.default_rng(6).random((5, 40, 50)).astype(np.float32)
    after = ndimage.correlate(before.astype(float), [[[-1, 0, 0], [0, 1, 0], [0, 0, 0]]]).astype(np.float32)
    pages = after.copy()
    pages[3] = ndimage.correlate(before[3].astype(float), [[0, 0, 0], [0, 3, -1], [0, 0, 0]])
    for name, stack in (("before", before), ("after", after), ("pages", pages)):
        np.save(folder / f"{name}.npy", stack)
        tifffile.imwrite(folder / f"{name}.tif", stack, photometric="minisblack")
    return folder


@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_a_stack_shares_one_filter(run, stacks, valid, tmp_path, suffix):
    pair = stacks / f"before.{suffix}", stacks / f"after.{suffix}"
    result = run("learn", *pair, "--channel-axis", "none", "--save", tmp_path / "f.json", "--json")
    assert (result.status, result.err) == (0, "")
    record = valid(result.out)
    assert (record["verdict"], record["channels"]) == ("exact", ["grey"])
    assert isinstance(record["offset"], float)
    assert record["samples"] > 4 * 36 * 46
    np.testing.assert_allclose(record["kernel"], [[-1, 0], [0, 1]], atol=1e-5)
    assert run("apply", tmp_path / "f.json", pair[0], tmp_path / "out.tif", "--channel-axis", "none").status == 0
    np.testing.assert_allclose(tifffile.imread(tmp_path / "out.tif"), np.load(stacks / "after.npy"), atol=1e-5)


@pytest.mark.parametrize(("suffix", "options"), [("npy", ["--channel-axis", "none"]), ("tif", [])])
def test_page(run, refused, stacks, valid, suffix, options):
    pair = "learn", stacks / f"before.{suffix}", stacks / f"pages.{suffix}"
    record = valid(run(*pair, *options, "--page", "3", "--json").out)
    np.testing.assert_allclose(record["kernel"], [[3, -1]], atol=1e-5)
    assert "0 to 4" in refused(1, *pair, *options, "--page", "5")


def test_the_other_pages_are_mentioned(run, stacks):
    result = run("learn", stacks / "before.tif", stacks / "after.tif", "--json")
    notes = result.err.splitlines()
    assert len(notes) == 2
    assert all("the first of 5 pages; --page chooses another, --channel-axis none" in note for note in notes)


def test_axes_of_arrays(run, refused, stacks, tmp_path, valid):
    pair = "learn", stacks / "before.npy", stacks / "after.npy"
    assert "give --channel-axis" in refused(1, *pair)
    record = valid(run(*pair, "--channel-axis", "0", "--json").out)
    assert record["channels"] == ["0", "1", "2", "3", "4"]
    moved = [tmp_path / f"{name}.npy" for name in ("before", "after")]
    for path in moved:
        np.save(path, np.moveaxis(np.load(stacks / path.name)[:3], 0, 1))
    record = valid(run("learn", *moved, "--channel-axis", "1", "--json").out)
    assert record["channels"] == ["R", "G", "B"]
    np.testing.assert_allclose(record["kernel"], [[-1, 0], [0, 1]], atol=1e-5)
    for wrong in ("3", "x", ""):
        assert "--channel-axis: expected" in refused(2, *pair, "--channel-axis", wrong)
    np.save(tmp_path / "flat.npy", np.load(stacks / "before.npy")[0])
    assert "three axes" in refused(1, "learn", tmp_path / "flat.npy", tmp_path / "flat.npy", "--channel-axis", "0")


def test_several_pairs_learn_one_filter(run, refused, pictures, tmp_path):
    folders = [tmp_path / name for name in ("before", "after")]
    for folder in folders:
        folder.mkdir()
    for i, name in enumerate(("grey", "coins")):
        for folder, ending in zip(folders, ("", "-sharpen")):
            shutil.copy(pictures / f"{name}{ending}.png", folder / f"{i}.png")
    result = run("learn", folders[0] / "*.png", folders[1] / "*.png", "--json", "--report", tmp_path / "report.html")
    record = json.loads(result.out)
    assert (result.status, record["verdict"], record["channels"]) == (0, "exact", ["grey"])
    assert "sharpen" in record["description"].lower()
    single = json.loads(run("learn", folders[0] / "0.png", folders[1] / "0.png", "--json").out)
    assert record["samples"] > single["samples"]
    assert record["kernel"] == single["kernel"]
    assert "2 pairs, matched by their names" in result.err
    text = html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert f"kernelfield learn '{folders[0] / '*.png'}'" in text
    (folders[1] / "2.png").write_bytes((folders[1] / "1.png").read_bytes())
    message = refused(1, "learn", folders[0] / "*.png", folders[1] / "*.png")
    assert "expected a file for each of the 2 of" in message
    assert "received 3" in message
    (folders[0] / "2.png").write_bytes((folders[0] / "0.png").read_bytes())
    assert "grey picture of the size" in refused(1, "learn", folders[0] / "*.png", folders[1] / "*.png")
    (folders[0] / "2.png").unlink()
    (folders[1] / "2.png").unlink()
    assert "--per-channel" in refused(2, "learn", folders[0] / "*.png", folders[1] / "*.png", "--per-channel")


@pytest.fixture
def colours(tmp_path):
    """Three pairs in colour of two sizes, each with offsets of its channels."""
    rng = np.random.default_rng(0)
    for i, shape in enumerate([(60, 70), (64, 50), (60, 70)]):
        before = rng.integers(30, 200, (*shape, 3), np.uint8)
        after = np.stack([ndimage.correlate(before[..., c].astype(float), KERNEL, mode="mirror") for c in range(3)], 2)
        for name, pixels in (("before", before), ("after", np.floor(after + [0.0, 5.0, -9.0] + 0.5).astype(np.uint8))):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


KERNEL = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16.0


@pytest.mark.parametrize("held", [1 << 26, 1000])
def test_several_pairs_in_colour(run, refused, colours, monkeypatch, held):
    """All in memory, and one after the other: the filter with an offset for each colour."""
    monkeypatch.setattr("kernelfield.cli.learn.MOST_HELD", held)
    pair = colours / "before" / "*.png", colours / "after" / "*.png"
    result = run("learn", *pair, "--json", "--report", colours / "r.html", "--plot", colours / "p.png")
    record = json.loads(result.out)
    assert (record["verdict"], record["boundary"], record["divisor"]) == ("exact", "mirror", 16)
    assert record["channels"] == ["R", "G", "B"]
    np.testing.assert_allclose(record["offset"], [0.0, 5.0, -9.0], atol=1e-9)
    assert record["samples"] > 2 * 3 * 58 * 68
    assert (colours / "r.html").stat().st_size > 10_000
    # Of noise in one of the afters the sums take account.
    noisy = np.asarray(Image.open(colours / "after" / "2.png")).astype(float)
    noisy += np.random.default_rng(1).normal(scale=2.0, size=noisy.shape)
    Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)).save(colours / "after" / "2.png")
    result = run("learn", *pair, "--json")
    record = json.loads(result.out)
    assert record["verdict"] == "approximate"
    row, column = record["anchor"]
    found = np.array(record["kernel"])[row - 1 : row + 2, column - 1 : column + 2]
    np.testing.assert_allclose(found, KERNEL, atol=0.01)
    if held == 1000:
        assert "pair 3 is not what the filter of the first makes of it" in result.err
        message = refused(2, "learn", *pair, "--nonnegative")
        assert "--nonnegative: expected none with pairs of more than 1,000 numbers" in message
    Image.fromarray(noisy[..., 0].astype(np.uint8)).save(colours / "before" / "2.png")
    Image.fromarray(noisy[..., 0].astype(np.uint8)).save(colours / "after" / "2.png")
    assert "expected a colour picture of the size" in refused(1, "learn", *pair)


def test_a_report_is_written_for_one_pair_and_for_each_channel(run, refused, pictures, tmp_path):
    pair = pictures / "flower.png", pictures / "flower-sharpen.png"
    assert run("learn", *pair, "--report", tmp_path / "one.html").status == 0
    assert run("learn", *pair, "--per-channel", "--report", tmp_path / "each.html").status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(f"each-{c}.html" for c in "BGR"), "one.html"]
    assert "ends in .html" in refused(2, "learn", *pair, "--report", tmp_path / "one.txt")
