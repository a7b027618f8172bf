"""TensorFlow's eager tensors: their values, their memory, their device, and the tapes that watch them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kernelfield import _core
from kernelfield.tensors.adapter import ENGINE_DTYPES

try:
    # Says whether a tape watches a tensor. Without it gradients are registered at every call.
    from tensorflow.python.pywrap_tfe import TFE_Py_TapeSetPossibleGradientTypes as _gradient_types
except ImportError:  # pragma: no cover

    def _gradient_types(tensors: list[Any]) -> int:
        return 1


EAGER = tf.__internal__.EagerTensor


def value(tensor: Any) -> Any:
    """Return a tensor as it is, and a variable as the tensor of its value."""
    return tensor if isinstance(tensor, tf.Tensor) else tf.convert_to_tensor(tensor)


def is_watched(tensor: Any) -> bool:
    """Return whether a tape or an accumulator watches the tensor."""
    return bool(_gradient_types([tensor]))


def is_concrete(*tensors: Any) -> bool:
    """Return whether all are eager tensors of the CPU, outside a `tf.function`."""
    values = map(value, tensors)
    return all(isinstance(v, EAGER) and _on_cpu(v) for v in values) and tf.executing_eagerly()


def from_numpy(array: np.ndarray, like: Any) -> Any:
    """Return a tensor: on the memory of `array` if that is aligned as TensorFlow needs it, else a copy."""
    if array.dtype.name not in ENGINE_DTYPES or not array.size:
        result = tf.convert_to_tensor(array)
    else:
        if not (array.flags.c_contiguous and array.flags.writeable and _is_aligned(array)):
            # TensorFlow's operations end the process on memory that is not aligned.
            values, array = array, _core.empty(array.shape, array.dtype)
            array[...] = values
        result = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    if isinstance(like, EAGER) and not _on_cpu(like):
        with tf.device(like.device):
            return tf.identity(result)
    return result


def _is_aligned(array: np.ndarray) -> bool:
    """Return whether TensorFlow can use the memory of the array."""
    return bool(array.__array_interface__["data"][0] % 64 == 0)


def _on_cpu(tensor: Any) -> bool:
    return "CPU" in tensor.device
