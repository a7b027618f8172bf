"""``kernelfield bench --tune``: figures are measured, kept and used; a damaged file is a note."""

import json

import pytest

from kernelfield import _core
from kernelfield.cli import tune
from kernelfield.engine import tuning


@pytest.fixture(autouse=True)
def moment(tmp_path, monkeypatch):
    """Measure briefly, on small images, and keep the figures in a folder of the test."""
    monkeypatch.setenv("KERNELFIELD_CACHE", str(tmp_path))
    monkeypatch.setattr(tune, "_SIDE", 130)
    monkeypatch.setattr(tune, "_ROUNDS", 1)
    tuning.use(None)
    yield
    monkeypatch.undo()
    tuning.use(None)


def test_figures_are_measured_and_kept(run, tmp_path):
    result = run("bench", "--tune", "--json")
    assert result.status == 0
    record = json.loads(result.out)
    assert record["instruction_set"] == _core.instruction_set()
    assert record["written"] == str(tmp_path / f"tuning-{_core.instruction_set()}.json")
    kept = json.loads((tmp_path / record["written"].rpartition("/")[2]).read_text())
    assert {name: kept[name] for name in ("direct", "separable")} == {n: record[n] for n in ("direct", "separable")}
    assert all(n > 0 for n in (record["direct"][1], record["separable"][1], *record["spectral"].values()))
    tuning.use(None)
    assert tuning.current().direct == tuple(record["direct"])
    text = run("bench", "--tune").out
    assert "direct" in text
    assert "kept in" in text


def test_a_damaged_file_is_a_note(run, pictures):
    tuning.location(_core.instruction_set()).write_text("{")
    tuning.use(None)
    result = run("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--size", "3")
    assert result.status == 0, result.err
    assert result.err.startswith("note: ")
    assert "tuning-" in result.err
    assert result.err.count("\n") == 1


def test_what_it_cannot_do_is_refused(refused):
    assert "--tune: expected no other option" in refused(2, "bench", "--tune", "--quick")


def test_no_folder_is_said(run, monkeypatch):
    monkeypatch.setenv("KERNELFIELD_CACHE", "")
    result = run("bench", "--tune", "--json")
    assert json.loads(result.out)["written"] is None
    assert "the figures are not kept" in result.err
