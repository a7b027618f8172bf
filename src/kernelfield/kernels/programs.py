"""A kernel as code: a short program that applies it, in NumPy, SciPy, OpenCV, a framework or ONNX.

The lab's page writes the same programs from `TEMPLATES`, which ``make wasm`` packs for it;
`kernelfield.learning.export` writes those of a fit, with its border, offset and rounding, from `correlation`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kernelfield.errors import ArgumentError, received, shortened
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.matching import match

_OPENING = '''# {name}
import numpy as np
{imports}
kernel = np.array({weights}, dtype=np.{dtype})


def correlate(image):
    """Cross-correlate a grey image (H, W), with {outside}; the result has its shape."""
'''

_BODIES = {
    "numpy": (
        "",
        """    padded = np.pad(np.asarray(image, np.{dtype}), (({top}, {bottom}), ({left}, {right})){pad})
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
        """    image = np.asarray(image, np.{dtype})
    return cv2.filter2D(image, {depth}, kernel, anchor=({left}, {top}), borderType={border})
""",
    ),
    "scipy": (
        "from scipy import ndimage\n",
        """    image = np.asarray(image, np.{dtype})
    return ndimage.correlate(image, kernel, mode={mode}, origin=({down}, {across}))
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

# What the page's programs say of the border and the precision.
_PLAIN = {
    "{outside}": "zeros outside it",
    "{dtype}": "float32",
    "{pad}": "",
    "{depth}": "cv2.CV_32F",
    "{border}": "cv2.BORDER_CONSTANT",
    "{mode}": '"constant"',
}


def _filled(text: str, fields: Mapping[str, object]) -> str:
    """Return a template with each field, a word in braces, replaced."""
    for field, value in fields.items():
        text = text.replace(field, str(value))
    return text


#: The programs by target; words in braces stand for what belongs to the kernel.
TEMPLATES = {
    **{
        target: _filled(_OPENING.replace("{imports}", imports) + body, _PLAIN)
        for target, (imports, body) in _BODIES.items()
    },
    "onnx": _ONNX,
}


def program(kernel: Kernel, target: str) -> str:
    """Return a program that applies a kernel.

    Parameters
    ----------
    kernel : Kernel
        With its anchor inside.
    target : {"numpy", "pytorch", "tensorflow", "jax", "mxnet", "opencv", "scipy", "onnx"}
        The library; ``"onnx"`` writes a model.

    Raises
    ------
    ArgumentError
        For another target, or an anchor outside the weights.

    Examples
    --------
    >>> print(program(Kernel([[1, 0, -1]]), "numpy"))
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
    known = match(kernel.weights, kernel.anchor)
    name = shortened(known.description, 100) if known else "a kernel of {}×{}".format(*kernel.shape)
    return _filled(TEMPLATES[target], _fields(kernel, name))


def correlation(kernel: Kernel, target: str, name: str, boundary: str, cval: float = 0.0) -> str:
    """Return the part of a program that correlates in float64, with a border of `kernelfield.correlate`.

    Parameters
    ----------
    kernel : Kernel
        With its anchor inside.
    target : {"numpy", "opencv", "scipy"}
    name : str
        The comment above.
    boundary : {"constant", "nearest", "reflect", "mirror", "wrap"}
    cval : float
        The value outside, for ``"constant"``.
    """
    imports, body = _BODIES[target]
    constant = f", constant_values={cval!r}" if boundary == "constant" and cval else ""
    pad = constant if boundary == "constant" else f', mode="{PAD_MODES[boundary]}"'
    fields = {
        "{imports}": imports,
        "{outside}": f"{cval:g} outside it" if boundary == "constant" else f'the border "{boundary}"',
        "{dtype}": "float64",
        "{pad}": pad,
        "{depth}": "cv2.CV_64F",
        "{border}": _BORDERS.get(boundary, ""),
        "{mode}": f'"{boundary}"' + (f", cval={cval!r}" if constant else ""),
    }
    if target == "opencv" and (constant or boundary == "wrap"):
        # filter2D has neither.
        body = _PADDED_OPENCV
    return _filled(_filled(_OPENING + body, fields), _fields(kernel, name))


#: The modes of numpy.pad by boundary.
PAD_MODES = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "mirror": "reflect", "wrap": "wrap"}
_BORDERS = {
    "constant": "cv2.BORDER_CONSTANT",
    "nearest": "cv2.BORDER_REPLICATE",
    "reflect": "cv2.BORDER_REFLECT",
    "mirror": "cv2.BORDER_REFLECT_101",
}
_PADDED_OPENCV = """    padded = np.pad(np.asarray(image, np.{dtype}), (({top}, {bottom}), ({left}, {right})){pad})
    sums = cv2.filter2D(padded, {depth}, kernel, anchor=({left}, {top}), borderType=cv2.BORDER_CONSTANT)
    return sums[{top} : sums.shape[0] - {bottom}, {left} : sums.shape[1] - {right}]
"""


def _fields(kernel: Kernel, name: str) -> dict[str, object]:
    """Return the properties of a kernel that code states, by field; raise for an anchor outside it."""
    (rows, columns), (top, left) = kernel.shape, kernel.anchor
    if not (0 <= top < rows and 0 <= left < columns):
        raise ArgumentError(f"kernel: expected an anchor inside {rows}×{columns}; received {kernel.anchor}; pad it")
    return {
        "{name}": name,
        "{weights}": listed(kernel.weights),
        "{rows}": rows,
        "{columns}": columns,
        "{top}": top,
        "{bottom}": rows - 1 - top,
        "{left}": left,
        "{right}": columns - 1 - left,
        "{down}": top - rows // 2,
        "{across}": left - columns // 2,
    }


def listed(weights: np.ndarray) -> str:
    """Return weights as nested lists, a row a line; whole numbers have no point."""
    rows = (
        ", ".join(str(int(x)) if x == int(x) and abs(x) < 2**53 else repr(x) for x in row) for row in weights.tolist()
    )
    return "[\n" + "".join(f"    [{row}],\n" for row in rows) + "]"
