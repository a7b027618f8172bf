"""Tiles made by threads of this process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from kernelfield.engine.threads import threads
from kernelfield.scale.job import Job, Tile


def run(job: Job, indices: Iterable[int], progress: Callable[[Tile], None], workers: int | None = None) -> None:
    """Make some tiles of a job.

    The threads of the engine are shared: those here keep them busy while a tile is read or written.

    Parameters
    ----------
    job : Job
    indices : iterable of int
        Numbers of the tiles.
    progress : callable
        Called in this thread with each tile that is written.
    workers : int, optional
        Threads; by default as many as `kernelfield.threads` says.

    Raises
    ------
    KeyboardInterrupt
        Once the tiles that were begun are written.
    """
    count = threads() if workers is None else workers
    waiting, lock = iter(indices), threading.Lock()
    stop = threading.Event()
    done: queue.SimpleQueue[Tile | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while not stop.is_set():
                index = _next(waiting, lock)
                if index is None:
                    break
                done.put(job.run(index))
        except BaseException as error:
            stop.set()
            done.put(error)
        finally:
            done.put(None)

    crew = [threading.Thread(target=work, name=f"tiles {number}", daemon=True) for number in range(count)]
    failed: BaseException | None = None
    for one in crew:
        one.start()
    try:
        left = len(crew)
        while left:
            found = done.get()
            if found is None:
                left -= 1
            elif isinstance(found, Tile):
                progress(found)
            else:
                failed = failed or found
    finally:
        stop.set()
        for one in crew:
            one.join()
        # Tiles that were in work when this thread was interrupted.
        while not done.empty():
            if isinstance(last := done.get(), Tile):
                progress(last)
    if failed is not None:
        raise failed


def _next(waiting: Iterator[int], lock: threading.Lock) -> int | None:
    """Return the next number, or None at the end."""
    with lock:
        return next(waiting, None)
