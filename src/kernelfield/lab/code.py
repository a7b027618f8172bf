"""A kernel as code: a short program that applies it, in NumPy, OpenCV, a framework or ONNX.

The page writes the same programs from `assets/code.json`, which ``python -m kernelfield.lab.code`` prints.
"""

from __future__ import annotations

import json

import numpy as np

from kernelfield.errors import ArgumentError, received, shortened
from kernelfield.kernels import Kernel, match

_OPENING = '''# {name}
import numpy as np
{imports}
kernel = np.array({weights}, dtype=np.float32)


def correlate(image):
    """Cross-correlate a grey image (H, W), with zeros outside it; the result has its shape."""
'''

_BODIES = {
    "numpy": (
        "",
        """    padded = np.pad(np.asarray(image, np.float32), (({top}, {bottom}), ({left}, {right})))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)
    return np.einsum("ijab,ab->ij", windows, kernel)
""",
    ),
    "pytorch": (
        "import torch\nimport torch.nn.functional as F\n",
        """    image = torch.as_tensor(image, dtype=torch.float32)[None, None]
    padded = F.pad(image, ({left}, {right}, {top}, {bottom}))
    return F.conv2d(padded, torch.from_numpy(kernel)[None, None])[0, 0]
""",
    ),
    "tensorflow": (
        "import tensorflow as tf\n",
        """    image = tf.cast(image, tf.float32)[None, :, :, None]
    padded = tf.pad(image, ((0, 0), ({top}, {bottom}), ({left}, {right}), (0, 0)))
    return tf.nn.conv2d(padded, kernel[:, :, None, None], strides=1, padding="VALID")[0, :, :, 0]
""",
    ),
    "jax": (
        "import jax.numpy as jnp\nfrom jax import lax\n",
        """    image = jnp.asarray(image, jnp.float32)[None, None]
    padding = (({top}, {bottom}), ({left}, {right}))
    return lax.conv_general_dilated(image, jnp.asarray(kernel)[None, None], (1, 1), padding)[0, 0]
""",
    ),
    "mxnet": (
        "import mxnet as mx\n",
        """    image = mx.nd.array(image, dtype=np.float32).expand_dims(0).expand_dims(0)
    padded = mx.nd.pad(image, mode="constant", pad_width=(0, 0, 0, 0, {top}, {bottom}, {left}, {right}))
    weight = mx.nd.array(kernel).reshape((1, 1, {rows}, {columns}))
    return mx.nd.Convolution(padded, weight, no_bias=True, kernel=({rows}, {columns}), num_filter=1)[0, 0]
""",
    ),
    "opencv": (
        "import cv2\n",
        """    image = np.asarray(image, np.float32)
    return cv2.filter2D(image, cv2.CV_32F, kernel, anchor=({left}, {top}), borderType=cv2.BORDER_CONSTANT)
""",
    ),
}
_ONNX = """# {name}
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

kernel = np.array({weights}, dtype=np.float32)
shape = [1, 1, "height", "width"]
graph = helper.make_graph(
    [helper.make_node("Conv", ["image", "kernel"], ["result"], pads=[{top}, {left}, {bottom}, {right}])],
    "kernel",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("result", TensorProto.FLOAT, shape)],
    [numpy_helper.from_array(kernel[None, None], "kernel")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.save(model, "kernel.onnx")
"""

#: The programs by target; words in braces stand for what belongs to the kernel.
TEMPLATES = {
    **{target: _OPENING.replace("{imports}", imports) + body for target, (imports, body) in _BODIES.items()},
    "onnx": _ONNX,
}


def code(kernel: Kernel, target: str) -> str:
    """Return a program that applies a kernel.

    Parameters
    ----------
    kernel : Kernel
        With its anchor inside.
    target : {"numpy", "pytorch", "tensorflow", "jax", "mxnet", "opencv", "onnx"}
        The library; ``"onnx"`` writes a model.

    Raises
    ------
    ArgumentError
        For another target, or an anchor outside the weights.

    Examples
    --------
    >>> print(code(Kernel([[1, 0, -1]]), "numpy"))
    # first derivative, horizontal, central difference of accuracy 2, scale −2
    import numpy as np
    <BLANKLINE>
    kernel = np.array([
        [1, 0, -1],
    ], dtype=np.float32)
    ...
    """
    if target not in TEMPLATES:
        raise ArgumentError(f"target: expected one of {', '.join(TEMPLATES)}; received {received(target)}")
    (rows, columns), (top, left) = kernel.shape, kernel.anchor
    if not (0 <= top < rows and 0 <= left < columns):
        raise ArgumentError(f"kernel: expected an anchor inside {rows}×{columns}; received {kernel.anchor}; pad it")
    known = match(kernel.weights, kernel.anchor)
    fields = {
        "name": shortened(known.description, 100) if known else f"a kernel of {rows}×{columns}",
        "weights": _listed(kernel.weights),
        "rows": rows,
        "columns": columns,
        "top": top,
        "bottom": rows - 1 - top,
        "left": left,
        "right": columns - 1 - left,
    }
    text = TEMPLATES[target]
    for name, value in fields.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _listed(weights: np.ndarray) -> str:
    """Return weights as nested lists, a row a line; whole numbers have no point."""
    rows = (
        ", ".join(str(int(x)) if x == int(x) and abs(x) < 2**53 else repr(x) for x in row) for row in weights.tolist()
    )
    return "[\n" + "".join(f"    [{row}],\n" for row in rows) + "]"


if __name__ == "__main__":
    print(json.dumps(TEMPLATES, indent=1))
