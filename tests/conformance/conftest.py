"""One suite over every framework that ``KERNELFIELD_FRAMEWORKS`` names; one that is missing fails."""

from __future__ import annotations

import pytest
from conformance.frameworks import KNOWN, NAMES


@pytest.fixture(params=NAMES)
def framework(request):
    """The helper of one framework: see `conformance.frameworks.Framework`."""
    return KNOWN[request.param]()


@pytest.fixture(params=["float32", "float64"])
def dtype(request, framework):
    """A dtype that our engine computes in; while a test runs, tensors of it exist."""
    with framework.precision(request.param):
        yield request.param
