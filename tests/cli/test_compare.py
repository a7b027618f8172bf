from __future__ import annotations

import json

import numpy as np
import pytest

import kernelfield as kf


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of filters: two learned from other pictures through one kernel, and one through another kernel."""
    folder = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    for name, scale in (("a", 1.0), ("b", 1.0), ("c", 1.01)):
        before = rng.normal(size=(90, 100))
        after = scale * kf.correlate(before, np.full((3, 3), 1 / 9)) + rng.normal(scale=0.05, size=before.shape)
        kf.learn(before, after, size=3).save(folder / f"{name}.json")
    return folder


def test_filters_that_agree_have_status_0(run, files):
    result = run("compare", files / "a.json", files / "b.json")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("same: ")
    assert "difference in standard errors" in result.out


def test_filters_that_differ_have_status_1(run, files):
    result = run("compare", files / "a.json", "gaussian:sigma=0.5", "--json")
    record = json.loads(result.out)
    assert (result.status, record["same"]) == (1, False)
    assert record["p_value"] < 1e-6
    assert np.shape(record["in_errors"]) == np.shape(record["difference"])
    assert run("compare", "box:size=3", "box:size=5").status == 1
    assert run("compare", "box:size=3", "box:size=3").status == 0


def test_trouble_has_status_2(refused, files, tmp_path):
    assert "cannot be read" in refused(2, "compare", files / "a.json", tmp_path / "none.json")
    assert "--level" in refused(2, "compare", files / "a.json", files / "b.json", "--level", "2")
    assert "leave it out" in refused(2, "compare", files / "a.json", files / "b.json", "--channel", "R")
