"""A fixed kernel for layers that do not learn: checked once, applied to every channel of a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.correlation.arguments import check_operation, weights_and_origin
from kernelfield.correlation.tensors import correlate_tensors
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation, check_padding, positive_pair
from kernelfield.tensors.adapter import Adapter

_USUAL: dict[str, Any] = dict(
    mode="same", boundary="reflect", cval=0.0, origin=None, padding=None, stride=(1, 1), dilation=(1, 1)
)


@dataclass(frozen=True, eq=False, repr=False)
class FixedFilter:
    """The weights of a kernel or of a bank, and the arguments of `kernelfield.correlate` that place its windows.

    Attributes
    ----------
    weights : numpy.ndarray, shape (kh, kw) or (n, kh, kw)
    options : dict
        mode, boundary, cval, origin, padding, stride and dilation.

    Examples
    --------
    >>> FixedFilter.of([[1, 0, -1]], boundary="nearest").describe()
    "1×3, boundary='nearest'"
    """

    weights: np.ndarray
    options: dict[str, Any]

    @classmethod
    def of(
        cls,
        kernel: Any,
        mode: str = "same",
        boundary: str = "reflect",
        cval: float = 0.0,
        origin: int | tuple[int, int] | None = None,
        padding: Any = None,
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
    ) -> FixedFilter:
        """Return the filter of a kernel (kh, kw) or a bank (n, kh, kw); the arguments are those of `correlate`.

        Raises
        ------
        ArgumentError
            For a kernel of other axes, or an argument that `correlate` refuses.
        """
        weights, own_origin = weights_and_origin(kernel)
        if weights.ndim == 4:
            raise ArgumentError(
                f"kernel: expected (kh, kw), or a bank (n, kh, kw); received shape {weights.shape}; use a layer"
            )
        if origin is None and padding is None and mode == "same" and own_origin != (0, 0):
            origin = own_origin
        options = dict(
            mode=mode, boundary=boundary, cval=cval, origin=origin, padding=padding, stride=stride, dilation=dilation
        )
        found = cls(weights, options)
        found.operation()
        for name in ("stride", "dilation"):
            options[name] = positive_pair(options[name], name)
        if padding is not None:
            options["padding"] = check_padding(padding)
        return found

    def operation(self) -> Operation:
        """Return the cross-correlation of one channel."""
        size = self.weights.shape[-2:]
        # Any image that is large enough: the windows do not depend on it.
        return check_operation((2**40, 2**40), size, own_origin=(0, 0), groups=1, **self.options)

    def apply(self, adapter: Adapter, image: Any, kernel: Any) -> Any:
        """Return the filtered tensor, (..., C, OH, OW), or (..., C·n, OH, OW) for a bank; `kernel` holds the weights.

        The channels of a bank's result are grouped by those of the image, as in a depthwise convolution.
        """
        rest = dict.fromkeys(("out", "dtype", "precision", "method", "channel_axis"))
        given = {**self.options, **rest, "groups": 1, "missing": "propagate", "bank": self.weights.ndim == 3 or None}
        result = correlate_tensors(adapter, image, kernel, None, given)
        if self.weights.ndim == 2 or len(adapter.shape(image)) == 2:
            return result
        *lead, channels, filters, rows, columns = adapter.shape(result)
        return adapter.reshape(result, (*lead, channels * filters, rows, columns))

    def __repr__(self) -> str:
        return f"FixedFilter({self.describe()})"

    def describe(self) -> str:
        """Return the kernel's shape and the options that are not the default, for a layer's repr."""
        changed = [f"{name}={value!r}" for name, value in self.options.items() if value != _USUAL[name]]
        return ", ".join(["×".join(map(str, self.weights.shape)), *changed])
