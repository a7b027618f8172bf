"""A pytest plugin for SciPy's own tests of scipy.signal: while one runs, its module finds our functions instead."""

import pytest
import scipy.signal

from kernelfield.dropin import signal


def pytest_collection_modifyitems(items):
    """Hand our functions to tests that take a function as a parameter."""
    for item in items:
        for name, value in item.callspec.params.items() if hasattr(item, "callspec") else ():
            own = getattr(value, "__name__", "")
            if own in signal.__all__ and value is getattr(scipy.signal, own):
                item.callspec.params[name] = getattr(signal, own)


@pytest.fixture(autouse=True)
def ours_for_theirs(request, monkeypatch):
    """Patch when a test runs, not on import: there, SciPy looks its functions up by identity."""
    for name in signal.__all__:
        if hasattr(request.module, name):
            monkeypatch.setattr(request.module, name, getattr(signal, name))
    if hasattr(request.module, "signal"):
        monkeypatch.setattr(request.module, "signal", signal)
