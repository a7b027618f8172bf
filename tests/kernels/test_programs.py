"""The programs that the lab gives away do what the page shows, in each library."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.snippets import KERNELS, check, expected, run
from onnx.reference import ReferenceEvaluator

from kernelfield import lab
from kernelfield.errors import ArgumentError
from kernelfield.kernels import Kernel
from kernelfield.kernels.programs import TEMPLATES, program

ASSETS = Path(lab.__file__).parent / "assets"


@pytest.mark.parametrize("target", sorted(set(TEMPLATES) - {"mxnet", "onnx"}))
def test_a_program_correlates(target):
    check(target)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_model_of_onnx_correlates(kernel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(kernel, "onnx")
    model = onnx.load("kernel.onnx")
    onnx.checker.check_model(model, full_check=True)
    image = np.random.default_rng(0).integers(0, 256, (11, 13)).astype(np.float32)
    [found] = ReferenceEvaluator(model).run(None, {"image": image[None, None]})
    np.testing.assert_allclose(found[0, 0], expected(image, kernel), rtol=1e-5, atol=1e-3)


def test_the_page_has_the_same_programs():
    assert json.loads(gzip.decompress((ASSETS / "code.json.gz").read_bytes())) == TEMPLATES, "make wasm"


def test_an_anchor_outside_is_refused():
    with pytest.raises(ArgumentError, match="expected an anchor inside 1×1"):
        program(Kernel([[1]], anchor=(2, 3)), "numpy")
