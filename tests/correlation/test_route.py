"""How many Python files of ours a call passes through: counted, for calls in long rows pay for each."""

import sys
from pathlib import Path

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.engine.plan import CACHE

SOURCE = Path(kf.__file__).parent


def files_entered(call):
    """Return the files of the package whose functions run during a call, in order."""
    entered = []

    def profile(frame, event, _):
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(str(SOURCE)) and name not in entered:
            entered.append(name)

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return [str(Path(name).relative_to(SOURCE)) for name in entered]


PIXELS = np.random.default_rng(0).random((64, 64), np.float32)
WORK = {
    "small": (PIXELS, np.ones((3, 3)), {}),
    "tiny": (PIXELS[:6, :8].copy(), np.array([[1.0, -1.0]]), {"mode": "valid"}),
    "large": (np.tile(PIXELS, (16, 16)), np.random.default_rng(0).normal(size=(7, 7)), {"boundary": "wrap"}),
    "rank 1": (np.tile(PIXELS, (16, 16)), kf.kernels.gaussian(1.0), {}),
    "integers": ((255 * PIXELS).astype(np.uint8), np.ones((3, 3)) / 9, {"dtype": np.uint8}),
    "bank": (PIXELS, np.ones((4, 3, 3)), {}),
    "layer": (PIXELS[None], np.ones((4, 1, 3, 3)), {"stride": 2}),
    "colour": (np.ones((40, 50, 3), np.uint8), np.ones((3, 3)), {}),
    "planes": (np.ones((40, 50, 3), np.uint8).transpose(2, 0, 1), np.ones((3, 3)), {}),
    "list": (PIXELS, [[1.0, -1.0]], {}),
    "long integers": (np.arange(48).reshape(6, 8), np.ones((3, 3)), {}),
    "out": (PIXELS, np.ones((3, 3)), {"out": np.empty((64, 64), np.float32)}),
}


@pytest.mark.parametrize("work", WORK)
def test_a_first_call_enters_six_files_at_most_and_a_repeated_one_one(work):
    image, kernel, options = WORK[work]
    call = lambda: kf.correlate(image, kernel, **options)  # noqa: E731
    call()  # what is loaded once
    CACHE.clear()
    first = files_entered(call)
    # What may hold more than numbers is looked at each time.
    looks = {"long integers": ["correlation/arguments.py"], "list": ["arrays.py"]}.get(work, [])
    assert first[0] == "correlation/api.py"
    assert {"correlation/arguments.py", "engine/plan.py"} <= set(first)
    assert len(first) <= 6 + (work == "list"), first
    assert files_entered(call) == ["correlation/api.py", *looks]


def test_so_do_transforms():
    """Entered on one thread: the profile sees no other."""
    image, kernel = np.tile(PIXELS, (16, 16)), np.random.default_rng(0).normal(size=(63, 63))
    call = lambda: kf.correlate(image, kernel, method="spectral")  # noqa: E731
    call()
    CACHE.clear()
    kf.set_threads(1)
    try:
        first, again = files_entered(call), files_entered(call)
    finally:
        kf.set_threads(None)
    assert len(first) <= 8, first
    transforms = ["engine/spectral.py", "engine/exactness.py", "geometry.py"]
    assert sorted(again) == sorted(["correlation/api.py", "engine/plan.py", *transforms])


def test_a_convolution_does_too():
    call = lambda: kf.convolve(PIXELS, np.ones((3, 4)))  # noqa: E731
    call()
    CACHE.clear()
    assert len(files_entered(call)) <= 6
    assert files_entered(call) == ["correlation/api.py"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: kf.corr2d(PIXELS, np.ones((3, 3))),
        lambda: kf.convolve(PIXELS, np.ones((3, 3))),
        lambda: kf.correlate(PIXELS, np.ones((3, 3)), bias=1.0),
        lambda: kf.correlate(PIXELS.astype(np.int64), np.ones((3, 3))),
    ],
)
def test_no_public_call_enters_more(call):
    call()
    assert len(files_entered(call)) <= 6


def test_a_planned_correlation_is_one_file():
    planned = kf.plan(PIXELS.shape, np.ones((3, 3)))
    assert files_entered(lambda: planned(PIXELS)) == ["correlation/api.py"]
