"""Operations that users add: what their own operations read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelfield.errors import ArgumentError

if TYPE_CHECKING:
    from kernelfield.receptive.builder import Builder
    from kernelfield.receptive.value import Value

Function = Callable[["Builder", str, "Sequence[Value]", Mapping[str, Any]], "Value"]

_REGISTERED: dict[str, Function] = {}


def register(operation: str, function: Function | None = None) -> Any:
    """Tell what an operation of a framework reads, where kernelfield does not know it or where you know it better.

    Parameters
    ----------
    operation : str
        The framework's own name: ``"mylib::warp"`` (PyTorch), ``"my.domain::Warp"`` or ``"Warp"`` (ONNX), the name of a
        layer's class (Keras), of a primitive (JAX), of an operation (TensorFlow, MXNet).
    function : callable
        ``function(builder, name, inputs, attributes)`` returns the output's `Value`. `inputs` are the tensors that the
        operation takes, in order; `attributes` its other arguments by name, and ``"shape"``, that of its output, where
        the framework tells it. Left out, `register` is a decorator.

    Returns
    -------
    callable
        The function.

    Examples
    --------
    An operation that takes every place's two neighbours along the rows:

    >>> @register("mylib::sides")
    ... def sides(builder, name, inputs, attributes):
    ...     return builder.pooling(name, inputs[0], kind="max", kernel=(3,), stride=(1,), dilation=(1,), before=(1,),
    ...                            after=(1,), spatial_axes=(-1,))
    """
    if not isinstance(operation, str) or not operation:
        raise ArgumentError(f"operation: expected the name of an operation; received {operation!r}")
    if function is None:
        return lambda later: register(operation, later)
    if not callable(function):
        raise ArgumentError(f"function: expected a function (builder, name, inputs, attributes); received {function!r}")
    _REGISTERED[operation] = function
    return function


def registered(operation: str) -> Function | None:
    """Return what was registered for an operation, None where nothing was."""
    return _REGISTERED.get(operation)
