"""Learning by gradient descent, as in the textbook, in NumPy or a framework.

Exact learning gives the limit of descent directly; descent shows the steps, and can learn a sequence of kernels (Zhang,
Lipton, Li and Smola, *Dive into Deep Learning*, section 7.2.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.arrays import as_numbers
from kernelfield.correlation import convolve, correlate
from kernelfield.engine import layers
from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.geometry import Operation, Window
from kernelfield.kernels import Kernel
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.statistics import gather
from kernelfield.learning.support import Support, centred
from kernelfield.learning.support_search import check_size
from kernelfield.tensors.registry import FRAMEWORKS, adapter, adapter_of

_OPTIMISERS = ("sgd", "adam")


@dataclass(frozen=True)
class Descent:
    """Options of descent, checked.

    Attributes
    ----------
    framework : str
        ``"numpy"`` or one of `FRAMEWORKS`.
    steps : int
    lr : float
    optimiser : {"sgd", "adam"}
    momentum : float
    initial : sequence of numpy.ndarray or None
        The kernels before the first step.
    seed : int
    report_every : int
        Steps between two reports; 0 for none.
    report : callable
        Called with a line of text.
    tolerance : float
        Stop once a step lowers the loss by less than this fraction.
    """

    framework: str = "numpy"
    steps: int = 10
    lr: float = 3e-2
    optimiser: str = "sgd"
    momentum: float = 0.0
    initial: Any = None
    seed: int = 0
    report_every: int = 0
    report: Callable[[str], Any] = print
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.framework != "numpy" and self.framework not in FRAMEWORKS:
            raise ArgumentError(
                f"framework: expected one of numpy, {', '.join(FRAMEWORKS)}; received {received(self.framework)}"
            )
        if self.optimiser not in _OPTIMISERS:
            raise ArgumentError(
                f"optimiser: expected one of {', '.join(_OPTIMISERS)}; received {received(self.optimiser)}"
            )
        for name, least in (("steps", 1), ("report_every", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ArgumentError(f"{name}: expected an integer of at least {least}; received {received(value)}")
        for name in ("lr", "momentum", "tolerance"):
            value = getattr(self, name)
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise ArgumentError(f"{name}: expected a number; received {received(value)}")
        if not 0 < self.lr < np.inf:
            raise ArgumentError(f"lr: expected a positive number; received {self.lr!r}")
        if not 0 <= self.momentum < 1:
            raise ArgumentError(f"momentum: expected at least 0 and less than 1; received {self.momentum!r}")
        if self.momentum and self.optimiser == "adam":
            raise ArgumentError(f"momentum: expected 0 with optimiser='adam'; received {self.momentum!r}")
        if not self.tolerance >= 0:
            raise ArgumentError(f"tolerance: expected at least 0; received {self.tolerance!r}")
        if not callable(self.report):
            raise ArgumentError(f"report: expected a function of a line of text; received {received(self.report)}")


def descend(
    before: ArrayLike,
    after: ArrayLike,
    *,
    size: int | tuple[int, int] | list[Any] | None = None,
    framework: str = "numpy",
    steps: int = 10,
    lr: float = 3e-2,
    optimiser: str = "sgd",
    momentum: float = 0.0,
    initial: Any = None,
    seed: int = 0,
    report_every: int = 0,
    report: Callable[[str], Any] = print,
    tolerance: float = 0.0,
) -> Fit:
    """Return the kernel trained like a layer, by gradient descent; its ``losses`` are the squared errors of the steps.

    The loss is the summed squared error of the valid outputs, without an offset (Zhang, Lipton, Li and Smola, *Dive
    into Deep Learning*, section 7.2.4). `kernelfield.learn` gives the limit of descent directly.

    Parameters
    ----------
    before, after : array_like, shape (H, W)
        Arrays or tensors, of the same size or the after smaller by ``(kh - 1, kw - 1)``; all pixels finite.
    size : int, (int, int) or list of sizes, optional
        Of the kernel, centred on the output pixel; a list learns a sequence of kernels. A smaller after implies it.
    framework : {"numpy", "torch", "tensorflow", "jax", "mxnet"}
        Framework whose differentiation and optimisers are used.
    steps : int
        Maximum number of steps.
    lr : float
        Learning rate.
    optimiser : {"sgd", "adam"}
    momentum : float
        Of ``"sgd"``.
    initial : array_like or list of array_like, optional
        The kernel before the first step, a list for a list of sizes; by default uniform within ±1/√(kh·kw), from
        `seed`, the same in every framework.
    seed : int
    report_every, report
        Number of steps between calls of `report` with a line such as ``"epoch 2, loss 4.949"``; 0 for never.
    tolerance : float
        Stop once a step lowers the loss by less than this fraction.

    Returns
    -------
    Fit

    Raises
    ------
    ArgumentError
        If an option is invalid.
    DataError
        If pixels are not finite or masked, or the steps leave the finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfield as kf
    >>> before = np.ones((6, 8))
    >>> before[:, 2:6] = 0
    >>> fit = kf.descend(before, kf.corr2d(before, [[1, -1]]), size=(1, 2), steps=40)
    >>> fit.kernel.weights.round(2)
    array([[ 1., -1.]])
    """
    how = Descent(framework, steps, lr, optimiser, momentum, initial, seed, report_every, report, tolerance)
    pair = prepare(before, after, clip=None)
    wanted = size if isinstance(size, list) and size else [size]
    sizes = None if size is None else [check_size(each) for each in wanted]
    image, target, sizes, support = _valid_pair(pair, sizes)
    kernels = _initial(how, sizes)
    operations = [Operation((Window(size[0]), Window(size[1])), "constant", 0.0) for size in sizes]
    descending = _descend if how.framework == "numpy" else adapter(how.framework).descend
    losses: list[float] = []
    path = descending(operations, image, target, kernels, how.optimiser, how.lr, how.momentum)
    for loss, kernels in path:
        losses.append(float(loss))
        if not all(np.isfinite(kernel).all() for kernel in kernels) or not np.isfinite(loss):
            raise DataError(
                f"lr: expected steps small enough to descend; received {how.lr:g}, and step {len(losses)} left the "
                "finite numbers; take a smaller lr"
            )
        if how.report_every and len(losses) % how.report_every == 0:
            how.report(f"epoch {len(losses)}, loss {loss:.3f}")
        slow = len(losses) > 1 and losses[-2] - losses[-1] < how.tolerance * losses[-2]
        if len(losses) >= how.steps or (how.tolerance > 0 and slow):
            break
    return _fit(pair, image, target, [np.asarray(k, np.float64) for k in kernels], support, losses)


def _valid_pair(
    pair: Pair, sizes: Sequence[tuple[int, int]] | None
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]], Support]:
    """Return the image, the target (its valid part), the sizes of the kernels, and the support of their composition."""
    if len(pair.planes) > 1:
        raise ArgumentError(
            f"before: expected one channel for descent; received {len(pair.planes)}; take them one by one"
        )
    plane = pair.planes[0]
    if plane.bad_before is not None or plane.bad_after is not None:
        raise DataError("before, after: expected only finite pixels and no mask for descent; received NaN or a mask")
    before, after = pair.shapes
    implied = before[0] - after[0] + 1, before[1] - after[1] + 1
    if sizes is None:
        if pair.same_size:
            raise ArgumentError("size: expected a size for before and after of one size; received none")
        sizes = [implied]
    whole = 1 + sum(s[0] - 1 for s in sizes), 1 + sum(s[1] - 1 for s in sizes)
    if not pair.same_size and whole != implied:
        raise ArgumentError(
            f"size: expected {implied[0]}×{implied[1]} in all, as the image shapes imply; received {whole}"
        )
    support = centred(whole) if pair.same_size else Support(0, 0, *whole)
    positions = support.positions(before, after)
    if any(p.stop <= p.start for p in positions):
        raise DataError(f"size: expected at most the image's {before[0]}×{before[1]}; received {whole[0]}×{whole[1]}")
    image, target = plane.before[support.windows(positions)], plane.after[positions]
    return image.astype(np.float64), target.astype(np.float64), list(sizes), support


def _initial(how: Descent, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Return the kernels before the first step: as given, or uniform within ±1/√(kh·kw), PyTorch's default."""
    if how.initial is None:
        rng = np.random.default_rng(how.seed)
        return [rng.uniform(-1.0, 1.0, size) / np.sqrt(size[0] * size[1]) for size in sizes]
    given = how.initial if isinstance(how.initial, (list, tuple)) and len(sizes) > 1 else [how.initial]
    kernels = [_numbers(kernel) for kernel in given]
    shapes = [kernel.shape for kernel in kernels]
    if shapes != [tuple(size) for size in sizes]:
        raise ArgumentError(f"initial: expected kernels of {list(sizes)}; received {shapes}")
    if not all(np.isfinite(kernel).all() for kernel in kernels):
        raise ArgumentError("initial: expected finite weights; received NaN or infinite ones")
    return kernels


def _numbers(kernel: Any) -> np.ndarray:
    """Return a kernel before the first step, an array, a tensor or a `Kernel`, as a float64 array."""
    if isinstance(kernel, Kernel):
        kernel = kernel.weights
    adapter = adapter_of(kernel)
    return as_numbers(kernel if adapter is None else adapter.to_numpy(kernel), "initial").astype(np.float64)


def _descend(
    operations: Sequence[Operation],
    image: np.ndarray,
    target: np.ndarray,
    kernels: Sequence[np.ndarray],
    optimiser: str,
    lr: float,
    momentum: float,
) -> Iterator[tuple[float, list[np.ndarray]]]:
    """Descend in NumPy, as `kernelfield.tensors.adapter.Adapter.descend` does in a framework."""
    kernels = [np.array(kernel, dtype=np.float64) for kernel in kernels]
    first = [np.zeros_like(kernel) for kernel in kernels]
    second = [np.zeros_like(kernel) for kernel in kernels]
    step = 0
    while True:
        step += 1
        maps = [image]
        for operation, kernel in zip(operations, kernels):
            out = np.empty(operation.output_shape(maps[-1].shape, kernel.shape))
            layers.forward(operation, maps[-1], kernel, out)
            maps.append(out)
        residual = maps[-1] - target
        slope: np.ndarray | None = 2.0 * residual
        for i in reversed(range(len(kernels))):
            assert slope is not None
            slope, gradient = layers.backward(operations[i], maps[i], kernels[i], slope, (i > 0, True))
            assert gradient is not None
            if optimiser == "adam":
                # Kingma and Ba, *Adam* (2015), algorithm 1, with its default constants.
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                mean, square = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
                kernels[i] = kernels[i] - lr * mean / (np.sqrt(square) + 1e-8)
            else:
                first[i] = momentum * first[i] + gradient
                kernels[i] = kernels[i] - lr * first[i]
        yield float((residual**2).sum()), list(kernels)


def _fit(
    pair: Pair,
    image: np.ndarray,
    target: np.ndarray,
    kernels: list[np.ndarray],
    support: Support,
    losses: list[float],
) -> Fit:
    """Return the fit: the composition of the kernels, compared with the exact answer."""
    weights = kernels[0]
    for kernel in kernels[1:]:
        weights = convolve(weights, kernel, mode="full", boundary="constant")
    residual = target - correlate(image, weights, mode="valid")
    square = float((residual**2).sum())
    spread = float(((target - target.mean()) ** 2).sum())
    moments = Moments.of(gather(image, target, support.size, 0.0, 0.0))
    solution = solve(moments)
    least = moments.unexplained(solution.kernel)
    least = 0.0 if least <= 1e-12 * spread else least
    anchor = support.anchor if pair.same_size else (support.rows // 2, support.columns // 2)
    diverged = losses[-1] > losses[0]
    lost = diverged or not square < spread
    explanation = (
        f"descent stopped after {len(losses)} steps, at a squared error of {square:.4g}; the minimum for a kernel of "
        f"this size with an offset is {least:.4g}"
    )
    if diverged:
        explanation = (
            f"descent diverged: the squared error rose from {losses[0]:.4g} to {losses[-1]:.4g}; take a smaller lr; "
            f"the minimum for a kernel of this size with an offset is {least:.4g}"
        )
    elif lost:
        explanation += "; no better than a constant yet: take more steps"
    return Fit(
        kernel=Kernel(weights, anchor=anchor),
        stderr=np.full(weights.shape, np.inf),
        offset=0.0,
        boundary=None,
        cval=0.0,
        boundary_candidates=(),
        boundary_reason="not searched for in descent",
        name=None,
        description="kernel learned by descent",
        integers=None,
        divisor=None,
        rank=solution.rank,
        undetermined=solution.undetermined.reshape(-1, *support.size),
        r2=max(0.0, 1.0 - square / spread) if spread else 0.0,
        residual_sd=float(np.sqrt(square / target.size)),
        samples=target.size,
        excluded=0,
        rounding=None,
        verdict="approximate" if solution.rank == weights.size and not lost else "undetermined",
        explanation=explanation,
        losses=tuple(losses),
        layers=tuple(Kernel(kernel) for kernel in kernels),
    )
