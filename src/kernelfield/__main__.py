"""``python -m kernelfield``."""

import sys

from kernelfield.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
