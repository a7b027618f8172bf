"""What was measured of a machine: what each method costs, and the tiles that suit our own code.

The figures here are of one machine. ``kernelfield bench --tune`` measures those of the user's and keeps them beside the
compiled code, for this processor and engine. They decide how fast results come, never what results are.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kernelfield.engine import code_cache, processor
from kernelfield.engine.choice import engine

FORMAT = "kernelfield-tuning/1"

#: Tiles of our own code that sixteen registers hold: rows, and registers of a row.
TILES = ((3, 4), (4, 3), (2, 6), (3, 3), (6, 2), (2, 4))


@dataclass(frozen=True)
class Tuning:
    """Figures of one machine, in ns of one thread and for float32.

    Attributes
    ----------
    direct, separable : (float, float)
        For one output, and for each multiply-add of it.
    spectral : dict of int to float
        Pixels of a tile -> for one of them, there and back; between them it is interpolated.
    tiles : dict of int to (int, int)
        Rows of a kernel -> rows and registers of a tile of our own code, for kernels of so many and up to the next.
    """

    direct: tuple[float, float]
    separable: tuple[float, float]
    spectral: dict[int, float]
    tiles: dict[int, tuple[int, int]] = field(default_factory=lambda: {1: TILES[0]})

    def tile(self, rows: int) -> tuple[int, int]:
        """Return rows and registers of a tile for kernels of so many rows."""
        return self.tiles[max(n for n in self.tiles if n <= max(rows, min(self.tiles)))]


# On two threads of an AMD EPYC: Zen 4 with AVX-512 by Halide, Zen 3 with AVX2 by our own code; transforms on that.
_SPECTRAL = {
    1 << 14: 46.0, 36864: 22.0, 65536: 15.0, 1 << 17: 12.0, 1 << 18: 11.6, 409600: 12.2, 589824: 11.8, 1 << 20: 12.4
}  # fmt: skip
_HALIDE = Tuning((0.45, 0.0175), (0.70, 0.0367), _SPECTRAL)
_NATIVE = Tuning((0.30, 0.0250), (0.44, 0.0400), _SPECTRAL)

_known: dict[bool, Tuning] = {}
_listeners: list[Callable[[], object]] = []


def current(native: bool | None = None) -> Tuning:
    """Return the figures for our own code or Halide's; for what is in use by default."""
    wanted = engine().native if native is None else native
    found = _known.get(wanted)
    if found is None:
        found = _known[wanted] = _load(wanted) or (_NATIVE if wanted else _HALIDE)
    return found


def use(tuning: Tuning | None, native: bool) -> None:
    """Go by other figures in this process; None takes that back."""
    _known.pop(native, None)
    if tuning is not None:
        _known[native] = tuning
    for listener in _listeners:
        listener()


def on_change(listener: Callable[[], object]) -> None:
    """Have `listener` called by `use`: what was derived from figures is to be forgotten."""
    _listeners.append(listener)


def location(native: bool) -> Path | None:
    """Return the file of figures; None where nothing is kept."""
    folder = code_cache.location()
    return None if folder is None else folder / f"tuning-{'own' if native else 'halide'}.json"


def save(tuning: Tuning, native: bool) -> Path | None:
    """Keep figures for this processor; return where, None where nothing can be kept."""
    path = location(native)
    if path is None or code_cache.state()[1]:
        return None
    record = {"format": FORMAT, "processor": processor.identity(), **asdict(tuning)}
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        return None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    use(tuning, native)
    return path


def _load(native: bool) -> Tuning | None:
    """Return figures that `save` kept; None where there are none, or none that can be right."""
    path = location(native)
    if path is None or code_cache.state()[1]:
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT or record["processor"] != processor.identity():
            return None
        return _checked(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _checked(record: dict[str, Any]) -> Tuning:
    costs = [tuple(float(n) for n in record[name]) for name in ("direct", "separable")]
    spectral = {int(n): float(cost) for n, cost in record["spectral"].items()}
    tiles = {int(n): (int(tile[0]), int(tile[1])) for n, tile in record["tiles"].items()}
    numbers = [*costs[0], *costs[1], *spectral.values()]
    if [len(pair) for pair in costs] != [2, 2] or not all(math.isfinite(n) and n >= 0 for n in numbers):
        raise ValueError("costs")
    if not spectral or min(spectral) < 1 or not tiles or min(tiles) < 1 or not set(tiles.values()) <= set(TILES):
        raise ValueError("tiles")
    (a, b), (c, d) = costs
    return Tuning((a, b), (c, d), dict(sorted(spectral.items())), tiles)
