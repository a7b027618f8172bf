"""A cluster that loses workers: the same bytes, or a `ClusterError` in bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.cli.main import main
from kernelfield.errors import ArgumentError, ClusterError, FileError
from kernelfield.scale import cluster
from kernelfield.scale.sources import ArraySource

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.threads, pytest.mark.filterwarnings("ignore")]

IMAGE = np.random.default_rng(0).integers(0, 4000, (240, 200)).astype(np.uint16)
KERNEL = np.outer([1, 2, 1], [1, 2, 1]) / 16
TILE = (40, 40)
# Of a machine with much else to do, whose workers start slowly.
PATIENT = cluster.Limits(no_workers=300.0, patience=600.0, answer=60.0)
SOON = cluster.Limits(no_workers=1.5, patience=300.0, answer=5.0)


@dataclass(frozen=True, eq=False)
class Slow(ArraySource):
    """An array that takes its time to read."""

    seconds: float = 0.05

    def read(self, region: Any) -> np.ndarray:
        time.sleep(self.seconds)
        return super().read(region)


def slow(seconds: float = 0.05) -> Slow:
    return Slow("slow", IMAGE.shape, IMAGE.dtype, (0, 1), (40, 40), array=IMAGE, seconds=seconds)


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """Two worker processes, started again when they die."""
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "host": "127.0.0.1"}
    with distributed.LocalCluster(n_workers=2, **options) as found, distributed.Client(found) as client:
        yield found, client


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("undisturbed") / "out.zarr"
    return kf.scale.apply(slow(0.0), KERNEL, target, tile=TILE).hash


def kill(found: Any, which: slice = slice(None)) -> None:
    for nanny in list(found.workers.values())[which]:
        if nanny.pid:
            os.kill(nanny.pid, signal.SIGKILL)


def test_the_bytes_and_the_fit_are_those_of_one_process(workers: Any, undisturbed: str, tmp_path: Path) -> None:
    _, client = workers
    tiles: list[int] = []
    done = kf.scale.apply(
        slow(0.0),
        KERNEL,
        tmp_path / "out.zarr",
        tile=TILE,
        scheduler=client,
        progress=lambda now: tiles.append(now.tiles),
    )
    assert done.hash == undisturbed
    assert tiles == list(range(1, 31))
    assert kf.scale.verify(tmp_path / "out.zarr").hash == undisturbed
    before = (IMAGE / 4000).astype(np.float32)
    after = before + np.random.default_rng(1).normal(size=before.shape).astype(np.float32) / 10
    here, there = (kf.scale.learn(before, after, scheduler=one) for one in (None, client))
    assert here.kernel.weights.tobytes() == there.kernel.weights.tobytes()
    assert (here.stderr.tobytes(), here.residual_sd) == (there.stderr.tobytes(), there.residual_sd)


@pytest.mark.parametrize("which", [slice(1), slice(None)], ids=["one", "all"])
def test_workers_that_are_killed_change_no_byte(
    workers: Any, undisturbed: str, tmp_path: Path, which: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "Limits", lambda: PATIENT)
    found, client = workers
    killed = []

    def progress(now: Any) -> None:
        if now.tiles in (5, 12) and now.tiles not in killed:
            killed.append(now.tiles)
            kill(found, which if now.tiles == 5 else slice(1))

    done = kf.scale.apply(slow(), KERNEL, tmp_path / "out.zarr", tile=TILE, scheduler=client, progress=progress)
    assert (done.hash, killed) == (undisturbed, [5, 12])
    assert kf.scale.verify(tmp_path / "out.zarr").hash == undisturbed


def test_an_error_of_a_tile_is_told_as_it_is(workers: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", IMAGE)
    source = kf.scale.open_source(tmp_path / "in.npy")
    os.truncate(tmp_path / "in.npy", 1000)
    with pytest.raises(FileError):
        kf.scale.apply(source, KERNEL, tmp_path / "out.zarr", tile=TILE, scheduler=workers[1])
    assert not (tmp_path / "out.zarr").exists()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Any]]:
    """A scheduler and a worker, each started from the command line, and the file with the scheduler's address."""
    address = tmp_path / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shared = ["--scheduler-file", str(address), "--no-dashboard"]
    commands = [
        ["dask_scheduler", "--host", "127.0.0.1", "--port", "0", *shared],
        ["dask_worker", "--host", "127.0.0.1", "--no-nanny", "--nthreads", "1", "--death-timeout", "5", *shared],
    ]
    started = []
    for command in commands:
        full = [sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:]]
        started.append(subprocess.Popen(full, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    yield [address, *started]
    for one in started:
        one.kill()
        one.wait()


def test_a_scheduler_that_dies_is_told_and_resume_goes_on(
    machines: list[Any], undisturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "Limits", lambda: SOON)
    address, scheduler, _ = machines
    with distributed.Client(scheduler_file=str(address), timeout=60) as client:
        client.wait_for_workers(1, timeout=60)

        written = []

        def progress(now: Any) -> None:
            written.append(now.tiles)
            if now.tiles == 5:
                scheduler.kill()

        with pytest.raises(ClusterError, match="start it again, then run the same again"):
            kf.scale.apply(slow(), KERNEL, tmp_path / "out.zarr", tile=TILE, scheduler=client, progress=progress)
    assert written[:5] == [1, 2, 3, 4, 5]
    assert not (tmp_path / "out.zarr").exists()
    done = kf.scale.apply(slow(0.0), KERNEL, tmp_path / "out.zarr", tile=TILE, resume=True)
    assert done.hash == undisturbed
    assert done.resumed >= 5


def test_a_cluster_without_workers_is_given_up() -> None:
    options = {"processes": True, "dashboard_address": None, "host": "127.0.0.1"}
    with (
        distributed.LocalCluster(n_workers=0, **options) as found,
        distributed.Client(found) as client,
        pytest.raises(ClusterError, match=r"has had no workers for 1\.5 s; start some"),
    ):
        cluster.run(None, range(3), None, client, limits=SOON)


class Counted:
    """A job whose results are small."""

    def run(self, index: int) -> tuple[int, int]:
        return index, index**2


@pytest.mark.parametrize("indices", [range(1000), list(range(0, 3000, 3))], ids=["range", "list"])
def test_many_tiles_of_a_task_are_one_part_of_a_message(
    workers: Any, indices: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed.protocol import dumps, to_serialize

    frames = []

    def gathered(client: Any, futures: list[Any], watch: Any) -> Iterator[Any]:
        for future, value in gather(client, futures, watch):
            frames.append(len(dumps(to_serialize(value))))
            yield future, value

    gather = cluster._gathered
    monkeypatch.setattr(cluster, "_gathered", gathered)
    found: list[Any] = []
    cluster.run(Counted(), indices, found.append, workers[1], limits=PATIENT, tiles_a_task=300)
    assert sorted(found) == [(n, n**2) for n in indices]
    assert len(frames) == 4
    assert max(frames) < 10


class Stuck:
    """A job that never ends."""

    def run(self, index: int) -> None:
        threading.Event().wait(20.0)


def test_a_cluster_in_which_nothing_ends_is_given_up(workers: Any) -> None:
    limits = cluster.Limits(patience=1.0)
    with pytest.raises(ClusterError, match=r"no task at .* has ended for 1 s"):
        cluster.run(Stuck(), range(1), None, workers[1], limits=limits)


def test_no_scheduler_at_the_address(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterError, match="no Dask scheduler answers at"),
        cluster.connected("tcp://127.0.0.1:9", cluster.Limits(answer=0.5)),
    ):
        pass
    for wrong in (True, 0, 3.5, b"tcp://x"):
        with pytest.raises(ArgumentError, match="scheduler: expected an address"), cluster.connected(wrong):
            pass


def test_stores_in_the_memory_of_one_process_are_refused(workers: Any) -> None:
    zarr = pytest.importorskip("zarr")
    with pytest.raises(ArgumentError, match="target: expected a place that workers reach"):
        kf.scale.apply(IMAGE, KERNEL, zarr.storage.MemoryStore(), scheduler=workers[1])
    with pytest.raises(ArgumentError, match="target: expected a place that workers reach"):
        kf.scale.apply(IMAGE, KERNEL, "memory://out.zarr", scheduler=workers[1])


def test_the_command_starts_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "in.npy", IMAGE)
    kf.kernels.binomial(3)
    assert main(["design", "binomial", "--save", str(tmp_path / "filter.json")]) == 0
    command = ["apply", str(tmp_path / "filter.json"), str(tmp_path / "in.npy"), str(tmp_path / "out.zarr")]
    assert main([*command, "--local", "1"]) == 0
    assert "240×200 uint16" in capsys.readouterr().out
    assert main([*command, "--local", "0", "--overwrite"]) == 2
    assert "--local: expected a number of processes, at least 1; received 0" in capsys.readouterr().err
