"""Channels of one value: what is set apart, and that the fit put together filters as that of the rest."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kernelfield.kernels import Kernel
from kernelfield.learning.curve import Curve
from kernelfield.learning.fit import designed
from kernelfield.learning.light import Light
from kernelfield.learning.models.constants import Constants
from kernelfield.learning.models.model import Asked

pytestmark = pytest.mark.core
RNG = np.random.default_rng(0)
IMAGE = RNG.random((18, 21, 4))


def picture(**values: float) -> np.ndarray:
    """Channels of IMAGE, of which some, c0 to c3, have one value."""
    image = IMAGE.copy()
    for name, value in values.items():
        image[..., int(name[1])] = value
    return image


def bank_of(*shape: int) -> np.ndarray:
    return RNG.normal(size=(*shape, 2, 3))


def test_channels_of_one_value_are_set_apart():
    before, after = picture(c1=0.25, c3=1.0), picture(c3=0.5)
    found = Constants.of(Asked(before, after))
    assert found.before == (None, 0.25, None, 1.0)
    assert found.after == (None, None, None, 0.5)
    np.testing.assert_array_equal(found.rest.before, before[..., [0, 2]])
    np.testing.assert_array_equal(found.rest.after, after[..., :3])
    assert found.rest.channel_axis == 2
    first = Constants.of(Asked(np.moveaxis(before, 2, 0), np.moveaxis(after, 2, 0), channel_axis=0, max_size=9))
    assert (first.before, first.after, first.rest.max_size) == (found.before, found.after, 9)
    np.testing.assert_array_equal(first.rest.before, before[..., [0, 2]])


def test_masks_go_with_their_channels():
    mask = RNG.random(IMAGE.shape) < 0.1
    before = np.ma.array(picture(c0=2.0), mask=mask)
    found = Constants.of(Asked(before, picture(c0=2.0)))
    np.testing.assert_array_equal(np.ma.getmaskarray(found.rest.before), mask[..., 1:])
    np.testing.assert_array_equal(found.rest.before.data, IMAGE[..., 1:])
    assert not isinstance(found.rest.after, np.ma.MaskedArray)


def test_what_has_no_channel_to_set_apart():
    grey, one = IMAGE[..., 0], np.full(IMAGE.shape[:2], 0.5)
    assert Constants.of(Asked(grey, grey)) is None
    assert Constants.of(Asked(grey, one)) is None
    assert Constants.of(Asked(IMAGE, IMAGE)) is None
    # Nothing would be left.
    assert Constants.of(Asked(picture(c0=1.0, c1=1.0, c2=1.0, c3=2.0), IMAGE)) is None
    assert Constants.of(Asked(IMAGE, picture(c0=1.0, c1=1.0, c2=1.0, c3=2.0))) is None
    for axis, three in ((2, 1), (None, 2)):
        found = Constants.of(Asked(picture(c3=1.0), IMAGE[..., 0], channel_axis="auto"))
        assert (found.before, found.after) == ((None, None, None, 1.0), (None,)), (axis, three)
    # One pixel of another value, anywhere, is a picture; values that are no numbers are none.
    for row, column in ((0, 1), (17, 20), (5, 7)):
        nearly = picture(c3=1.0)
        nearly[row, column, 3] = 1.0 + 1e-12
        assert Constants.of(Asked(nearly, IMAGE)) is None
    for value in (np.nan, np.inf):
        assert Constants.of(Asked(picture(c3=value), IMAGE)) is None
    wide = np.random.default_rng(1).random((70, 75, 2))
    wide[..., 1] = 3.0
    wide[1, 1, 1] = 3.5
    assert Constants.of(Asked(wide, wide)) is None


def expected(fit, image: np.ndarray, found: Constants) -> np.ndarray:
    """The rest filtered by its own fit, between the channels that have one value."""
    sources = [i for i, value in enumerate(found.before) if value is None]
    rest = fit.apply(image[..., sources])
    rest = rest[..., None] if rest.ndim == 2 else rest
    result = np.empty((*image.shape[:2], len(found.after)))
    result[..., [i for i, value in enumerate(found.after) if value is None]] = rest
    for i, value in enumerate(found.after):
        if value is not None:
            result[..., i] = value
    return result


BASE = dataclasses.replace(designed(Kernel(bank_of()), "a trial"), stderr=np.abs(bank_of()) + 0.1)
CASES = {
    "shared": (dict(c3=0.75), dict(c3=0.5), dict(offset=(0.5, -0.25, 1.0))),
    "shared, two": (dict(c0=0.3, c3=0.75), dict(c0=0.2, c3=0.5), dict(offset=(-0.25, 1.0))),
    "shared, elsewhere": (dict(c0=0.75), dict(c3=0.5), dict(offset=(0.5, -0.25, 1.0))),
    "separate": (dict(c1=0.75), dict(c1=0.5), dict(model="separate", bank=bank_of(3, 1), offset=(0.5, 0.1, 0.2))),
    "separate, elsewhere": (dict(c1=0.75), dict(c2=0.5), dict(model="separate", bank=bank_of(3, 1), offset=(0, 1, 2))),
    "mixed": (dict(c1=0.75), dict(c1=0.5), dict(model="mixed", bank=bank_of(3, 3), offset=(0.5, 0.1, 0.2))),
    "mixed, before": (dict(c0=0.75), {}, dict(model="mixed", bank=bank_of(4, 3), offset=(0.5, 0.1, 0.2, 0.3))),
    "mixed, after": ({}, dict(c2=0.75), dict(model="mixed", bank=bank_of(3, 4), offset=(0.5, 0.1, 0.2))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_fit_put_together_filters_as_that_of_the_rest(name):
    apart_before, apart_after, changes = CASES[name]
    if "bank" in changes:
        changes = changes | {"bank_stderr": np.abs(changes["bank"]) + 0.1}
    fit = dataclasses.replace(
        BASE,
        **changes,
        channels=("a",) * len(changes["offset"]),
        integers=np.ones((2, 3), int),
        divisor=2,
        gain=3.0,
        notes=("first",),
    )
    before = picture(**apart_before)
    found = Constants.of(Asked(before, picture(**apart_after)))
    whole = found.restored(fit)
    np.testing.assert_allclose(whole.apply(before), expected(fit, before, found), atol=1e-12)
    assert whole.channels == ("0", "1", "2", "3")
    same = name in ("shared", "shared, two")
    assert whole.model == ("shared" if same else "separate" if name == "separate" else "mixed")
    assert (whole.divisor, whole.gain) == ((2, 3.0) if same else (None, 1.0))
    assert (whole.integers is None) == (not same)
    if not same:
        # Errors stand where the weights stand.
        np.testing.assert_array_equal(whole.bank != 0.0, whole.bank_stderr != 0.0)
        own = fit.bank_stderr if "bank" in changes else np.broadcast_to(fit.stderr, (3, 1, 2, 3))
        assert sorted(whole.bank_stderr[whole.bank != 0.0]) == pytest.approx(sorted(own.ravel()))
    notes = [
        f"channel {int(key[1])} of the {which} has one value, {value:.6g}, which tells nothing of a filter"
        for which, values in (("before", apart_before), ("after", apart_after))
        for key, value in values.items()
    ]
    assert whole.notes == ("first", *notes)


def test_one_grey_after():
    fit = dataclasses.replace(BASE, model="mixed", bank=bank_of(1, 3), bank_stderr=np.ones((1, 3, 2, 3)), offset=0.25)
    before = picture(c3=0.75)
    found = Constants.of(Asked(before, IMAGE[..., 0]))
    whole = found.restored(fit)
    assert (whole.channels, whole.offset, whole.bank.shape) == (("grey",), 0.25, (1, 4, 2, 3))
    np.testing.assert_allclose(whole.apply(before), fit.apply(before[..., :3]), atol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"light": Light("sRGB", 1.0, 2.0)},
        {"light": Light(2.2, 3.0, 0.5)},
        {"curve": Curve("before", (0.0, 0.5, 1.0), (0.0, 0.7, 1.0), "")},
        {"curve": Curve("after", (-9.0, 0.0, 9.0), (-9.0, 1.0, 9.0), "")},
    ],
)
def test_values_are_read_and_given_in_the_light_of_the_kernel(changes):
    fit = dataclasses.replace(BASE, offset=(0.1, 0.2, 0.3), **changes)
    before = picture(c3=0.75)
    found = Constants.of(Asked(before, picture(c3=0.4)))
    np.testing.assert_allclose(found.restored(fit).apply(before), expected(fit, before, found), atol=1e-9)


def test_two_channels_of_which_one_is_set_apart():
    before, after = picture(c0=0.75)[..., :2], picture(c0=0.4)[..., :2]
    found = Constants.of(Asked(before, after))
    assert (found.before, found.after) == ((0.75, None), (0.4, None))
    fit = dataclasses.replace(BASE, offset=0.25)
    whole = found.restored(fit)
    assert whole.channels == ("0", "1")
    np.testing.assert_allclose(whole.apply(before), expected(fit, before, found), atol=1e-12)
