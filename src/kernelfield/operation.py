"""One cross-correlation, checked and ready: what is to be computed, forwards and backwards, on NumPy arrays.

The frameworks' adapters call it for tensors in the memory of the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from kernelfield import memory
from kernelfield.arrays.base import register_operation
from kernelfield.engine import interleaved, layer_plan
from kernelfield.engine import plan as planner
from kernelfield.engine.border import is_small, pieces
from kernelfield.engine.choice import Engine, engine
from kernelfield.engine.plan import Again, Plan
from kernelfield.engine.rounding import Finish
from kernelfield.geometry import Boundary, Window, boundary_index, check_boundary


@dataclass(frozen=True)
class Operation:
    """A cross-correlation of images with a kernel (kh, kw) or with a layer's weights (C_out, C_in/groups, kh, kw).

    Attributes
    ----------
    windows : (Window, Window)
        Along rows and columns.
    boundary : str
        What lies outside, with the meaning of scipy.ndimage.
    cval : float
        For ``"constant"``.
    groups : int
        Of channels; only for weights of four axes.
    """

    windows: tuple[Window, Window]
    boundary: Boundary
    cval: float
    groups: int = 1

    @property
    def plain(self) -> bool:
        """Whether stride and dilation are 1."""
        return all(w.stride == w.dilation == 1 for w in self.windows)

    @property
    def stride(self) -> tuple[int, int]:
        """Along rows and columns."""
        return self.windows[0].stride, self.windows[1].stride

    @property
    def dilation(self) -> tuple[int, int]:
        """Along rows and columns."""
        return self.windows[0].dilation, self.windows[1].dilation

    @property
    def pads(self) -> bool:
        """Whether any output reads outside the image."""
        return any(w.before or w.after for w in self.windows)

    def indices(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows and columns that the extended image reads; -1 for the constant."""
        rows, columns = (boundary_index(n, w.before, w.after, self.boundary) for n, w in zip(shape[-2:], self.windows))
        return rows, columns

    def output_shape(self, image: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the result."""
        rows, columns = (w.output_size(n) for w, n in zip(self.windows, image[-2:]))
        if len(kernel) == 2:
            return (*image[:-2], rows, columns)
        return (*image[:-3], kernel[0], rows, columns)

    def engine_is_better(self, image: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
        """Return whether the engine is faster than a framework's own convolution for these shapes."""
        if len(kernel) == 2:
            return True
        lead = math.prod(image[:-3])
        return not layer_plan.is_many_channels((lead, *image[-3:]), kernel, self.stride, self.dilation, self.groups)

    def is_single(self, kernel: tuple[int, ...], native: bool) -> bool:
        """Return whether a kernel, or a bank of kernels for one channel, is applied by a method of `engine.plan`.

        Then results may be of any dtype, and their sums of another. `native` is what `engine.choice` says.
        """
        if not self.plain:
            return False
        return len(kernel) == 2 or (kernel[1] == self.groups == 1 and (native or kernel[0] == 1))

    def forward(
        self,
        image: np.ndarray,
        kernel: np.ndarray,
        out: np.ndarray,
        method: str | None = None,
        bias: np.ndarray | None = None,
        sums: np.dtype | None = None,
        scale: float = 1.0,
        chosen: Engine | None = None,
        down: bool = False,
    ) -> Again | None:
        """Write the result into `out`, of the shape that `output_shape` gives.

        Return what does the same with the same kernel, and nothing left to decide, for images and results of the same
        shapes, dtypes and strides; it keeps kernel and bias. None where there is no such thing.

        Parameters
        ----------
        image, out : ndarray
            `out` is float32 or float64 where the kernel is not `is_single`. Where it has two axes, both may have
            interleaved channels, as `is_interleaved` says.
        method : str, optional
            One of `engine.plan.METHODS`, for kernels of two axes; by default the plan chooses.
        bias : ndarray, shape (C_out,), optional
            One number for kernels of two axes.
        sums : dtype, optional
            In which sums are taken; by default that of `out`.
        scale : float
            What integers are multiplied by before they are rounded, as `Finish` says.
        chosen : Engine, optional
            By default the one in use.
        down : bool
            Integers are rounded down, not to nearest.
        """
        if not out.size:
            return None
        chosen = chosen or engine()
        if self.is_single(kernel.shape, chosen.native):
            size = kernel.shape[-2:]
            side_by_side = kernel.ndim == 2 and is_interleaved(image) and is_interleaved(out)
            if not (side_by_side or is_readable(out)):
                result = np.empty(out.shape, out.dtype)
                self.forward(image, kernel, result, method, bias, sums, scale, chosen, down)
                _copy(result, out)
                return None
            copied = not (side_by_side or is_readable(image))
            if copied:
                planes = np.empty(image.shape, image.dtype)
                _copy(image, planes)
                image = planes
            taken = out.dtype if sums is None else sums
            ready = prepared(self, image.shape, size, image.dtype, out.dtype, taken, chosen)
            weights = kernel if kernel.ndim == 2 or kernel.shape[0] > 1 else kernel[0, 0]
            better = planner.improved(ready.plan, weights, method) if weights.ndim == 2 else ready.plan
            finish = Finish(taken, bias, scale, down)
            again = ready(image, out, weights, better, finish)
            if copied:
                return None
            return again or partial(ready, kernel=weights, plan=better, finish=finish)
        pixels, layer = self._four(image, kernel)
        result = out.reshape(pixels.shape[0], layer.shape[0], *out.shape[-2:])
        options = self.stride, self.dilation, self.groups
        for part, rows, columns in pieces(pixels, self.windows, self.boundary, self.cval):
            layer_plan.forward(part, layer, result[:, :, rows, columns], *options, bias)
        return None

    def backward(
        self, image: np.ndarray, kernel: np.ndarray, gradient: np.ndarray, needs: tuple[bool, bool] = (True, True)
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the gradients with respect to image and kernel, as far as they are needed.

        Parameters
        ----------
        image, kernel : numpy.ndarray
            As in `forward`, floats.
        gradient : numpy.ndarray
            Of a scalar with respect to the result.
        """
        pixels, weights = self._four(image, kernel)
        slope = gradient.reshape(pixels.shape[0], weights.shape[0], *gradient.shape[-2:])
        options = self.stride, self.dilation, self.groups
        to_image = to_kernel = None
        if needs[1]:
            size = (weights.shape[2], weights.shape[3])
            parts = pieces(pixels, self.windows, self.boundary, self.cval)
            found = [
                layer_plan.weight_gradient(p, slope[:, :, rows, columns], size, *options) for p, rows, columns in parts
            ]
            to_kernel = sum(found[1:], found[0]).reshape(kernel.shape)
        if needs[0]:
            to_image = self._to_image(slope, weights, pixels.shape).reshape(image.shape)
        return to_image, to_kernel

    def channels_last(self, planes: np.ndarray) -> np.ndarray:
        """Return planes (N, C, H, W) in memory laid out (N, H, W, C)."""
        n, channels, rows, columns = planes.shape
        out = memory.empty((n, rows, columns, channels), planes.dtype)
        interleaved.copy(planes, out.transpose(0, 3, 1, 2))
        return out

    def _four(self, image: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return image and kernel with the four axes of a layer."""
        if kernel.ndim == 2:
            lead = math.prod(image.shape[:-2])
            return image.reshape(lead, 1, *image.shape[-2:]), kernel[None, None]
        lead = math.prod(image.shape[:-3])
        return image.reshape(lead, *image.shape[-3:]), kernel

    def _to_image(self, slope: np.ndarray, weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the gradient with respect to an image of `shape` (N, C, H, W)."""
        options = self.stride, self.dilation, self.groups
        before = self.windows[0].before, self.windows[1].before
        if self.boundary == "constant":
            return layer_plan.image_gradient(slope, weights, shape, *options, before)
        rows, columns = self.indices(shape)
        whole = layer_plan.image_gradient(slope, weights, (*shape[:2], len(rows), len(columns)), *options)
        for axis, index in ((2, rows), (3, columns)):
            whole = _folded(whole, index, before[axis - 2], shape[axis], axis)
        return whole


class Prepared:
    """A cross-correlation without stride, ready for images of one shape and dtype and kernels of one size.

    Attributes
    ----------
    plan : Plan
        By `direct`, or the portable engine: the one that suits the weights is found when they are there.
    """

    def __init__(
        self,
        operation: Operation,
        image_shape: tuple[int, ...],
        kernel_shape: tuple[int, ...],
        dtype: np.dtype,
        out_dtype: np.dtype,
        sums: np.dtype,
        chosen: Engine,
    ) -> None:
        self._operation = operation
        self._batch = math.prod(image_shape[:-2]), *image_shape[-2:]
        self._outputs = operation.output_shape(image_shape, kernel_shape)[-2:]
        self.plan = planner.plan_by_shape(self._batch, kernel_shape, dtype, out_dtype, sums, operation.windows, chosen)
        # Small images are extended by one gather; what lies outside constants cannot be gathered.
        self._reads = None
        if operation.pads and is_small(image_shape[-2:]) and operation.boundary != "constant":
            rows, columns = operation.indices(image_shape)
            if is_small((len(rows), len(columns))):
                self._reads = np.add.outer(rows * image_shape[-1], columns)

    def __call__(
        self, image: np.ndarray, out: np.ndarray, kernel: np.ndarray, plan: Plan, finish: Finish
    ) -> Again | None:
        """Write the result as `plan` says, which is `plan` or an improvement of it; return what `plan.run` does.

        The kernel is (kh, kw), or (n, 1, kh, kw) for images (..., 1, H, W) and results (..., n, OH, OW).
        """
        if kernel.ndim == 2 and is_interleaved(image) and is_interleaved(out):
            return self._interleaved(image, kernel, out, plan, finish)
        batch = image.reshape(self._batch)
        results = out.reshape(self._batch[0], *kernel.shape[:-3], *self._outputs)
        weights = kernel if kernel.ndim == 2 else kernel[:, 0]
        operation = self._operation
        around = operation.windows, operation.boundary, operation.cval
        if self._reads is not None and batch.size:
            whole = planner.runs_whole(plan, finish, batch, weights, results, *around)
            if whole:
                return None if isinstance(whole, bool) else whole
            batch = batch.reshape(self._batch[0], -1).take(self._reads, axis=1)
            planner.method_of(plan, finish)(batch, weights, results)
            return None
        again = planner.run(plan, batch, weights, results, *around, finish)
        return again if np.may_share_memory(batch, image) and np.may_share_memory(results, out) else None

    def _interleaved(
        self, image: np.ndarray, kernel: np.ndarray, out: np.ndarray, plan: Plan, finish: Finish
    ) -> Again | None:
        """Do the same where channels lie side by side; methods that cannot take them so get one after the other."""
        source, target = (a.reshape(-1, *a.shape[-3:]).transpose(0, 2, 3, 1) for a in (image, out))
        if plan.native and plan.method != "spectral":
            return self._run(source, kernel, target, plan, finish)
        for c in range(image.shape[-3]):
            result = np.empty(target.shape[:3], out.dtype)
            self._run(np.ascontiguousarray(source[..., c]), kernel, result, plan, finish)
            target[..., c] = result
        return None

    def _run(self, image: np.ndarray, kernel: np.ndarray, out: np.ndarray, plan: Plan, finish: Finish) -> Again | None:
        operation = self._operation
        return planner.run(plan, image, kernel, out, operation.windows, operation.boundary, operation.cval, finish)


def _copy(source: np.ndarray, target: np.ndarray) -> None:
    """Copy arrays (..., H, W), by compiled code where channels lie side by side."""
    if source.ndim == 3:
        source, target = source[None], target[None]
    if source.ndim == 4:
        interleaved.copy(source, target)
    else:
        target[...] = source


def is_readable(array: np.ndarray) -> bool:
    """Return whether the engine can read, or write, an array (..., H, W) where it lies."""
    inner = array.strides[-1] == array.itemsize or array.shape[-1] == 1
    return bool(inner and array.flags.aligned and all(s >= 0 and s % array.itemsize == 0 for s in array.strides))


def is_interleaved(array: np.ndarray) -> bool:
    """Return whether an array (C, H, W) or (N, C, H, W) is a view of pictures with channels side by side."""
    if array.ndim not in (3, 4) or array.shape[-3] == 1:
        return False
    channels, size, strides = array.shape[-3], array.itemsize, array.strides
    side_by_side = strides[-3] == size and strides[-1] == channels * size
    return side_by_side and array.flags.aligned and all(s >= 0 and s % size == 0 for s in strides)


def _folded(gradient: np.ndarray, index: np.ndarray, before: int, n: int, axis: int) -> np.ndarray:
    """Return the gradient with respect to an axis of `n`, of which ``index`` was read: a view, added to in place."""
    gradient = np.moveaxis(gradient, axis, 0)
    folded = gradient[before : before + n]
    for position in (*range(before), *range(before + n, len(index))):
        folded[index[position]] += gradient[position]
    return np.moveaxis(folded, 0, axis)


#: What `Prepared` takes -> that, kept: at the most 128 gathers of 128² places, 16 MB.
prepared = lru_cache(maxsize=128)(Prepared)


def from_numbers(sizes: Sequence[int], boundary: str, cval: float) -> Operation:
    """Return the operation that `kernelfield.arrays.base.numbers_of` took apart."""
    return Operation((Window(*sizes[:5]), Window(*sizes[5:10])), check_boundary(boundary), cval, sizes[10])


register_operation(from_numbers)
