import pytest
from hypothesis import settings

settings.register_profile("kernelfield", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("kernelfield")


@pytest.fixture(params=["halide", "portable"])
def engine(request, monkeypatch):
    """Run a test on the compiled engine and on the portable one."""
    monkeypatch.setenv("KERNELFIELD_ENGINE", request.param)
    return request.param
