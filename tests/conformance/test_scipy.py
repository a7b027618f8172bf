"""SciPy's own tests of its linear filters, from its wheel, run against the drop-in functions of the same names.

They run in a process of their own: SciPy's tests bring their own configuration.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.core


@dataclass(frozen=True)
class Suite:
    """Tests of SciPy.

    Attributes
    ----------
    modules : tuple of str
        Those that hold the tests.
    chosen : str
        Names of the tests, as ``pytest -k`` takes them.
    left_out : dict of str to str
        Name of a test, and the reason why it is not run here.
    least : int
        Number of tests that must pass; SciPy 1.11 has fewer than 1.17.
    """

    modules: tuple[str, ...]
    chosen: str
    left_out: dict[str, str]
    least: int


SUITES = {
    "ndimage": Suite(
        ("scipy.ndimage.tests.test_filters",),
        "correlate or convolve or gauss or uniform or sobel or prewitt or laplace",
        {"test_gauss03": "holds the sum of 10,000 float32 results to 3e-8 of it: our sums are float32"},
        1401,
    ),
    # All that call convolve2d or correlate2d; tests of other functions compare with them.
    "signal": Suite(
        ("scipy.signal.tests.test_signaltools", "scipy.signal.tests.test_fir_filter_design"),
        "TestConvolve2d or TestCorrelate2d or test_random_data_multidim_axes or "
        "(Testfirwin_2d and test_impulse_response)",
        {"test_large_array": "half a minute and 6 GB, marked slow by SciPy; it passes too"},
        29,
    ),
}


@pytest.mark.parametrize("suite", SUITES)
def test_scipys_own_tests_pass(suite, tmp_path):
    tests = SUITES[suite]
    chosen = " and not ".join([f"({tests.chosen})", *tests.left_out])
    command = [sys.executable, "-m", "pytest", "-p", "scipy_plugin", "-p", "no:cacheprovider", "-q", "--no-header"]
    command += ["--tb=short", "--pyargs", *tests.modules, "-k", chosen]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    found = re.search(r"(\d+) passed", run.stdout)
    assert found is not None
    assert int(found[1]) >= tests.least
