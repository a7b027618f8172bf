"""A fit as a model of ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.errors import MissingDependencyError
from kernelfield.learning.export.recipe import Recipe

# Beyond the end of any axis.
_END = int(np.iinfo(np.int64).max)


def onnx(steps: Recipe) -> bytes:
    """Return a model whose input and output are (N, C, H, W), of as many channels as there are offsets.

    Sums are in float32, or float64 for pixels of uint16 and float64, whose sums float32 does not hold.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError(
            f"target: expected the package onnx for 'onnx'; {error.name} is not installed; pip install "
            "kernelfield[onnx]"
        ) from None
    graph = _Graph(steps, onnx)
    model = onnx.helper.make_model(graph.made(), opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    model.producer_name, model.doc_string = "kernelfield", steps.heading
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


class _Graph:
    """The nodes of a model, added one by one; each method returns the name of what a node gives."""

    def __init__(self, steps: Recipe, onnx: Any) -> None:
        self.steps, self.onnx = steps, onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.real = np.dtype(np.float64 if steps.dtype in ("uint16", "float64") else np.float32)

    def made(self) -> Any:
        """Return the graph."""
        helper, channels = self.onnx.helper, len(self.steps.offsets)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.steps.dtype))
        ends = ["batch", channels, "height", "width"]
        after = ends if self.steps.stride == (1, 1) else ["batch", channels, "height_after", "width_after"]
        self._finished(self._node("Cast", ["image"], to=helper.np_dtype_to_tensor_dtype(self.real)))
        return helper.make_graph(
            self.nodes,
            "filter",
            [helper.make_tensor_value_info("image", kind, ends)],
            [helper.make_tensor_value_info("result", kind, after)],
            self.constants,
        )

    def _finished(self, pixels: str) -> None:
        """Add the nodes from pixels as floats to the result."""
        steps = self.steps
        sums = self._correlated(self._padded(pixels))
        if steps.boundary == "renormalised":
            ones = self._node("Add", [self._node("Mul", [pixels, self._number(0.0)]), self._number(1.0)])
            held = self._correlated(self._padded(ones))
            sums = self._node("Div", [self._node("Mul", [sums, self._number(steps.kernel.weights.sum())]), held])
        values = self._node("Div", [sums, self._number(steps.divisor)])
        values = self._node("Add", [values, self._each(steps.offsets)])
        if steps.integers:
            values = self._rounded(values)
            values = self._node("Clip", [values, self._number(0.0), self._number(steps.largest)])
        if steps.boundary == "copy":
            values = self._with_border(values, pixels)
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(steps.dtype))
        self._node("Cast", [values], output="result", to=kind)

    def _correlated(self, padded: str) -> str:
        """Return the sums over the windows of each channel."""
        channels = len(self.steps.offsets)
        weights = np.broadcast_to(self.steps.kernel.weights, (channels, 1, *self.steps.kernel.shape))
        inputs = [padded, self._constant(weights.astype(self.real))]
        return self._node("Conv", inputs, group=channels, strides=list(self.steps.stride))

    def _padded(self, pixels: str) -> str:
        """Return the pixels with a border around them."""
        top, bottom, left, right = self.steps.margins
        mode = self.steps.inner
        if mode in ("constant", "nearest", "mirror"):
            ends = self._constant(np.array([0, 0, top, left, 0, 0, bottom, right]))
            inputs = [pixels, ends, self._number(self.steps.outside)] if mode == "constant" else [pixels, ends]
            names = {"constant": "constant", "nearest": "edge", "mirror": "reflect"}
            return self._node("Pad", inputs, mode=names[mode])
        # ONNX has neither border: the parts are cut out and put around.
        for axis, before, after in ((2, top, bottom), (3, left, right)):
            if mode == "wrap":
                first, last = self._slice(pixels, axis, -before, _END, 1), self._slice(pixels, axis, 0, after, 1)
            else:
                first = self._slice(pixels, axis, before - 1, -_END, -1)
                last = self._slice(pixels, axis, -1, -1 - after, -1)
            parts = [first] * (before > 0) + [pixels] + [last] * (after > 0)
            pixels = self._node("Concat", parts, axis=axis)
        return pixels

    def _rounded(self, values: str) -> str:
        """Return values rounded by the rule of `kernelfield.learning.rounding.RULES`."""
        steps = self.steps
        about = self._each(steps.about) if any(steps.about) else None
        if about is not None:
            values = self._node("Sub", [values, about])
        values = self._by_rule(values)
        return values if about is None else self._node("Add", [values, about])

    def _by_rule(self, values: str) -> str:
        """Return values rounded, for rules that are the same about every integer or about 0."""
        rule, half = self.steps.rounding, 0.5 + 1e-6
        if rule in ("nearest", "truncated"):
            return self._node("Floor", [self._node("Add", [values, self._number(half)])])
        if rule in ("nearest down", "up"):
            return self._node("Ceil", [self._node("Sub", [values, self._number(half)])])
        if rule == "nearest even":
            return self._node("Round", [values])
        more = self._number(1e-6 if rule == "to zero" else half)
        size = self._node("Floor", [self._node("Add", [self._node("Abs", [values]), more])])
        return self._node("Mul", [self._node("Sign", [values]), size])

    def _with_border(self, values: str, pixels: str) -> str:
        """Return values inside, and the border of the pixels as it was."""
        top, bottom, left, right = self.steps.margins
        for axis, before, after in ((3, left, right), (2, top, bottom)):
            inner = self._slice(values, axis, before, -after if after else _END, 1)
            parts = [self._slice(pixels, axis, 0, before, 1)] * (before > 0) + [inner]
            parts += [self._slice(pixels, axis, -after, _END, 1)] * (after > 0)
            values = self._node("Concat", parts, axis=axis)
        return values

    def _slice(self, name: str, axis: int, start: int, stop: int, step: int) -> str:
        """Return a part of an axis."""
        numbers = [self._constant(np.array([value])) for value in (start, stop, axis, step)]
        return self._node("Slice", [name, *numbers])

    def _number(self, value: float) -> str:
        """Return a number among the constants."""
        return self._constant(np.array(value, self.real))

    def _each(self, values: tuple[float, ...]) -> str:
        """Return a number for each channel among the constants."""
        return self._constant(np.array(values, self.real)[:, None, None])

    def _constant(self, array: np.ndarray) -> str:
        """Return an array among the constants."""
        name = f"c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def _node(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Return the output of a new node."""
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output
