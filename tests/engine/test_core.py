"""The typed face of the compiled engine is what the engine has."""

import ast
from pathlib import Path

import numpy as np
import pytest

import kernelfield
from kernelfield import _core

pytestmark = pytest.mark.core

STUB = ast.parse((Path(kernelfield.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_the_typed_face_names_what_there_is():
    stated = {node.name: node for node in STUB.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert public(stated) == public(dir(_core))
    for name, node in stated.items():
        if isinstance(node, ast.ClassDef):
            methods = {method.name for method in node.body if isinstance(method, ast.FunctionDef)}
            assert public(methods) == public(dir(getattr(_core, name)))
            assert not {m for m in methods if m.startswith("__")} - set(dir(getattr(_core, name)))


def test_everything_stated_is_described():
    for node in ast.walk(STUB):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name not in ("__init__", "clear", "__len__"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (np.ones(3), {}, "weights: expected two, three or four axes"),
        (np.ones((0, 3)), {}, "weights: expected at least one"),
        (np.ones((3, 3)), {"stride": (0, 1)}, "stride, dilation: expected at least 1"),
        (np.ones((3, 3)), {"boundary": "odd"}, "boundary: expected constant, nearest"),
        (np.ones((3, 3)), {"sums": "float16"}, "sums: expected float32 or float64"),
        (np.ones((3, 3)), {"bias": np.ones(2)}, "bias: expected one number for every kernel"),
        (np.ones((4, 1, 3, 3)), {"groups": 3}, "groups: expected a divisor"),
        (np.ones((3, 3)), {"factors": (np.ones((1, 2)), np.ones((1, 3)))}, "factors: expected columns"),
    ],
)
def test_what_cannot_be_is_refused(weights, options, message):
    with pytest.raises(ValueError, match=message):
        _core.Correlation(weights, **options)


def test_arrays_that_do_not_go_together_are_refused():
    correlation = _core.Correlation(np.ones((3, 3)))
    image = np.zeros((5, 6), np.float32)
    for out, error in (
        (np.zeros((2, 5, 6), np.float32), ValueError),
        (np.zeros((5, 6), np.float16), ValueError),
        (np.zeros((5, 6), ">f4"), TypeError),
        (np.zeros((5, 6), complex), TypeError),
        ([[0.0]], TypeError),
    ):
        with pytest.raises(error):
            correlation(image, out)
    frozen = np.zeros((5, 6), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        correlation(image, frozen)
    with pytest.raises(ValueError, match="as many rows and columns"):
        _core.lag_products(image, image, (2, 2), 5)


def test_new_memory_is_aligned_and_laid_out_as_asked():
    for shape in ((), (0, 3), (1,), (3, 5), (700, 900), (2000, 2000)):
        for dtype in (np.uint8, np.float32, ">f8"):
            array = _core.empty(shape, dtype)
            assert array.shape == shape
            assert array.dtype == np.dtype(dtype)
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert not array.size or array.ctypes.data % 64 == 0
