"""Rules of Keras' layers on sequences: attention and recurrence."""

from __future__ import annotations

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.keras.walk import Call, Result


def attention(call: Call) -> Result:
    values = call.args[0] if call.args and isinstance(call.args[0], list | tuple) else call.args
    query, value, *rest = [v for v in values if isinstance(v, Value)]
    key = rest[0] if rest else value
    return call.builder.attention(call.name, query, key, value)


def multi_head(call: Call) -> Result:
    layer = call.operation
    query, value = call.operand(0, "query"), call.operand(1, "value")
    key = call.argument(2, "key")
    axes = getattr(layer, "_attention_axes", None)
    if query.ndim != 3 or (axes is not None and tuple(axes) not in ((1,), (-2,))):
        return call.unknown()
    y = call.builder.attention(call.name, query, value if key is None else key, value)
    if not call.kwargs.get("return_attention_scores"):
        return y
    heads = getattr(layer, "_num_heads", None) or layer.num_query_heads
    return [
        y,
        call.builder.unknown(
            f"{call.name}/scores", "attention scores", [query, value], (1, heads, query.shape[1], value.shape[1])
        ),
    ]


def recurrent(call: Call) -> Result:
    layer, x = call.operation, call.x
    if len(call.values) > 1 or x.ndim != 3 or not hasattr(layer, "units"):
        return call.unknown()
    if layer.go_backwards:
        x = call.builder.take(f"{call.name}/reversed", x, axis=1, indices=range(x.shape[1] - 1, -1, -1))
    mixed = call.builder.matmul(f"{call.name}/cell", x, call.builder.constant((x.shape[2], layer.units)))
    last = call.builder.reduce(f"{call.name}/last", mixed, axes=(1,), keepdims=False, operation="recurrence")
    steps = call.builder.cumulative(call.name, mixed, axis=1) if layer.return_sequences else last
    if not layer.return_sequences:
        call.builder.alias(call.name, last)
    states = 2 if type(layer).__name__ == "LSTM" else 1
    return [steps, *[last] * states] if layer.return_state else steps
