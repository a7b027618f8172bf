import os

import pytest
from hypothesis import settings

from kernelfield import _core

# TensorFlow writes to stderr when it is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Plans go by the figures that come with the package, not by those that were measured here.
os.environ["KERNELFIELD_CACHE"] = ""

settings.register_profile("kernelfield", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("kernelfield")


def pytest_configure(config):
    """Let MXNet 1.9.1 use NumPy and SciPy as it did in its day."""
    if "mxnet" in os.environ.get("KERNELFIELD_FRAMEWORKS", ""):
        config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning")


# One that KERNELFIELD_CPU names is tested by itself; see `make test-sets`.
SETS = [os.environ["KERNELFIELD_CPU"]] if os.environ.get("KERNELFIELD_CPU") else _core.instruction_sets()


@pytest.fixture(scope="module", params=SETS)
def engine(request):
    """Compute with each instruction set that this processor has, for all examples of a test."""
    from kernelfield.engine.plan import CACHE

    usual = _core.instruction_set()
    _core.use(request.param)
    CACHE.clear()
    yield request.param
    _core.use(usual)
    CACHE.clear()
