"""Series of measurements: results are compared before they are timed, then printed and written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kernelfield.cli.harness.compare import Candidate, compare_and_time, largest_difference
from kernelfield.cli.harness.series import Line, run, write
from kernelfield.errors import DataError


def line(result: object, tolerance: float = 0.1, **labels: str) -> Line:
    candidates = {"kernelfield": Candidate(lambda: [1.0, 2.0]), "other": Candidate(lambda: result)}
    return Line(labels, candidates, tolerance, rounds=1)


def test_table_and_figures(capsys, tmp_path):
    figures = run("sums", [line([1.0, 2.1], kernel="3×3"), line([0.0, 0.0], np.inf, kernel="5×5")])
    assert [figure["kernel"] for figure in figures] == ["3×3", "5×5"]
    assert set(figures[0]["median_seconds"]) == {"kernelfield", "other"}
    assert set(figures[0]["ratios"]) == {"other"}
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "sums; medians of interleaved calls",
        "kernel  kernelfield ms  other ms  other / kernelfield",
    ]
    assert [text.split()[0] for text in lines[3:]] == ["3×3", "5×5"]
    write(tmp_path / "results" / "sums.json", ("numpy",), figures=figures)
    record = json.loads((tmp_path / "results" / "sums.json").read_text())
    assert record["figures"] == figures
    assert record["machine"]["versions"]["numpy"] == np.__version__
    assert record["threads"] >= 1


def test_columns_of_candidates_that_a_line_lacks_are_empty(capsys):
    alone = Line({"kernel": "5×5"}, {"kernelfield": Candidate(lambda: [1.0])}, np.inf, rounds=1)
    run("sums", [line([1.0, 2.0], kernel="3×3"), alone])
    assert capsys.readouterr().out.splitlines()[-1].split()[2:] == ["-", "-"]


@pytest.mark.parametrize("result", [[1.0, 2.3], [1.0, np.nan], [1.0]])
def test_another_result_is_an_error(result):
    with pytest.raises(DataError, match="expected the"):
        run("sums", [line(result, kernel="3×3")])


def test_candidates_may_share_memory():
    memory = np.zeros(3)

    def fill(value: float) -> np.ndarray:
        memory[:] = value
        return memory

    calls = {"one": Candidate(lambda: fill(1.0)), "two": Candidate(lambda: fill(2.0))}
    with pytest.raises(DataError, match="received a difference of 1"):
        compare_and_time(calls, 1e-3, rounds=1)


def test_margins_do_not_count():
    assert largest_difference(np.array([[7, 1, 7]], np.uint8), np.array([[0, 3, 0]], np.uint8), (0, 1)) == 2.0
