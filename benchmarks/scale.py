"""Images that no machine holds: the cost a pixel, what a scheduler costs, and learning from tiles and in memory.

python -m benchmarks.scale [throughput | size | cluster | learning], for all or for a part
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
    """Return the scheduler's processor time and memory for tiles: one a task, and 3.7 million in blocks."""
    found = {}
    with machines(2) as (client, scheduler):
        engine.run(Null(), range(100), None, client)
        for name, count, size in (("all of 10**15 pixels", TILES, None), ("one tile a task", 5_000, 1)):
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
                "client memory MB": round(psutil.Process().memory_info().rss / 1e6),
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


#: Rows and columns of a mosaic.
SIDE = int(os.environ.get("KERNELFIELD_SIDE", 20_000))


def throughput(side: int = SIDE, rounds: int = 3) -> dict[str, Any]:
    """Return CPU nanoseconds a pixel of a 5×5 kernel, Zarr to Zarr in memory, beside Dask with OpenCV; float32.

    Both read and write stores of one layout, on one thread. Rounds are interleaved, and medians told. Only ours writes
    checksums of chunks, hashes and records.
    """
    import cv2
    import dask
    import dask.array as da
    import zarr
    from zarr.storage import MemoryStore

    cv2.setNumThreads(1)
    kf.set_threads(1)
    layout: dict[str, Any] = {"chunks": (1024, 1024), "shards": (2048, 2048), "compressors": None}
    image, kernel = np.random.default_rng(0).random((side, side), np.float32), np.random.default_rng(1).random((5, 5))
    store = MemoryStore()
    source = zarr.create_array(store, shape=image.shape, dtype=image.dtype, **layout)
    source[...] = image

    def new() -> Any:
        return zarr.create_array(MemoryStore(), shape=image.shape, dtype=image.dtype, **layout)

    def of_dask() -> None:
        chunks = da.from_array(source, chunks=(2048, 2048))
        done = da.map_overlap(
            lambda part: cv2.filter2D(part, -1, kernel, borderType=cv2.BORDER_REFLECT),
            chunks, depth=2, boundary="reflect", dtype=image.dtype,
        )  # fmt: skip
        with dask.config.set(scheduler="threads", num_workers=1):
            da.store(done, new(), lock=False)

    def copied() -> None:
        target = new()
        for region in kf.scale.Grid(image.shape, (2048, 2048)):
            target[region] = source[region]

    calls = {
        "kernelfield.scale.apply": lambda: kf.scale.apply(store, kernel, MemoryStore()),
        "dask.array.map_overlap and OpenCV": of_dask,
        "kernelfield.correlate, the image in memory": lambda: kf.correlate(image, kernel),
        "zarr, read and written, nothing computed": copied,
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            started = time.process_time()
            call()
            times[name].append((time.process_time() - started) / image.size * 1e9)
    # The first round touches memory for the first time.
    found: dict[str, Any] = {name: round(float(np.median(all_[1:])), 2) for name, all_ in times.items()}
    ours, peer, memory, _ = (float(np.median(all_[1:])) for all_ in times.values())
    found |= {
        "times as fast as Dask and OpenCV": round(peer / ours, 2),
        "share of our speed in memory": round(memory / ours, 2),
    }
    return found


_ONE_SIZE = """
import resource, sys, time
import numpy as np
import kernelfield as kf
side, path = int(sys.argv[1]), sys.argv[2]
row = np.random.default_rng(0).integers(0, 256, side, np.uint8)
image = np.broadcast_to(row, (side, side))
kf.scale.apply(image[:3000, :3000], np.full((5, 5), 0.04), path + "/warm.zarr", dtype="uint8", compression="none")
started = time.process_time()
kf.scale.apply(image, np.full((5, 5), 0.04), path + "/out.zarr", dtype="uint8", compression="none")
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def size(sides: tuple[int, ...] = (3_163, 10_000, 31_623, 100_000)) -> dict[str, Any]:
    """Return CPU nanoseconds a pixel and the peak memory of 10**7 to 10**10 pixels: uint8, 5×5, onto this disk."""
    import shutil

    found: dict[str, Any] = {}
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            if shutil.disk_usage(folder).free < 2 * side**2:
                found[f"{side}²"] = "no room on this disk"
                continue
            words = [sys.executable, "-c", _ONE_SIZE, str(side), folder]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
        seconds, peak = map(float, done.stdout.split())
        found[f"{side}²"] = {"CPU ns a pixel": round(seconds / side**2 * 1e9, 2), "peak MB": round(peak / 1024)}
    return found


def main() -> None:
    """Print the sections named on the command line, or all."""
    sections = {"throughput": throughput, "size": size, "cluster": cluster, "learning": learning}
    for name in sys.argv[1:] or sections:
        print(name)
        for key, value in sections[name]().items():
            print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
