"""A pytest plugin for SciPy's own tests: while one runs, its module finds our drop-in functions instead of SciPy's."""

import pytest
import scipy.ndimage
import scipy.signal

from kernelfield.dropin import ndimage, signal

MODULES = {scipy.ndimage: ndimage, scipy.signal: signal}
FUNCTIONS = {getattr(theirs, name): getattr(ours, name) for theirs, ours in MODULES.items() for name in ours.__all__}


def replacement(value):
    """Return our module or function for one of SciPy's; None for anything else."""
    try:
        return MODULES.get(value) or FUNCTIONS.get(value)
    except TypeError:  # not hashable
        return None


def pytest_collection_modifyitems(items):
    """Replace SciPy's functions where a test takes one as a parameter."""
    for item in items:
        for name, value in item.callspec.params.items() if hasattr(item, "callspec") else ():
            item.callspec.params[name] = replacement(value) or value if callable(value) else value


@pytest.fixture(autouse=True)
def ours_for_theirs(request, monkeypatch):
    """Patch when a test runs, not on import: there, SciPy looks its functions up by identity."""
    for name, value in list(vars(request.module).items()):
        found = replacement(value)
        if found is not None:
            monkeypatch.setattr(request.module, name, found)
