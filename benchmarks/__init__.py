"""Speed and memory, side by side with other libraries in one run: `make bench`."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"
