"""Adapter of MXNet 1.9: `mx.nd.NDArray`, `mx.np.ndarray` and the symbols of both; a result is of the image's kind.

Arrays of the legacy and of the NumPy interface share handles (``as_nd_ndarray`` copies nothing and keeps autograd's
graph): the adapter computes on legacy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mxnet as mx
import numpy as np

from kernelfield.engine import layers
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation
from kernelfield.mxnet.convolution import BFLOAT16, CPUS, convolution, dtype_name, known_shape, same_interface
from kernelfield.mxnet.gradients import record, view
from kernelfield.tensors.adapter import Adapter


class MXNetAdapter(Adapter):
    """The engine for arrays in the CPU's memory; the operator Convolution for symbols (hybridized blocks) and GPUs."""

    name = "mxnet"

    def recognises(self, value: Any) -> bool:
        return isinstance(value, (mx.nd.NDArray, mx.sym.Symbol))

    def shape(self, tensor: Any) -> tuple[int, ...]:
        """Return the shape; raise ArgumentError for a symbol whose shape is not known."""
        if not isinstance(tensor, mx.sym.Symbol):
            return tuple(tensor.shape)
        shape = known_shape(tensor)
        if not shape or min(shape) < 1:
            raise ArgumentError(
                f"{tensor.name}: expected a symbol of known shape; received {shape or 'none'}; "
                "give mx.sym.var(..., shape=)"
            )
        return shape

    def dtype(self, tensor: Any) -> str:
        """Return the name of the dtype; float32 for a symbol without one."""
        if isinstance(tensor, mx.sym.Symbol):
            kind = tensor.infer_type_partial()[1][0]
            return "float32" if kind is None else dtype_name(kind)
        return dtype_name(tensor.dtype)

    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        """Return `value` in the dtype, on the device and of the interface of `like`; a number becomes an array (1,)."""
        if isinstance(like, mx.sym.Symbol):
            if not isinstance(value, mx.sym.Symbol):
                raise ArgumentError(f"image, kernel, bias: expected symbols only; received a {type(value).__name__}")
            return same_interface(value if self.dtype(value) == dtype else value.astype(dtype), like)
        kind = BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype)
        if isinstance(value, mx.nd.NDArray):
            if value.stype != "default":
                raise ArgumentError(f"image, kernel: expected dense arrays; received {value.stype}; use tostype")
            if dtype_name(value.dtype) != dtype:
                value = value.astype(kind)
            return same_interface(value if value.context == like.context else value.as_in_context(like.context), like)
        if isinstance(value, mx.sym.Symbol):
            raise ArgumentError("image, kernel, bias: expected arrays only; received a symbol; bind it first")
        numbers = np.array(value, "float32" if dtype == "bfloat16" else dtype, ndmin=1)
        array = mx.nd.array(numbers, ctx=like.context, dtype=numbers.dtype)
        return same_interface(array.astype(kind) if dtype == "bfloat16" else array, like)

    def is_concrete(self, *tensors: Any) -> bool:
        return all(
            isinstance(t, mx.nd.NDArray) and t.stype == "default" and t.context.device_type in CPUS for t in tensors
        )

    def to_numpy(self, tensor: Any) -> np.ndarray:
        """Return a read-only view of the array's memory, after pending operations on it."""
        return view(tensor)

    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        """Return an array on the memory of `array`; a copy if that is not contiguous or `like` is on another device."""
        # A view, because MXNet makes the array that is passed to it read-only.
        shared = mx.nd.from_numpy(np.ascontiguousarray(array)[...])
        return same_interface(shared.as_in_context(like.context), like)

    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return the engine's result, with its gradients while autograd records."""
        pixels, weights = image.as_nd_ndarray(), kernel.as_nd_ndarray()
        shape = operation.output_shape(image.shape, kernel.shape)
        # MXNet's own memory costs less than wrapping NumPy's, and is on the image's device, which may be cpu(1).
        out = mx.nd.empty(shape, ctx=image.context, dtype=image.dtype)
        values = view(pixels), view(weights)
        layers.forward(operation, *values, view(out, writeable=True))
        if mx.autograd.is_recording():
            record(operation, (pixels, weights), values, out)
        return same_interface(out, image)

    def native(
        self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False, bias: Any = None
    ) -> Any:
        """Return the result of MXNet's own operators, plus a bias (C_out,) for a kernel of four axes."""
        return convolution(operation, image, kernel, channels_last, bias)

    def native_with_bias(
        self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool = False
    ) -> Any:
        """Return `native` plus the bias; Convolution itself adds one with a value for each channel."""
        if bias is not None and not channels_last:
            symbolic = isinstance(bias, mx.sym.Symbol)
            if symbolic or (len(kernel.shape) == 4 and bias.shape == kernel.shape[:1]):
                return self.native(operation, image, kernel, bias=bias)
        return super().native_with_bias(operation, image, kernel, bias, channels_last)

    def correlate(
        self, operation: Operation, image: Any, kernel: Any, bias: Any = None, channels_last: bool = False
    ) -> Any:
        """Return the cross-correlation plus a bias, which may be of either interface."""
        bias = None if bias is None else same_interface(bias, image)
        return super().correlate(operation, image, kernel, bias, channels_last)

    def transpose(self, tensor: Any, axes: tuple[int, ...]) -> Any:
        return tensor.transpose(axes)

    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        return tensor.reshape(shape)

    def flip(self, tensor: Any) -> Any:
        last = len(self.shape(tensor))
        F = mx.sym if isinstance(tensor, mx.sym.Symbol) else mx.nd
        return same_interface(F.reverse(tensor.as_nd_ndarray(), axis=(last - 2, last - 1)), tensor)

    def descend(
        self,
        operations: Sequence[Operation],
        image: np.ndarray,
        target: np.ndarray,
        kernels: Sequence[np.ndarray],
        optimiser: str,
        lr: float,
        momentum: float,
    ) -> Iterator[tuple[float, list[np.ndarray]]]:
        options = {"learning_rate": lr, "wd": 0.0} | ({"momentum": momentum} if optimiser == "sgd" else {})
        dtype = np.result_type(image.dtype, np.float32)
        # After `npx.set_np` parameters hold arrays of mx.np, which do not mix with those of mx.nd.
        array = mx.np.array if mx.util.is_np_array() else mx.nd.array
        pixels, expected, *starts = (array(a, dtype=dtype) for a in (image, target, *kernels))
        parameters = [mx.gluon.Parameter(f"kernel{i}", shape=k.shape, dtype=dtype) for i, k in enumerate(starts)]
        for parameter, start in zip(parameters, starts):
            parameter.initialize(init=mx.init.Constant(start))
        trainer = mx.gluon.Trainer(parameters, optimiser, options, kvstore=None)
        while True:
            with mx.autograd.record():
                result = pixels
                for operation, parameter in zip(operations, parameters):
                    result = self.correlate(operation, result, parameter.data())
                loss = ((result - expected) ** 2).sum()
            loss.backward()
            trainer.step(1)
            yield float(loss.asnumpy().item()), [parameter.data().asnumpy() for parameter in parameters]


ADAPTER = MXNetAdapter()
