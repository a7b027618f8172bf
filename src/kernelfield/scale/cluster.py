"""The engine for more machines: tiles as tasks of a Dask cluster that may lose workers.

A few thousand tasks are with the scheduler at a time, however many tiles there are. A task of a worker that died is
given to others; one that has lost several, no workers for a minute, a scheduler that does not answer, or nothing
finished for ten minutes ends with a `ClusterError`: in bounded time there is a result or an error.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from kernelfield.errors import ArgumentError, ClusterError, MissingDependencyError, received
from kernelfield.learning.sums import BRANCHES, in_tree, joined, levels
from kernelfield.learning.tiled import Engine

if TYPE_CHECKING:
    from distributed import Client, Future

# Leaves of a subtree whose sum is made by the workers: three levels.
_SUBTREE = BRANCHES**3
# Tiles above which several make a task, and the tasks that there are then about.
_MANY, _TASKS = 20_000, 8_000
# Tasks with the scheduler at a time, at least: messages take longer than small tiles.
_AHEAD = 512
# Seconds to wait for a result whose worker may be dead, and results that are asked for at once.
_WAIT, _TOGETHER = 5.0, 64
_GO_ON = "then run the same again (apply: with --resume)"


@dataclass(frozen=True)
class Limits:
    """When a cluster is given up.

    Attributes
    ----------
    losses : int
        Workers that may die with a task before it counts as what kills them.
    no_workers : float
        Seconds without a worker.
    patience : float
        Seconds in which no task ends.
    answer : float
        Seconds in which the scheduler is to answer.
    """

    losses: int = 5
    no_workers: float = 60.0
    patience: float = 600.0
    answer: float = 30.0


@contextmanager
def connected(scheduler: Any, limits: Limits | None = None) -> Iterator[Client]:
    """Yield a client of a scheduler: at an address, of a client, or of a cluster of so many processes started here.

    Raises
    ------
    ArgumentError
        If it is none of these.
    MissingDependencyError
        If Dask's distributed is not installed.
    ClusterError
        If there is no scheduler at the address.
    """
    try:
        import distributed
    except ImportError:
        raise MissingDependencyError(
            "scheduler: expected the package distributed, for clusters; install it: pip install kernelfield[scale]"
        ) from None
    limits = limits or Limits()
    if isinstance(scheduler, distributed.Client):
        yield scheduler
        return
    if isinstance(scheduler, int) and not isinstance(scheduler, bool) and 1 <= scheduler <= 1024:
        with (
            distributed.LocalCluster(
                n_workers=scheduler, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    if not isinstance(scheduler, str):
        raise ArgumentError(
            "scheduler: expected an address such as 'tcp://host:8786', a distributed.Client or a number of workers to "
            f"start; received {received(scheduler)}"
        )
    try:
        client = distributed.Client(scheduler, timeout=limits.answer)
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"scheduler: no Dask scheduler answers at {scheduler!r} ({type(error).__name__}); start one with "
            "`dask scheduler`, or give --local"
        ) from error
    with client:
        yield client


def run(
    job: Any,
    indices: Iterable[int],
    progress: Callable[[Any], None] | None,
    scheduler: Any,
    *,
    limits: Limits | None = None,
    tiles_a_task: int | None = None,
) -> None:
    """Run the tiles of a job on a cluster; `progress` is called with each result, as they come.

    Parameters
    ----------
    job : object
        Picklable; ``job.run(index)`` computes and writes a tile.
    indices : iterable of int
    progress : callable, optional
    scheduler
        See `connected`.
    limits : Limits, optional
    tiles_a_task : int, optional
        By default 1, and more for very many tiles.

    Raises
    ------
    ClusterError
        If the workers or the scheduler are lost for too long; tiles that were written stay.
    Exception
        What ``job.run`` raises.
    """
    limits = limits or Limits()
    # Millions of numbers as 8 bytes each.
    numbers = indices if isinstance(indices, range) else array("q", indices)
    if not numbers:
        return
    size = tiles_a_task or max(1, -(-len(numbers) // _TASKS) if len(numbers) > _MANY else 1)
    count = -(-len(numbers) // size)
    with connected(scheduler, limits) as client:
        # The scheduler keeps what makes it: another worker makes it again where that which held it died.
        held = client.submit(_itself, job, pure=False)

        def submit(tasks: list[int]) -> list[Future]:
            parts: list[Sequence[int]] = [numbers[task * size : (task + 1) * size] for task in tasks]
            return list(client.map(_run_tiles, parts, job=held, pure=False))

        for _, made in _results(client, submit, count, limits):
            for tile in made.tiles:
                if progress is not None:
                    progress(tile)


def summed(client: Client, limits: Limits | None = None) -> Engine:
    """Return the engine that sums leaves on a cluster, in the tree of `kernelfield.learning.sums`."""

    def engine(leaf: Callable[[int], Any], count: int) -> Any:
        held = client.submit(_itself, leaf, pure=False)
        trees = -(-count // _SUBTREE)

        def submit(tasks: list[int]) -> list[Future]:
            return [_subtree(client, held, range(task * _SUBTREE, min(count, (task + 1) * _SUBTREE))) for task in tasks]

        ready: dict[int, Any] = {}
        found = _results(client, submit, trees, limits or Limits(), ahead=4)

        def in_turn(number: int) -> Any:
            while number not in ready:
                at, value = next(found)
                ready[at] = value
            return ready.pop(number)

        return in_tree(in_turn, trees)

    return engine


def _subtree(client: Client, held: Future, leaves: range) -> Future:
    """Return the sum of some leaves, made by the workers."""
    parts = client.map(_leaf, list(leaves), held=held, pure=False)
    for level in levels(len(leaves)):
        parts = client.map(_joined, [[parts[i] for i in group] for group in level], pure=False)
    return parts[0]


def _itself(value: Any) -> Any:
    return value


def _leaf(number: int, held: Callable[[int], Any]) -> Any:
    with threadpool_limits(1, "blas"):
        return held(number)


def _joined(parts: list[Any]) -> Any:
    return joined(parts)


@dataclass(frozen=True)
class _Made:
    """The results of some tiles, as one part of a message: Dask sends each element of a list as a part of its own."""

    tiles: list[Any]


def _run_tiles(numbers: Sequence[int], job: Any) -> _Made:
    return _Made([job.run(number) for number in numbers])


def _results(
    client: Client,
    submit: Callable[[list[int]], list[Future]],
    count: int,
    limits: Limits,
    ahead: int | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield the number and the result of each of `count` tasks, as they end, with some of them under way."""
    from distributed.scheduler import KilledWorker

    ended: SimpleQueue[Future] = SimpleQueue()
    active: dict[Any, tuple[int, Future]] = {}
    lost: dict[int, int] = {}
    again: list[int] = []
    following, done = 0, 0
    watch = _Watch(client, limits)
    ahead = ahead or max(_AHEAD, 8 * watch.threads())

    def start(tasks: list[int]) -> None:
        for task, future in zip(tasks, submit(tasks)):
            active[future.key] = task, future
            future.add_done_callback(ended.put)

    try:
        while done < count:
            if again:
                start(again)
                again = []
            # A quarter at a time: a message to the scheduler for each task would cost more than the task.
            room = ahead - len(active)
            if following < count and room >= max(1, ahead // 4):
                more = range(following, min(count, following + room))
                start(list(more))
                following = more.stop
            good = []
            for future in _those_ended(ended, watch):
                if future.key not in active:
                    continue
                task, _ = active[future.key]
                if future.status == "finished":
                    good.append(future)
                    continue
                del active[future.key]
                if future.status != "error":
                    watch.check(lost=True)
                    again.append(task)
                    continue
                error = future.exception(timeout=limits.answer)
                if not isinstance(error, KilledWorker):
                    raise error
                lost[task] = lost.get(task, 0) + 1
                if lost[task] * watch.allowed >= limits.losses:
                    raise ClusterError(
                        f"scheduler: workers at {watch.address} died {lost[task] * watch.allowed} times with one "
                        f"task, perhaps for want of memory; give them more, {_GO_ON}"
                    ) from error
                again.append(task)
            for future, value in _gathered(client, good, watch):
                task, _ = active.pop(future.key)
                done += 1
                watch.ended()
                yield task, value
            for future in good:
                if future.key in active:
                    # Its worker died since: the scheduler has it computed again.
                    future.add_done_callback(ended.put)
    finally:
        _cancel(client, [future for _, future in active.values()])


def _gathered(client: Client, futures: list[Future], watch: _Watch) -> Iterator[tuple[Future, Any]]:
    """Yield those futures that are finished, with their results; not those whose worker died since."""
    for start in range(0, len(futures), _TOGETHER):
        some = futures[start : start + _TOGETHER]
        try:
            values = client.sync(partial(client.gather, some, asynchronous=True), callback_timeout=4 * _WAIT)
        except Exception as error:
            if not _is_of_cluster(error):
                raise
        else:
            yield from zip(some, values)
            continue
        for future in some:
            watch.check()
            # The scheduler tells of results that died with their worker.
            if future.status != "finished":
                continue
            try:
                value = future.result(timeout=_WAIT)
            except Exception as error:
                if not _is_of_cluster(error):
                    raise
                continue
            yield future, value


def _is_of_cluster(error: BaseException) -> bool:
    """Return whether an error is that of a connection or of a task that is gone, rather than of a tile."""
    from distributed import CancelledError, TimeoutError
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    return isinstance(error, (CommClosedError, TimeoutError, CancelledError, FutureCancelledError, KilledWorker))


def _those_ended(ended: SimpleQueue[Future], watch: _Watch) -> list[Future]:
    """Return the futures that have ended since, at least one."""
    while True:
        try:
            found = [ended.get(timeout=min(1.0, watch.limits.no_workers / 4))]
        except Empty:
            watch.check()
            continue
        while True:
            try:
                found.append(ended.get_nowait())
            except Empty:
                return found


def _cancel(client: Client, futures: list[Future]) -> None:
    """Cancel what is under way, where there still is a scheduler."""
    if futures and client.status == "running":
        client.cancel(futures, force=True)


class _Watch:
    """The clock that gives a cluster up."""

    def __init__(self, client: Client, limits: Limits) -> None:
        import dask

        self._client, self.limits = client, limits
        self.address = client.scheduler.address if client.scheduler is not None else "its address"
        # The scheduler gives a task to others so many times before it tells.
        self.allowed = 1 + int(dask.config.get("distributed.scheduler.allowed-failures", 3))
        self._ended = self._seen = self._running = time.monotonic()

    def threads(self) -> int:
        """Return the threads of all workers, after waiting for the first of them."""
        while True:
            found = self._workers()
            if found:
                return sum(found.values())
            self.check()
            time.sleep(0.1)

    def ended(self) -> None:
        """Take note that a task has ended."""
        self._ended = time.monotonic()

    def check(self, lost: bool = False) -> None:
        """Raise if there is no hope; `lost` is whether the scheduler has forgotten a task."""
        now = time.monotonic()
        workers = self._workers() if self._client.status == "running" else None
        if workers is None:
            if lost or self._client.status == "closed" or now - self._running > self.limits.answer:
                raise ClusterError(f"scheduler: the connection to {self.address} is lost; start it again, {_GO_ON}")
            return
        self._running = now
        if workers:
            self._seen = now
        if now - self._seen > self.limits.no_workers:
            raise ClusterError(
                f"scheduler: {self.address} has had no workers for {self.limits.no_workers:.3g} s; start some, {_GO_ON}"
            )
        if now - self._ended > self.limits.patience:
            raise ClusterError(
                f"scheduler: no task at {self.address} has ended for {self.limits.patience:.3g} s; look at the "
                f"workers, {_GO_ON}"
            )

    def _workers(self) -> dict[str, int] | None:
        """Return the threads of each worker; None where the scheduler does not answer."""
        try:
            found: dict[str, int] = self._client.sync(
                partial(self._client.ncores, asynchronous=True), callback_timeout=self.limits.answer
            )
        except Exception as error:
            if not _is_of_cluster(error) and not isinstance(error, OSError):
                raise
            return None
        return found
