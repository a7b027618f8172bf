"""Figures of a machine: kept for its processor, ignored where they cannot be right, without a word in results."""

import json
from dataclasses import replace

import numpy as np
import pytest
from cases import needs_halide

import kernelfield as kf
from kernelfield.engine import choice, processor, tuning

FIGURES = tuning.Tuning((0.5, 0.02), (0.6, 0.03), {1 << 14: 9.0, 1 << 18: 11.0}, {1: (4, 3), 5: (6, 2)})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep figures in a folder of the test's own, and forget them after it."""
    monkeypatch.setenv("KERNELFIELD_CACHE", str(tmp_path))
    (tmp_path).chmod(0o700)
    for native in (False, True):
        tuning.use(None, native)
    yield tmp_path
    monkeypatch.undo()
    for native in (False, True):
        tuning.use(None, native)


def test_figures_are_kept_for_this_engine_and_processor(monkeypatch):
    usual = tuning.current(True)
    assert tuning.current(False) != usual
    path = tuning.save(FIGURES, True)
    assert tuning.current(True) == FIGURES
    tuning.use(None, True)
    assert tuning.current(True) == FIGURES, "read from the file"
    assert tuning.current(False) != FIGURES
    assert [p.name for p in path.parent.iterdir()] == ["tuning-own.json"]
    monkeypatch.setattr(processor, "identity", lambda: ["another"])
    tuning.use(None, True)
    assert tuning.current(True) == usual


@pytest.mark.parametrize(
    "wrong",
    [
        {"direct": [0.1]},
        {"direct": ["x", 1]},
        {"separable": [float("nan"), 1]},
        {"spectral": {}},
        {"spectral": {"0": 1.0}},
        {"tiles": {"1": [16, 16]}},
        {"tiles": {}},
        {"format": "another"},
    ],
)
def test_what_cannot_be_right_is_ignored(wrong):
    usual = tuning.current(True)
    path = tuning.save(FIGURES, True)
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    tuning.use(None, True)
    assert tuning.current(True) == usual
    path.write_text("{")
    tuning.use(None, True)
    assert tuning.current(True) == usual


def test_others_who_may_write_there_are_not_believed(folder):
    tuning.save(FIGURES, True)
    folder.chmod(0o777)
    tuning.use(None, True)
    assert tuning.current(True) != FIGURES


def test_nothing_is_kept_without_a_folder(monkeypatch):
    monkeypatch.setenv("KERNELFIELD_CACHE", "")
    assert tuning.save(FIGURES, True) is None


def test_a_tile_serves_up_to_the_next_size():
    assert [FIGURES.tile(n) for n in (1, 4, 5, 40)] == [(4, 3), (4, 3), (6, 2), (6, 2)]


@needs_halide
@pytest.mark.skipif(not choice.engine().native, reason="tiles are of our own code")
@pytest.mark.parametrize("tile", tuning.TILES)
def test_results_do_not_depend_on_tiles(tile):
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(150, 333)).astype("f4"), rng.normal(size=(7, 5))
    low_rank = np.outer(rng.normal(size=9), rng.normal(size=17))
    work = [(kernel, "direct"), (low_rank, "separable"), (kernel[:2], "direct")]
    usual = [kf.correlate(image, k, method=method, boundary="wrap") for k, method in work]
    tuning.use(replace(FIGURES, tiles={1: tile}), True)
    for (k, method), expected in zip(work, usual):
        np.testing.assert_array_equal(kf.correlate(image, k, method=method, boundary="wrap"), expected)


@needs_halide
def test_figures_decide_the_method():
    kernel = np.random.default_rng(0).normal(size=(21, 21))
    native = choice.engine().native
    tuning.use(replace(FIGURES, direct=(0.1, 0.001)), native)
    assert kf.plan((2000, 2000), kernel).method == "direct"
    tuning.use(replace(FIGURES, direct=(0.1, 0.2)), native)
    assert kf.plan((2000, 2000), kernel).method == "spectral"
