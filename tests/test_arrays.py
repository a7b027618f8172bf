"""Arrays that hold more than numbers: no public function drops a mask or a unit without a word."""

import inspect
import sys
from functools import partial
from types import ModuleType

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.arrays import as_array, check_plain
from kernelfield.errors import ArgumentError, KernelfieldError

PIXELS = np.random.default_rng(0).random((64, 64))
RESPONSES = np.random.default_rng(0).normal(size=50)
MODULES = {
    "": kf,
    "kernels": kf.kernels,
    "matrix": kf.matrix,
    "coding": kf.coding,
    "dropin.ndimage": kf.dropin.ndimage,
    "dropin.signal": kf.dropin.signal,
    "dropin.cv2": kf.dropin.cv2,
}

#: Functions that take arrays: their names, and arguments of a call that works.
CALLS = {
    "corr2d": (PIXELS, [[1.0, -1.0]]),
    "correlate": (PIXELS, np.ones((3, 3))),
    "convolve": (PIXELS, np.ones((3, 3))),
    "plan": ((64, 64), np.ones((3, 3))),
    "match_psf": (kf.kernels.gaussian(1.0, 9).weights, kf.kernels.gaussian(1.5, 9).weights),
    "learn": (PIXELS, kf.correlate(PIXELS, np.ones((3, 3)), dtype=np.float64)),
    "descend": (PIXELS, kf.correlate(PIXELS, [[1.0, -1.0]], mode="valid"), (1, 2)),
    "Kernel": ([[1.0, 2.0]],),
    "as_matrix": (np.ones((3, 3)), (8, 8)),
    "as_operator": (np.ones((3, 3)), (8, 8)),
    "condition_number": (np.ones((3, 3)), (8, 8)),
    "null_space": (np.ones((3, 3)), (8, 8)),
    "im2col": (PIXELS, 3),
    "col2im": (np.ones((9, 64)), (8, 8), 3),
    "kernels.Kernel": ([[1.0, 2.0]],),
    "kernels.match": ([[1.0, 2.0]],),
    "coding.amplitude_spectrum": (PIXELS,),
    "coding.by_bandwidth": (PIXELS, [1.0]),
    "coding.code": (PIXELS, kf.coding.bank(6)),
    "coding.kurtosis": (RESPONSES,),
    "coding.learn_dictionary": (PIXELS, "ica"),
    "coding.luminance": (PIXELS,),
    "coding.match": (np.random.default_rng(0).normal(size=(2, 7, 7)),),
    "coding.relative_response": (RESPONSES,),
    "coding.sparseness": (RESPONSES,),
    "dropin.ndimage.convolve": (PIXELS, np.ones((3, 3))),
    "dropin.ndimage.convolve1d": (PIXELS, np.ones(3)),
    "dropin.ndimage.correlate": (PIXELS, np.ones((3, 3))),
    "dropin.ndimage.correlate1d": (PIXELS, np.ones(3)),
    "dropin.ndimage.gaussian_filter": (PIXELS, 1.0),
    "dropin.ndimage.gaussian_filter1d": (PIXELS, 1.0),
    "dropin.ndimage.gaussian_gradient_magnitude": (PIXELS, 1.0),
    "dropin.ndimage.gaussian_laplace": (PIXELS, 1.0),
    "dropin.ndimage.laplace": (PIXELS,),
    "dropin.ndimage.prewitt": (PIXELS,),
    "dropin.ndimage.sobel": (PIXELS,),
    "dropin.ndimage.uniform_filter": (PIXELS,),
    "dropin.ndimage.uniform_filter1d": (PIXELS, 3),
    "dropin.signal.convolve2d": (PIXELS, np.ones((3, 3))),
    "dropin.signal.correlate2d": (PIXELS, np.ones((3, 3))),
    "dropin.cv2.GaussianBlur": (PIXELS, (3, 3), 1.0),
    "dropin.cv2.Laplacian": (PIXELS, -1),
    "dropin.cv2.Scharr": (PIXELS, -1, 1, 0),
    "dropin.cv2.Sobel": (PIXELS, -1, 1, 0),
    "dropin.cv2.blur": (PIXELS, (3, 3)),
    "dropin.cv2.boxFilter": (PIXELS, -1, (3, 3)),
    "dropin.cv2.filter2D": (PIXELS, -1, np.ones((3, 3))),
    "dropin.cv2.sepFilter2D": (PIXELS, -1, np.ones(3), np.ones(3)),
}  # fmt: skip
#: Arguments whose masks count.
COUNTED = {("correlate", 0), ("convolve", 0), ("corr2d", 0), ("learn", 0), ("learn", 1)}
#: Public names without arrays among their arguments: what networks and threads are asked, what others return, and
#: what shows in a notebook (tests/lab/test_widget.py).
WITHOUT = {
    "Fit", "KernelLearner", "Lab", "receptive_field", "set_threads", "threads", "coding.AmplitudeSpectrum",
    "coding.Bandwidths", "coding.Bank", "coding.Code", "coding.Dictionary", "coding.Matches", "coding.Sensor",
    "kernels.compare", "kernels.Compared", "kernels.Comparison", "kernels.design", "kernels.Match",
    "kernels.minimum_size", "kernels.parse", "kernels.Properties", "kernels.steering", "matrix.Condition",
    "matrix.NullSpace",
}  # fmt: skip


def public():
    """Return the public functions and classes by their names, those of another module once."""
    found = {}
    for prefix, module in MODULES.items():
        for name in module.__all__:
            value = getattr(module, name)
            full = f"{prefix}.{name}" if prefix else name
            if callable(value) and not isinstance(value, ModuleType):
                found[full] = value
    # `matrix` is the home of functions that the package exports.
    return {name: value for name, value in found.items() if not (name.startswith("matrix.") and name[7:] in found)}


FUNCTIONS = public()
# In less time.
FUNCTIONS["descend"] = lambda before, after, size: kf.descend(before, after, size=size, steps=1)
FUNCTIONS["coding.learn_dictionary"] = partial(kf.coding.learn_dictionary, size=5, components=4, patches=200)
#: The families of kernels, which take numbers.
FAMILIES = {name for name in FUNCTIONS if name.startswith("kernels.")} - CALLS.keys() - WITHOUT | {"coding.bank"}


def masked(value):
    """Return the numbers of an argument as a masked array with one masked element; two of them for a number."""
    numbers = np.atleast_1d(np.asarray(value, dtype=float)) if not isinstance(value, np.ndarray) else value
    if numbers.size == 1:
        numbers = np.array([1.0, 2.0])
    mask = np.zeros(numbers.shape, bool)
    # In the middle: pixels at the border have no window inside the image.
    mask.flat[(numbers.size // 2 + numbers.shape[-1] // 2) % numbers.size] = True
    return np.ma.array(numbers, mask=mask)


def test_every_public_function_is_tried():
    assert FUNCTIONS.keys() == CALLS.keys() | WITHOUT | FAMILIES


@pytest.mark.parametrize("name", CALLS)
def test_masks_are_refused_or_count(name):
    function, arguments = FUNCTIONS[name], CALLS[name]
    plain = function(*arguments)
    assert plain is not None or name.endswith("match")
    for place, value in enumerate(arguments):
        if isinstance(value, (str, kf.coding.Bank)):
            continue
        wrong = (*arguments[:place], masked(value), *arguments[place + 1 :])
        if (name, place) in COUNTED:
            found = function(*wrong)
            assert np.ma.is_masked(found) if isinstance(plain, np.ndarray) else found.samples < plain.samples
            continue
        with pytest.raises(KernelfieldError) as caught:
            function(*wrong)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_families_refuse_masks(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    needed = {p.name: 1 for p in parameters if p.default is inspect.Parameter.empty}
    for parameter in parameters:
        with pytest.raises(KernelfieldError, match=f"{parameter.name}|{name[8:]}: ") as caught:
            FUNCTIONS[name](**{**needed, parameter.name: np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])})
        assert "\n" not in str(caught.value)


def test_options_refuse_masks():
    two = np.ma.array([1, 2], mask=[False, True])
    for name in (
        "cval",
        "origin",
        "padding",
        "stride",
        "dilation",
        "groups",
        "bias",
        "channel_axis",
        "method",
        "dtype",
    ):
        with pytest.raises(KernelfieldError, match=name):
            kf.correlate(np.ones((8, 9)), np.ones((3, 3)), **{name: two})
    for out in (np.ma.array(np.zeros((8, 9)), mask=True),):
        with pytest.raises(ArgumentError, match="out: expected no masked elements"):
            kf.correlate(np.ones((8, 9)), np.ones((3, 3)), out=out)
    planned = kf.plan((8, 9), np.ones((3, 3)), dtype=np.float64)
    with pytest.raises(ArgumentError, match="image: expected no masked elements"):
        planned(np.ma.array(np.zeros((8, 9)), mask=True))
    for nested in ([[1.0, np.ma.masked]], [np.ma.array([1.0, 2.0], mask=[True, False])]):
        with pytest.raises(ArgumentError, match="kernel: expected no masked elements"):
            kf.correlate(np.ones((8, 9)), nested)


def test_a_list_with_a_mask_is_not_taken_from_the_cache():
    pixels = np.ones((8, 9))
    kf.correlate(pixels, [[1.0, 2.0]])
    with pytest.raises(ArgumentError, match="kernel: expected no masked elements"):
        kf.correlate(pixels, [np.ma.array([1.0, 2.0], mask=[True, False])])


def test_a_mask_of_nothing_is_no_loss():
    np.testing.assert_array_equal(as_array(np.ma.array([[1.0, 2.0]]), "image"), [[1.0, 2.0]])


def test_units_are_refused():
    units = pytest.importorskip("astropy.units")
    quantity = np.ones((8, 9)) * units.Jy
    for call in (
        lambda: kf.correlate(quantity, np.ones((3, 3))),
        lambda: kf.correlate(np.ones((8, 9)), np.ones((3, 3)) * units.m),
        lambda: kf.correlate(np.ones((8, 9)), np.ones((3, 3)), bias=3 * units.m),
        lambda: kf.im2col(quantity, 3),
        lambda: kf.dropin.ndimage.sobel(quantity),
        lambda: kf.dropin.cv2.blur(quantity, (3, 3)),
        lambda: kf.Kernel([[1.0, 2.0]] * units.m),
    ):
        with pytest.raises(ArgumentError, match=r"expected numbers without a unit; received Quantity in '(Jy|m)'"):
            call()
    data = pytest.importorskip("astropy.nddata")
    for frame in (data.CCDData(np.ones((8, 9)), unit="adu"), data.NDDataArray(np.ones((8, 9)), mask=np.eye(8, 9) > 0)):
        with pytest.raises(ArgumentError, match="image: expected n"):
            kf.correlate(frame, np.ones((3, 3)))


def test_units_of_any_library_are_seen():
    class Measured:
        """As of pint: numbers and a property `units`."""

        units = property(lambda self: "metre")

        def __array__(self, dtype=None, copy=None):
            return np.ones((8, 9))

    with pytest.raises(ArgumentError, match="image: expected numbers without a unit; received Measured in 'metre'"):
        kf.correlate(Measured(), np.ones((3, 3)))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_numpy_matrix_is_refused():
    with pytest.raises(ArgumentError, match=r"image: expected an ndarray; received numpy.matrix"):
        kf.correlate(np.matrix([[1.0, 2.0]]), [[1.0]])


def test_arrays_that_only_come_from_elsewhere_are_arrays(tmp_path):
    pandas = pytest.importorskip("pandas")
    expected = kf.correlate(PIXELS, np.ones((3, 3)))
    mapped = np.memmap(tmp_path / "pixels", PIXELS.dtype, "w+", shape=PIXELS.shape)
    mapped[...] = PIXELS

    class Picture(np.ndarray):
        """As of imageio: an array with a name for where it is from."""

    class Duck:
        """As of JAX: not of NumPy, but to be had as an array."""

        def __array__(self, dtype=None, copy=None):
            return PIXELS

    for given in (mapped, PIXELS.view(Picture), pandas.DataFrame(PIXELS), Duck(), PIXELS.tolist()):
        found = kf.correlate(given, np.ones((3, 3)))
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [[[1.0, 2.0], [3.0]], [object()], {"a": 1}, "text", None, [["a"]], [[1j]]])
def test_what_is_no_array_of_numbers_is_an_error_of_ours(value):
    for call in (lambda: kf.correlate(value, [[1.0]]), lambda: kf.correlate(np.ones((8, 9)), value)):
        with pytest.raises(KernelfieldError, match="expected") as caught:
            call()
        assert len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)


class TestPillow:
    """Images of Pillow are arrays; those with a palette get its colours."""

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "F", "I", "1", "LA", "CMYK"])
    def test_they_are_the_arrays_that_they_hold(self, mode):
        module = pytest.importorskip("PIL.Image")
        grey = module.fromarray((255 * PIXELS).astype(np.uint8))
        deep = module.fromarray((65535 * PIXELS).astype(np.uint16))
        picture = deep if mode == "I;16" else grey.convert(mode)
        assert picture.mode == mode
        kernel = np.ones((3, 3))
        found = kf.correlate(picture, kernel)
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, kf.correlate(np.asarray(picture), kernel))

    def test_indices_of_a_palette_are_no_pixels(self):
        module = pytest.importorskip("PIL.Image")
        colours = np.random.default_rng(0).integers(0, 2, (20, 30, 3), dtype=np.uint8) * 255
        picture = module.fromarray(colours).quantize(8)
        assert picture.mode == "P"
        kernel = np.ones((3, 3)) / 9
        np.testing.assert_array_equal(kf.correlate(picture, kernel), kf.correlate(colours, kernel))
        picture.info["transparency"] = 0
        assert kf.correlate(picture, kernel).shape == (20, 30, 4)

    def test_every_function_takes_them(self):
        module = pytest.importorskip("PIL.Image")
        pixels = (255 * PIXELS).astype(np.uint8)
        picture = module.fromarray(pixels)
        np.testing.assert_array_equal(kf.im2col(picture, 3), kf.im2col(pixels, 3))
        np.testing.assert_array_equal(kf.coding.luminance(picture), pixels)
        assert kf.coding.by_bandwidth(picture, [1.0]).kurtosis == kf.coding.by_bandwidth(pixels, [1.0]).kurtosis
        np.testing.assert_array_equal(kf.corr2d(picture, [[1, -1]]), kf.corr2d(pixels, [[1, -1]]))


def test_nothing_is_imported_to_recognise_it(monkeypatch):
    for name in ("PIL.Image", "xarray", "dask.array"):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    check_plain([[1.0, 2.0]], "image")
    kf.correlate([[1.0, 2.0]], [[1.0]])
    assert not {"PIL.Image", "xarray", "dask.array"} & sys.modules.keys()
