"""The convolutional layer for PyTorch."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch.nn.modules.lazy import LazyModuleMixin

from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.tensors.layer import settings
from kernelfield.tensors.weights import check_oihw
from kernelfield.torch.adapter import ADAPTER


class Conv2d(LazyModuleMixin, torch.nn.Module):
    """Cross-correlate images (N, C, H, W) or (C, H, W) with learned kernels, as `torch.nn.LazyConv2d` does.

    The first image determines the input channels, and with them the shapes of the parameters `weight`
    (C_out, C_in/groups, kh, kw) and `bias` (C_out,). Their initial values are distributed as in `torch.nn.Conv2d`.

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
        One of `kernelfield.tensors.layer.PADDING_MODES`; PyTorch's ``"reflect"`` is ``"mirror"``.
    device, dtype
        Of the parameters.
    """

    cls_to_become = None

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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Lazy modules are a new feature", UserWarning)
            super().__init__()
        self.settings = settings(out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self.operation = self.settings.operation()
        self.weight = torch.nn.UninitializedParameter(device=device, dtype=dtype)
        self.register_parameter("bias", torch.nn.UninitializedParameter(device=device, dtype=dtype) if bias else None)

    def initialize_parameters(self, image: torch.Tensor) -> None:
        """Create the parameters for the channels of an image; PyTorch calls it before the first forward pass."""
        if self.has_uninitialized_params():
            if image.ndim < 3:
                raise ArgumentError(f"image: expected (N, C, H, W) or (C, H, W); received shape {tuple(image.shape)}")
            self._materialise(self.settings.weight_shape(image.shape[-3]))
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias as `torch.nn.Conv2d` does: uniform within ±1/sqrt(C_in/groups · kh · kw)."""
        if not self.has_uninitialized_params():
            torch.nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
            if self.bias is not None:
                bound = 1 / math.sqrt(self.weight[0].numel())
                torch.nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the feature map (N, C_out, OH, OW), or (C_out, OH, OW)."""
        weight, bias = self.weight, self.bias
        device = image.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            image, weight = image.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        self._check(image, weight)
        result: torch.Tensor = ADAPTER.correlate(self.operation, image, weight, bias)
        return result

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        if self.has_uninitialized_params():
            raise ArgumentError("layer: expected one with weights; call it on an image or set_oihw first")
        values = [None if p is None else p.detach().cpu() for p in (self.weight, self.bias)]
        weight, bias = (
            None if v is None else (v.float() if v.dtype in (torch.bfloat16, torch.float16) else v).numpy().copy()
            for v in values
        )
        assert weight is not None
        return weight, bias

    def set_oihw(self, weight: Any, bias: Any = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given."""
        values, added = check_oihw(self.settings, weight, bias)
        if self.has_uninitialized_params():
            self._materialise(values.shape)
        if tuple(self.weight.shape) != values.shape:
            raise ArgumentError(f"weight: expected shape {tuple(self.weight.shape)}; received {values.shape}")
        with torch.no_grad():
            self.weight.copy_(torch.tensor(values))
            if self.bias is not None:
                self.bias.copy_(torch.tensor(added))

    def extra_repr(self) -> str:
        """Return the settings, for `repr`."""
        known = not self.has_uninitialized_params()
        return self.settings.describe(self.weight.shape[1] * self.settings.groups if known else None)

    def _materialise(self, shape: tuple[int, ...]) -> None:
        for parameter, extents in ((self.weight, shape), (self.bias, shape[:1])):
            if isinstance(parameter, torch.nn.UninitializedParameter):
                parameter.materialize(extents)

    def _check(self, image: torch.Tensor, weight: torch.Tensor) -> None:
        """Raise unless the image has the dtype, the device and the channels of the weights."""
        if image.dtype != weight.dtype:
            raise DtypeError(f"image: expected {weight.dtype}, as the weights; received {image.dtype}; convert one")
        if image.device != weight.device:
            raise ArgumentError(f"image: expected it on {weight.device}, as the weights; received {image.device}")
        self.settings.check_image(tuple(image.shape), weight.shape[1] * self.settings.groups)
