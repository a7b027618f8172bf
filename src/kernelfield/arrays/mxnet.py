"""MXNet 1.9: `mx.nd.NDArray`, `mx.np.ndarray` and the symbols of both. What comes back is of the image's kind.

Arrays of the legacy and of the NumPy interface share handles (``as_nd_ndarray`` copies nothing and keeps the graph of
autograd), so all work is done on the legacy ones.
"""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.base import _LIB, MXCallbackList, NDArrayHandle, c_handle_array, check_call

from kernelfield.arrays.base import Adapter
from kernelfield.arrays.mxnet_native import BFLOAT16, CPUS, convolution, dtype_name, known_shape, same_interface
from kernelfield.engine import layers
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation


class MXNet(Adapter):
    """Eager arrays in the memory of the CPU go to our engine; symbols (hybridized blocks) and GPUs to Convolution."""

    name = "mxnet"

    def recognises(self, value: Any) -> bool:
        """Return whether `value` is an array or a symbol of either interface."""
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
        """Return the name of the dtype; that of a symbol is float32 unless it says another."""
        if isinstance(tensor, mx.sym.Symbol):
            kind = tensor.infer_type_partial()[1][0]
            return "float32" if kind is None else dtype_name(kind)
        return dtype_name(tensor.dtype)

    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        """Return `value` in the dtype, on the device and of the interface of `like`; numbers get one axis at least."""
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
        made = mx.nd.array(numbers, ctx=like.context, dtype=numbers.dtype)
        return same_interface(made.astype(kind) if dtype == "bfloat16" else made, like)

    def is_concrete(self, *tensors: Any) -> bool:
        """Return whether all are dense arrays in the memory of the CPU."""
        return all(
            isinstance(t, mx.nd.NDArray) and t.stype == "default" and t.context.device_type in CPUS for t in tensors
        )

    def to_numpy(self, tensor: Any) -> np.ndarray:
        """Return a read-only view of the array's memory, once pending work on it is done."""
        return _view(tensor)

    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        """Return an array with the memory of `array`; a copy where that is not contiguous or `like` is elsewhere."""
        # Of a view, because MXNet makes the array that it is given read-only.
        made = mx.nd.from_numpy(np.ascontiguousarray(array)[...])
        return same_interface(made.as_in_context(like.context), like)

    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return our engine's result; while autograd records, with its gradients."""
        pixels, weights = image.as_nd_ndarray(), kernel.as_nd_ndarray()
        shape = operation.output_shape(image.shape, kernel.shape)
        # MXNet's own memory costs less than wrapping NumPy's, and lies on the image's device, be it cpu(1).
        out = mx.nd.empty(shape, ctx=image.context, dtype=image.dtype)
        values = _view(pixels), _view(weights)
        layers.forward(operation, *values, _view(out, writeable=True))
        if mx.autograd.is_recording():
            _record(operation, (pixels, weights), values, out)
        return same_interface(out, image)

    def native(
        self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False, bias: Any = None
    ) -> Any:
        """Return the result by MXNet's own operators, with the bias (C_out,) of weights of four axes added."""
        return convolution(operation, image, kernel, channels_last, bias)

    def native_with_bias(
        self, operation: Operation, image: Any, kernel: Any, bias: Any, channels_last: bool = False
    ) -> Any:
        """Return `native` plus the bias, which Convolution adds on the way where it is one of each channel."""
        if bias is not None and not channels_last:
            symbolic = isinstance(bias, mx.sym.Symbol)
            if symbolic or (len(kernel.shape) == 4 and bias.shape == kernel.shape[:1]):
                return self.native(operation, image, kernel, bias=bias)
        return super().native_with_bias(operation, image, kernel, bias, channels_last)

    def correlate(
        self, operation: Operation, image: Any, kernel: Any, bias: Any = None, channels_last: bool = False
    ) -> Any:
        """Return the cross-correlation plus a bias; image, kernel and bias may be of either interface."""
        bias = None if bias is None else same_interface(bias, image)
        return super().correlate(operation, image, kernel, bias, channels_last)

    def transpose(self, tensor: Any, axes: tuple[int, ...]) -> Any:
        """Return the tensor with its axes in another order."""
        return tensor.transpose(axes)

    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        """Return the tensor in another shape."""
        return tensor.reshape(shape)

    def flip(self, tensor: Any) -> Any:
        """Return the tensor reversed along its last two axes."""
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
        """Yield losses and kernels of descent by a Gluon Trainer, as `Adapter.descend` says."""
        options = {"learning_rate": lr, "wd": 0.0} | ({"momentum": momentum} if optimiser == "sgd" else {})
        dtype = np.result_type(image.dtype, np.float32)
        pixels, wanted, *starts = (mx.nd.array(a, dtype=dtype) for a in (image, target, *kernels))
        parameters = [mx.gluon.Parameter(f"kernel{i}", shape=k.shape, dtype=dtype) for i, k in enumerate(starts)]
        for parameter, start in zip(parameters, starts):
            parameter.initialize(init=mx.init.Constant(start))
        trainer = mx.gluon.Trainer(parameters, optimiser, options, kvstore=None)
        while True:
            with mx.autograd.record():
                result = pixels
                for operation, parameter in zip(operations, parameters):
                    result = self.correlate(operation, result, parameter.data())
                loss = mx.nd.square(result - wanted).sum()
            loss.backward()
            trainer.step(1)
            yield float(loss.asscalar()), [parameter.data().asnumpy() for parameter in parameters]


class _Memory:
    """The memory of an array, for NumPy, which keeps this object, which keeps the array."""

    def __init__(self, tensor: Any, writeable: bool) -> None:
        self.tensor = tensor
        # Not DLPack: MXNet refuses it for the blocked layout in which Convolution leaves its results.
        tensor.wait_to_read()
        pointer = ctypes.c_void_p()
        check_call(_LIB.MXNDArrayGetData(tensor.handle, ctypes.byref(pointer)))
        self.__array_interface__ = {
            "version": 3,
            "shape": tensor.shape,
            "typestr": np.dtype(tensor.dtype).str,
            "data": (pointer.value, not writeable),
        }


def _view(tensor: Any, writeable: bool = False) -> np.ndarray:
    """Return the memory of a dense array on the CPU, once all that was asked of MXNet before is in it."""
    if 0 in tensor.shape:
        return np.empty(tensor.shape, tensor.dtype)
    return np.asarray(_Memory(tensor, writeable))


def _record(operation: Operation, arrays: tuple[Any, Any], values: tuple[np.ndarray, np.ndarray], out: Any) -> None:
    """Tell MXNet's autograd how `out` is differentiated with respect to `arrays`, whose memory is `values`.

    This is what `mx.autograd.Function` does, but that leaves unwritten every gradient after the first one that is not
    wanted, such as the kernel's where the image is only data, and takes ``grad_req="add"`` for nothing.
    """
    function = mx.autograd.Function
    # MXNet calls back later, from another thread, and does not know that the arrays are read then: a write that was
    # asked for meanwhile, such as the optimiser's, may have been done, or wait for the very gradient. Hence copies.
    image, kernel = values[0].copy(), values[1].copy()
    key = function._registry.inc()
    null, add = 0, 3

    def backward(outputs: int, inputs: int, pointers: Any, requests: Any, training: int, state: Any) -> bool:
        try:
            slope, *targets = (mx.nd.NDArray(NDArrayHandle(p)) for p in pointers[: outputs + inputs])
            wanted = [requests[i] for i in range(inputs)]
            needs = wanted[0] != null, wanted[1] != null
            found = layers.backward(operation, image, kernel, _view(slope), needs)
            for gradient, target, request in zip(found, targets, wanted):
                if gradient is not None and request != null:
                    values = np.ascontiguousarray(gradient, dtype=target.dtype)
                    target._sync_copyfrom(values + target.asnumpy() if request == add else values)
        except Exception:
            traceback.print_exc()
            return False
        return True

    def delete(state: Any) -> bool:
        function._registry.ref_holder.pop(key, None)
        return True

    generic = ctypes.CFUNCTYPE(ctypes.c_int)
    calls = [ctypes.cast(f, generic) for f in (function._bwd_functype(backward), function._del_functype(delete))]
    callbacks = MXCallbackList(
        2,
        ctypes.cast((generic * 2)(*calls), ctypes.POINTER(generic)),
        ctypes.cast((ctypes.c_void_p * 2)(), ctypes.POINTER(ctypes.c_void_p)),
    )
    function._registry.ref_holder[key] = callbacks
    inputs, outputs = c_handle_array(arrays), c_handle_array([out])
    check_call(_LIB.MXCustomFunctionRecord(2, inputs, 1, outputs, ctypes.byref(callbacks)))


ADAPTER = MXNet()
