"""Many pictures in one run: patterns, folders, names that collide, pictures that fail."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from .test_console import Terminal

RNG = np.random.default_rng(9)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The working folder, with photos/0.png to 3.png, and more/0.png."""
    monkeypatch.chdir(tmp_path)
    for folder, count in (("photos", 4), ("more", 1)):
        os.mkdir(folder)
        for i in range(count):
            Image.fromarray(RNG.integers(0, 256, (20 + i, 30), dtype=np.uint8)).save(f"{folder}/{i}.png")
    return tmp_path


def filtered(name, pixels) -> bool:
    """Return whether the result in out/ is what SciPy computes."""
    expected = ndimage.uniform_filter(pixels(f"photos/{name}").astype(float), 3)
    return bool(np.abs(pixels(f"out/{name}") - expected).max() < 0.51)


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (["photos/*.png"], 4),
        (["photos/[01].png", "photos/2.png"], 3),
        (["photos/0.png", "photos/1.png"], 2),
        (["photos/0.png", "photos/*.png"], 4),
        (["**/3.png"], 1),
        (["photos/0.png"], 1),
    ],
)
def test_patterns_and_names(run, photos, pixels, names, count):
    result = run("apply", "box", *names, "out/")
    assert (result.status, result.err) == (0, "")
    assert result.out == f"{count} of {count} pictures written to out/\n"
    written = os.listdir("out")
    assert len(written) == count
    assert all(filtered(name, pixels) for name in written)


def test_a_folder_that_is_there_needs_no_slash(run, photos):
    os.mkdir("out.d")
    assert run("apply", "box", "photos/0.png", "photos/1.png", "out.d").status == 0
    assert sorted(os.listdir("out.d")) == ["0.png", "1.png"]


def test_one_bad_file_does_not_stop_the_others(run, photos, pixels):
    (photos / "photos" / "1.png").write_bytes((photos / "photos" / "1.png").read_bytes()[:90])
    (photos / "photos" / "2.png").write_text("no picture")
    result = run("apply", "box", "photos/*.png", "out/")
    assert result.status == 1
    assert result.out == "2 of 4 pictures written to out/; 2 failed\n"
    lines = result.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("kernelfield: error: ") for line in lines)
    assert ["1.png" in lines[0], "2.png" in lines[1], "2 of 4 pictures failed" in lines[2]] == [True] * 3
    assert sorted(os.listdir("out")) == ["0.png", "3.png"]
    assert all(filtered(name, pixels) for name in os.listdir("out"))


def test_json(run, photos):
    (photos / "photos" / "2.png").write_text("no picture")
    result = run("apply", "sobel", "photos/*.png", "out/", "--json")
    assert result.status == 1
    record = json.loads(result.out)
    assert [one["written"] for one in record["written"]] == ["out/0.png", "out/1.png", "out/3.png"]
    assert [one["shape"] for one in record["written"]] == [[20, 30], [21, 30], [23, 30]]
    assert [one["picture"] for one in record["failed"]] == ["photos/2.png"]
    total = sum(one["saturated"] for one in record["written"])
    assert f"out/: {total:,} of 1,920 pixels" in result.err


def test_an_error_of_a_library_is_one_line_too(run, photos, monkeypatch):
    import kernelfield.images

    read = kernelfield.images.read

    def fail(source, **options):
        if "1.png" in str(source):
            raise RuntimeError("a defect\nof two lines")
        if "2.png" in str(source):
            raise MemoryError
        return read(source, **options)

    monkeypatch.setattr("kernelfield.images.read", fail)
    result = run("apply", "box", "photos/*.png", "out/")
    assert result.status == 1
    lines = result.err.splitlines()
    assert [line.partition(": error: ")[2][:40] for line in lines[:2]] == [
        "photos/1.png: unexpected RuntimeError: a",
        "photos/2.png: not enough memory; expecte",
    ]
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["photos/0.png", "more/0.png", "out/"], 1, "'photos/0.png' and 'more/0.png'"),
        (["photos/*.png", "photos/"], 1, "is the picture itself"),
        (["photos/*.png", "photos/", "--overwrite"], 1, "is the picture itself"),
        (["photos/0.png", "./photos/"], 1, "is the picture itself"),
        (["*.gif", "out/"], 1, "no file matches"),
        (["photos/0.png", "photos/1.png", "more/0.png"], 1, "is a file; expected a folder"),
        (["photos/0.png", "photos/1.png", "typing-error.png"], 1, "is no folder yet"),
        (["photos/0.png", "photos/1.png", "nowhere/out/"], 1, "cannot be made"),
        (["photos/0.png", "-", "out/"], 2, "expected one picture"),
        (["photos/*.png", "-"], 2, "expected one picture"),
        (["photos/*.png"], 2, "too few"),
        ([], 2, "too few"),
    ],
)
def test_what_is_refused_is_refused_before_any_work(refused, photos, arguments, status, says):
    before = sorted(map(str, photos.rglob("*")))
    assert says in refused(status, "apply", "box", *arguments)
    assert sorted(map(str, photos.rglob("*"))) == before


def test_two_names_that_differ_in_case_only(refused, photos):
    os.rename("more/0.png", "more/A.png")
    os.rename("photos/0.png", "photos/a.png")
    assert "expected one picture for each result" in refused(1, "apply", "box", "photos/a.png", "more/A.png", "out/")


def test_a_bad_filter_makes_no_folder(refused, photos):
    refused(1, "apply", "nonesuch", "photos/*.png", "out/")
    assert not os.path.exists("out")


def test_nothing_is_replaced_without_overwrite(run, refused, photos):
    assert run("apply", "box", "photos/[01].png", "out/").status == 0
    before = {name: (photos / "out" / name).read_bytes() for name in os.listdir("out")}
    line = refused(1, "apply", "sobel", "photos/*.png", "out/")
    assert "and 1 more are there already" in line
    assert "--overwrite" in line
    assert {name: (photos / "out" / name).read_bytes() for name in os.listdir("out")} == before
    assert run("apply", "sobel", "photos/*.png", "out/", "--overwrite").status == 0
    assert len(os.listdir("out")) == 4
    assert (photos / "out" / "0.png").read_bytes() != before["0.png"]


def test_another_format(run, refused, photos):
    result = run("apply", "sobel", "photos/*.png", "out/", "--format", "tif", "--dtype", "float32")
    assert (result.status, result.err) == (0, "")
    assert sorted(os.listdir("out")) == ["0.tif", "1.tif", "2.tif", "3.tif"]
    Image.open("photos/0.png").save("photos/0.bmp")
    assert "0.tif" in refused(1, "apply", "box", "photos/0.*", "new/", "--format", ".tif")


def test_progress_on_a_terminal(run, photos, monkeypatch):
    err = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("sys.stderr", err)
    result = run("apply", "box", "photos/*.png", "out/")
    assert result.status == 0
    assert "filtering" in err.getvalue()
    assert "4/4" in err.getvalue()


def test_remarks_are_said_once(run, photos):
    for i in range(4):
        Image.open(f"photos/{i}.png").save(f"photos/{i}.tif", dpi=(300, 300))
    result = run("apply", "box", "photos/*.tif", "out/", "--format", "bmp")
    assert (result.status, len(os.listdir("out"))) == (0, 4)
    assert result.err.count("note: ") <= 1
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(3):
        Image.open(f"photos/{i}.png").save(f"photos/{i}.jpg", exif=exif)
    result = run("apply", "box", "photos/*.jpg", "turned/")
    assert result.err == "note: photos/0.jpg and 2 more: EXIF orientation 6 applied\n"
