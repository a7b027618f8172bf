"""`KernelLearner`: one kernel from pairs that arrive one by one, as statistics that add."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.engine.blas import one_thread
from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.files import file_name, write_bytes
from kernelfield.learning.estimate import LARGEST_GRAM, Estimate, of_statistics
from kernelfield.learning.fit import Fit
from kernelfield.learning.fit_of_sums import describe
from kernelfield.learning.pair import Ends, Pair, Plane, last_place
from kernelfield.learning.pictures import open_picture
from kernelfield.learning.statistics import Statistics, shift_near_mean
from kernelfield.learning.summary import Summary, packed, unpacked
from kernelfield.learning.sums import in_tree
from kernelfield.learning.support import Support, centred
from kernelfield.learning.support_search import check_size
from kernelfield.learning.tiled import Picture, TiledPair, Tiles, grid

# Sizes of files of statistics: those of the largest kernel and as many channels as there may be take less.
_LARGEST_FILE = 256 << 20
# Pixels of a tile, and its fewest rows, a multiple of the chunks that are usual in files.
_PIXELS, _FEWEST = 1 << 22, 256
# Spreads of numbers whose squares and sums float64 holds.
_LEAST, _MOST = 1e-100, 1e100


class KernelLearner:
    """Learns one kernel from many pairs, and from pictures that no memory holds: only sums are kept.

    The model is that of `kernelfield.learn` with a size: ``after[p] = sum over u of kernel[u] * before[p + u] +
    offset``, an offset for each channel. What is kept of the pairs is a few kB, whatever their number and size; it
    adds, so that pairs may arrive in any order and be summed on several machines. Integers of 8 bits give the same bits
    in any order.

    It follows the conventions of scikit-learn (`fit`, `predict`, `score`, `get_params`, `clone`, `GridSearchCV`), which
    is not needed: a sample is a picture.

    Parameters
    ----------
    size : int or (int, int)
        Of the kernel, at most 1,100 weights, centred on the output pixel (element ``size // 2``).
    clip : "auto", None or (low, high)
        Range of the after, whose values at or beyond its ends are left out: they tell little of the sums that were
        clipped. ``"auto"`` takes the range of an integer dtype and none for floats; None leaves out nothing.
    channel_axis : int, "auto" or None
        As in `kernelfield.learn`, of one picture.

    Attributes
    ----------
    fit_ : Fit
        The kernel with its errors, solved anew from the sums when they have changed.
    pairs_ : int
        Pairs seen.
    statistics_ : list of Statistics
        The sums of each channel.

    Notes
    -----
    Sums do not tell everything that `kernelfield.learn` tells of a pair. Known are kernel, offset, rank, R², the
    residual's standard deviation, the covariance, integers over a divisor and the name. Standard errors are those of
    residuals that are independent and equal. Not known are the border rule, the rounding rule, whether every pixel is
    reproduced (the verdict is never ``"exact"``), outliers, and signs of other filters (curve, order statistic).

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfield as kf
    >>> rng = np.random.default_rng(0)
    >>> learner = kf.KernelLearner(size=3)
    >>> for _ in range(5):
    ...     before = rng.random((40, 50))
    ...     learner = learner.partial_fit(before, kf.correlate(before, [[0, 0, 0], [1, 2, 1], [0, 0, 0]]))
    >>> learner.fit_.kernel.weights.round(6) + 0.0
    array([[0., 0., 0.],
           [1., 2., 1.],
           [0., 0., 0.]])
    >>> learner.pairs_, learner.fit_.samples
    (5, 9120)
    """

    _estimator_type = "regressor"

    def __init__(
        self,
        size: int | tuple[int, int] = 7,
        *,
        clip: str | tuple[float, float] | None = "auto",
        channel_axis: int | str | None = "auto",
    ) -> None:
        self.size = size
        self.clip = clip
        self.channel_axis = channel_axis

    def __repr__(self) -> str:
        defaults = {name: one.default for name, one in inspect.signature(type(self).__init__).parameters.items()}
        changed = (f"{name}={value!r}" for name, value in self.get_params().items() if _differs(value, defaults[name]))
        return f"{type(self).__name__}({', '.join(changed)})"

    def partial_fit(self, before: Any, after: Any, mask: Any = None) -> KernelLearner:
        """Add a pair, or several, to what was learned, and return the learner.

        Parameters
        ----------
        before, after : array_like, PIL image, str, path-like, kernelfield.scale.Source, or lists of them
            A pair, or a list of befores and as many afters. An after is as large as its before, or smaller by
            ``size - 1``, the valid part; all pairs alike. NPY and TIFF files, and what `kernelfield.scale.open_source`
            opens, are read in tiles: memory holds one of them. An array (N, H, W) or (N, H, W, C) is a list of N
            pictures. NaN, infinite and masked pixels are left out.
        mask : the same types, optional
            Not 0 for pixels to use, of the size of before or after.

        Raises
        ------
        ArgumentError
            If shapes, channels, size, mask or clip do not fit; nothing of the list is added then.
        DataError
            If the numbers are too large or too small for sums in float64.
        FileError
            If a file cannot be read.
        """
        befores, afters = self._pictures(before, "before"), self._pictures(after, "after")
        if len(befores) != len(afters):
            raise ArgumentError(
                f"before, after: expected as many afters as befores; received {len(befores)} and {len(afters)}"
            )
        masks = [None] * len(befores) if mask is None else self._pictures(mask, "mask")
        if len(masks) not in (1, len(befores)):
            raise ArgumentError(f"mask: expected one, or one for each of {len(befores)} pairs; received {len(masks)}")
        masks = masks * (len(befores) // len(masks) if len(masks) == 1 else 1)
        summary = getattr(self, "_summary", None)
        with one_thread():
            for pair in zip(befores, afters, masks):
                one = self._summed(*pair)
                summary = one if summary is None else summary + one
        if summary is not None:
            self._keep(summary)
        return self

    def fit(self, before: Any, after: Any, mask: Any = None) -> KernelLearner:
        """Forget what was learned, learn from these pairs as `partial_fit` does, and return the learner."""
        self.__dict__.pop("_summary", None)
        self.__dict__.pop("_fit", None)
        return self.partial_fit(before, after, mask)

    def merge(self, other: KernelLearner) -> KernelLearner:
        """Add what another learner of the same size has seen, and return the learner.

        Raises
        ------
        ArgumentError
            If sizes, channels or the kind of pairs differ.
        """
        if not isinstance(other, KernelLearner):
            raise ArgumentError(f"other: expected a KernelLearner; received {received(other)}")
        if check_size(self.size) != check_size(other.size):
            raise ArgumentError(f"other: expected size {received(self.size)}; received {received(other.size)}")
        theirs = getattr(other, "_summary", None)
        if theirs is not None:
            mine = getattr(self, "_summary", None)
            self._keep(theirs if mine is None else mine + theirs)
        return self

    @property
    def fit_(self) -> Fit:
        """The kernel with its errors; raises DataError where too few pixels were seen."""
        found: Fit | None = getattr(self, "_fit", None)
        if found is None:
            with one_thread():
                found = self._fit = describe(self._solved(), self._summary)
        return found

    @property
    def pairs_(self) -> int:
        """Pairs seen."""
        return self._seen().pairs

    @property
    def statistics_(self) -> list[Statistics]:
        """The sums of each channel."""
        return list(self._seen().statistics)

    def predict(self, before: Any) -> Any:
        """Return the pictures filtered by the kernel, float64; a list for a list.

        The border outside the pictures is reflected: its rule is not known from sums.
        """
        pictures = self._pictures(before, "before")
        made = [self.fit_.apply(_pixels(one), dtype=np.float64) for one in pictures]
        return made if self._is_list(before) else made[0]

    def score(self, before: Any, after: Any, mask: Any = None) -> float:
        """Return R² of other pairs, over the pixels that `partial_fit` would learn from: about each channel's mean.

        1 for pairs that the kernel gives, 0 where their mean is as good, below 0 where it is better.
        """
        kernel = self._solved()
        other = type(self)(**self.get_params()).partial_fit(before, after, mask)
        if len(other.statistics_) != len(kernel.statistics):
            raise ArgumentError(
                f"before: expected {len(kernel.statistics)} channel(s), as learned; received {len(other.statistics_)}"
            )
        left = whole = 0.0
        for sums, offset in zip(other.statistics_, kernel.offsets):
            left += sums.unexplained(kernel.kernel, offset)
            whole += sums.centred()[2]
        return 1.0 - left / whole if whole > 0.0 else float(left == 0.0)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and sums to a file of NumPy's NPZ, without pickles.

        Raises
        ------
        DataError
            If no pair was seen.
        FileError
            If the file cannot be written; no partial file remains.
        """
        write_bytes(path, packed(self._seen()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> KernelLearner:
        """Return the learner in a file that `save` wrote, to go on with.

        The size is that of the file; `clip` and `channel_axis` are the defaults.

        Raises
        ------
        FileError
            If the file cannot be read.
        DataError
            If it is not such a file: every number is checked.
        """
        from kernelfield.learning.record import read_data

        summary = unpacked(read_data(Path(file_name(path)), _LARGEST_FILE), received(os.fspath(path)))
        rows, columns = summary.statistics[0].size
        learner = cls(rows if rows == columns else (rows, columns))
        learner._keep(summary)
        return learner

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; `deep` changes nothing."""
        return {"channel_axis": self.channel_axis, "clip": self.clip, "size": self.size}

    def set_params(self, **parameters: Any) -> KernelLearner:
        """Change parameters and return the learner; what was learned with another size is forgotten by `fit` only.

        Raises
        ------
        ArgumentError
            For a name that is no parameter.
        """
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise ArgumentError(f"{name}: expected one of {', '.join(known)}; received another parameter")
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_summary")

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn asks, and so it is there.
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True, two_d_labels=True),
            regressor_tags=RegressorTags(),
            input_tags=InputTags(two_d_array=False, three_d_array=True, allow_nan=True),
        )

    def _seen(self) -> Summary:
        """Return the fit; raise if no pair was learned from."""
        found: Summary | None = getattr(self, "_summary", None)
        if found is None:
            raise DataError("KernelLearner: expected pairs that were learned; received none; call partial_fit first")
        return found

    def _keep(self, summary: Summary) -> None:
        """Put other sums in the place of those that were."""
        self._summary = summary
        self.__dict__.pop("_fit", None)

    def _solved(self) -> Estimate:
        """Return the least-squares kernel."""
        seen = self._seen()
        return of_statistics(list(seen.statistics), seen.support, seen.epsilon)

    def _is_list(self, value: Any) -> bool:
        """Return whether an argument is a list of pictures rather than one."""
        if isinstance(value, (list, tuple)):
            rows = value and isinstance(value[0], (list, tuple))
            return not (rows and not (value[0] and isinstance(value[0][0], (list, tuple, np.ndarray))))
        if not isinstance(value, np.ndarray):
            return False
        if value.ndim == 3:
            from kernelfield.arrays import channel_axis_of

            return channel_axis_of(value.shape, self.channel_axis) is None
        return value.ndim == 4 or value.dtype == object

    def _pictures(self, value: Any, name: str) -> list[Picture]:
        """Return the pictures of an argument."""
        values: Sequence[Any] = list(value) if self._is_list(value) else [value]
        if not values:
            raise ArgumentError(f"{name}: expected a picture, or a list of some; received an empty one")
        return [open_picture(one, name, self.channel_axis) for one in values]

    def _support(self, before: Picture, after: Picture) -> Support:
        """Return where the kernel lies."""
        size = check_size(self.size)
        if size[0] * size[1] > LARGEST_GRAM:
            raise ArgumentError(f"size: expected at most {LARGEST_GRAM} weights; received {size[0]}×{size[1]}")
        less = tuple(a - b for a, b in zip(before.shape, after.shape))
        if less == (0, 0):
            return centred(size)
        if less == (size[0] - 1, size[1] - 1):
            return Support(0, 0, *size)
        shapes = "{}×{} and {}×{}".format(*before.shape, *after.shape)
        raise ArgumentError(
            f"after: expected the size of before, or {size[0] - 1}×{size[1] - 1} less, as the valid part has; received "
            f"{shapes}; crop both to the same scene"
        )

    def _ends(self, dtype: np.dtype) -> Ends | None:
        """Return the range at whose ends values are left out."""
        if self.clip is None:
            return None
        if isinstance(self.clip, str):
            if self.clip != "auto":
                raise ArgumentError(f'clip: expected "auto", None or (low, high); received {received(self.clip)}')
            if dtype.kind not in "iu":
                return None
            return Ends(float(np.iinfo(dtype).min), True, float(np.iinfo(dtype).max), True)
        try:
            low, high = (float(end) for end in self.clip)
        except (TypeError, ValueError):
            low = high = np.nan
        if not low < high:
            raise ArgumentError(f'clip: expected "auto", None or (low, high); received {received(self.clip)}')
        return Ends(low, True, high, True)

    def _summed(self, before: Picture, after: Picture, mask: Picture | None) -> Summary:
        """Return the sums of one pair, read in tiles."""
        support = self._support(before, after)
        if before.channels != after.channels:
            raise ArgumentError(
                f"after: expected {before.channels} channel(s) like before; received {after.channels}; convert both to "
                "grey or both to colour"
            )
        if mask is not None and mask.shape not in (before.shape, after.shape):
            raise ArgumentError(
                f"mask: expected the shape of before {before.shape} or after {after.shape}; received {mask.shape}"
            )
        planes = tuple(_bare(*both) for both in zip(_sample(before), _sample(after)))
        epsilon = max(last_place(before.dtype), last_place(after.dtype))
        step = 1.0 if after.dtype.kind in "iu" else 0.0
        base = Pair(planes, step, epsilon, self._ends(after.dtype))
        # Arrays in memory too: what is left out beside pixels that do not count depends on the tile.
        spans = (grid(n, side) for n, side in zip(after.shape, _tile(after.shape[1])))
        tiles = Tiles(before, after, mask, base, (Pair.without_clipped,), *spans)
        statistics = tuple(TiledPair.of(tiles, base, in_tree, False).statistics(support))
        if not all(np.isfinite(one.gram).all() and np.isfinite(one.after_square) for one in statistics):
            raise _unsummable()
        rows, columns = support.positions(before.shape, after.shape)
        positions = max(0, rows.stop - rows.start) * max(0, columns.stop - columns.start) * len(planes)
        excluded = positions - sum(one.count for one in statistics)
        return Summary(support, statistics, 1, excluded, step, epsilon)


def _differs(value: Any, usual: Any) -> bool:
    """Return whether a parameter is not its default; an array, which no parameter is by default, has no one answer."""
    return type(value) is not type(usual) or bool(value != usual)


def _sample(picture: Picture) -> list[np.ndarray]:
    """Return a part from the middle of each plane, to take shifts from."""
    rows, columns = (slice(max(0, n // 2 - 128), min(n, n // 2 + 128)) for n in picture.shape)
    planes = picture.planes(rows, columns)
    for plane in planes:
        spread = float(np.abs(plane[np.isfinite(plane)].astype(np.float64)).max(initial=0.0))
        if not (spread == 0.0 or _LEAST < spread < _MOST):
            raise _unsummable()
    return planes


def _tile(width: int) -> tuple[int, int]:
    """Return rows and columns of the tiles of a picture: whole rows, which files hold together, if they are short."""
    columns = min(width, _PIXELS // _FEWEST)
    return max(_FEWEST, _PIXELS // columns // _FEWEST * _FEWEST), columns


def _bare(before: np.ndarray, after: np.ndarray) -> Plane:
    """Return a plane without pixels whose shifts lie near the means of two parts."""
    x, y = (_near_mean(part) for part in (before, after))
    return Plane(np.zeros((0, 0)), np.zeros((0, 0)), None, None, None, x, y, 0.0, 0.0)


def _near_mean(part: np.ndarray) -> float:
    """Return a constant near the mean of the finite pixels of a part."""
    bad = ~np.isfinite(part)
    return 0.0 if bad.all() else shift_near_mean(part, bad if bad.any() else None)


def _unsummable() -> DataError:
    return DataError(
        "before, after: expected numbers whose squares float64 holds, of 1e-100 to 1e100; received others; scale them"
    )


def _pixels(picture: Picture) -> ArrayLike:
    """Return the pixels of a picture as (H, W) or (H, W, C)."""
    planes = picture.planes(*(slice(0, n) for n in picture.shape))
    return planes[0] if len(planes) == 1 else np.stack(planes, axis=2)
