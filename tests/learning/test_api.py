"""Arguments of `learn` that are wrong: each is refused by name, in one line, whatever its type."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import KernelfieldError
from kernelfield.learning.progress import listening

BEFORE = np.random.default_rng(0).random((20, 22))

#: Values that no option takes: arrays, ragged lists, masked and complex numbers, other types.
NONE_TAKES = [
    np.zeros(0),
    np.zeros((2, 2, 2)),
    np.array([1, 2, 3], object),
    [[1, 2], [3]],
    np.ma.masked,
    2 + 3j,
    np.nan,
    -np.inf,
    b"x",
    "",
    {},
    object(),
    (1, 2, 3),
    (np.nan, 1),
    ("smooth", np.nan),
]
OPTIONS = [
    "size",
    "max_size",
    "channel_axis",
    "channels",
    "stride",
    "light",
    "curve",
    "noise",
    "varying",
    "background",
    "weights",
    "regularise",
    "nonnegative",
    "sum_to",
    "symmetric",
    "support",
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("value", NONE_TAKES, ids=lambda value: type(value).__name__)
def test_what_no_option_takes_is_refused_by_name(option, value):
    with pytest.raises(KernelfieldError) as caught:
        kf.learn(BEFORE, BEFORE, **{"size": 3, option: value})
    message = str(caught.value)
    assert message.startswith(f"{option}: expected ")
    assert "received" in message
    assert "\n" not in message


@pytest.mark.parametrize("option", [name for name in OPTIONS if name != "channel_axis"])
def test_whole_numbers_beyond_float64_are_refused(option):
    with pytest.raises(KernelfieldError, match=f"{option}: expected "):
        kf.learn(BEFORE, BEFORE, **{"size": 3, option: 10**400})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"light": "auto", "curve": "auto"}, "curve: expected none with light"),
        (
            {"light": "auto", "channels": "mixed", "stride": 2},
            "channels: expected shared, separate or auto with",
        ),
        ({"stride": 2, "noise": (1.0, 1.0)}, "noise: expected none with a stride"),
        ({"channels": "mixed", "noise": "much"}, "noise: expected the standard deviations"),
        ({"channels": "mixed", "max_size": 2.5}, "max_size: expected an integer"),
        ({"channels": "separate", "light": "sRGB", "varying": 1}, "channels: expected none with a kernel that varies"),
    ],
)
def test_combinations_that_exclude_each_other(arguments, message):
    with pytest.raises(KernelfieldError, match=message):
        kf.learn(BEFORE, BEFORE[::2, ::2] if "noise" in arguments and "stride" in arguments else BEFORE, **arguments)


@pytest.mark.parametrize("option", [{"stride": np.int64(1)}, {"light": np.float32(2.0)}, {"symmetric": np.True_}])
def test_numbers_of_numpy_are_numbers(option):
    (name, value), *_ = option.items()
    plain = kf.learn(BEFORE, BEFORE, size=3, **{name: value.item()})
    assert kf.learn(BEFORE, BEFORE, size=3, **option).kernel.weights == pytest.approx(plain.kernel.weights)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("options", [{"channels": "mixed"}, {"varying": 1}, {"varying": (2, 2)}, {"background": 1}])
def test_errors_of_what_a_uniform_pair_does_not_tell_are_infinite(options):
    fit = kf.learn(np.full((30, 32), 7.0), np.full((30, 32), 3.0), size=3, **options)
    assert fit.verdict == "undetermined"
    assert np.isinf(fit.stderr).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("options", [{"light": "auto"}, {"light": "sRGB"}, {"curve": "auto"}])
@pytest.mark.parametrize("scale", [np.nan, 1e200, 1e-200])
def test_numbers_whose_squares_are_lost_are_refused(options, scale):
    with pytest.raises(KernelfieldError, match="before: expected"):
        kf.learn(BEFORE * scale, BEFORE * scale, size=3, **options)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("options", [{"varying": 1}, {"background": 1}, {"channels": "mixed"}, {"nonnegative": True}])
def test_images_whose_scales_differ_by_far(options):
    after = kf.correlate(BEFORE, [[0.5, 0.5]], boundary="mirror")
    fit = kf.learn(BEFORE * 1e300, after, size=3, **options)
    np.testing.assert_allclose(fit.kernel.weights[1] * 1e300, [0.5, 0.5, 0.0], atol=1e-6)
    with pytest.raises(KernelfieldError, match="sum_to: expected a number near"):
        kf.learn(BEFORE * 1e300, after, size=3, sum_to=1.0)


FIT = kf.learn(BEFORE, kf.correlate(BEFORE, [[0.5, 0.5]], boundary="mirror"), size=3)
NAMES = [np.zeros(0), np.zeros((2, 2)), [], {}, np.ma.masked, 2 + 3j, True, object()]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", NAMES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("target", lambda value: FIT.export(value)),
        ("dtype", lambda value: FIT.export("numpy", dtype=value)),
        ("angle", lambda value: FIT.mtf(value)),
        ("other", lambda value: FIT.compare(value)),
        ("level", lambda value: FIT.compare(FIT, value)),
        ("boundary", lambda value: FIT.apply(BEFORE, boundary=value)),
        ("path", lambda value: kf.Fit.load(value)),
        ("path", lambda value: kf.KernelLearner.load(value)),
        ("channel_axis", lambda value: kf.KernelLearner(3, channel_axis=value).partial_fit(BEFORE, BEFORE)),
        ("clip", lambda value: kf.KernelLearner(3, clip=value).partial_fit(BEFORE, BEFORE)),
    ],
)
def test_what_is_asked_of_a_fit_is_refused_by_name(name, call, value):
    with pytest.raises(KernelfieldError, match=f"{name}: expected .*received"):
        call(value)


@pytest.mark.parametrize("frequencies", ["high", 2j, [[1, 2], [3]], np.ma.masked_equal([0.1, 0.2], 0.2), {}, 0.1])
def test_frequencies_are_numbers_on_one_axis(frequencies):
    with pytest.raises(KernelfieldError, match="frequencies: expected"):
        FIT.mtf(0.0, frequencies)


def test_the_command_of_a_report_is_text(tmp_path):
    with pytest.raises(KernelfieldError, match="command: expected text"):
        FIT.report(tmp_path / "page.html", BEFORE, BEFORE, command=["learn"])


def test_ragged_lists_are_no_pictures():
    with pytest.raises(KernelfieldError, match="before: expected an array of numbers"):
        kf.KernelLearner(3).partial_fit([[1, 2], [3]], BEFORE)


def test_arguments_are_checked_before_a_file_is_read(tmp_path):
    missing = str(tmp_path / "none.png")
    for option, value in (("channel_axis", "first"), ("size", 0), ("max_size", 0), ("noise", 3), ("light", "x")):
        with pytest.raises(KernelfieldError) as caught:
            kf.learn(missing, missing, **{option: value})
        assert str(caught.value).startswith(f"{option}: expected "), option
    with pytest.raises(KernelfieldError, match=r"none\.png"):
        kf.learn(missing, missing)


def test_reading_the_pair_is_the_first_stage(tmp_path):
    told = []
    with listening(lambda share, stage: told.append(stage)), pytest.raises(KernelfieldError):
        kf.learn(str(tmp_path / "none.png"), BEFORE)
    assert told == ["reading the pair"]


def test_sizes_are_searched_up_to_255():
    assert inspect.signature(kf.learn).parameters["max_size"].default == 255
