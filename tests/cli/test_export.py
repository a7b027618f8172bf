from __future__ import annotations

import numpy as np
import onnx
import pytest
from PIL import Image

import kernelfield as kf


@pytest.fixture(scope="module")
def learned(pictures, tmp_path_factory):
    """A file with the filter of a photograph, and the photograph."""
    path = tmp_path_factory.mktemp("export") / "filter.json"
    kf.learn(pictures / "grey.png", pictures / "grey-sharpen.png").save(path)
    return path


def test_a_program_is_printed(run, learned, pictures):
    result = run("export", learned, "--to", "scipy")
    assert (result.status, result.err) == (0, "")
    names: dict = {}
    exec(compile(result.out, "program", "exec"), names)
    image = np.asarray(Image.open(pictures / "grey.png"))
    np.testing.assert_array_equal(names["apply"](image), kf.Fit.load(learned).apply(image))


def test_a_model_is_written(run, learned, tmp_path):
    path = tmp_path / "filter.onnx"
    assert run("export", learned, "--to", "onnx", "-o", path).status == 0
    assert onnx.load(path).graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_a_kernel_of_the_catalogue_with_another_border(run):
    result = run("export", "box:size=3", "--to", "opencv", "--boundary", "nearest")
    assert "cv2.BORDER_REPLICATE" in result.out


def test_a_filter_for_each_channel_is_exported_one_by_one(run, refused, pictures, tmp_path):
    path = tmp_path / "filters.json"
    assert (
        run("learn", pictures / "flower.png", pictures / "flower-sharpen.png", "--per-channel", "--save", path).status
        == 0
    )
    assert "--channel: expected one of R, G, B" in refused(2, "export", path, "--to", "c")
    assert "received 'X'" in refused(1, "export", path, "--to", "c", "--channel", "X")
    assert "kernelfield_filter" in run("export", path, "--to", "c", "--channel", "G").out
    assert "leave it out" in refused(2, "export", "box:size=3", "--to", "c", "--channel", "G")


def test_what_cannot_be_expressed_is_refused(refused, learned):
    assert "ImageMagick" in refused(1, "export", learned, "--to", "imagemagick", "--boundary", "copy")
    assert "Invalid value" in refused(2, "export", learned, "--to", "fortran")
