"""A small part of `make faults`."""

import os

import faults
import pytest

pytest.importorskip("zarr")
# JAX, which other tests of the process load, warns of every process that is started under limits.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")


@pytest.mark.parametrize("name", ["out.zarr", "out.png"])
def test_results_survive_kill_9(name, monkeypatch):
    monkeypatch.setattr(faults, "RESULTS", {name: faults.RESULTS[name]})
    monkeypatch.setattr(faults, "SIDE", 700)
    assert all(sound for _, sound in faults.kills(3, 2))


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root; `make faults` fails where it cannot be")
@pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
def test_results_survive_a_full_disk_and_limits(name, monkeypatch):
    monkeypatch.setattr(faults, "RESULTS", {name: faults.RESULTS[name]})
    try:
        assert all(sound for _, sound in faults.refusals(3))
    except RuntimeError as error:
        pytest.skip(str(error))


def test_every_flipped_bit_of_a_store_is_found_or_harmless():
    assert all(sound for _, sound in faults.damage(3, 15))
