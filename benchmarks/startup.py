"""How long the command and the import take: whole processes, interleaved.

python -m benchmarks.startup
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.timing import interleaved, machine, show, write


def main() -> None:
    command = str(Path(sys.executable).with_name("kernelfield"))
    processes = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import numpy": [sys.executable, "-c", "import numpy"],
        "import numpy, kernelfield": [sys.executable, "-c", "import numpy, kernelfield"],
        "kernelfield --help": [command, "--help"],
        "kernelfield learn": [command, "learn", "examples/before.png", "examples/after.png"],
    }

    def run(arguments: list[str]) -> None:
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    calls = {name: lambda a=a: run(a) for name, a in processes.items()}
    times = interleaved(calls, rounds=7)
    show("whole processes", ["", "s"], [[name, f"{value:.3f}"] for name, value in times.items()])
    write("startup", {"machine": machine(()), "median_seconds": times})


if __name__ == "__main__":
    main()
