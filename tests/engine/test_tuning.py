"""Figures of a machine: kept for its processor and instruction set, and passed over where they cannot be right."""

import json
from dataclasses import replace

import numpy as np
import pytest

import kernelfield as kf
from kernelfield import _core
from kernelfield.engine import tuning
from kernelfield.engine.plan import CACHE
from kernelfield.errors import KernelfieldWarning

pytestmark = pytest.mark.core

FIGURES = tuning.Tuning((0.5, 0.02), (0.6, 0.03), {1 << 14: 9.0, 1 << 18: 11.0})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep figures in a folder of the test's own, and forget them after it."""
    monkeypatch.setenv("KERNELFIELD_CACHE", str(tmp_path / "kernelfield"))
    tuning.use(None)
    yield tmp_path / "kernelfield"
    monkeypatch.undo()
    tuning.use(None)


def test_figures_are_kept_for_this_processor_and_instruction_set(monkeypatch, folder):
    usual = tuning.current()
    path = tuning.save(FIGURES)
    assert tuning.current() == FIGURES
    tuning.use(None)
    assert tuning.current() == FIGURES, "read from the file"
    assert [p.name for p in folder.iterdir()] == [path.name] == [f"tuning-{_core.instruction_set()}.json"]
    monkeypatch.setattr(tuning, "processor", lambda: "another")
    tuning.use(None)
    assert tuning.current() == usual


def test_each_instruction_set_has_its_own(engine):
    assert tuning.current() != FIGURES
    assert tuning.location(_core.instruction_set()).name == f"tuning-{engine}.json"
    tuning.save(FIGURES)
    assert tuning.current() == FIGURES


@pytest.mark.parametrize(
    "wrong",
    [
        {"direct": [0.1]},
        {"direct": ["x", 1]},
        {"direct": [0.1, 0]},
        {"separable": [float("nan"), 1]},
        {"spectral": {}},
        {"spectral": {"0": 1.0}},
        {"spectral": []},
        {"processor": None, "format": None},
        None,
        b"{",
        b"\xff\xfe",
        b"[" * 9000,
        b"[]",
    ],
)
def test_what_is_damaged_is_passed_over_with_one_note(wrong):
    usual = tuning.current()
    path = tuning.save(FIGURES)
    if isinstance(wrong, bytes):
        path.write_bytes(wrong)
    elif wrong is not None:
        path.write_text(
            json.dumps({k: v for k, v in {**json.loads(path.read_text()), **wrong}.items() if v is not None})
        )
    else:
        path.write_bytes(b"")
    tuning.use(None)
    with pytest.warns(KernelfieldWarning, match=r"tuning-.*: expected the figures of .*; the defaults are used") as got:
        assert tuning.current() == usual
    assert len(got) == 1
    assert "\n" not in str(got[0].message)
    assert tuning.current() == usual, "and no word more"


@pytest.mark.parametrize("other", [{"format": "another"}, {"processor": "another"}])
def test_what_was_measured_for_others_is_passed_over_without_a_word(other):
    usual = tuning.current()
    path = tuning.save(FIGURES)
    path.write_text(json.dumps({**json.loads(path.read_text()), **other}))
    tuning.use(None)
    assert tuning.current() == usual


def test_nothing_is_kept_without_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELFIELD_CACHE", "")
    assert tuning.save(FIGURES) is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERNELFIELD_CACHE", str(tmp_path / "file"))
    assert tuning.save(FIGURES) is None


def test_figures_decide_the_method_and_what_was_decided_is_forgotten():
    kernel = np.random.default_rng(0).normal(size=(21, 21))
    kf.correlate(np.zeros((30, 30)), np.ones((3, 3)))
    assert len(CACHE)
    tuning.use(replace(FIGURES, direct=(0.1, 0.001)))
    assert not len(CACHE)
    assert kf.plan((2000, 2000), kernel).method == "direct"
    tuning.use(replace(FIGURES, direct=(0.1, 0.2)))
    assert kf.plan((2000, 2000), kernel).method == "spectral"
