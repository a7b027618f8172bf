"""``python -m kernelfield``."""

import sys

from kernelfield.cli.start import start

if __name__ == "__main__":
    sys.exit(start())
