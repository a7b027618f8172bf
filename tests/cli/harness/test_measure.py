"""Libraries that are left out of a benchmark, and the reasons in its record."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.cli.harness import measure
from kernelfield.cli.harness.compare import Candidate
from kernelfield.cli.harness.work import Task

DENSE = ("bench", "--sizes", 40, "--kernels", 3, "--work", "dense")


def test_missing_libraries_are_named(run, strict_json, few_libraries, monkeypatch):
    monkeypatch.setattr(few_libraries[0], "installed", classmethod(lambda _: False))

    def broken(self, threads):
        raise OSError("libfoo.so: cannot open\nshared object")

    monkeypatch.setattr(few_libraries[1], "__init__", broken)
    result = run(*DENSE, "--json")
    assert result.status == 0
    (line,) = result.err.splitlines()
    assert line.startswith("note: left out: OpenCV (not installed), ndimage (cannot be imported (OSError: libfoo.so")
    record = strict_json(result.out)
    assert record["left_out"]["OpenCV"] == "not installed"
    assert set(record["figures"][0]["ratios"]) == {"copy", "oaconvolve"}
    assert "left out   OpenCV (not installed)" in run(*DENSE).out


def test_another_result_is_not_timed(run, strict_json, few_libraries, monkeypatch):
    right = few_libraries[0].candidate

    def wrong(self, task):
        candidate = right(self, task)
        return Candidate(candidate.call, lambda value: candidate.array(value) + np.float32(0.5))

    monkeypatch.setattr(few_libraries[0], "candidate", wrong)
    result = run(*DENSE, "--json")
    assert result.err == "note: dense, 40 × 40, 3 × 3: OpenCV is left out, its result differs by 0.5\n"
    (figure,) = strict_json(result.out)["figures"]
    assert figure["left_out"] == {"OpenCV": "its result differs by 0.5"}
    assert "OpenCV" not in figure["ratios"]


def test_nan_is_another_result(run, strict_json, few_libraries, monkeypatch):
    def nan(self, task):
        return Candidate(lambda: None, lambda _: np.full_like(task.out, np.nan))

    monkeypatch.setattr(few_libraries[0], "candidate", nan)
    assert "OpenCV" in strict_json(run(*DENSE, "--json").out)["figures"][0]["left_out"]


def test_a_library_that_fails_leaves_the_others(run, strict_json, few_libraries, monkeypatch):
    def fails(self, task):
        raise MemoryError("no room")

    monkeypatch.setattr(few_libraries[0], "candidate", fails)
    (figure,) = strict_json(run(*DENSE, "--json").out)["figures"]
    assert figure["left_out"] == {"OpenCV": "failed (MemoryError: no room)"}
    assert "ndimage" in figure["ratios"]


@pytest.mark.usefixtures("few_libraries")
def test_a_wrong_result_of_ours_is_an_error(refused, monkeypatch):
    monkeypatch.setattr(Task, "error", lambda self, result: 0.5)
    assert "kernelfield is wrong by 0.5" in refused(1, *DENSE)


def test_slow_libraries_are_left_out(run, strict_json, few_libraries, monkeypatch):
    monkeypatch.setattr(measure, "FULL", measure.Effort(1, 0.0, 1e-9))
    result = run("bench", "--sizes", 40, "--kernels", "3,5", "--work", "dense", "--json")
    first, second = strict_json(result.out)["figures"]
    assert first["left_out"] == {}
    assert set(second["left_out"]) == {peer.name for peer in few_libraries} - {"OpenCV"}
    assert second["left_out"]["ndimage"].startswith("a call would take about")


@pytest.mark.usefixtures("few_libraries")
def test_large_work_is_tried_small_first(run, strict_json, monkeypatch):
    monkeypatch.setattr(measure, "FULL", measure.Effort(1, 0.0, 1e-9))
    monkeypatch.setattr(measure, "_MANY", 10)
    monkeypatch.setattr(measure, "_PROBE", 20)
    result = run("bench", "--sizes", 40, "--kernels", 3, "--work", "dense,rgb", "--json")
    for figure in strict_json(result.out)["figures"]:
        assert set(figure["ratios"]) == {"copy", "OpenCV"}
        assert figure["left_out"]["oaconvolve"].startswith("a call would take about")
