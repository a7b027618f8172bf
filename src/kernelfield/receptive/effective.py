"""Where the gradient of a unit really goes, against where it may go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kernelfield.arrays.select import adapter_of
from kernelfield.errors import ArgumentError, DataError
from kernelfield.receptive.energy import EffectiveField
from kernelfield.receptive.gradients.base import Call, Pullback
from kernelfield.receptive.gradients.select import prepare

if TYPE_CHECKING:
    from kernelfield.receptive.field import ReceptiveField

Channels = Literal["random", "each", "sum"]

_CHANNELS = ("random", "each", "sum")
# By dtype: the largest gradient under which to go back again with a larger seed, and that seed. It is a power of two:
# what cancels exactly at one scale does so at the other.
_LIMITS = {"float64": (1e-200, 2.0**830), "float32": (1e-25, 2.0**100)}
_UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# So many ways back with random signs show how large the gradients of the channels are. Signs make a sum of channels
# vanish in at most every other way, if any channel has a gradient (Littlewood and Offord).
_REFERENCES = 8
# How many unit roundoffs the gradient of a channel may have lost before it is added to the others.
_LOST = 12


def effective(
    receptive: ReceptiveField,
    images: Any,
    layer: str | None = None,
    unit: Sequence[int] | None = None,
    *,
    channels: Channels = "random",
    probes: int = 8,
    dither: float = 1e-6,
    seed: int = 0,
) -> EffectiveField:
    """Return where the gradient of a unit with respect to real images goes.

    The gradient energy of an element of the image is ``sum_c sum_k (dy_c / dx_k)**2`` over the channels c of the unit
    and k of the element. Each image counts the same. Evaluated in float64 at inference (dropout and batch statistics
    at rest).

    Parameters
    ----------
    receptive : ReceptiveField
        Of a model that has gradients, with its weights.
    images : array_like or sequence of array_like
        As the model takes them, prepared alike (scaled, channels where it has them), with or without the batch axis;
        photographs of the kind it was trained for.
    layer : str, optional
        The last one if not given.
    unit : sequence of int, optional
        Index along each axis of the layer's map; its centre if not given.
    channels : {"random", "each", "sum"}
        ``"each"`` goes back once for each channel of the unit. ``"random"`` goes back `probes` times with random signs
        on the channels, whose energy is the same on average [2]_. ``"sum"`` is the gradient of the sum of the channels,
        in which channels of opposite sign cancel.
    probes : int
        At most so many ways back for ``"random"``.
    dither : float
        Noise added to the image, as a part of its standard deviation: equal neighbours (clipped highlights) tie in a
        max pooling, and a framework sends the whole gradient to the first, always the upper left. 0 adds none.
    seed : int
        Of signs and noise.

    Returns
    -------
    EffectiveField

    Raises
    ------
    ArgumentError
        If an argument does not fit, if an image is constant (zeros send everything to the corners of ReLUs and ties of
        poolings, and show nothing of the network), or if the model has no gradients.
    DataError
        If the unit gives no gradient in any image (dead behind a ReLU, or channels that cancel), or one that is not
        finite.

    Notes
    -----
    Gradients of deep networks vanish below the smallest float, and their squares sooner: a way back that brings nothing
    is gone again with a larger seed, and energies are scaled before they are squared.

    Channels that cancel leave rounding, and how much depends on the processor. A sum of n channels has no gradient if
    what comes back is at most ``(n + 12) * u`` times the largest gradient of the channels, where u is the unit roundoff
    (2**-53 in float64): n for adding them, 12 for what each has lost before. A gradient that cancels inside the
    network is not told from a small one.

    Of n convolutions in a row with k × k equal weights the gradient spreads as a uniform distribution added n times:
    its standard deviation is ``sqrt(n (k**2 - 1) / 12)``, and so is that of the expected energy of random weights; it
    grows as the root of the depth where the theoretical field grows with the depth [1]_.

    References
    ----------
    .. [1] Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural
       Networks", NIPS 2016, section 2.
    .. [2] Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines",
       Communications in Statistics - Simulation and Computation 19 (1990): E[(s · g)**2] = |g|**2 for random signs s.
    """
    if channels not in _CHANNELS:
        raise ArgumentError(f"channels: expected one of {', '.join(_CHANNELS)}; received {channels!r}")
    if not isinstance(probes, int) or probes < 1:
        raise ArgumentError(f"probes: expected an integer of at least 1; received {probes!r}")
    if not 0 <= dither < 1:
        raise ArgumentError(f"dither: expected a number from 0 to below 1; received {dither!r}")
    grid = receptive.graph.image.shape
    last = receptive.graph.nodes[-1].name
    node = receptive[last if layer is None else layer]
    place = node.middle if unit is None else tuple(unit)
    theory = node.mask(*place)
    way_back = prepare(receptive.model, () if node.name == last else _calls(receptive, node.name))
    rng = np.random.default_rng(seed)
    total, count, dead, dtype = np.zeros(grid), 0, 0, "float64"
    for image in _images(images, grid):
        spread = image.std()
        if not spread > 0:
            raise ArgumentError(
                f"images: expected pictures; received one that is {image.flat[0]:g} everywhere, or not finite; give "
                "photographs, or noise"
            )
        count += 1
        way = way_back(image + dither * spread * rng.standard_normal(image.shape))
        dtype = way.dtype
        spatial = _spatial(image.shape, grid, way.channels_last, "images")
        energy = _energy(way, _place(way, node.shape, place), spatial, channels, probes, int(rng.integers(1 << 32)))
        total += energy
        dead += not energy.any()
    if not count:
        raise ArgumentError("images: expected at least one; received none")
    if not total.any():
        raise DataError(
            f"unit: expected one that some image moves; unit {place} of {node.name!r} has no gradient in any of "
            f"{count}; choose another unit, other images or the layer before the activation"
        )
    return EffectiveField(total / total.sum(), theory, layer or node.name, place, count, dead, dtype)


def _calls(receptive: ReceptiveField, node: str) -> list[Call]:
    """Return the names that a framework may know a layer by: its own, of one call ("relu#2"), and those of modules.

    The name of a module stands for what its last call returns.
    """
    name, _, number = node.rpartition("#")
    own = (name, int(number)) if name and number.isdecimal() else (node, 1)
    return [own, *((alias, 0) for alias, target in receptive.graph.aliases.items() if target == node)]


def _images(images: Any, grid: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the images one by one as float64, with a batch of 1 where they have channels."""
    many = images
    if isinstance(images, np.ndarray) or adapter_of(images) is not None:
        many = _array(images)
        many = many if many.ndim == len(grid) + 2 else [many]
    for image in many:
        array = _array(image)
        if array.dtype.kind not in "biuf":
            raise ArgumentError(f"images: expected real numbers; received {array.dtype}; convert them")
        if array.ndim == len(grid) + 2 and array.shape[0] == 1:
            array = array[0]
        if not len(grid) <= array.ndim <= len(grid) + 1:
            raise ArgumentError(
                f"images: expected {len(grid) + 1} axes, one for channels, and one more for several; received shape "
                f"{array.shape}"
            )
        yield array.astype(np.float64)[None] if array.ndim > len(grid) else array.astype(np.float64)


def _array(value: Any) -> np.ndarray:
    """Return a tensor of any framework, or numbers, as an array."""
    adapter = adapter_of(value)
    return np.asarray(value) if adapter is None else np.asarray(adapter.to_numpy(value))


def _spatial(shape: tuple[int, ...], grid: tuple[int, ...], channels_last: bool, name: str) -> tuple[int, ...]:
    """Return the axes of a tensor along which a grid lies: those the framework says, or the only ones that fit."""
    count, first = len(grid), 1 if channels_last else 2
    fitting = [axes for axes in combinations(range(len(shape)), count) if tuple(shape[a] for a in axes) == grid]
    usual = tuple(range(first, first + count))
    if usual in fitting or len(fitting) == 1:
        return usual if usual in fitting else fitting[0]
    extents = "×".join(map(str, grid))
    raise ArgumentError(
        f"{name}: expected a tensor with one place for the extents {extents}; received shape {shape}, "
        f"{'with several' if fitting else 'with none'}; choose another image size"
    )


def _place(way: Pullback, grid: tuple[int, ...], unit: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the index of a unit's channels in the output."""
    place: list[Any] = [slice(None)] * len(way.shape)
    for axis, index in zip(_spatial(way.shape, grid, way.channels_last, "layer"), unit):
        place[axis] = index
    return tuple(place)


def _weights(count: int, channels: str, probes: int, random: int) -> np.ndarray:
    """Return the weights of the channels, a row for each way back.

    The energies of the ways sum to that of the channels, up to a factor.
    """
    if channels == "sum":
        return np.ones((1, count))
    if channels == "each" or count <= probes:
        return np.eye(count)
    return np.random.default_rng(random).choice((-1.0, 1.0), (probes, count))


def _energy(
    way: Pullback, place: tuple[Any, ...], spatial: tuple[int, ...], channels: str, probes: int, random: int
) -> np.ndarray:
    """Return the energy for one image, scaled to sum 1; zeros where nothing but rounding comes back at any scale."""
    count = np.empty(way.shape)[place].size
    weights = _weights(count, channels, probes, random)
    energy, peak, scale = _scaled(way, place, weights, spatial)
    if not peak:
        return energy
    if len(weights) < min(count, _REFERENCES):
        # The ways are sums of channels, and so few that all may have cancelled.
        terms = _weights(count, "random", _REFERENCES, random)
        _, largest, other = _scaled(way, place, terms, spatial)
        if peak <= (count + _LOST) * _UNIT_ROUNDOFF.get(way.dtype, 0.0) * largest * (scale / other):
            return np.zeros_like(energy)
    energy /= energy.sum()
    return energy


def _scaled(
    way: Pullback, place: tuple[Any, ...], weights: np.ndarray, spatial: tuple[int, ...]
) -> tuple[np.ndarray, float, float]:
    """Return what `_summed` does, and the scale of the seeds at which it neither vanishes nor overflows."""
    tiny, large = _LIMITS.get(way.dtype, (0.0, 1.0))
    scale = 1.0
    energy, peak = _summed(way, place, weights, spatial)
    if peak < tiny:
        larger, reached = _summed(way, place, weights * large, spatial)
        if reached < np.inf:
            energy, peak, scale = larger, reached, large
    elif peak == np.inf:
        scale = 1 / large
        energy, peak = _summed(way, place, weights * scale, spatial)
    if peak == np.inf:
        raise DataError(
            "images: expected ones with a finite gradient; received one whose gradient is NaN or infinite; check the "
            "weights, or take another image"
        )
    return energy, peak, scale


def _summed(
    way: Pullback, place: tuple[Any, ...], weights: np.ndarray, spatial: tuple[int, ...]
) -> tuple[np.ndarray, float]:
    """Return the energies of some ways back, over the square of the largest gradient, and that; infinite if NaN."""
    total, peak = np.zeros(()), 0.0
    for row in weights:
        seed = np.zeros(way.shape)
        seed[place] = row.reshape(seed[place].shape)
        gradient = way.back(seed)
        largest = float(np.abs(gradient).max())
        if not np.isfinite(largest):
            return total, np.inf
        # Relative to the largest so far, squares neither overflow nor vanish.
        common = max(peak, largest) or 1.0
        others = tuple(axis for axis in range(gradient.ndim) if axis not in spatial)
        total = total * (peak / common) ** 2 + ((gradient / common) ** 2).sum(axis=others)
        peak = max(peak, largest)
    return total, peak
