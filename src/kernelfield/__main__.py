"""``python -m kernelfield``."""

import sys

from kernelfield.apps.cli import main

if __name__ == "__main__":
    sys.exit(main())
