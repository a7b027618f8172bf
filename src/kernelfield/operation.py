"""One cross-correlation, checked and ready: what is to be computed, forwards and backwards, on NumPy arrays.

The frameworks' adapters call it for tensors in the memory of the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kernelfield import memory
from kernelfield.arrays.base import register_operation
from kernelfield.engine import interleaved, layer_plan
from kernelfield.engine import plan as planner
from kernelfield.engine.border import is_small, pieces
from kernelfield.engine.choice import engine
from kernelfield.engine.plan import Plan
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

    def forward(
        self,
        image: np.ndarray,
        kernel: np.ndarray,
        out: np.ndarray,
        method: str | None = None,
        bias: np.ndarray | None = None,
    ) -> None:
        """Write the result into `out`, float32 or float64 and of the shape that `output_shape` gives.

        `method` is one of `engine.plan.METHODS`, for kernels of two axes; by default the plan chooses. `bias` (C_out,)
        is for weights of four axes.
        """
        if self.plain and bias is None and (kernel.ndim == 2 or kernel.shape[:2] == (1, 1)):
            size = kernel.shape[-2:]
            ready = prepared(self, image.shape, size, image.dtype, out.dtype, engine())
            weights = kernel.reshape(size)
            ready(image, weights, out, planner.improved(ready.plan, weights, method))
            return
        pixels, layer = self._four(image, kernel)
        result = out.reshape(pixels.shape[0], layer.shape[0], *out.shape[-2:])
        options = self.stride, self.dilation, self.groups
        for part, rows, columns in pieces(pixels, self.windows, self.boundary, self.cval):
            layer_plan.forward(part, layer, result[:, :, rows, columns], *options, bias)

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
    """A cross-correlation with a kernel of two axes and no stride, ready for images of one shape and dtype.

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
        chosen: tuple[str, str] | None = None,
    ) -> None:
        self._operation = operation
        self._batch = math.prod(image_shape[:-2]), *image_shape[-2:]
        self._results = self._batch[0], *operation.output_shape(image_shape, kernel_shape)[-2:]
        self.plan = planner.plan_by_shape(
            self._batch, kernel_shape, dtype, out_dtype, operation.windows, *(chosen or engine())
        )
        # Small images are extended by one gather; what lies outside constants cannot be gathered.
        self._reads = None
        if operation.pads and is_small(image_shape[-2:]) and operation.boundary != "constant":
            rows, columns = operation.indices(image_shape)
            if is_small((len(rows), len(columns))):
                self._reads = np.add.outer(rows * image_shape[-1], columns)

    def __call__(self, image: np.ndarray, kernel: np.ndarray, out: np.ndarray, plan: Plan) -> None:
        """Write the result as `plan` says, which is `plan` or an improvement of it."""
        batch, results = image.reshape(self._batch), out.reshape(self._results)
        if self._reads is not None and batch.size:
            batch = batch.reshape(self._batch[0], -1).take(self._reads, axis=1)
            planner.method_of(plan)(batch, kernel, results)
        else:
            operation = self._operation
            planner.run(plan, batch, kernel, results, operation.windows, operation.boundary, operation.cval)


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
