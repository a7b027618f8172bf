"""Weights corrected for JPEG, against the filter that was applied and against what Pillow's coder does."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import colour_photograph, photograph
from helpers.compression import jpeg as compressed
from PIL import Image

import kernelfield as kf
from kernelfield.learning import jpeg
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.pair import prepare
from kernelfield.learning.recoding import recode
from kernelfield.learning.support import Support, centred

pytestmark = pytest.mark.core

GREY = photograph("camera")[128:384, 128:384]
SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13.0
SHARPEN = np.array([[-2, -2, -2], [-2, 32, -2], [-2, -2, -2]]) / 16.0


def filtered(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    weights = kernel if picture.ndim == 2 else kernel[..., None]
    return np.clip(np.rint(ndi.correlate(picture.astype(float), weights, mode="nearest")), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [1, 30, 50, 75, 92, 100])
def test_tables_are_those_of_libjpeg(quality):
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, "JPEG", quality=quality)
    # Pillow gives the rows of the table one after the other.
    table = np.reshape(Image.open(io.BytesIO(file.getvalue())).quantization[0], (8, 8))
    np.testing.assert_array_equal(jpeg._usual(quality), table)


@pytest.mark.parametrize(("quality", "corner"), [(75, (0, 0)), (90, (0, 0)), (75, (3, 5))])
def test_blocks_are_coded_as_pillow_codes_them(quality, corner):
    picture = filtered(GREY, SMOOTH)
    after = compressed(picture, quality)[corner[0] :, corner[1] :]
    coding = jpeg.coding_of(prepare(after, after, clip=None))
    first = [-at % 8 for at in corner]
    assert coding.corner == tuple(first)

    def blocks(image: np.ndarray) -> np.ndarray:
        image = image[first[0] :, first[1] :]
        image = image[: len(image) // 8 * 8, : image.shape[1] // 8 * 8].astype(float)
        return image.reshape(len(image) // 8, 8, -1, 8).swapaxes(1, 2).reshape(-1, 64)

    complete = coding.completed(blocks(after))
    np.testing.assert_array_equal(complete.table, jpeg._usual(quality))
    # libjpeg's cosines are whole numbers: a coefficient in the middle between two steps may go to the other.
    coded = complete.code(blocks(picture[corner[0] :, corner[1] :]))
    assert np.mean(np.abs(coded - blocks(after)) > 1) < 0.04


@pytest.mark.parametrize("name", ["camera", "china"])
@pytest.mark.parametrize(("kernel", "quality", "limit"), [
    (SMOOTH, 75, 0.09), (SMOOTH, 85, 0.06), (SMOOTH, 95, 0.06), (SHARPEN, 85, 0.06),
])  # fmt: skip
def test_the_kernel_before_coding(name, kernel, quality, limit):
    picture = photograph(name)[60:316, 150:406]
    after = compressed(filtered(picture, kernel), quality)
    fit = kf.learn(picture, after, size=3)
    assert fit.verdict == "approximate"
    assert "corrected for what JPEG's quantisation took" in fit.errors_note
    error = np.linalg.norm(fit.kernel.weights - kernel) / np.linalg.norm(kernel)
    support = centred((3, 3))
    plain = estimate_kernel(prepare(picture, after, clip=None), support).kernel
    assert error < limit
    assert error < 0.5 * np.linalg.norm(plain - kernel) / np.linalg.norm(kernel)
    assert np.sqrt(np.mean(((fit.kernel.weights - kernel) / fit.stderr) ** 2)) < 4.0


def test_colours_are_corrected_by_their_brightness():
    picture = colour_photograph("china")[60:316, 160:416]
    fit = kf.learn(picture, compressed(filtered(picture, SMOOTH), 85), size=3, channels="shared")
    assert np.linalg.norm(fit.kernel.weights - SMOOTH) < 0.08 * np.linalg.norm(SMOOTH)


def test_errors_say_what_coding_took():
    """Of a blur little detail survives: other weights leave as little, and the errors are as large as that."""
    blur = np.outer(*2 * [np.exp(-(np.arange(-4, 5) ** 2) / 2.88)])
    blur /= blur.sum()
    fit = kf.learn(GREY, compressed(filtered(GREY, blur), 80), size=9)
    misses = (fit.kernel.weights - blur) / fit.stderr
    assert np.sqrt(np.mean(misses**2)) < 1.5
    assert fit.stderr.max() > 0.05 * blur.max()


def test_what_is_not_coded_is_not_corrected():
    after = filtered(GREY, SMOOTH)
    pair = prepare(GREY, after, clip=None)
    assert recode(pair, centred((3, 3)), SMOOTH, (0.0,)) is None
    coded = prepare(GREY, compressed(after, 85), clip=None)
    assert recode(coded, centred((3, 3)), SMOOTH, (0.0,)) is not None
    # More weights, or fewer blocks, than tell.
    assert recode(coded, centred((11, 13)), np.ones((11, 13)), (0.0,)) is None
    few = prepare(GREY[:60, :70], compressed(after, 85)[:60, :70], clip=None)
    assert recode(few, centred((3, 3)), SMOOTH, (0.0,)) is None


def test_units_and_places_do_not_matter():
    """Of a before in other units, a support beside the pixel: the same weights."""
    after = compressed(filtered(GREY, SMOOTH), 85)
    plain = recode(prepare(GREY, after, clip=None), centred((3, 3)), SMOOTH, (0.0,))
    other = prepare(GREY * 2.0**40 + 2.0**50, after, clip=None)
    level = 0.0 + SMOOTH.sum() * other.before_unit.centre * other.weight_unit
    scaled = recode(other, centred((3, 3)), SMOOTH / 2.0**40 / other.weight_unit, (level - 2.0**10,))
    np.testing.assert_allclose(scaled.kernel * other.weight_unit * 2.0**40, plain.kernel, atol=1e-3)
    moved = recode(prepare(GREY[:, :-2], after[:, 2:], clip=None), Support(-1, 1, 3, 3), SMOOTH, (0.0,))
    np.testing.assert_allclose(moved.kernel, plain.kernel, atol=0.02)
