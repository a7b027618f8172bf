"""Duration of whole processes, interleaved; the first call beside the next ones; memory of a call beyond its result.

python -m benchmarks.startup
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

from benchmarks import RESULTS
from kernelfield.cli.harness.series import show, write
from kernelfield.cli.harness.timing import interleaved

ROUNDS = 7
FIRST_CALL = """
import json, os, statistics, time
import numpy as np
from kernelfield import correlate
clock = time.process_time if os.environ.get("KERNELFIELD_CLOCK") == "cpu" else time.perf_counter
image, kernel, seconds = np.ones((64, 64), np.float32), np.ones((3, 3)), []
for _ in range(9):
    start = clock()
    correlate(image, kernel)
    seconds.append(clock() - start)
print(json.dumps({"first call": seconds[0], "next call": statistics.median(seconds[1:])}))
"""
# ru_maxrss is in KiB on Linux.
MEMORY = """
import json, resource
import numpy as np
from kernelfield import correlate
image = np.ones((4096, 4096), np.float32)
correlate(image[:64, :64], np.ones((7, 7)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = correlate(image, np.ones((7, 7)))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps((after - before) / 1024 - result.nbytes / 2**20))
"""


def output_of(code: str) -> str:
    """Return the output of a new Python process."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def main() -> None:
    # Users' Python keeps what it has compiled; the first call of each process, which does not count, compiles.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "kernelfield"]
    processes = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import numpy": [sys.executable, "-c", "import numpy"],
        "import numpy, kernelfield": [sys.executable, "-c", "import numpy, kernelfield"],
        "kernelfield --help": [*command, "--help"],
        "kernelfield learn": [*command, "learn", "examples/before.png", "examples/after.png"],
    }

    def run(arguments: list[str]) -> None:
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    calls = {name: lambda a=a: run(a) for name, a in processes.items()}
    times = interleaved(calls, rounds=ROUNDS)
    show("whole processes", ["", "s"], [[name, f"{value:.3f}"] for name, value in times.items()])

    samples = [json.loads(output_of(FIRST_CALL)) for _ in range(ROUNDS)]
    first = {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}
    show("correlate, 64² by 3×3, in a new process", ["", "µs"], [[name, f"{1e6 * s:.1f}"] for name, s in first.items()])
    memory = float(output_of(MEMORY))
    print(f"\nmemory of correlate, 4096² by 7×7, beyond the result: {memory:.1f} MiB")
    write(RESULTS / "startup.json", (), median_seconds=times | first, mebibytes_beyond_the_result=memory)


if __name__ == "__main__":
    main()
