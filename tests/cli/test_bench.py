"""``kernelfield bench`` on small images: its output, and the options that it refuses; no time is asserted."""

from __future__ import annotations

import json

import pytest

from kernelfield.cli.harness import measure
from kernelfield.cli.harness.work import WORK

pytestmark = pytest.mark.usefixtures("few_libraries")


def test_json(run, strict_json, few_libraries):
    result = run("bench", "--sizes", 40, "--kernels", "3,5", "--json")
    assert (result.status, result.err) == (0, "")
    record = strict_json(result.out)
    names = {peer.name for peer in few_libraries}
    assert record["format"] == measure.FORMAT
    assert record["left_out"] == {}
    assert set(record["threads"]) == {"kernelfield", *names}
    assert record["machine"]["cpu"]
    assert record["machine"]["versions"]["opencv-python-headless"][0].isdecimal()
    figures = record["figures"]
    assert [(f["work"], f["kernel"][0], f["dtype"]) for f in figures if f["work"] == "rgb"] == [
        ("rgb", 3, "uint8"), ("rgb", 5, "uint8"), ("rgb", 3, "float32"), ("rgb", 5, "float32"),
    ]  # fmt: skip
    assert {f["work"] for f in figures} == set(WORK)
    assert [(f["image"], f["kernel"], f["planned"]) for f in figures if f["work"] == "small"] == [
        ([64, 64], [3, 3], False), ([64, 64], [3, 3], True), ([6, 8], [1, 2], False), ([6, 8], [1, 2], True),
    ]  # fmt: skip
    for figure in figures:
        times = figure["median_seconds"]
        assert {"kernelfield", "copy", "OpenCV"} <= set(times)
        assert set(times) | set(figure["left_out"]) == {"kernelfield", "copy", *names}
        assert figure["ratios"]["OpenCV"] == pytest.approx(times["OpenCV"] / times["kernelfield"], rel=2e-3, abs=1e-3)
        assert set(figure["differences"]) == set(times) - {"kernelfield", "copy"}
        if figure["dtype"] == "uint8":
            assert figure["error"] == 0
            assert figure["left_out"]["ndimage"] == "cannot do it"


def test_table_and_files(run, pixels, few_libraries, tmp_path):
    plot, save = tmp_path / "bench.png", tmp_path / "bench.json"
    result = run("bench", "--sizes", 40, "--kernels", "3,5", "--work", "small,dense", "--plot", plot, "--save", save)
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].split() == ["work", "image", "kernel", "kernelfield", "copy", *(p.name for p in few_libraries)]
    assert lines[1].split()[:3] == ["dense", "40²", "3×3"]
    assert [line.split()[0] for line in lines[1:9] if line] == ["dense", "dense", *["small", "small,"] * 2]
    assert "OpenCV" not in lines[1]
    assert any(line.startswith("processor") for line in lines)
    assert pixels(plot).shape[1] > 1000
    assert {f["work"] for f in json.loads(save.read_text())["figures"]} == {"dense", "small"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.png"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--sizes", "big"), "--sizes: expected whole numbers of at least 16"),
        (("--sizes", "8"), "--sizes: expected whole numbers of at least 16"),
        (("--sizes", "100000"), "--sizes: expected at most 16384; received 100000"),
        (("--kernels", "4"), "--kernels: expected odd sizes of at most 127; received 4"),
        (("--kernels", "129"), "--kernels: expected odd sizes of at most 127; received 129"),
        (("--sizes", "32", "--kernels", "33"), "--kernels: expected kernels smaller than the images"),
        (("--work", "dense,1"), "--work: expected some of dense, rank1, uint8, blur, rgb, bank, small;"),
        (("--plot", "bench.jpeg"), "--plot: expected a name that ends in .png, .svg, .pdf"),
    ],
)
def test_bad_options(refused, arguments, text):
    assert text in refused(2, "bench", *arguments)


def test_a_file_that_cannot_be_written_is_reported_before_the_work(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "measure", lambda *_: pytest.fail("worked first"))
    assert "lies in no folder" in refused(1, "bench", "--save", tmp_path / "no" / "bench.json")
