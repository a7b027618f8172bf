"""``kernelfield bench`` on small images: what it writes, and what it leaves out; no time is asserted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from kernelfield.apps import bench, bench_peers
from kernelfield.apps.bench_peers import PEERS, Candidate
from kernelfield.apps.bench_timing import interleaved, machine
from kernelfield.apps.bench_work import WORK, Case, cases

SINGLE, BYTE = np.dtype(np.float32), np.dtype(np.uint8)
INSTALLED = [peer for peer in PEERS if peer.installed()]
# What the tests have anyway: the frameworks take seconds to import.
FEW = [peer for peer in PEERS if peer.name in ("OpenCV", "ndimage", "oaconvolve")]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Time a moment, beside a few."""
    monkeypatch.setattr(bench_peers, "PEERS", tuple(FEW))
    monkeypatch.setattr(bench, "PEERS", tuple(FEW))
    monkeypatch.setattr(bench, "_EFFORT", dict.fromkeys((False, True), bench.Effort(1, 0.0, 10.0)))
    monkeypatch.setattr(bench, "_SAMPLE", 0.0)


def loaded(text: str) -> dict:
    def refuse(name: str):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("peer", INSTALLED, ids=lambda peer: peer.name)
@pytest.mark.parametrize("work", WORK)
def test_every_library_gives_our_result(peer, work):
    library = peer(2)
    for case in cases((work,), (48,), (3, 7), quick=True):
        task = case.task()
        expected = task.ours()().copy()
        assert task.error(expected) <= task.tolerance
        task.out[...] = 0
        candidate = library.candidate(task)
        if candidate is None:
            assert case.dtype == BYTE
            continue
        margin = 0 if peer.mirrors else case.k // 2
        result = candidate.array(candidate.call())
        assert result.shape == expected.shape
        assert bench._difference(candidate, task, expected, peer.mirrors) <= library.tolerance(task)
        inside = np.s_[margin : 48 - margin, margin : 48 - margin]
        if expected.ndim == 2:
            np.testing.assert_allclose(
                result[inside].astype(float), expected[inside].astype(float), atol=library.tolerance(task)
            )


def test_the_definition_is_scipys():
    for case in cases(("dense", "bank", "rgb"), (40,), (5,), quick=True):
        task = case.task()
        kernels = task.kernel.reshape(-1, 5, 5).astype(np.float64)
        planes = [task.image] if task.image.ndim == 2 else list(np.moveaxis(task.image, -1, 0))
        sums = [scipy.ndimage.correlate(p.astype(np.float64), k, mode="mirror") for p in planes for k in kernels]
        right = np.stack(sums, axis=-1 if task.image.ndim == 3 else 0).reshape(task.out.shape)
        if case.dtype == BYTE:
            right = np.clip(np.rint(right), 0, 255)
        assert task.error(right) < 1e-9
        wrong = right.copy()
        wrong[..., -1, -1] += 0.5 if case.work != "rgb" else 2.0
        assert task.error(wrong) > 0.4


def test_json(run):
    result = run("bench", "--sizes", 40, "--kernels", "3,5", "--json")
    assert (result.status, result.err) == (0, "")
    record = loaded(result.out)
    assert record["format"] == bench.FORMAT
    assert record["left_out"] == {}
    assert set(record["threads"]) == {"kernelfield", *(peer.name for peer in FEW)}
    assert record["machine"]["cpu"]
    assert record["machine"]["versions"]["opencv-python-headless"][0].isdecimal()
    figures = record["figures"]
    assert [(f["work"], f["kernel"][0], f["dtype"]) for f in figures if f["work"] == "rgb"] == [
        ("rgb", 3, "uint8"), ("rgb", 5, "uint8"), ("rgb", 3, "float32"), ("rgb", 5, "float32"),
    ]  # fmt: skip
    assert {f["work"] for f in figures} == set(WORK)
    assert [f["planned"] for f in figures if f["work"] == "small"] == [False, True]
    for figure in figures:
        times = figure["median_seconds"]
        assert {"kernelfield", "copy", "OpenCV"} <= set(times)
        assert set(times) | set(figure["left_out"]) == {"kernelfield", "copy", *(peer.name for peer in FEW)}
        assert figure["ratios"]["OpenCV"] == pytest.approx(times["OpenCV"] / times["kernelfield"], rel=2e-3, abs=1e-3)
        assert set(figure["differences"]) == set(times) - {"kernelfield", "copy"}
        if figure["dtype"] == "uint8":
            assert figure["error"] == 0
            assert figure["left_out"]["ndimage"] == "cannot do it"


def test_table_and_files(run, pixels, tmp_path):
    plot, save = tmp_path / "bench.png", tmp_path / "bench.json"
    result = run("bench", "--sizes", 40, "--kernels", "3,5", "--work", "small,dense", "--plot", plot, "--save", save)
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].split() == ["work", "image", "kernel", "kernelfield", "copy", *(peer.name for peer in FEW)]
    assert lines[1].split()[:3] == ["dense", "40²", "3×3"]
    assert [line.split()[0] for line in lines[1:7] if line] == ["dense", "dense", "small", "small,"]
    assert "OpenCV" not in lines[1]
    assert any(line.startswith("processor") for line in lines)
    assert pixels(plot).shape[1] > 1000
    assert {f["work"] for f in loaded(save.read_text())["figures"]} == {"dense", "small"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.png"]


def test_quick_has_every_work():
    quick, full = (list(cases(tuple(WORK), None, None, quick)) for quick in (True, False))
    assert {case.work for case in quick} == {case.work for case in full} == set(WORK)
    assert sum(case.multiply_adds for case in quick) < sum(case.multiply_adds for case in full) / 10
    assert {case.shape for case in full if case.work == "rgb"} == {(3000, 4000, 3)}


def test_what_is_not_there_is_left_out_by_name(run, monkeypatch):
    monkeypatch.setattr(FEW[0], "installed", classmethod(lambda _: False))

    def broken(self, threads):
        raise OSError("libfoo.so: cannot open\nshared object")

    monkeypatch.setattr(FEW[1], "__init__", broken)
    result = run("bench", "--sizes", 40, "--kernels", 3, "--work", "dense", "--json")
    assert result.status == 0
    (line,) = result.err.splitlines()
    assert line.startswith("note: left out: OpenCV (not installed), ndimage (cannot be imported (OSError: libfoo.so")
    record = loaded(result.out)
    assert record["left_out"]["OpenCV"] == "not installed"
    assert set(record["figures"][0]["ratios"]) == {"copy", "oaconvolve"}
    assert "left out   OpenCV (not installed)" in run("bench", "--sizes", 40, "--kernels", 3, "--work", "dense").out


def test_another_result_is_not_timed(run, monkeypatch):
    right = FEW[0].candidate

    def wrong(self, task):
        call, array = right(self, task)
        return Candidate(call, lambda value: array(value) + np.float32(0.5))

    monkeypatch.setattr(FEW[0], "candidate", wrong)
    result = run("bench", "--sizes", 40, "--kernels", 3, "--work", "dense", "--json")
    assert result.err == "note: dense, 3 × 3: OpenCV is left out, its result differs by 0.5\n"
    (figure,) = loaded(result.out)["figures"]
    assert figure["left_out"] == {"OpenCV": "its result differs by 0.5"}
    assert "OpenCV" not in figure["ratios"]


def test_nan_is_another_result(run, monkeypatch):
    monkeypatch.setattr(
        FEW[0], "candidate", lambda self, task: Candidate(lambda: None, lambda _: np.full_like(task.out, np.nan))
    )
    result = run("bench", "--sizes", 40, "--kernels", 3, "--work", "dense", "--json")
    assert "OpenCV" in loaded(result.out)["figures"][0]["left_out"]


def test_a_library_that_fails_leaves_the_others(run, monkeypatch):
    def fails(self, task):
        raise MemoryError("no room")

    monkeypatch.setattr(FEW[0], "candidate", fails)
    result = run("bench", "--sizes", 40, "--kernels", 3, "--work", "dense", "--json")
    (figure,) = loaded(result.out)["figures"]
    assert figure["left_out"] == {"OpenCV": "failed (MemoryError: no room)"}
    assert "ndimage" in figure["ratios"]


def test_our_own_mistake_is_an_error(refused, monkeypatch):
    monkeypatch.setattr(bench.Task, "error", lambda self, result: 0.5)
    assert "kernelfield is wrong by 0.5" in refused(1, "bench", "--sizes", 40, "--kernels", 3, "--work", "dense")


def test_what_would_take_too_long_is_left_out(run, monkeypatch):
    monkeypatch.setattr(bench, "_EFFORT", dict.fromkeys((False, True), bench.Effort(1, 0.0, 1e-9)))
    result = run("bench", "--sizes", 40, "--kernels", "3,5", "--work", "dense", "--json")
    first, second = loaded(result.out)["figures"]
    assert first["left_out"] == {}
    assert set(second["left_out"]) == {peer.name for peer in FEW} - {"OpenCV"}
    assert second["left_out"]["ndimage"].startswith("a call would take about")


def test_large_work_is_tried_small_first(run, monkeypatch):
    monkeypatch.setattr(bench, "_EFFORT", dict.fromkeys((False, True), bench.Effort(1, 0.0, 1e-9)))
    monkeypatch.setattr(bench, "_MANY", 10)
    monkeypatch.setattr(bench, "_PROBE", 20)
    result = run("bench", "--sizes", 40, "--kernels", 3, "--work", "dense,rgb", "--json")
    for figure in loaded(result.out)["figures"]:
        assert set(figure["ratios"]) == {"copy", "OpenCV"}
        assert figure["left_out"]["oaconvolve"].startswith("a call would take about")


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
)  # fmt: skip
def test_bad_options(refused, arguments, text):
    assert text in refused(2, "bench", *arguments)


def test_a_file_that_cannot_be_written_is_said_before_the_work(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("worked first"))
    assert "lies in no folder" in refused(1, "bench", "--save", tmp_path / "no" / "bench.json")


def test_every_candidate_is_called_in_every_round():
    calls = {"one": 0, "two": 0}

    def count(name: str) -> None:
        calls[name] += 1

    times = interleaved({name: (lambda name=name: count(name)) for name in calls}, rounds=5, warm=False)
    assert calls == {"one": 5, "two": 5}
    assert all(seconds > 0 for seconds in times.values())
    interleaved({"one": lambda: count("one")}, rounds=5, seconds=0.0, warm=False)
    assert calls["one"] == 8


def test_machine_says_what_is_not_installed():
    found = machine(["no-such-package"])
    assert found["versions"]["no-such-package"] == "not installed"
    assert found["versions"]["numpy"] == np.__version__


def test_a_copy_writes_the_whole_result():
    for case in (
        Case("dense", (37, 40), 3, SINGLE),
        Case("bank", (37, 40), 3, SINGLE),
        Case("rgb", (37, 40, 3), 3, BYTE),
    ):
        for threads in (1, 3):
            task = replace(case).task()
            task.copy(threads)()
            assert np.array_equal(task.out, np.broadcast_to(task.image, task.out.shape))
