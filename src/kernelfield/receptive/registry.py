"""Registry of the rules that users add for operations of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelfield.errors import ArgumentError

if TYPE_CHECKING:
    from kernelfield.receptive.builder import Builder
    from kernelfield.receptive.builder.value import Value

Function = Callable[["Builder", str, "Sequence[Value]", Mapping[str, Any]], "Value"]

#: The registered rules, by the name of the operation.
REGISTERED: dict[str, Function] = {}


def register(operation: str, function: Function | None = None) -> Any:
    """Register the rule of an operation that kernelfield does not know, or override the one it has.

    Parameters
    ----------
    operation : str
        The framework's own name: ``"mylib::warp"`` (PyTorch), ``"my.domain::Warp"`` or ``"Warp"`` (ONNX), the name of a
        layer's class (Keras), of a primitive (JAX), of an operation (TensorFlow, MXNet).
    function : callable
        ``function(builder, name, inputs, attributes)`` returns the output's `Value`. `inputs` are the operation's
        tensors, in order; `attributes` its other arguments by name, and ``"shape"``, the shape of its output, where the
        framework knows it. Without it `register` is a decorator.

    Returns
    -------
    callable
        The function.

    Examples
    --------
    An operation that reads the two neighbours of every element within its row:

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
    REGISTERED[operation] = function
    return function


def registered(operation: str) -> Function | None:
    """Return the registered rule of an operation, None where there is none."""
    return REGISTERED.get(operation)
