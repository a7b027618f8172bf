from __future__ import annotations

import numpy as np

from kernelfield.cli.harness.timing import interleaved, machine


def test_every_candidate_is_called_in_every_round():
    calls = {"one": 0, "two": 0}

    def count(name: str) -> None:
        calls[name] += 1

    times = interleaved({name: (lambda name=name: count(name)) for name in calls}, rounds=5, warm=False)
    assert calls == {"one": 5, "two": 5}
    assert all(seconds > 0 for seconds in times.values())
    interleaved({"one": lambda: count("one")}, rounds=5, seconds=0.0, warm=False)
    assert calls["one"] == 8


def test_packages_that_are_not_installed_are_named():
    found = machine(["no-such-package"])
    assert found["versions"]["no-such-package"] == "not installed"
    assert found["versions"]["numpy"] == np.__version__
