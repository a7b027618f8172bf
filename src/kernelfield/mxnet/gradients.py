"""The engine in MXNet's autograd: arrays as views of their memory, and gradients recorded for a result."""

from __future__ import annotations

import ctypes
import traceback
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.base import _LIB, MXCallbackList, NDArrayHandle, c_handle_array, check_call

from kernelfield.geometry import Operation
from kernelfield.tensors import layouts


class _Memory:
    """The memory of an array for `numpy.asarray`: the view refers to this object, and this object to the array."""

    def __init__(self, tensor: Any, writeable: bool) -> None:
        self.tensor = tensor
        # Not by DLPack, which MXNet refuses for the blocked layout of the results of Convolution.
        tensor.wait_to_read()
        pointer = ctypes.c_void_p()
        check_call(_LIB.MXNDArrayGetData(tensor.handle, ctypes.byref(pointer)))
        self.__array_interface__ = {
            "version": 3,
            "shape": tensor.shape,
            "typestr": np.dtype(tensor.dtype).str,
            "data": (pointer.value, not writeable),
        }


def view(tensor: Any, writeable: bool = False) -> np.ndarray:
    """Return a view of the memory of a dense array on the CPU; wait first for pending operations that write it."""
    if 0 in tensor.shape:
        return np.empty(tensor.shape, tensor.dtype)
    return np.asarray(_Memory(tensor, writeable))


def record(operation: Operation, arrays: tuple[Any, Any], values: tuple[np.ndarray, np.ndarray], out: Any) -> None:
    """Register the gradients of `out` with respect to `arrays` (image, kernel), whose views are `values`, in autograd.

    `mx.autograd.Function` would do the same with two faults: after the first gradient that is not needed, such as the
    image's, it leaves all others unwritten, and it ignores ``grad_req="add"``.
    """
    function = mx.autograd.Function
    # Copies: MXNet calls `backward` later, from another thread, and does not know that it reads the arrays. A write
    # queued in between, such as the optimiser's, may be done by then, or may wait for this very gradient.
    image, kernel = values[0].copy(), values[1].copy()
    key = function._registry.inc()
    null, add = 0, 3

    def backward(outputs: int, inputs: int, pointers: Any, requests: Any, training: int, state: Any) -> bool:
        try:
            upstream, *targets = (mx.nd.NDArray(NDArrayHandle(p)) for p in pointers[: outputs + inputs])
            needs = requests[0] != null, requests[1] != null
            gradients = layouts.backward(operation, image, kernel, view(upstream), needs)
            for gradient, target, request in zip(gradients, targets, requests[:inputs]):
                if gradient is not None:
                    numbers = np.ascontiguousarray(gradient, dtype=target.dtype)
                    target._sync_copyfrom(numbers + target.asnumpy() if request == add else numbers)
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
