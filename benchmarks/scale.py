"""Images that no machine holds: what a scheduler costs, and learning from tiles beside learning in memory.

python -m benchmarks.scale [cluster | learning], for all or for a part
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from skimage import data

import kernelfield as kf
from kernelfield.scale import cluster as engine

#: Tiles of 16,384 × 16,384 pixels in 10**15.
TILES = 10**15 // 16384**2


class Null:
    """A job whose tiles cost nothing."""

    def run(self, index: int) -> int:
        """Return the number of the tile."""
        return index


@contextmanager
def machines(workers: int) -> Iterator[tuple[Any, psutil.Process]]:
    """Yield a client and the process of its scheduler, which stands alone as on a cluster."""
    import distributed

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with tempfile.TemporaryDirectory() as folder:
        shared = ["--scheduler-file", f"{folder}/scheduler.json", "--no-dashboard", "--host", "127.0.0.1"]
        commands = [["dask_scheduler", "--port", "0"]]
        commands += [["dask_worker", "--no-nanny", "--nthreads", "1", "--local-directory", folder]] * workers
        started = [
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:], *shared],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in commands
        ]
        try:
            with distributed.Client(scheduler_file=shared[1], timeout=120) as client:
                client.wait_for_workers(workers, timeout=120)
                yield client, psutil.Process(started[0].pid)
        finally:
            for one in started:
                one.kill()
                one.wait()


def cluster() -> dict[str, Any]:
    """Return what the scheduler spends on tiles: one a task, and 3.7 million in blocks of some hundred."""
    found = {}
    with machines(2) as (client, scheduler):
        engine.run(Null(), range(100), None, client)
        for name, count, size in (("one tile a task", 20_000, 1), ("all of 10**15 pixels", TILES, None)):
            seen = [0]

            def progress(_: int, seen: list[int] = seen) -> None:
                seen[0] += 1

            before, own = scheduler.cpu_times(), time.process_time()
            started = time.perf_counter()
            engine.run(Null(), range(count), progress, client, tiles_a_task=size)
            wall, after = time.perf_counter() - started, scheduler.cpu_times()
            if seen[0] != count:
                raise RuntimeError(f"expected {count} tiles, received {seen[0]}")
            spent = after.user + after.system - before.user - before.system
            found[name] = {
                "tiles": count,
                "wall seconds": round(wall, 1),
                "scheduler CPU seconds": round(spent, 1),
                "scheduler CPU milliseconds a tile": round(1e3 * spent / count, 4),
                "scheduler memory MB": round(scheduler.memory_info().rss / 1e6),
                "client CPU seconds": round(time.process_time() - own, 1),
            }
    return found


def learning() -> dict[str, Any]:
    """Return the CPU seconds of learning a pair from a store, tile by tile, and in memory; the bits are compared."""
    import zarr

    before = np.tile(data.camera(), (8, 8))
    before += np.random.default_rng(0).integers(0, 8, before.shape, dtype=np.uint8)
    kernel = np.random.default_rng(1).normal(size=(5, 5)) / 12 + 1 / 25
    noise = np.random.default_rng(2).normal(scale=2.0, size=before.shape)
    after = np.clip(np.rint(kf.correlate(before, kernel, dtype=np.float64) + noise), 0, 255).astype(np.uint8)
    found: dict[str, Any] = {"pixels": before.size}
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("before.zarr", "after.zarr")]
        for path, pixels in zip(paths, (before, after)):
            zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, chunks=(1024, 1024))[...] = pixels
        fits = {}
        for name, call in (
            ("in memory, size 5", lambda: kf.learn(before, after, size=5)),
            ("tiles of a store, size 5", lambda: kf.scale.learn(*paths, size=5)),
            ("in memory, size searched", lambda: kf.learn(before, after, max_size=31)),
            ("tiles of a store, size searched", lambda: kf.scale.learn(*paths, max_size=31)),
        ):
            started, wall = time.process_time(), time.perf_counter()
            fits[name] = call()
            seconds = time.process_time() - started
            found[name] = {
                "CPU seconds": round(seconds, 2),
                "wall seconds": round(time.perf_counter() - wall, 2),
                "megapixels a CPU second": round(before.size / seconds / 1e6, 1),
                "verdict": fits[name].verdict,
                "size": fits[name].size,
            }
    one, other = (fits[f"{how}, size 5"].kernel.weights for how in ("in memory", "tiles of a store"))
    found["largest difference of a weight"] = float(np.abs(one - other).max())
    return found


def main() -> None:
    """Print the sections named on the command line, or all."""
    sections = {"cluster": cluster, "learning": learning}
    for name in sys.argv[1:] or sections:
        print(name)
        for key, value in sections[name]().items():
            print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
