"""The convolutional layer for MXNet Gluon."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.mxnet.adapter import ADAPTER
from kernelfield.tensors.layer import settings
from kernelfield.tensors.weights import check_oihw


class Conv2d(mx.gluon.HybridBlock):
    """Cross-correlate images (N, C, H, W) with learned kernels, as `mxnet.gluon.nn.Conv2D` does.

    Hybridized, the layer consists of MXNet's own operators, which do not take 16-bit floats on a CPU; not hybridized,
    it takes them.

    Parameters
    ----------
    out_channels : int
    kernel_size, stride, dilation : int or (int, int)
        Along rows and columns.
    padding : int, (int, int), ((int, int), (int, int)), "valid" or "same"
        The same on all sides, along rows and columns, or ``((top, bottom), (left, right))``.
    groups : int
    bias : bool
    padding_mode : str
        One of `kernelfield.tensors.layer.PADDING_MODES`.
    in_channels : int
        0: those of the first image.
    weight_initializer, bias_initializer : str or mxnet.init.Initializer, optional
        By default the initializer that ``initialize`` is given, and zeros.
    prefix, params
        Of every Gluon block.
    """

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        in_channels: int = 0,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        prefix: str | None = None,
        params: Any = None,
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        self.settings = settings(out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self.operation = self.settings.operation()
        # An unknown length is 0 in MXNet, and -1 in its NumPy interface.
        unknown = (out_channels, -1 if mx.util.is_np_array() else 0, *self.settings.kernel_size)
        shape = self.settings.weight_shape(in_channels) if in_channels else unknown
        with self.name_scope():
            self.weight = self.params.get("weight", shape=shape, init=weight_initializer, allow_deferred_init=True)
            self.bias = None
            if bias:
                self.bias = self.params.get("bias", shape=(out_channels,), init=bias_initializer)

    def forward(self, x: Any, *args: Any) -> Any:
        """Return the feature map (N, C_out, OH, OW)."""
        if isinstance(x, mx.nd.NDArray):
            self._check(x)
        return super().forward(x, *args)

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        """Return the feature map; MXNet calls this with arrays, or with symbols for a trace."""
        return ADAPTER.correlate(self.operation, x, weight, bias)

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        if self.weight._data is None:
            raise ArgumentError("layer: expected one with weights; initialize it and call it on an image, or set_oihw")
        return self.weight.data().asnumpy(), None if self.bias is None else self.bias.data().asnumpy()

    def set_oihw(self, weight: Any, bias: Any = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given."""
        values, added = check_oihw(self.settings, weight, bias)
        channels = self._in_channels()
        if channels and values.shape[1] * self.settings.groups != channels:
            wanted = self.settings.weight_shape(channels)
            raise ArgumentError(f"weight: expected shape {wanted}; received {values.shape}")
        self.weight.shape = values.shape
        for parameter, array in ((self.weight, values), (self.bias, added)):
            if parameter is not None and array is not None:
                if parameter._data is None and not parameter._deferred_init:
                    parameter.initialize()
                parameter._finish_deferred_init()
                parameter.set_data(array.astype(parameter.dtype))

    def _alias(self) -> str:
        return "conv"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.describe(self._in_channels())})"

    def _in_channels(self) -> int | None:
        """Return the input channels, None while they are unknown."""
        each = self.weight.shape[1]
        return each * self.settings.groups if each > 0 else None

    def _check(self, image: Any) -> None:
        """Raise unless the image has four axes and the dtype and channels of the weights."""
        if len(image.shape) != 4:
            raise ArgumentError(f"image: expected (N, C, H, W); received shape {image.shape}")
        if np.dtype(image.dtype) != np.dtype(self.weight.dtype):
            found, wanted = np.dtype(image.dtype), np.dtype(self.weight.dtype)
            raise DtypeError(f"image: expected {wanted}, as the weights; received {found}; convert one")
        channels = self._in_channels()
        if channels is None:
            channels = image.shape[1]
            self.settings.weight_shape(channels)
        self.settings.check_image(image.shape, channels)
