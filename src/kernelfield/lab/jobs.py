"""The jobs of the lab: requests performed by worker processes, in turn, within bounds of number, time and memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from kernelfield.errors import KernelfieldError
from kernelfield.lab.frames import LENGTH, head, length
from kernelfield.lab.images import size_of
from kernelfield.lab.operations import QUICK, Buffer

#: Seconds that a request may compute.
TIME_LIMITS = {"learn": 120.0, "open": 30.0}
QUICK_LIMIT = 10.0
#: Requests that may wait for a worker.
MOST_WAITING = 128
#: A worker that had more bytes to do with is replaced: its memory goes back to the system.
_RECYCLED = 64 << 20


class Refused(KernelfieldError):
    """A request that is not performed, because of the load or its own cost."""


class _Ended(Refused):
    """A request whose process ended."""


@dataclass(eq=False)
class Job:
    """A request on its way: what it asks, and how far it is.

    Attributes
    ----------
    op, args, buffers
        As `kernelfield.lab.operations.perform` takes them.
    lane : _Lane or None
        Where it waits.
    since : float or None
        When a worker began with it, on the clock `time.monotonic`.
    share : float or None
        Of the work that is done, from 0 to 1, where the worker tells.
    stage : str
        The part of the work that has begun.
    """

    op: str
    args: dict[str, Any]
    buffers: Sequence[Buffer]
    lane: _Lane | None = None
    since: float | None = None
    share: float | None = None
    stage: str = "computing"

    @property
    def state(self) -> str:
        """The line for the person who waits."""
        if self.since is not None:
            return f"{self.stage}, {monotonic() - self.since:.0f} s"
        before = self.lane.position(self) if self.lane is not None else 0
        return f"waiting, {before} before this" if before else "waiting"


class Workers:
    """Worker processes in two lanes: one for requests that take milliseconds, one for images.

    Parameters
    ----------
    count : int
        Workers for images.
    """

    def __init__(self, count: int) -> None:
        self._images, self._quick = _Lane(count), _Lane(1)

    async def start(self) -> None:
        """Start the workers, so that the first request does not wait for their imports."""
        await asyncio.gather(self._images.fill(), self._quick.fill())

    async def close(self) -> None:
        """End the workers."""
        await asyncio.gather(self._images.close(), self._quick.close())

    async def perform(self, job: Job) -> tuple[Any, list[Buffer]]:
        """Return the result of a job and its images; a job that is cancelled is ended in its worker too.

        Raises
        ------
        KernelfieldError
            The line that says why there is no result.
        """
        if job.op not in QUICK:
            return await self._images.perform(job)
        try:
            return await self._quick.perform(job)
        except _Ended:
            # So little needs no memory: the process was ended while it was idle.
            return await self._quick.perform(job)


@dataclass(eq=False)
class _Lane:
    """Workers that take jobs in the order in which they came."""

    count: int
    free: int = field(init=False)
    idle: list[_Worker] = field(default_factory=list)
    busy: set[_Worker] = field(default_factory=set)
    waiting: deque[tuple[Job, asyncio.Future[None]]] = field(default_factory=deque)
    ending: set[asyncio.Task[None]] = field(default_factory=set)
    closed: bool = False

    def __post_init__(self) -> None:
        self.free = self.count

    async def fill(self) -> None:
        """Start as many workers as are missing."""
        missing = self.count - len(self.idle) - len(self.busy)
        self.idle += [self._new() for _ in range(missing)]
        # One that does not start is found by the job that takes it.
        await asyncio.gather(*(worker.start() for worker in tuple(self.idle)), return_exceptions=True)

    async def close(self) -> None:
        self.closed = True
        for worker in (*self.idle, *self.busy):
            self._end(worker)
        await asyncio.gather(*self.ending)

    def _end(self, worker: _Worker) -> None:
        """End a worker; somebody has to wait for the process."""
        task = asyncio.create_task(worker.end())
        self.ending.add(task)
        task.add_done_callback(self.ending.discard)

    def _worker(self) -> _Worker:
        """Return a worker that runs, or one that is yet to start."""
        while self.idle:
            worker = self.idle.pop()
            if not worker.ended:
                return worker
            self._end(worker)
        return self._new()

    def _new(self) -> _Worker:
        return _Worker(threads=max(1, (os.cpu_count() or 1) // self.count))

    def position(self, job: Job) -> int:
        """Return the number of jobs that wait before this one."""
        return next((number for number, (other, _) in enumerate(self.waiting) if other is job), 0)

    async def perform(self, job: Job) -> tuple[Any, list[Buffer]]:
        await self._turn(job)
        worker = self._worker()
        self.busy.add(worker)
        limit = TIME_LIMITS.get(job.op, QUICK_LIMIT)
        whole = False
        try:
            await worker.start()
            job.since = monotonic()
            async with asyncio.timeout(limit):
                answer, images = await worker.ask(job)
            whole = True
        except TimeoutError:
            raise Refused(f"{job.op}: took longer than {limit:.0f} s; expected less; cut the image smaller") from None
        except (EOFError, ConnectionError):
            raise _Ended(f"{job.op}: its process ended, for lack of memory as a rule; cut the image smaller") from None
        finally:
            self.busy.discard(worker)
            size = sum(len(data) for _, data in job.buffers)
            if whole and size <= _RECYCLED and not self.closed:
                self.idle.append(worker)
            else:
                self._end(worker)
            self._next()
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"], images

    async def _turn(self, job: Job) -> None:
        """Wait until a worker is free for this job."""
        if self.free:
            self.free -= 1
            return
        if len(self.waiting) >= MOST_WAITING:
            raise Refused(f"{job.op}: {MOST_WAITING} others wait already; expected fewer; try again in a minute")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job.lane = self
        self.waiting.append((job, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()
            else:
                self.waiting.remove((job, turn))
            raise

    def _next(self) -> None:
        """Give the free worker to the job that waits longest."""
        while self.waiting:
            _, turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


class _Worker:
    """A worker process; it starts with its first job, or before."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._killed = False

    async def start(self) -> None:
        """Start the process, if it does not run yet, and wait until it takes requests."""
        async with self._starting:
            if self._killed:
                raise EOFError
            if self.process is not None:
                return
            single = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "KERNELFIELD_THREADS")}
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "kernelfield.lab.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=1 << 20,
                env={**os.environ, **single},
            )
            try:
                await self._header()
            except BaseException:
                self.kill()
                raise

    async def ask(self, job: Job) -> tuple[dict[str, Any], list[Buffer]]:
        """Return the answer of the worker and its images."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        header = {"op": job.op, "args": job.args, "images": [header for header, _ in job.buffers]}
        self.process.stdin.write(head(header))
        for _, data in job.buffers:
            self.process.stdin.write(data)
            await self.process.stdin.drain()
        answer = await self._header()
        while "progress" in answer:
            job.share, job.stage = answer["progress"], answer["stage"]
            answer = await self._header()
        images: list[Buffer] = []
        for each in answer.get("images", ()):
            images.append((each, await self.process.stdout.readexactly(size_of(each))))
        return answer, images

    async def _header(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        size = length(await self.process.stdout.readexactly(LENGTH))
        header: dict[str, Any] = json.loads(await self.process.stdout.readexactly(size))
        return header

    @property
    def ended(self) -> bool:
        """Whether the process was ended, or ended by itself."""
        return self._killed or (self.process is not None and self.process.returncode is not None)

    def kill(self) -> None:
        """End the process."""
        self._killed = True
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                if os.name == "posix":
                    # kill() of subprocess may reap a process that has ended, before the watcher of asyncio does, which
                    # then writes that it knows of no such process.
                    os.kill(self.process.pid, signal.SIGKILL)
                else:
                    self.process.kill()

    async def end(self) -> None:
        """End the process, and wait until it and its pipes are gone."""
        self.kill()
        if self.process is not None:
            await self.process.communicate()
