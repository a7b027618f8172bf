"""Faults injected into a cluster: workers killed, all at once too, the scheduler killed, a worker out of memory.

python tests/faults_cluster.py SEED prints survived / injected for each kind, and fails if they differ. A fault is
survived if the result has the bytes of an undisturbed run, at once or after a resume that follows a `ClusterError` in
bounded time. `make faults` runs it after faults.py; tests/scale/test_cluster.py is the fast part.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributed
import numpy as np

import kernelfield as kf
from kernelfield.errors import ClusterError
from kernelfield.scale import cluster
from kernelfield.scale.sources import ArraySource

IMAGE = np.random.default_rng(0).integers(0, 4000, (400, 400)).astype(np.uint16)
KERNEL = np.outer([1, 2, 1], [1, 2, 1]) / 16
TILE = (40, 40)
#: Seconds in which there is a result or an error.
BOUND = 300.0
#: Kills of one random worker, of all workers, and of the scheduler.
KILLS, MASSACRES, SCHEDULERS = 12, 3, 3


@dataclass(frozen=True, eq=False)
class Slow(ArraySource):
    """An array that takes its time to read."""

    seconds: float = 0.05

    def read(self, region: Any) -> np.ndarray:
        """Return the pixels of a box."""
        time.sleep(self.seconds)
        return super().read(region)


class Hungry:
    """A job that takes all memory."""

    def run(self, index: int) -> None:
        """Fill memory until the worker is killed."""
        held = []
        for _ in range(2000):
            held.append(np.ones(1 << 20))
            time.sleep(0.005)


def slow(seconds: float = 0.05) -> Slow:
    """Return the source of the jobs."""
    return Slow("slow", IMAGE.shape, IMAGE.dtype, (0, 1), TILE, array=IMAGE, seconds=seconds)


@contextmanager
def workers(count: int, **options: Any) -> Iterator[tuple[Any, Any]]:
    """Yield worker processes, started again when they die, and a client."""
    options |= {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(n_workers=count, **options) as found, distributed.Client(found) as client:
        yield found, client


def survived(target: Path, expected: str, client: Any, progress: Callable[[Any], None] | None = None) -> bool:
    """Return whether a job ends with the bytes expected, at once or after an error in bounded time and a resume."""
    started = time.monotonic()
    try:
        done = kf.scale.apply(slow(), KERNEL, target, tile=TILE, scheduler=client, progress=progress)
    except ClusterError as error:
        if target.exists() or "\n" in str(error):
            return False
        done = kf.scale.apply(slow(0.0), KERNEL, target, tile=TILE, resume=True)
    bounded = time.monotonic() - started < BOUND
    return bounded and done.hash == expected and kf.scale.verify(target).hash == expected


def kill(found: Any, chosen: list[Any] | None = None) -> None:
    """Kill worker processes, all by default."""
    for nanny in chosen or list(found.workers.values()):
        if nanny.pid:
            os.kill(nanny.pid, signal.SIGKILL)


def killed_at_random(folder: Path, expected: str, dice: random.Random) -> tuple[int, int]:
    """Kill one worker after another, at random moments of one job after the other."""
    good = 0
    with workers(2) as (found, client):
        for number in range(KILLS // 3):
            moments = set(dice.sample(range(1, 100), 3))

            def progress(now: Any, moments: set[int] = moments) -> None:
                if now.tiles in moments:
                    kill(found, [dice.choice(list(found.workers.values()))])

            good += 3 * survived(folder / f"random{number}.zarr", expected, client, progress)
    return good, 3 * (KILLS // 3)


def killed_all_at_once(folder: Path, expected: str, dice: random.Random) -> tuple[int, int]:
    """Kill all workers at a random moment."""
    good = 0
    with workers(2) as (found, client):
        for number in range(MASSACRES):
            moment = dice.randrange(1, 100)

            def progress(now: Any, moment: int = moment) -> None:
                if now.tiles == moment:
                    kill(found)

            good += survived(folder / f"all{number}.zarr", expected, client, progress)
    return good, MASSACRES


def scheduler_killed(folder: Path, expected: str, dice: random.Random) -> tuple[int, int]:
    """Kill the scheduler, which stands alone, at a random moment."""
    good = 0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for number in range(SCHEDULERS):
        address = folder / f"scheduler{number}.json"
        shared = ["--scheduler-file", str(address), "--no-dashboard", "--host", "127.0.0.1"]
        commands = [
            ["dask_scheduler", "--port", "0"],
            ["dask_worker", "--no-nanny", "--nthreads", "1", "--death-timeout", "10"],
        ]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:], *shared],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in commands
        ]
        moment, timer = dice.uniform(0.1, 3.0), None
        try:
            with distributed.Client(scheduler_file=str(address), timeout=120) as client:
                client.wait_for_workers(1, timeout=120)
                timer = threading.Timer(moment, started[0].kill)
                timer.start()
                good += survived(folder / f"scheduler{number}.zarr", expected, client)
        finally:
            if timer is not None:
                timer.cancel()
            for one in started:
                one.kill()
                one.wait()
    return good, SCHEDULERS


def out_of_memory(_folder: Path, _expected: str, _dice: random.Random) -> tuple[int, int]:
    """Give a worker a job that takes more memory than it has: a typed error in bounded time."""
    with workers(1, memory_limit="400MB") as (_, client):
        started = time.monotonic()
        try:
            cluster.run(Hungry(), range(1), None, client, limits=cluster.Limits(no_workers=45.0, patience=BOUND / 2))
        except ClusterError:
            return int(time.monotonic() - started < BOUND), 1
    return 0, 1


def main() -> None:
    """Inject the faults, and exit with 1 if one is not survived."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        expected = kf.scale.apply(slow(0.0), KERNEL, Path(folder) / "undisturbed.zarr", tile=TILE).hash
        for kind in (killed_at_random, killed_all_at_once, scheduler_killed, out_of_memory):
            good, injected = kind(Path(folder), expected, random.Random(seed))
            print(f"cluster, {kind.__name__.replace('_', ' ')}: {good} / {injected}", flush=True)
            failed = failed or good != injected
    sys.exit(failed)


if __name__ == "__main__":
    main()
