"""``kernelfield bench --tune``: figures are measured, kept and gone by."""

import json

import pytest
from cases import needs_halide

from kernelfield.apps import tune
from kernelfield.engine import choice, tuning

pytestmark = needs_halide


@pytest.fixture(autouse=True)
def moment(tmp_path, monkeypatch):
    """Measure for a moment, on small images, and keep figures elsewhere."""
    monkeypatch.setenv("KERNELFIELD_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tune, "_SIDE", 130)
    monkeypatch.setattr(tune, "_ROUNDS", 1)
    yield
    monkeypatch.undo()
    for native in (False, True):
        tuning.use(None, native)


@pytest.mark.parametrize("engine", ["", "halide"])
def test_figures_are_measured_and_kept(engine, run, tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELFIELD_ENGINE", engine)
    result = run("bench", "--tune", "--json")
    assert result.status == 0
    record = json.loads(result.out)
    native = choice.engine().native
    assert record["native"] == native
    kept = json.loads((tmp_path / record["written"].rpartition("/")[2]).read_text())
    assert {name: kept[name] for name in ("direct", "separable")} == {n: record[n] for n in ("direct", "separable")}
    assert all(n > 0 for n in (record["direct"][1], record["separable"][1], *record["spectral"].values()))
    tuning.use(None, native)
    assert tuning.current(native).direct == tuple(record["direct"])
    text = run("bench", "--tune").out
    assert "direct" in text
    assert "kept in" in text


def test_what_it_cannot_do_is_refused(refused, monkeypatch):
    assert "--tune: expected nothing else" in refused(2, "bench", "--tune", "--quick")
    monkeypatch.setenv("KERNELFIELD_ENGINE", "portable")
    assert "--tune: expected the compiled engine" in refused(2, "bench", "--tune")


def test_no_folder_is_said(run, monkeypatch):
    monkeypatch.setenv("KERNELFIELD_CACHE", "")
    result = run("bench", "--tune", "--json")
    assert json.loads(result.out)["written"] is None
    assert "the figures are not kept" in result.err
