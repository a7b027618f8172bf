import os

import pytest
from hypothesis import settings

# TensorFlow writes to stderr when it is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

settings.register_profile("kernelfield", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("kernelfield")


def pytest_configure(config):
    """Let MXNet 1.9.1 use NumPy and SciPy as it did in its day."""
    if "mxnet" in os.environ.get("KERNELFIELD_FRAMEWORKS", ""):
        config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning")


@pytest.fixture(params=["native", "halide", "portable"])
def engine(request, monkeypatch):
    """Run a test on our own machine code where the processor runs it, on Halide's, and on the portable engine."""
    monkeypatch.setenv("KERNELFIELD_ENGINE", "" if request.param == "native" else request.param)
    return request.param


@pytest.fixture(scope="module", params=["", "halide", "portable"], ids=["native", "halide", "portable"])
def engine_name(request):
    """Every engine, for all examples of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERNELFIELD_ENGINE", request.param)
        yield request.param
