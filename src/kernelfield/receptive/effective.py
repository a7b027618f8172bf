"""The effective receptive field: where the gradient of a unit lies, for real images and weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kernelfield.arrays import as_array
from kernelfield.errors import ArgumentError, DataError
from kernelfield.receptive.effective_field import EffectiveField
from kernelfield.receptive.gradients.energy import unit_energy
from kernelfield.receptive.gradients.pullback import Call, Pullback
from kernelfield.receptive.gradients.select import prepare
from kernelfield.tensors.registry import adapter_of

if TYPE_CHECKING:
    from kernelfield.receptive.field import ReceptiveField

Channels = Literal["random", "each", "sum"]

_CHANNELS = ("random", "each", "sum")


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
    """Return the effective receptive field of a unit: the energy of its gradient with respect to real images.

    The gradient energy of an element of the image is ``sum_c sum_k (dy_c / dx_k)**2`` over the channels c of the unit
    and k of the element. Each image has the same weight. Evaluated in float64 and in inference mode (no dropout, stored
    batch statistics).

    Parameters
    ----------
    receptive : ReceptiveField
        Of a model that has gradients, with its weights.
    images : array_like or sequence of array_like
        Preprocessed as for the model (scaled, channels on the axis where the model expects them), with or without the
        batch axis; photographs like those it was trained on.
    layer : str, optional
        The last one if not given.
    unit : sequence of int, optional
        Index along each axis of the layer's feature map; its centre if not given.
    channels : {"random", "each", "sum"}
        ``"each"`` runs one backward pass for each channel of the unit. ``"random"`` runs `probes` passes with random
        signs on the channels, whose mean energy is the same [2]_. ``"sum"`` is the gradient of the sum of the channels,
        in which channels of opposite sign cancel.
    probes : int
        Largest number of backward passes for ``"random"``.
    dither : float
        Noise added to the image, as a fraction of its standard deviation: equal neighbours (clipped highlights) tie in
        a max pooling, and a framework sends the whole gradient to the first of them, always the upper left. 0 adds
        none.
    seed : int
        Of signs and noise.

    Returns
    -------
    EffectiveField

    Raises
    ------
    ArgumentError
        If an argument does not fit, if an image is constant (ReLUs at zero and ties of poolings then decide the
        gradient, not the network), or if the model has no gradients.
    DataError
        If the unit has no gradient in any image (inactive behind a ReLU, or channels that cancel), or one that is not
        finite.

    Notes
    -----
    Gradients of deep networks underflow, and their squares sooner: a backward pass with a gradient below the range of
    the dtype is repeated from a larger seed, and gradients are scaled before they are squared.

    Channels that cancel leave rounding errors, whose size depends on the processor. A sum of n channels counts as
    having no gradient if its gradient is at most ``(n + 12) * u`` times the largest gradient of the channels, where u
    is the unit roundoff (2**-53 in float64): n for adding the channels, 12 for the rounding of each channel's own
    gradient. A gradient that cancels inside the network cannot be told from a small one.

    The gradient of n consecutive convolutions with k × k equal weights is a uniform distribution convolved n times
    with itself: its standard deviation is ``sqrt(n (k**2 - 1) / 12)``, and so is that of the expected energy for random
    weights. It grows with the square root of the depth, the theoretical field with the depth [1]_.

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
    pullback_of = prepare(receptive.model, () if node.name == last else _calls(receptive, node.name))
    rng = np.random.default_rng(seed)
    total, count, dead, dtype = np.zeros(grid), 0, 0, "float64"
    for image in _images(images, grid):
        spread = image.std()
        if not spread > 0:
            raise ArgumentError(
                f"images: expected photographs or noise; received one that is {image.flat[0]:g} everywhere, or "
                "not finite; choose other images"
            )
        count += 1
        pullback = pullback_of(image + dither * spread * rng.standard_normal(image.shape))
        dtype = pullback.dtype
        spatial = _spatial(image.shape, grid, pullback.channels_last, "images")
        index = _unit_index(pullback, node.shape, place)
        energy = unit_energy(
            pullback, index, spatial, channels=channels, probes=probes, seed=int(rng.integers(1 << 32))
        )
        total += energy
        dead += not energy.any()
    if not count:
        raise ArgumentError("images: expected at least one; received none")
    if not total.any():
        raise DataError(
            f"unit: expected one with a gradient; unit {place} of {node.name!r} has no gradient in any of "
            f"{count}; choose another unit, other images or the layer before the activation"
        )
    return EffectiveField(total / total.sum(), theory, layer or node.name, place, count, dead, dtype)


def _calls(receptive: ReceptiveField, node: str) -> list[Call]:
    """Return the names by which a framework may find a layer: its own, of one call ("relu#2"), and those of modules.

    The name of a module stands for the result of its last call.
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
    """Return a tensor of any framework, or numbers, as a NumPy array."""
    adapter = adapter_of(value)
    return as_array(value if adapter is None else adapter.to_numpy(value), "images")


def _spatial(shape: tuple[int, ...], grid: tuple[int, ...], channels_last: bool, name: str) -> tuple[int, ...]:
    """Return the spatial axes of a tensor: those that the framework uses, or else the only ones that fit the grid."""
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


def _unit_index(pullback: Pullback, grid: tuple[int, ...], unit: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the index of a unit's channels in the output."""
    index: list[Any] = [slice(None)] * len(pullback.shape)
    for axis, position in zip(_spatial(pullback.shape, grid, pullback.channels_last, "layer"), unit):
        index[axis] = position
    return tuple(index)
