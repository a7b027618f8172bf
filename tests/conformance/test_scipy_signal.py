"""SciPy's own tests of `convolve2d` and `correlate2d`, from its wheel, run against our functions of the same names.

They run in a process of their own: SciPy's tests bring their own configuration.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

# All that call one of the two functions; those of other functions use them to check by.
CALLERS = {
    "test_signaltools": "TestConvolve2d or TestCorrelate2d or test_random_data_multidim_axes",
    "test_fir_filter_design": "Testfirwin_2d and test_impulse_response",
}

# Name of a test, and why it is not run here.
LEFT_OUT = {"test_large_array": "half a minute and 6 GB, marked slow by SciPy; it passes too"}


def test_scipys_own_tests_pass(tmp_path):
    chosen = " or ".join(f"({names})" for names in CALLERS.values())
    left_out = "".join(f" and not {name}" for name in LEFT_OUT)
    command = [sys.executable, "-m", "pytest", "-p", "scipy_signal_plugin", "-p", "no:cacheprovider", "-q"]
    command += ["--no-header", "--tb=short", "--pyargs", *(f"scipy.signal.tests.{module}" for module in CALLERS)]
    command += ["-k", f"({chosen}){left_out}"]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    found = re.search(r"(\d+) passed", run.stdout)
    assert found is not None
    assert int(found[1]) > 28  # SciPy 1.11 has fewer than 1.17
