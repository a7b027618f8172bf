"""The layers for PyTorch: `Conv2d` and `LazyConv2d` of torch.nn on the engine, and `Filter2d`, a fixed kernel."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from kernelfield.correlation.filter import FixedFilter
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.geometry import Operation
from kernelfield.tensors.layer import layer_operation
from kernelfield.tensors.weights import check_oihw
from kernelfield.torch.adapter import ADAPTER
from kernelfield.torch.convolution import convolution


class Conv2d(torch.nn.Conv2d):
    """`torch.nn.Conv2d`, computed by kernelfield's engine where that is faster: few channels, on the CPU.

    Arguments, parameters, state, `repr` and errors are those of `torch.nn.Conv2d`, and so is the computation wherever
    the engine does not take part: another device, another dtype, mixed precision, exported and vectorised programs.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or (int, int)
        Along rows and columns.
    padding : int, (int, int), "valid" or "same"
    groups : int
    bias : bool
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}
        PyTorch's, and ``"symmetric"``: mirrored with the edge pixel twice, SciPy's ``reflect``.
    device, dtype
        Of the parameters.

    Examples
    --------
    >>> Conv2d(3, 8, 3, padding=1)
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    >>> Conv2d(3, 8, 3)(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 8, 14, 14])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        own: Any = "zeros" if padding_mode == "symmetric" else padding_mode
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, own, device, dtype
        )
        self.padding_mode: Any = padding_mode

    def _conv_forward(self, input: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        _refuse_array(input)
        operation = self._operation(input) if isinstance(input, torch.Tensor) else None
        result = None
        if operation is not None and not torch.is_autocast_enabled("cpu"):
            result = ADAPTER.layer(operation, input, weight, bias)
        if result is None and self.padding_mode == "symmetric" and operation is not None:
            result = convolution(operation, input, weight, bias)
        return super()._conv_forward(input, weight, bias) if result is None else result

    def _operation(self, image: Any) -> Operation | None:
        """Return the operation for an image; None for settings that PyTorch refuses."""
        # The attributes, because users change them. Without the cache in compiled code: torch.compile warns of it.
        operation = layer_operation.__wrapped__ if torch.compiler.is_compiling() else layer_operation
        mode = self.padding_mode
        if not isinstance(self.padding, str | int) and any(isinstance(n, tuple) for n in self.padding):
            return None
        try:
            found = operation(self.kernel_size, self.stride, self.padding, self.dilation, self.groups, mode)
        except (ArgumentError, TypeError):
            return None
        # PyTorch extends by less than the image, or by one image at most.
        least = {"reflect": 1, "circular": 0}.get(mode)
        if least is None or not found.pads:
            return found
        reach = [max(w.before, w.after) + least for w in found.windows]
        return found if all(n >= r for n, r in zip(image.shape[-2:], reach)) else None

    def __prepare_scriptable__(self) -> torch.nn.Conv2d:
        """Return the layer as PyTorch's own, on the same parameters, for `torch.jit.script`."""
        own = copy.copy(self)
        own.__class__ = torch.nn.Conv2d
        return own

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        if isinstance(self.weight, torch.nn.UninitializedParameter):
            raise ArgumentError("layer: expected one with weights; call it on an image or set_oihw first")
        weight, bias = (
            None if p is None else p.detach().to("cpu", torch.promote_types(p.dtype, torch.float32)).numpy().copy()
            for p in (self.weight, self.bias)
        )
        assert weight is not None
        return weight, bias

    def set_oihw(self, weight: Any, bias: Any = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given."""
        shape: tuple[int | None, ...] = (self.out_channels, None, *self.kernel_size)
        is_lazy = isinstance(self.weight, torch.nn.UninitializedParameter)
        values, added = check_oihw(shape if is_lazy else tuple(self.weight.shape), self.bias is not None, weight, bias)
        if isinstance(self, LazyConv2d) and is_lazy:
            self.initialize_parameters(torch.empty(1, values.shape[1] * self.groups, 1, 1, device="meta"))
        with torch.no_grad():
            self.weight.copy_(torch.tensor(values))
            if self.bias is not None:
                self.bias.copy_(torch.tensor(added))


class LazyConv2d(torch.nn.LazyConv2d, Conv2d):
    """`torch.nn.LazyConv2d`: a `Conv2d` whose input channels are those of the first image.

    Examples
    --------
    >>> layer = LazyConv2d(8, 3)
    >>> layer(torch.zeros(2, 3, 16, 16)).shape, layer
    (torch.Size([2, 8, 14, 14]), Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1)))
    """

    cls_to_become = Conv2d

    def initialize_parameters(self, input: torch.Tensor) -> None:
        """Create the parameters for the channels of an image; PyTorch calls it before the first forward pass."""
        _refuse_array(input)
        super().initialize_parameters(input)


class Filter2d(torch.nn.Module):
    """A fixed kernel, applied to every channel of images (N, C, H, W) or (C, H, W); differentiable for the image.

    The kernel is a buffer, not a parameter: it is saved with the state and moves with the module, and no optimiser
    changes it.

    Parameters
    ----------
    kernel : array_like or Kernel, shape (kh, kw) or (n, kh, kw)
        A `Kernel` has its own anchor. A bank gives n channels for each of the image's, as a depthwise convolution.
    mode, boundary, cval, origin, padding, stride, dilation
        As in `kernelfield.correlate`.
    device, dtype
        Of the buffer. Images of another dtype are filtered in theirs; those of integers in the buffer's.

    Examples
    --------
    >>> import kernelfield as kf
    >>> layer = Filter2d(kf.kernels.sobel())
    >>> layer
    Filter2d(3×3)
    >>> layer(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 3, 16, 16])
    """

    kernel: torch.Tensor

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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.filter = FixedFilter.of(kernel, mode, boundary, cval, origin, padding, stride, dilation)
        dtype = torch.get_default_dtype() if dtype is None else dtype
        self.register_buffer("kernel", torch.tensor(self.filter.weights, device=device, dtype=dtype))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the filtered image, (N, C, OH, OW), or (N, C·n, OH, OW) for a bank of n kernels."""
        _refuse_array(image)
        result: torch.Tensor = self.filter.apply(ADAPTER, image, self.kernel)
        return result

    def extra_repr(self) -> str:
        """Return the kernel's shape and the arguments that are not the default."""
        return self.filter.describe()


def _refuse_array(image: Any) -> None:
    if isinstance(image, np.ndarray):
        raise DtypeError("image: expected a torch.Tensor; received a NumPy array; use torch.from_numpy")
