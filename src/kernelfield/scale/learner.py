"""`kf.scale.learn`: the filter between two pictures that no machine holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from threadpoolctl import threadpool_limits

from kernelfield.engine.threads import threads as engine_threads
from kernelfield.errors import ArgumentError, received
from kernelfield.learning import Fit
from kernelfield.learning.learner import learned
from kernelfield.learning.pictures import Stored
from kernelfield.learning.sums import in_tree
from kernelfield.learning.tiled import Engine, prepare_tiles
from kernelfield.scale.sources import open_source


def learn(
    before: Any,
    after: Any,
    *,
    size: int | tuple[int, int] | None = None,
    max_size: int = 255,
    mask: Any = None,
    clip: str | tuple[float, float] | None = "auto",
    channel_axis: int | str | None = "auto",
    noise: tuple[float, float] | None = None,
    level: int = 0,
    threads: int | None = None,
    scheduler: Any = None,
) -> Fit:
    """Return the filter that made `after` from `before`, learned tile by tile.

    The model, the decisions and the verdict are those of `kernelfield.learn`. The size is searched for on windows
    spread over the picture; sums, residuals, errors and the test that every pixel is reproduced are over all of it.
    The result is the same to the bit for any number of threads or workers, in any order, and for any storage of the
    same pixels. For integers of 8 or 16 bits, whose sums are exact, and up to 2**21 pixels it is that of
    `kernelfield.learn` to the bit; larger pictures are judged there on another part, so that weights which are not
    exact may differ by a fraction of their standard errors. The weights of a kernel of more than 1,100 are those of the
    windows, and tested on all of the picture.

    Parameters
    ----------
    before, after : str, path-like, zarr.Array, numpy.ndarray, dask.array.Array or xarray.DataArray
        What `kernelfield.scale.apply` reads: a Zarr store, a tiled TIFF, an NPY file, or an array. Of the same size, or
        the after smaller by ``(kh - 1, kw - 1)``, the valid part.
    size, max_size, clip, channel_axis, noise
        As in `kernelfield.learn`.
    mask : the same types, optional
        Not 0 for pixels to use, of the rows and columns of before or after.
    level : int
        Level of OME-Zarr images, 0 for the finest.
    threads : int, optional
        Tiles that are read at a time on this machine; by default the threads of the engine.
    scheduler : str, int or distributed.Client, optional
        The address of a Dask scheduler, a client, or a number of workers to start here.

    Returns
    -------
    Fit
        Without a map of outliers.

    Raises
    ------
    ArgumentError
        If shapes, size, mask or clip are invalid.
    DataError
        If too few pixels remain to determine the kernel.
    FileError
        If a source cannot be read.
    ClusterError
        If the workers or the scheduler are lost for too long.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfield as kf
    >>> before = np.random.default_rng(0).integers(0, 256, (60, 50), dtype=np.uint8)
    >>> after = kf.correlate(before, np.full((3, 3), 1 / 9), dtype=np.uint8)
    >>> kf.scale.learn(before, after).description
    'box 3×3'
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ArgumentError(f"threads: expected a positive integer; received {received(threads)}")
    pictures = [
        Stored.of(open_source(value, channel_axis=channel_axis, level=level), name)
        for value, name in ((before, "before"), (after, "after"))
    ]
    used = None if mask is None else Stored.of(open_source(mask, channel_axis=channel_axis, level=level), "mask")
    # Kernels that a search may find lie about the output pixel; a valid part is smaller by the kernel.
    margin = max(31, (max_size if isinstance(max_size, int) else 0) // 2)

    def solve(engine: Engine) -> Fit:
        # The bits of products of matrices depend on the threads that share them.
        with threadpool_limits(1, "blas"):
            pair = prepare_tiles(pictures[0], pictures[1], used, clip, margin, engine)
            return learned(pair, size, max_size, noise)

    if scheduler is None:
        return solve(in_threads(threads or engine_threads()))
    from kernelfield.scale import cluster

    with cluster.connected(scheduler) as client:
        return solve(cluster.summed(client))


def in_threads(workers: int) -> Engine:
    """Return an engine that computes leaves in threads of this process; a few are held at a time."""

    def engine(leaf: Callable[[int], Any], count: int) -> Any:
        if workers == 1 or count == 1:
            return in_tree(leaf, count)
        with ThreadPoolExecutor(workers) as pool:
            ready = _in_order(pool, leaf, count, 2 * workers)
            return in_tree(lambda _: next(ready), count)

    return engine


def _in_order(pool: ThreadPoolExecutor, leaf: Callable[[int], Any], count: int, ahead: int) -> Iterator[Any]:
    """Yield the leaves in order, with so many under way."""
    waiting: deque[Future[Any]] = deque()
    try:
        for number in range(count):
            waiting.append(pool.submit(leaf, number))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for one in waiting:
            one.cancel()
