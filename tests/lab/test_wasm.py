"""The engine of the page: built from its sources, and with the numbers of the package."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from helpers.static import ASSETS
from PIL import Image
from playwright.sync_api import Page
from scipy.ndimage import median_filter

import kernelfield as kf
from kernelfield.engine.reference import correlate as nested_loops
from kernelfield.geometry import BOUNDARIES

_spec = importlib.util.spec_from_file_location("wasm", Path(__file__).parents[2] / "cmake" / "wasm.py")
wasm = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wasm)

CALL = """async ([op, args]) => {
  const { createLocal } = await import("./engine.js");
  globalThis.local ??= createLocal((name) => new URL(name, location.href).href);
  const image = ({ bytes, ...rest }) =>
    ({ ...rest, data: new Float32Array(Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)).buffer) });
  const given = args.map((one) => (one?.bytes !== undefined ? image(one) : one));
  if (op === "descend") {
    const descent = await local.descend(given[0], given[1], given[2]);
    return descent.steps(given[3].steps, given[3].rate);
  }
  const result = await local[op](...given);
  return result.data ? { ...result, data: [...result.data] } : result;
}"""


@pytest.fixture(scope="module")
def engine(browser, static) -> Page:
    page = browser.new_page()
    page.goto(static + "page.css")
    yield page
    page.close()


def image(pixels: np.ndarray) -> dict:
    depth = {np.dtype(np.uint8): 8, np.dtype(np.uint16): 16}.get(pixels.dtype, "float")
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    data = base64.b64encode(np.ascontiguousarray(pixels, np.float32).tobytes()).decode()
    return {"height": pixels.shape[0], "width": pixels.shape[1], "channels": channels, "depth": depth, "bytes": data}


def applied(engine: Page, pixels: np.ndarray, kernel, anchor=None, **how) -> np.ndarray:
    kernel = np.asarray(kernel, float)
    anchor = [n // 2 for n in kernel.shape] if anchor is None else anchor
    got = engine.evaluate(CALL, ["apply", [image(pixels), {"weights": kernel.tolist(), "anchor": anchor}, how]])
    return np.array(got["data"]).reshape(got["height"], got["width"], *([-1] if pixels.ndim == 3 else []))


def learned(engine: Page, before: np.ndarray, after: np.ndarray, size=None) -> dict:
    return engine.evaluate(CALL, ["learn", [image(before), image(after), {"size": size}]])


def photograph(seed: int = 0, shape: tuple[int, int] = (96, 120)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(shape[0] // 8 + 2, shape[1] // 8 + 2))
    smooth = np.kron(coarse, np.ones((8, 8)))[: shape[0], : shape[1]]
    return np.clip(128 + 30 * smooth + rng.normal(0, 12, shape), 5, 250).astype(np.uint8)


def test_the_module_was_built_from_these_sources():
    about = json.loads((ASSETS / "kernelfield.wasm.json").read_text())
    assert about["sources"] == wasm.digest(), "the sources have changed: make wasm"
    shipped = gzip.decompress((ASSETS / "kernels.json.gz").read_bytes()).decode()
    assert shipped == wasm.catalogue(), "the catalogue has: make wasm"


def test_the_same_compiler_builds_the_same_module(tmp_path):
    about = json.loads((ASSETS / "kernelfield.wasm.json").read_text())
    pytest.importorskip("ziglang")
    if version("ziglang") != about["ziglang"]:
        pytest.skip(f"built by ziglang {about['ziglang']}")
    wasm.build(tmp_path / "again.gz")
    assert gzip.decompress((tmp_path / "again.gz").read_bytes()) == gzip.decompress(
        (ASSETS / "kernelfield.wasm.gz").read_bytes()
    )


def test_the_page_is_small():
    everything = [path for path in ASSETS.rglob("*") if path.is_file() and path.parent.name != "photographs"]
    assert sum(path.stat().st_size for path in everything) < 200_000


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(1, 2), (3, 3), (5, 5), (7, 7), (4, 9), (15, 15)])
def test_correlations_are_those_of_nested_loops(engine, boundary, shape):
    rng = np.random.default_rng(5)
    pixels = rng.normal(size=(33, 41)).astype(np.float32)
    kernel = rng.normal(size=shape)
    want = kf.correlate(pixels.astype(float), kernel, boundary=boundary, cval=2.5)
    small = nested_loops(pixels[:9, :9].astype(float), kernel[:3, :3], boundary=boundary, cval=2.5)
    np.testing.assert_allclose(applied(engine, pixels, kernel, boundary=boundary, cval=2.5), want, atol=3e-5)
    np.testing.assert_allclose(
        applied(engine, pixels[:9, :9], kernel[:3, :3], boundary=boundary, cval=2.5), small, atol=3e-5
    )


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
@pytest.mark.parametrize("size", [(6, 8), (70, 300), (1, 1)])
def test_modes_anchors_and_flips(engine, mode, size):
    pixels = np.random.default_rng(6).normal(size=size).astype(np.float32)
    kernel = np.random.default_rng(7).normal(size=(3, 4))
    if mode == "valid" and (size[0] < 3 or size[1] < 4):
        assert applied(engine, pixels, kernel, mode=mode).size == 0
        return
    want = kf.convolve(pixels.astype(float), kernel, mode=mode, boundary="wrap")
    got = applied(engine, pixels, kernel, mode=mode, boundary="wrap", flip=True)
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_colours_are_filtered_one_by_one(engine):
    pixels = np.random.default_rng(8).normal(size=(20, 31, 3)).astype(np.float32)
    kernel = np.arange(9.0).reshape(3, 3)
    want = np.stack([kf.correlate(pixels[..., c].astype(float), kernel) for c in range(3)], axis=-1)
    np.testing.assert_allclose(applied(engine, pixels, kernel), want, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "kernel", "boundary"),
    [
        ("binomial", kf.kernels.binomial(3), "mirror"),
        ("sobel", kf.kernels.sobel(), "constant"),
        ("box", kf.kernels.box(5), "wrap"),
        ("sharpen", kf.kernels.sharpen(0.5), "reflect"),
        ("laplacian", kf.kernels.laplacian(4), "mirror"),
        ("gaussian", kf.kernels.gaussian(1.5), "reflect"),
        (None, kf.kernels.Kernel(np.array([[0, 3, 0, 1], [2, 0, 5, 0]]) / 16, anchor=(0, 1)), "reflect"),
    ],
)
def test_exact_filters_are_learned_as_the_package_learns_them(engine, tmp_path, name, kernel, boundary):
    before = photograph(len(kernel.weights.ravel()))
    after = np.clip(np.floor(kf.correlate(before.astype(float), kernel, boundary=boundary) + 0.5), 0, 255).astype(
        np.uint8
    )
    got, want = learned(engine, before, after), kf.learn(before, after)
    assert (got["verdict"], got["name"]) == (want.verdict, want.name) == ("exact", name)
    if name != "gaussian":  # its outermost weights are smaller than their errors
        assert (got["size"], got["anchor"]) == (list(want.size), list(want.anchor))
        assert (got["integers"], got["divisor"]) == (want.integers.tolist(), want.divisor)
    assert got["boundary"] == want.boundary or got["boundary"] in want.boundary_candidates
    (tmp_path / "filter.json").write_text(json.dumps(got))
    assert kf.Fit.load(tmp_path / "filter.json").verdict == "exact"


def test_noise_gives_errors_that_cover_and_a_verdict_that_says_so(engine):
    before = photograph(1).astype(np.float32)
    truth = np.array([[0.1, 0.2, 0.1], [0.0, 0.3, 0.05], [0.1, 0.1, 0.05]])
    noise = np.random.default_rng(4).normal(0, 3, before.shape)
    after = (kf.correlate(before.astype(float), truth) + noise).astype(np.float32)
    got = learned(engine, before, after, [3, 3])
    want = kf.learn(before, after, size=3)
    assert got["verdict"] == want.verdict == "approximate"
    np.testing.assert_allclose(got["kernel"], want.kernel.weights, atol=1e-4)
    np.testing.assert_allclose(got["stderr"], want.stderr, rtol=0.25)
    assert np.abs((np.array(got["kernel"]) - truth) / np.array(got["stderr"])).max() < 4


def test_what_no_linear_filter_gives_is_said(engine):
    before = photograph(2)
    other = photograph(99)
    assert learned(engine, before, other)["verdict"] == "not linear"
    curve = np.clip(255 * (before / 255.0) ** 2.2 + 0.5, 0, 255).astype(np.uint8)
    assert learned(engine, before, curve)["verdict"] == "not linear"
    astronaut = np.asarray(Image.open(ASSETS / "photographs" / "astronaut.png"))
    assert learned(engine, astronaut, median_filter(astronaut, 5))["verdict"] == "not linear"


def test_a_pair_that_cannot_tell_is_undetermined(engine):
    edge = np.ones((6, 8), np.float32)
    edge[:, 2:6] = 0
    got = learned(engine, edge, edge, [3, 3])
    assert got["verdict"] == "undetermined"
    assert got["rank"] < 9
    assert len(got["undetermined"]) == 9 - got["rank"]
    flat = learned(engine, np.full((20, 20), 7, np.uint8), np.full((20, 20), 7, np.uint8))
    assert flat["verdict"] in ("undetermined", "exact")


def test_an_after_of_another_size_is_refused(engine):
    with pytest.raises(Exception, match="after: expected the size of the before"):
        learned(engine, photograph(1), photograph(2, (200, 210)))


def test_descent_is_that_of_the_package(engine):
    edge = np.ones((6, 8), np.float32)
    edge[:, 2:6] = 0
    target = kf.corr2d(edge, [[1, -1]]).astype(np.float32)
    start = [[0.3, 0.4]]
    options = {"size": [1, 2], "momentum": 0.5, "initial": start}
    got = engine.evaluate(CALL, ["descend", [image(edge), image(target), options, {"steps": 12, "rate": 0.01}]])
    want = kf.descend(edge, target, size=(1, 2), steps=12, lr=0.01, momentum=0.5, initial=np.array(start))
    np.testing.assert_allclose(got["losses"], want.losses, rtol=1e-9)
    np.testing.assert_allclose(got["kernel"], want.kernel.weights, rtol=1e-9)
