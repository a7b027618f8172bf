"""The layers for MXNet Gluon: Gluon's `Conv2D` on the engine, and `Filter2D`, a fixed kernel."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from kernelfield.correlation.filter import FixedFilter
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.geometry import Operation
from kernelfield.mxnet.adapter import ADAPTER
from kernelfield.mxnet.convolution import same_interface
from kernelfield.tensors.layer import check_padding_mode, fits, layer_operation, with_padding_mode
from kernelfield.tensors.layouts import TO_NCHW
from kernelfield.tensors.weights import check_oihw

#: Gluon's weights for the layout NHWC are OHWI; the adapter takes HWIO.
_OHWI_TO_HWIO, _OHWI_TO_OIHW, _OIHW_TO_OHWI = (1, 2, 3, 0), (0, 3, 1, 2), (0, 2, 3, 1)


class Conv2D(mx.gluon.nn.Conv2D):
    """`mxnet.gluon.nn.Conv2D`, computed by kernelfield's engine where that is faster: the CPU, floats, few channels.

    Arguments, parameters and errors are those of `mxnet.gluon.nn.Conv2D`, and so is the computation when hybridized.
    Not hybridized, the layer also takes two things that MXNet has on GPUs only: 16-bit floats, and the layout NHWC.

    Parameters
    ----------
    *arguments, **options
        Those of `mxnet.gluon.nn.Conv2D`: channels, kernel_size, strides, padding, dilation, groups, layout,
        activation, use_bias, weight_initializer, bias_initializer, in_channels, prefix, params.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}
        The pixels of the padding, as in `kernelfield.torch.Conv2d`; for the layout NCHW.

    Examples
    --------
    >>> import mxnet as mx
    >>> layer = Conv2D(8, 3, padding=1, activation="relu")
    >>> layer.initialize()
    >>> layer(mx.nd.zeros((2, 3, 16, 16))).shape
    (2, 8, 16, 16)
    """

    @with_padding_mode(mx.gluon.nn.Conv2D.__init__)
    def __init__(self, *arguments: Any, padding_mode: str = "zeros", **options: Any) -> None:
        groups = arguments[5] if len(arguments) > 5 else options.get("groups", 1)
        if groups == 0:  # MXNet divides by it, which ends the process
            raise ArgumentError(f"groups: expected a positive integer; received {groups!r}")
        super().__init__(*arguments, **options)
        self.padding_mode = check_padding_mode(padding_mode)
        if padding_mode != "zeros" and self._kwargs["layout"] != "NCHW":
            raise ArgumentError(f"padding_mode: expected 'zeros' with the layout NHWC; received {padding_mode!r}")

    def __call__(self, *images: Any) -> Any:
        """Return the feature map, or raise a DtypeError for a NumPy array."""
        _refuse_arrays(images)
        return super().__call__(*images)

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        """Return the feature map; MXNet calls this with arrays, or with symbols for a trace."""
        operation = self._operation()
        symbolic = isinstance(x, mx.sym.Symbol)
        if operation is None or (symbolic and self.padding_mode == "zeros"):
            return super().hybrid_forward(F, x, weight, bias)
        last = self._kwargs["layout"] == "NHWC"
        if not symbolic:
            shape, size = tuple(x.shape), tuple(weight.shape)
            if last and len(shape) == 4:
                shape, size = (tuple(s[i] for i in TO_NCHW) for s in (shape, size))
            if len(shape) != 4 or not fits(operation, shape, size) or x.dtype != weight.dtype:
                return super().hybrid_forward(F, x, weight, bias)
        kernel = weight.transpose(_OHWI_TO_HWIO) if last else weight
        result = ADAPTER.correlate(operation, x, kernel, bias, channels_last=last)
        return result if self.act is None else self.act(result)

    def _operation(self) -> Operation | None:
        """Return the operation of the settings; None for those that MXNet refuses."""
        asked = self._kwargs
        if any(isinstance(n, tuple) for n in asked["pad"]):
            return None
        settings = (asked[name] for name in ("kernel", "stride", "pad", "dilate"))
        try:
            return layer_operation(*map(tuple, settings), asked["num_group"], self.padding_mode)
        except (ArgumentError, TypeError):
            return None

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        if self.weight._data is None:
            raise ArgumentError("layer: expected one with weights; initialize it and call it on an image, or set_oihw")
        weight = self.weight.data().asnumpy()
        weight = weight if self._kwargs["layout"] == "NCHW" else weight.transpose(_OHWI_TO_OIHW)
        return weight, None if self.bias is None else self.bias.data().asnumpy()

    def set_oihw(self, weight: Any, bias: Any = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given."""
        last = self._kwargs["layout"] == "NHWC"
        shape = self.weight.shape if not last else tuple(self.weight.shape[i] for i in _OHWI_TO_OIHW)
        known = tuple(n if n > 0 else None for n in shape)  # an unknown length is 0, or -1 in MXNet's NumPy interface
        values, added = check_oihw(known, self.bias is not None, weight, bias)
        values = values.transpose(_OIHW_TO_OHWI) if last else values
        self.weight.shape = values.shape
        for parameter, array in ((self.weight, values), (self.bias, added)):
            if parameter is not None and array is not None:
                if parameter._data is None and not parameter._deferred_init:
                    parameter.initialize()
                parameter._finish_deferred_init()
                parameter.set_data(array.astype(parameter.dtype))


class Filter2D(mx.gluon.HybridBlock):
    """A fixed kernel, applied to every channel of images (N, C, H, W); differentiable with respect to the image.

    The kernel is a `mxnet.gluon.Constant`: it is saved with the parameters, and no trainer changes it.

    Parameters
    ----------
    kernel : array_like or Kernel, shape (kh, kw) or (n, kh, kw)
        A `Kernel` has its own anchor. A bank gives n channels for each of the image's, as a depthwise convolution.
    mode, boundary, cval, origin, padding, stride, dilation
        As in `kernelfield.correlate`.
    prefix, params
        Of every Gluon block.

    Examples
    --------
    >>> import mxnet as mx
    >>> import kernelfield as kf
    >>> layer = Filter2D(kf.kernels.sobel())
    >>> layer.initialize()
    >>> layer(mx.nd.zeros((2, 3, 16, 16))).shape
    (2, 3, 16, 16)
    """

    def __init__(
        self,
        kernel: Any,
        mode: str = "same",
        boundary: str = "reflect",
        cval: float = 0.0,
        origin: int | tuple[int, int] | None = None,
        padding: Any = None,
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
        prefix: str | None = None,
        params: Any = None,
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        self.filter = FixedFilter.of(kernel, mode, boundary, cval, origin, padding, stride, dilation)
        with self.name_scope():
            self.kernel = self.params.get_constant("kernel", self.filter.weights.astype("float32"))

    def __call__(self, *images: Any) -> Any:
        """Return the filtered image, or raise a DtypeError for a NumPy array."""
        _refuse_arrays(images)
        return super().__call__(*images)

    def hybrid_forward(self, F: Any, x: Any, kernel: Any) -> Any:
        """Return the filtered image; MXNet calls this with arrays, or with symbols for a trace."""
        if not isinstance(x, mx.sym.Symbol):
            return self.filter.apply(ADAPTER, x, kernel)
        # A symbol has no shape: every channel becomes an image, and the channels come back from the image itself.
        planes = x.as_nd_ndarray()
        bank = mx.sym.reshape(kernel.as_nd_ndarray(), shape=(-1, 1, *self.filter.weights.shape[-2:]))
        single = mx.sym.expand_dims(mx.sym.reshape(planes, shape=(-3, -2)), axis=1)
        result = ADAPTER.correlate(self.filter.operation(), single, bank)
        result = mx.sym.reshape_like(result, planes, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)
        return same_interface(mx.sym.reshape(result, shape=(0, -3, -2)), x)

    def __repr__(self) -> str:
        return f"Filter2D({self.filter.describe()})"


def _refuse_arrays(images: tuple[Any, ...]) -> None:
    if any(type(image) is np.ndarray for image in images):
        raise DtypeError("image: expected an mxnet.nd.NDArray; received a NumPy array; use mxnet.nd.array")
