"""JPEG's quantisation in the after: seen, and told from filters that are not linear."""

import cv2
import numpy as np
import pytest
from helpers.compression import jpeg as compressed
from skimage import data

import kernelfield as kf
from kernelfield.learning import jpeg
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.pair import prepare
from kernelfield.learning.residual import residual_maps
from kernelfield.learning.support import centred

FILTERS = {
    "box": lambda image: cv2.blur(image, (3, 3)),
    "gaussian": lambda image: cv2.GaussianBlur(image, (5, 5), 1.1),
    "median": lambda image: cv2.medianBlur(image, 3),
    "bilateral": lambda image: cv2.bilateralFilter(image, 7, 30, 3),
    "gamma": lambda image: np.uint8(255 * (image / 255) ** 0.8),
}
LINEAR = ("box", "gaussian")


def explained(before, after):
    pair, support = prepare(before, after, None, "auto", "auto").without_clipped(), centred((5, 5))
    estimate = estimate_kernel(pair, support)
    return jpeg.explains(pair, support, residual_maps(pair, estimate.kernel, estimate.offsets, support))


@pytest.mark.parametrize("quality", [75, 85, 92, 95])
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("photograph", ["camera", "coins"])
def test_quantisation_explains_linear_filters_alone(photograph, name, quality):
    before = getattr(data, photograph)()
    assert explained(before, compressed(FILTERS[name](before), quality)) == (name in LINEAR)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("photograph", ["camera", "coins", "brick"])
def test_pictures_that_were_not_compressed_have_no_table(photograph, name):
    before = getattr(data, photograph)()
    assert not explained(before, FILTERS[name](before))


@pytest.mark.parametrize("quality", [75, 85, 92])
def test_a_blur_of_a_picture_with_calm_parts_is_approximate(quality):
    fit = kf.learn(data.camera(), compressed(FILTERS["box"](data.camera()), quality))
    assert fit.verdict == "approximate"
    assert "JPEG" in fit.explanation + (fit.errors_note or "")
