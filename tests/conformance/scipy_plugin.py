"""A pytest plugin for SciPy's own tests of scipy.ndimage: while one runs, its module finds our filters instead."""

import pytest
import scipy.ndimage

from kernelfield.dropin import ndimage


def pytest_collection_modifyitems(items):
    """Hand our functions to tests that take a function as a parameter."""
    for item in items:
        for name, value in item.callspec.params.items() if hasattr(item, "callspec") else ():
            own = getattr(value, "__name__", "")
            if own in ndimage.__all__ and value is getattr(scipy.ndimage, own):
                item.callspec.params[name] = getattr(ndimage, own)


@pytest.fixture(autouse=True)
def ours_for_theirs(request, monkeypatch):
    """Patch when a test runs, not on import: there, SciPy looks its functions up by identity."""
    monkeypatch.setattr(request.module, "ndimage", ndimage)
