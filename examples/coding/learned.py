"""What is learned from patches of photographs looks like the sensors.

    python examples/coding/learned.py [ica|dictionary] [learned.png]

prints the table of fitted Gabor functions and draws them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import kernelfield as kf

sys.path.insert(0, str(Path(__file__).parent))
from natural_images import photographs


def main(method: str = "ica", target: str = "learned.png") -> None:
    """Learn, match, draw."""
    dictionary = kf.coding.learn_dictionary(
        list(photographs().values()), method, patches=100_000 if method == "ica" else 20_000
    )
    matches = dictionary.match()
    print(dictionary)
    print(matches.table())
    matches.plot().savefig(target, dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:])
