"""Exports of a fit give its pixels where they are run: in SciPy, OpenCV, PyTorch, ONNX, C, ImageMagick and ffmpeg."""

from __future__ import annotations

import ctypes
import dataclasses
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kernelfield.errors import ArgumentError, MissingDependencyError
from kernelfield.kernels import Kernel
from kernelfield.learning.export import TARGETS
from kernelfield.learning.export.commands import _matrix
from kernelfield.learning.fit import Fit, designed
from kernelfield.learning.record import build, to_record

BOUNDARIES = ("constant", "nearest", "reflect", "mirror", "wrap", "copy", "renormalised")
ROUNDINGS = ("nearest", "nearest even", "nearest away", "nearest down", "to zero", "truncated", "up")


def fit_of(weights, integers=True, anchor=None, **changes) -> Fit:
    kernel = Kernel(weights, anchor=anchor)
    fit = designed(kernel, "a test")
    if not integers:
        fit = dataclasses.replace(fit, integers=None, divisor=None)
    return dataclasses.replace(fit, **changes)


FITS = {
    "halves": fit_of(np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16, offset=-0.5, rounding="truncated"),
    "even sizes": fit_of(np.array([[1, -3, 2, 4], [0, 5, -2, 1]]) / 8, anchor=(0, 1), offset=3.25),
    "floats": fit_of(np.random.default_rng(0).normal(size=(5, 3)) / 3, integers=False, offset=1.5),
    "a row": fit_of([[1, 2, 3, 2, 1]], offset=0.0, boundary="nearest"),
    "every second and third": fit_of(np.array([[1, 2, 0], [3, 6, 2]]) / 8, anchor=(1, 0), stride=(2, 3), offset=0.5),
    "every second row": fit_of([[1, 2], [5, 8]], stride=(2, 1)),
    "every second column": fit_of([[1, 2], [5, 8]], stride=(1, 2)),
    "every second, renormalised": fit_of(np.full((4, 4), 1 / 16), stride=(2, 2), boundary="renormalised"),
}
for name in BOUNDARIES:
    FITS[name] = fit_of(np.array([[1, 2, 0], [3, 6, 2], [1, 2, 7]]) / 8, boundary=name, offset=0.5, cval=7.0)
    FITS[f"wide {name}"] = fit_of(
        np.random.default_rng(2).integers(-4, 9, (4, 5)) / 16, anchor=(1, 3), boundary=name, offset=20.25, cval=7.0
    )
FITS["an edge that is kept"] = fit_of([[0.25], [0.75]], anchor=(0, 0), boundary="copy")
FITS["one pixel"] = fit_of([[3.0]], boundary="wrap", offset=-9.0)
# Transforms of large kernels leave less than rounding, which halves to even would show.
FITS["large"] = fit_of(np.random.default_rng(3).integers(-1, 3, (13, 12)) / 2, rounding="nearest even")
for name in ROUNDINGS:
    FITS[f"round {name}"] = fit_of(np.array([[1, -1, 2], [-3, 1, 2], [1, 1, -2]]) / 4, rounding=name, offset=2.0)
    FITS[f"round {name}, about an odd number"] = fit_of(
        np.array([[1, -1, 2], [-3, 1, 2], [1, 1, -2]]) / 4, rounding=name, offset=3.0
    )


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (23, 31), np.uint8)


def compiled(source: str | bytes, name: str, image: np.ndarray) -> np.ndarray:
    names: dict = {}
    exec(compile(source, name, "exec"), names)
    return names["apply"](image)


@pytest.mark.parametrize("target", ["numpy", "scipy", "opencv"])
def test_a_program_gives_the_same_pixels(target, image):
    if target == "opencv":
        pytest.importorskip("cv2")
    floats = image.astype(np.float64) / 7
    for name, fit in FITS.items():
        program = fit.export(target)
        np.testing.assert_array_equal(compiled(program, target, image), fit.apply(image), name)
        found = compiled(program, target, floats)
        np.testing.assert_allclose(found, fit.apply(floats), rtol=1e-12, atol=1e-10, err_msg=name)


COLOURS = ("R", "G", "B")
COLOURED = {
    "halves up": fit_of([[1, 2], [3, 4]], offset=(1.0, -30.0, 7.5), channels=COLOURS),
    # Rounded about the offsets, of which one is 0.
    "halves away": fit_of(
        np.array([[1, -2], [3, -4]]) / 4, offset=(40.0, 0.0, 90.0), rounding="nearest away", channels=COLOURS
    ),
}


@pytest.fixture(scope="module")
def colour(image):
    return np.stack([image, image // 2, 255 - image], axis=2)


@pytest.mark.parametrize("target", ["numpy", "scipy", "opencv"])
def test_each_channel_has_its_offset(target, colour):
    if target == "opencv":
        pytest.importorskip("cv2")
    for name, fit in [
        *COLOURED.items(),
        ("one for all", FITS["even sizes"]),
        ("of few rows", FITS["every second row"]),
    ]:
        np.testing.assert_array_equal(compiled(fit.export(target), target, colour), fit.apply(colour), name)


def module_of(fit: Fit):
    names: dict = {}
    exec(compile(fit.export("pytorch"), "module", "exec"), names)
    return names["Filter"]()


def test_a_module_of_pytorch_gives_the_same_pixels(image):
    torch = pytest.importorskip("torch")
    floats = image / 7.0
    for name, fit in FITS.items():
        module = module_of(fit)
        found = module(torch.from_numpy(image)[None, None])[0, 0].numpy()
        np.testing.assert_array_equal(found, fit.apply(image), name)
        found = module(torch.from_numpy(floats)[None, None])[0, 0].numpy()
        np.testing.assert_allclose(found, fit.apply(floats), rtol=1e-12, atol=1e-10, err_msg=name)


def test_a_module_of_pytorch_has_the_offset_of_each_channel(colour):
    torch = pytest.importorskip("torch")
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(colour, 2, 0)))
    for name, fit in [*COLOURED.items(), ("one for all", FITS["even sizes"])]:
        found = module_of(fit)(torch.stack([planes, planes.flip(2)])).numpy()
        np.testing.assert_array_equal(np.moveaxis(found[0], 0, 2), fit.apply(colour), name)
        np.testing.assert_array_equal(np.moveaxis(found[1], 0, 2), fit.apply(colour[:, ::-1]), name)


def test_a_model_of_onnx_gives_the_same_pixels(image):
    reference = pytest.importorskip("onnx.reference")
    import onnx

    for name, fit in FITS.items():
        model = onnx.load_from_string(fit.export("onnx", dtype="uint8"))
        [found] = reference.ReferenceEvaluator(model).run(None, {"image": image[None, None]})
        off = np.abs(found[0, 0].astype(int) - fit.apply(image))
        assert off.max() <= (0 if fit.integers is not None and fit.boundary != "renormalised" else 1), name
        model = onnx.load_from_string(fit.export("onnx", dtype="float64"))
        [found] = reference.ReferenceEvaluator(model).run(None, {"image": image[None, None] / 7})
        np.testing.assert_allclose(found[0, 0], fit.apply(image / 7), rtol=1e-12, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("name", COLOURED)
def test_a_model_of_onnx_has_the_channels_that_were_learned(name, colour):
    reference = pytest.importorskip("onnx.reference")
    import onnx

    fit = COLOURED[name]
    model = onnx.load_from_string(fit.export("onnx", dtype="uint16"))
    [found] = reference.ReferenceEvaluator(model).run(None, {"image": np.moveaxis(colour, 2, 0)[None].astype("uint16")})
    np.testing.assert_array_equal(np.moveaxis(found[0], 0, 2), fit.apply(colour.astype(np.uint16)))


@pytest.fixture(scope="module")
def compiler():
    found = shutil.which("cc") or shutil.which("clang") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler")
    return found


def test_a_function_of_c_gives_the_same_pixels(compiler, image, tmp_path):
    files = []
    for i, fit in enumerate(FITS.values()):
        for kind in ("uint8", "float64"):
            path = tmp_path / f"f{i}{kind}.c"
            path.write_text(fit.export("c", dtype=kind).replace("kernelfield_filter", f"f{i}{kind}"))
            files.append(str(path))
    library = tmp_path / "filters.so"
    flags = ["-O1", "-std=c99", "-Wall", "-Werror", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", str(library), *files, "-lm"], check=True, capture_output=True)
    functions = ctypes.CDLL(str(library))
    for i, (name, fit) in enumerate(FITS.items()):
        for kind, pixels in (("uint8", image), ("float64", image / 7)):
            result = np.empty_like(fit.apply(pixels))
            addresses = [ctypes.c_void_p(array.ctypes.data) for array in (np.ascontiguousarray(pixels), result)]
            functions[f"f{i}{kind}"](*addresses, *map(ctypes.c_ssize_t, pixels.shape), ctypes.c_ssize_t(1))
            np.testing.assert_allclose(result, fit.apply(pixels), rtol=1e-12, atol=1e-10, err_msg=f"{name} {kind}")


ONE_FOR_ALL = {
    "one for all": FITS["even sizes"],
    "one, halves away": fit_of(np.array([[1, -2], [3, -4]]) / 4, offset=40.0, rounding="nearest away"),
}


@pytest.mark.parametrize("name", [*COLOURED, *ONE_FOR_ALL])
def test_a_function_of_c_gives_each_channel_its_offset(name, compiler, colour, tmp_path):
    fit = (COLOURED | ONE_FOR_ALL)[name]
    path, library = tmp_path / "filter.c", tmp_path / "filter.so"
    path.write_text(fit.export("c", dtype="uint8"))
    flags = ["-O1", "-std=c99", "-Wall", "-Werror", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", str(library), str(path), "-lm"], check=True, capture_output=True)
    result = np.empty_like(colour)
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in (np.ascontiguousarray(colour), result)]
    ctypes.CDLL(str(library)).kernelfield_filter(*addresses, *map(ctypes.c_ssize_t, colour.shape))
    np.testing.assert_array_equal(result, fit.apply(colour))


@pytest.mark.parametrize(
    ("weights", "anchor", "mode", "numbers"),
    [
        ([[1, 2, 3]], (0, 1), "row", [1, 2, 3]),
        ([[1, 2, 3]], (0, 0), "row", [0, 0, 1, 2, 3]),
        ([[1], [2], [3], [4]], (2, 0), "column", [1, 2, 3, 4, 0]),
        ([[5]], (0, 0), "row", [0, 5, 0]),
        ([[1, 2], [3, 4]], (1, 0), "square", [0, 1, 2, 0, 3, 4, 0, 0, 0]),
        ([[1, 2, 3, 4], [5, 6, 7, 8]], (0, 2), "square", [*[0] * 10, 1, 2, 3, 4, 0, 5, 6, 7, 8, *[0] * 6]),
        (np.ones((7, 7)), (3, 3), "square", np.ones(49)),
        (np.ones((1, 49)), (0, 24), "row", np.ones(49)),
        (np.ones((8, 7)), (3, 3), None, None),
        (np.ones((7, 7)), (3, 4), None, None),
        (np.ones((1, 51)), (0, 25), None, None),
        (np.ones((1, 49)), (0, 25), None, None),
    ],
)
def test_the_matrix_of_ffmpeg_has_odd_sides_about_its_middle(weights, anchor, mode, numbers):
    found = _matrix(np.array(weights, float), anchor)
    if mode is None:
        assert found is None
        return
    assert found[0] == mode
    assert found[1].tolist() == list(numbers)


@pytest.mark.parametrize(
    ("fit", "filter"),
    [
        (fit_of([[0.25, 0.5, 0.25]]), "convolution"),
        (fit_of([[32767, -32766]]), "convolution"),
        (fit_of([[0.25, 0.5, 0.25]], offset=0.9), "convolution"),
        (fit_of([[0.25, 0.5, 0.25]], rounding="nearest even"), "convolution"),
        (fit_of([[0.25, 0.5, 0.25]], offset=(2.5,) * 3, channels=COLOURS), "convolution"),
        # A divisor that is not their sum, weights beyond 16 bits, a matrix too large, an offset below 0 or two, and a
        # rule about the offset.
        (fit_of([[0.25, 0.25]]), "geq"),
        (fit_of([[0.25, 0.5, 0.25]], integers=False), "geq"),
        (fit_of([[32768, -32767]]), "geq"),
        (fit_of(np.ones((8, 8)) / 64), "geq"),
        (fit_of([[0.25, 0.5, 0.25]], offset=-0.1), "geq"),
        (fit_of([[0.25, 0.5, 0.25]], rounding="nearest down"), "geq"),
        (fit_of([[0.25, 0.5, 0.25]], offset=(2.5, 2.5, 3.5), channels=COLOURS), "geq"),
        (fit_of([[0.25, 0.5, 0.25]], offset=(4.0,) * 3, rounding="nearest away", channels=COLOURS), "geq"),
    ],
)
def test_ffmpeg_convolves_by_whole_weights_where_it_can(fit, filter):
    line = fit.export("ffmpeg", dtype="uint8").splitlines()[1]
    assert f"{filter}=" in line
    if filter == "geq":
        assert (":g='" in line) == (fit.channels == COLOURS)


def test_one_number_for_offsets_that_are_nearly_alike():
    line = fit_of([[1.0]], offset=(0.0, 0.25, 0.5), channels=COLOURS).export("imagemagick", dtype="uint8")
    assert f"convolve:bias={100 * 0.25 / 255:.12g}%" in line
    assert "bias" not in fit_of([[1.0]]).export("imagemagick", dtype="uint8")
    with pytest.raises(ArgumentError, match=r"received 0 to 0.51"):
        fit_of([[1.0]], offset=(0.0, 0.51)).export("imagemagick", dtype="uint8")
    for cval, level in ((-5.0, "0%"), (51.0, "20%"), (300.0, "100%")):
        line = fit_of([[1.0]], boundary="constant", cval=cval).export("imagemagick", dtype="uint8")
        assert f"gray({level})" in line


def imagemagick() -> str | None:
    for name in ("magick", "convert", "/usr/bin/convert"):
        found = shutil.which(name)
        if found and b"imagemagick.org" in subprocess.run([found, "-version"], capture_output=True).stdout:
            return found
    return None


def ran(command: str, program: str, image: np.ndarray, folder) -> np.ndarray:
    """Return the image as the command filters it."""
    Image.fromarray(image).save(folder / "before.png")
    [line] = [line for line in command.splitlines() if not line.startswith("#")]
    words = [program, *shlex.split(line)[1:]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return np.asarray(Image.open(folder / "after.png"))


@pytest.mark.parametrize("name", ["halves", "floats", "even sizes", "constant", "nearest", "reflect", "wrap", "a row"])
def test_a_command_of_imagemagick_gives_the_pixels_within_a_level(name, image, tmp_path):
    program = imagemagick()
    if program is None:
        pytest.skip("ImageMagick is not installed")
    fit = FITS[name]
    found = ran(fit.export("imagemagick", dtype="uint8"), program, image, tmp_path)
    assert np.abs(found.astype(int) - fit.apply(image)).max() <= 1


BY_FFMPEG = [name for name in FITS if name not in ("constant", "wrap", "copy", "renormalised") and FITS[name].plain]


@pytest.mark.parametrize("name", BY_FFMPEG)
def test_a_command_of_ffmpeg_gives_the_same_pixels_inside(name, image, tmp_path):
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("ffmpeg is not installed")
    fit = FITS[name]
    found = ran(fit.export("ffmpeg", dtype="uint8"), program, image, tmp_path)
    np.testing.assert_array_equal(found[7:-7, 7:-7], fit.apply(image)[7:-7, 7:-7])


@pytest.mark.parametrize("weights", [[[1, 2], [3, 4]], [[1, 2, 1]], np.ones((15, 15)) / 225])
def test_a_command_of_ffmpeg_filters_colour(weights, colour, tmp_path):
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("ffmpeg is not installed")
    fit = fit_of(weights, offset=(1.0, -30.0, 7.5), channels=COLOURS)
    found = ran(fit.export("ffmpeg", dtype="uint8"), program, colour, tmp_path)
    np.testing.assert_array_equal(found[7:-8, 7:-8], fit.apply(colour)[7:-8, 7:-8])


def test_what_a_target_cannot_express_is_refused():
    with pytest.raises(ArgumentError, match=r"target: expected one of numpy, .*; received 'fortran'"):
        FITS["halves"].export("fortran")
    for unknown in (3, None, ["c"]):
        with pytest.raises(ArgumentError, match="target: expected one of"):
            FITS["halves"].export(unknown)
    for unknown in ("int8", 3, ["uint8"]):
        with pytest.raises(ArgumentError, match="dtype: expected one of"):
            FITS["halves"].export("c", dtype=unknown)
    for target in ("imagemagick", "ffmpeg"):
        with pytest.raises(ArgumentError, match=f"fit: expected a filter without a stride for {target}"):
            FITS["every second and third"].export(target)
    with pytest.raises(ArgumentError, match="boundary: expected one that ImageMagick has"):
        FITS["copy"].export("imagemagick", dtype="uint8")
    for shape, few in (((21, 21), True), ((1, 441), True), ((17, 26), False), ((22, 22), False)):
        if few:
            assert "geq=" in fit_of(np.ones(shape)).export("ffmpeg", dtype="uint8")
            continue
        with pytest.raises(ArgumentError, match="at most 441 weights"):
            fit_of(np.ones(shape)).export("ffmpeg", dtype="uint8")
    with pytest.raises(ArgumentError, match="one offset for all channels"):
        fit_of([[1.0]], offset=(0.0, 9.0)).export("imagemagick", dtype="uint8")
    with pytest.raises(ArgumentError, match="one channel or three"):
        fit_of([[2.0]], offset=(0.0, 9.0)).export("ffmpeg", dtype="uint8")
    with pytest.raises(ArgumentError, match="expected one kernel for all channels and places"):
        dataclasses.replace(FITS["halves"], bank=np.ones((1, 1, 3, 3))).export("c")
    nothing = dataclasses.replace(FITS["halves"], verdict="not linear")
    for target in TARGETS:
        with pytest.raises(ArgumentError, match="no kernel explains"):
            nothing.export(target)


def test_a_hostile_description_stays_a_comment(image):
    record = to_record(FITS["halves"]) | {"description": "x\nimport os; os.abort()\r*/ #\u2028"}
    fit = build(Fit, record, "a file")
    for target in ("numpy", "scipy", "pytorch"):
        head = fit.export(target).splitlines()
        assert head[0].startswith("# x import os"), head[0]
        assert head[1].startswith("import "), head[1]
    assert fit.export("c").splitlines()[0].count("*/") == 1
    assert sys.modules["os"]


def test_weights_that_cancel_are_a_filter_but_with_weights_rescaled():
    edge = fit_of([[-1.0, 0.0, 1.0]])
    assert "renormalised" not in edge.export("numpy")
    with pytest.raises(ArgumentError, match="boundary: expected weights that do not cancel for 'renormalised'"):
        dataclasses.replace(edge, boundary="renormalised").export("numpy")


def test_the_head_of_a_function_of_c_says_what_it_keeps():
    text = FITS["every second and third"].export("c", dtype="uint8")
    assert "keeps every 2 rows and 3 columns" in text
    for name, kept in (("every second row", "2 rows and 1"), ("every second column", "1 rows and 2")):
        assert f"keeps every {kept} columns" in FITS[name].export("c", dtype="uint8")
    plain = FITS["halves"].export("c", dtype="uint8")
    assert "keeps every" not in plain
    assert "i++" in plain
    assert "j++" in plain
    for name in BOUNDARIES:
        text = FITS[name].export("c", dtype="uint8")
        assert ("-1 for none" in text) == ("return i >= 0 && i < n ? i : -1;" in text), name


@pytest.mark.parametrize("target", ["ffmpeg", "imagemagick"])
def test_commands_are_for_8_bits(target):
    fit = FITS["halves"]
    assert fit.rounding is not None
    assert fit.export(target) == fit.export(target, dtype="uint8")
    for kind in ("uint16", "float32", "float64"):
        with pytest.raises(ArgumentError, match=f"dtype: expected 'uint8' for {target}; received '{kind}'"):
            fit.export(target, dtype=kind)


@pytest.mark.parametrize("name", ["halves", "every second row", "every second column", "every second and third"])
def test_a_model_of_onnx_says_what_it_takes_and_gives(name):
    onnx = pytest.importorskip("onnx")
    fit = FITS[name]
    model = onnx.load_from_string(fit.export("onnx", dtype="uint8"))
    # What programs of 2021 and later read.
    assert (model.opset_import[0].version, model.ir_version) == (13, 8)
    assert (model.producer_name, model.doc_string) == ("kernelfield", "a test (exact)")
    [given], [found] = ([value.type.tensor_type for value in ends] for ends in (model.graph.input, model.graph.output))
    before, after = ([dim.dim_param or dim.dim_value for dim in kind.shape.dim] for kind in (given, found))
    assert before == ["batch", 1, "height", "width"]
    assert (before == after) == (fit.stride == (1, 1))
    assert len(set(before + after)) == (4 if fit.stride == (1, 1) else 6)


def test_without_the_package_a_model_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"the package onnx for 'onnx'; .*pip install kernelfield\[onnx\]"):
        FITS["halves"].export("onnx")


@pytest.mark.parametrize("name", ["halves", "every second row", "every second column", "every second and third"])
def test_programs_say_a_stride_where_there_is_one(name):
    fit = FITS[name]
    program, module = fit.export("numpy"), fit.export("pytorch")
    kept = fit.stride != (1, 1)
    assert ("[::{}, ::{}]".format(*fit.stride) in program) == kept
    assert (f"stride={fit.stride}" in module) == kept
    assert ("for every few rows and columns" in module) == kept
    assert ("of the shape of the pixels" in module) != kept
    # Pixels outside of one value stand at no place inside.
    assert "def places" in module
    assert "def places" not in dataclasses.replace(fit, boundary="constant").export("pytorch")


def test_what_an_export_takes_for_granted():
    fit = fit_of([[1, 2]], boundary=None)
    assert fit.export("numpy") == dataclasses.replace(fit, boundary="reflect").export("numpy")
    assert "const float *image" in fit.export("c")
    assert "const uint8_t *image" in dataclasses.replace(fit, rounding="nearest").export("c")
    # Integers times a gain are no whole weights.
    assert "np.rint(sums)" in fit.export("numpy")
    assert "np.rint(sums)" not in dataclasses.replace(fit, gain=2.0).export("numpy")
