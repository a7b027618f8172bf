"""A cross-correlation planned once and run many times: arguments are checked and the method is chosen beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernelfield import memory
from kernelfield.checks import check_image, check_operation, check_precision, result_dtype, weights_and_origin
from kernelfield.engine import plan as planner
from kernelfield.engine.choice import engine
from kernelfield.engine.rounding import Finish
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.kernels import Kernel
from kernelfield.operation import Prepared
from kernelfield.quick import quick


class PlannedCorrelation:
    """What `plan` returns: print it to see how the work will be done, call it to do the work.

    Attributes
    ----------
    image_shape : tuple of int
        Of the images that it takes, (..., H, W).
    dtype, output_dtype : numpy.dtype
        Of images and of results.
    kernel : numpy.ndarray
        The weights, read-only.
    method, reason : str
        How the work is done, and why so.
    cost : int
        Multiply-adds of the definition.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        kernel: ArrayLike | Kernel,
        dtype: np.dtype,
        method: str | None,
        how: dict[str, Any],
    ) -> None:
        weights, own_origin = weights_and_origin(kernel)
        if weights.ndim != 2:
            raise ArgumentError(f"kernel: expected two axes (kh, kw); received shape {weights.shape}; use correlate")
        operation = check_operation(image_shape, weights.shape, own_origin=own_origin, **how)
        check_precision(None, method, operation.plain)
        self._how, self._asked = how, method
        result = result_dtype(dtype, None, None)
        self._prepared = Prepared(operation, image_shape, weights.shape, dtype, result, result, engine())
        self._finish = Finish(result)
        self._quick = None
        self._again: planner.Again | None = None
        if method in (None, "direct"):
            self._quick = quick(operation, image_shape, dtype, weights.shape, result, engine(), weights)
        self._plan = planner.improved(self._prepared.plan, weights, method)
        self._shape = operation.output_shape(image_shape, weights.shape)
        weights.flags.writeable = False
        self.image_shape, self.kernel = image_shape, weights
        self.dtype, self.output_dtype = dtype, result
        self.method, self.reason, self.cost = self._plan.method, self._plan.reason, self._plan.cost

    def __call__(self, image: np.ndarray, kernel: ArrayLike | Kernel | None = None) -> np.ndarray:
        """Return the cross-correlation of an image.

        Parameters
        ----------
        image : numpy.ndarray
            Of the shape and dtype planned for.
        kernel : array_like or Kernel, optional
            Weights instead of those planned for (`kernel`): all is planned anew for them.

        Raises
        ------
        ArgumentError, DtypeError
            For an image of another shape or dtype.
        """
        if kernel is not None and kernel is not self.kernel:
            return PlannedCorrelation(self.image_shape, kernel, self.dtype, self._asked, self._how)(image)
        if not isinstance(image, np.ndarray) or image.shape != self.image_shape:
            raise ArgumentError(
                f"image: expected an array of shape {self.image_shape}; received {np.shape(image)}; plan for that"
            )
        if image.dtype != self.dtype:
            raise DtypeError(f"image: expected {self.dtype}; received {image.dtype}; convert it, or plan for that")
        if self._quick is not None and image.flags.c_contiguous and image.flags.aligned:
            return self._quick(image)
        out = memory.empty(self._shape, self.output_dtype)
        pixels = image if image.flags.c_contiguous and image.flags.aligned else np.array(image, order="C")
        if self._again is not None:
            self._again(pixels, out)
        else:
            self._again = self._prepared(pixels, out, self.kernel, self._plan, self._finish)
        return out

    def __repr__(self) -> str:
        return str(self._plan)


def plan(
    image_shape: tuple[int, ...],
    kernel: ArrayLike | Kernel,
    *,
    dtype: DTypeLike = np.float32,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    method: str | None = None,
) -> PlannedCorrelation:
    """Plan a cross-correlation: say how it will be done, what it costs and why, and do it as often as wanted.

    Parameters
    ----------
    image_shape : tuple of int
        (..., H, W).
    kernel : array_like or Kernel, shape (kh, kw)
        The weights; what they are decides, for kernels of low rank cost less.
    dtype : dtype
        Of the images: uint8, uint16, int16, int32, float32 or float64.
    mode, boundary, cval, origin, padding
        As in `kernelfield.correlate`.
    method : {"direct", "separable", "spectral"}, optional
        By default the one that a model of the time finds fastest.

    Returns
    -------
    PlannedCorrelation
        Printable; call it with an image.

    Raises
    ------
    ArgumentError, DtypeError
        As `kernelfield.correlate` does.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfield as kf
    >>> planned = kf.plan((6, 8), [[1.0, -1.0]], mode="valid")
    >>> planned.cost
    84
    >>> planned(np.eye(6, 8, dtype=np.float32)).shape
    (6, 7)
    """
    wanted = np.dtype(dtype)
    if check_image(np.empty((1, 1), wanted), "image").dtype != wanted:
        raise DtypeError(f"dtype: expected uint8, uint16, int16, int32, float32 or float64; received {wanted}")
    how = dict(
        mode=mode, boundary=boundary, cval=cval, origin=origin, padding=padding, stride=1, dilation=1, groups=1
    )  # fmt: skip
    return PlannedCorrelation(tuple(image_shape), kernel, wanted, method, how)
