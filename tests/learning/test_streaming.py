"""`KernelLearner` against least squares over explicit windows of all pairs, in any order, from any storage."""

from __future__ import annotations

import contextlib
import io
import itertools

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError, DtypeError, FileError
from kernelfield.learning import streaming
from kernelfield.learning.statistics import gather


def pairs_of(count, kind=np.float64, noise=0.01, size=(5, 3), shape=(40, 37)):
    rng = np.random.default_rng(4)
    kernel = rng.normal(size=size)
    made = []
    for i in range(count):
        before = rng.normal(100 + 40 * i, 20, (shape[0] + i, shape[1])).clip(1, 254).astype(kind)
        after = kf.correlate(before, kernel / np.abs(kernel).sum(), dtype=np.float64, boundary="wrap") + 128
        after += rng.normal(0, noise, before.shape)
        made.append((before, after.astype(kind) if kind != np.uint8 else after.round().clip(0, 255).astype(np.uint8)))
    return made


def windows(before, size):
    """Return the windows inside an image as rows, and where their output pixels lie."""
    views = np.lib.stride_tricks.sliding_window_view(before.astype(np.float64), size)
    top, left = size[0] // 2, size[1] // 2
    inside = slice(top, top + views.shape[0]), slice(left, left + views.shape[1])
    return views.reshape(-1, size[0] * size[1]), inside


def by_windows(pairs, size):
    """Return kernel, offset, errors and R² of least squares over explicit windows."""
    rows, values = [], []
    for before, after in pairs:
        matrix, inside = windows(before, size)
        rows.append(matrix)
        values.append(after[inside].astype(np.float64).ravel())
    x = np.column_stack([np.concatenate(rows), np.ones(sum(map(len, values)))])
    y = np.concatenate(values)
    solution = np.linalg.lstsq(x, y, rcond=None)[0]
    left = y - x @ solution
    variance = left @ left / (len(y) - x.shape[1])
    errors = np.sqrt(variance * np.diag(np.linalg.inv(x.T @ x)))
    r2 = 1 - left @ left / ((y - y.mean()) ** 2).sum()
    return solution[:-1].reshape(size), solution[-1], errors[:-1].reshape(size), r2


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.uint8])
def test_the_kernel_is_that_of_least_squares_over_all_windows(kind):
    pairs = pairs_of(3, kind)
    learner = kf.KernelLearner((5, 3), clip=None).partial_fit(*zip(*pairs))
    kernel, offset, errors, r2 = by_windows(pairs, (5, 3))
    fit = learner.fit_
    np.testing.assert_allclose(fit.kernel.weights, kernel, atol=1e-8)
    np.testing.assert_allclose(fit.offset, offset, atol=1e-6)
    np.testing.assert_allclose(fit.stderr, errors, rtol=1e-4)
    assert fit.r2 == pytest.approx(r2, abs=1e-9)
    assert learner.score(*zip(*pairs)) == pytest.approx(r2, abs=1e-9)
    assert learner.pairs_ == 3
    assert fit.verdict == "approximate"


def test_one_pair_gives_what_learn_gives():
    [(before, after)] = pairs_of(1)
    fit = kf.learn(before, after, size=(5, 3))
    found = kf.KernelLearner((5, 3)).partial_fit(before, after).fit_
    np.testing.assert_allclose(found.kernel.weights, fit.kernel.weights, atol=1e-12)
    assert found.samples == fit.samples
    assert found.residual_sd == pytest.approx(fit.residual_sd, rel=1e-6)


def test_any_order_and_any_split_give_the_same_bits_for_bytes(tmp_path):
    pairs = pairs_of(4, np.uint8)
    found = set()
    for order in itertools.permutations(range(4)):
        parts = [kf.KernelLearner((5, 3)) for _ in range(2)]
        for i in order:
            parts[i % 2].partial_fit(*pairs[i])
        parts[0].save(tmp_path / "part.npz")
        both = parts[1].merge(kf.KernelLearner.load(tmp_path / "part.npz"))
        found.add((both.fit_.kernel.weights.tobytes(), both.fit_.stderr.tobytes(), both.pairs_))
    assert len(found) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_sums_about_other_shifts_are_those_gathered_there(seed, d, e):
    rng = np.random.default_rng(seed)
    before, after = rng.normal(d, 3, (12, 14)), rng.normal(e, 2, (10, 11))
    here, there = gather(before, after, (3, 4), 0.0, 0.0), gather(before, after, (3, 4), d, e)
    moved = here.shifted(d, e)
    scale = 12 * 14 * (abs(d) + 10) * (abs(d) + abs(e) + 10)
    for one, other in zip(vars(moved).values(), vars(there).values()):
        np.testing.assert_allclose(one, other, atol=1e-12 * scale)


def test_levels_far_from_zero_cost_no_digits():
    """Sums about 0 would lose all digits: squares of 1e14 against a variance of 1."""
    rng = np.random.default_rng(0)
    pairs = []
    for level in (1e7, 1e7 + 3.0, 1e7 - 2.0):
        before = rng.normal(size=(40, 40)) + level
        pairs.append((before, kf.correlate(before, [[1.0, 2.0, -3.0]], boundary="wrap")))
    fit = kf.KernelLearner((1, 3)).partial_fit(*zip(*pairs)).fit_
    np.testing.assert_allclose(fit.kernel.weights, [[1, 2, -3]], atol=1e-7)


def test_colour_shares_a_kernel_with_an_offset_for_each_channel():
    rng = np.random.default_rng(0)
    before = rng.random((30, 31, 3))
    after = kf.correlate(before, [[1.0, -2.0, 3.0]], channel_axis=2) + [1.0, 2.0, 3.0]
    learner = kf.KernelLearner((1, 3)).partial_fit(before, after)
    np.testing.assert_allclose(learner.fit_.kernel.weights, [[1, -2, 3]], atol=1e-10)
    np.testing.assert_allclose(learner.fit_.offset, [1, 2, 3], atol=1e-10)
    np.testing.assert_allclose(learner.predict(before)[2:-2, 2:-2], after[2:-2, 2:-2], atol=1e-9)
    with pytest.raises(ArgumentError, match=r"expected 3 channel\(s\), as learned; received 1"):
        learner.partial_fit(before[..., 0], after[..., 0])


def test_pixels_that_are_missing_clipped_or_masked_do_not_count():
    [(before, after)] = pairs_of(1)
    hole = np.zeros(before.shape, bool)
    hole[10:14, 20:22] = True
    bad = np.where(hole, np.nan, after)
    expected = kf.KernelLearner(3).partial_fit(before, after, mask=~hole).fit_
    masked = kf.KernelLearner(3).partial_fit(before, np.ma.array(after, mask=hole))
    assert 0 < masked.fit_.excluded == 8
    for found in (kf.KernelLearner(3).partial_fit(before, bad), masked):
        by_after = kf.KernelLearner(3).partial_fit(np.where(hole, np.nan, before), after)
        assert found.fit_.samples > by_after.fit_.samples == expected.samples
    high = np.quantile(after, 0.9)
    learner = kf.KernelLearner(3, clip=(-1e9, high)).partial_fit(before, np.minimum(after, high))
    kept = kf.KernelLearner(3).partial_fit(before, np.where(after < high, after, np.nan))
    np.testing.assert_allclose(learner.fit_.kernel.weights, kept.fit_.kernel.weights, atol=1e-10)


def test_a_valid_part_is_learned_too():
    rng = np.random.default_rng(0)
    before = rng.random((30, 31))
    after = kf.correlate(before, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], mode="valid")
    learner = kf.KernelLearner((3, 2)).partial_fit(before, after)
    np.testing.assert_allclose(learner.fit_.kernel.weights, [[1, 2], [3, 4], [5, 6]], atol=1e-10)
    with pytest.raises(ArgumentError, match="expected pairs of one kind"):
        learner.partial_fit(before, before)


class Recorded:
    """A source that keeps the largest box it was asked for."""

    axes = (0, 1)

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def read(self, region):
        part = self.array[region]
        self.largest = max(self.largest, part.size)
        return part


def test_files_are_read_in_tiles_with_a_halo(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(streaming, "_PIXELS", 1 << 18)
    before = rng.integers(0, 256, (700, 800), np.uint8)
    after = kf.correlate(before, [[1.0, 2.0, 1.0]], dtype=np.float32).astype(np.uint16)
    expected = kf.KernelLearner((3, 5)).partial_fit(before, after).fit_
    kernel, *_ = by_windows([(before, after)], (3, 5))
    np.testing.assert_allclose(expected.kernel.weights, kernel, atol=1e-9)
    sources = Recorded(before), Recorded(after)
    learner = kf.KernelLearner((3, 5)).partial_fit(*sources)
    # The last tile is the higher by less than a tile.
    assert max(one.largest for one in sources) <= 2 * (1 << 18)
    assert (learner.fit_.kernel.weights == expected.kernel.weights).all()
    names = [tmp_path / name for name in ("b.npy", "a.npy", "b.tif", "a.tif", "b.png", "a.png")]
    np.save(names[0], before)
    np.save(names[1], after)
    tifffile.imwrite(names[2], before, tile=(256, 256))
    tifffile.imwrite(names[3], after, rowsperstrip=64, compression="zlib")
    Image.fromarray(before).save(names[4])
    Image.fromarray(after).save(names[5])
    for pair in (names[:2], names[2:4], names[4:]):
        found = kf.KernelLearner((3, 5)).partial_fit(*pair).fit_
        assert (found.kernel.weights == expected.kernel.weights).all(), pair
        assert found.samples == expected.samples


def test_what_scale_opens_is_learned():
    zarr = pytest.importorskip("zarr")
    [(before, after)] = pairs_of(1)
    stores = [zarr.create_array({}, data=one, chunks=(16, 16)) for one in (before, after)]
    found = kf.KernelLearner(3).partial_fit(*map(kf.scale.open_source, stores)).fit_
    assert (found.kernel.weights == kf.KernelLearner(3).partial_fit(before, after).fit_.kernel.weights).all()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("learner") / "sums.npz"
    kf.KernelLearner((3, 2)).partial_fit(*pairs_of(1)[0]).save(path)
    return path


def test_a_saved_learner_goes_on(saved):
    [(before, after)] = pairs_of(1)
    learner = kf.KernelLearner.load(saved)
    assert learner.size == (3, 2)
    assert saved.stat().st_size < 4096
    both = learner.partial_fit(before, after).fit_
    again = kf.KernelLearner((3, 2)).partial_fit([before, before], [after, after]).fit_
    np.testing.assert_array_equal(both.kernel.weights, again.kernel.weights)


def changed(path, **arrays):
    """Return the data of a saved learner with other arrays in it."""
    with np.load(path) as found:
        content = dict(found) | arrays
    buffer = io.BytesIO()
    np.savez(buffer, **{key: value for key, value in content.items() if value is not None})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"format": np.int64(2)}, "format: expected 1, received 2"),
        ({"gram": None}, "gram is missing"),
        ({"gram": np.full((1, 21), np.nan)}, "finite"),
        ({"gram": np.full((1, 21), -1.0)}, "squares of at least 0"),
        ({"gram": np.eye(6)[np.triu_indices(6)][None] + 1e3 * (1 - np.eye(6)[np.triu_indices(6)])}, "products of real"),
        ({"cross": np.full((1, 6), 1e30)}, "cross"),
        ({"total": np.full((1, 6), 1e30)}, "total"),
        ({"size": np.array([3, 3])}, "gram|total|cross"),
        ({"size": np.array([1 << 40, 1 << 40])}, "at most 1100 weights"),
        ({"size": np.array([-3, -2])}, "at most 1100 weights"),
        ({"count": np.array([-1])}, "numbers below 0"),
        ({"count": np.array([1.5])}, "count"),
        ({"same_size": np.int64(7)}, "same_size"),
        ({"seen": np.array(["a", "b"])}, "real numbers"),
        ({"seen": np.array([{}, []], object)}, "real numbers"),
    ],
)
def test_a_hostile_file_is_refused(saved, tmp_path, arrays, words):
    path = tmp_path / "other.npz"
    path.write_bytes(changed(saved, **arrays))
    with pytest.raises(DataError, match=f"expected the file that KernelLearner.save wrote; .*({words})"):
        kf.KernelLearner.load(path)


def test_a_header_that_promises_more_than_there_is_takes_no_memory(saved, tmp_path):
    path = tmp_path / "other.npz"
    data = changed(saved)
    assert data.count(b"(1, 21), ") == 1
    path.write_bytes(data.replace(b"(1, 21), ", b"(1<<50,),"[:9].replace(b"1<<50", b"99999")))
    with pytest.raises(DataError, match=r"KernelLearner.save wrote"):
        kf.KernelLearner.load(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_an_error_of_ours_or_none(saved, tmp_path_factory, data):
    content = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "sums.npz"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content))
    with contextlib.suppress(DataError):
        kf.KernelLearner.load(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("{}")
    with pytest.raises(DataError, match="expected the file that KernelLearner"):
        kf.KernelLearner.load(tmp_path / "text.npz")
    with pytest.raises(FileError, match="cannot be read"):
        kf.KernelLearner.load(tmp_path / "missing.npz")


def test_wrong_arguments_are_refused():
    [(before, after)] = pairs_of(1)
    learner = kf.KernelLearner(3)
    with pytest.raises(DataError, match="call partial_fit first"):
        learner.fit_  # noqa: B018
    with pytest.raises(ArgumentError, match="expected as many afters as befores; received 2 and 1"):
        learner.partial_fit([before, before], [after])
    with pytest.raises(ArgumentError, match="expected the size of before, or 2×2 less"):
        learner.partial_fit(before, after[1:])
    with pytest.raises(ArgumentError, match="mask: expected the shape"):
        learner.partial_fit(before, after, mask=np.ones((3, 3)))
    with pytest.raises(ArgumentError, match="clip: expected"):
        kf.KernelLearner(3, clip="none").partial_fit(before, after)
    with pytest.raises(ArgumentError, match="at most 1100 weights"):
        kf.KernelLearner(41).partial_fit(before, after)
    with pytest.raises(ArgumentError, match="size"):
        kf.KernelLearner(0).partial_fit(before, after)
    with pytest.raises(DataError, match="scale them"):
        learner.partial_fit(before * 1e200, after)
    with pytest.raises(ArgumentError, match="other: expected size 3; received 5"):
        learner.merge(kf.KernelLearner(5).partial_fit(before, after))
    with pytest.raises(DataError, match="usable pixels"):
        kf.KernelLearner(5).partial_fit(before[:7, :7], after[:7, :7]).fit_  # noqa: B018
    assert not hasattr(learner, "_summary")


def test_a_list_with_a_wrong_pair_adds_nothing():
    [(before, after)] = pairs_of(1)
    learner = kf.KernelLearner(3).partial_fit(before, after)
    with pytest.raises(ArgumentError, match="size of before"):
        learner.partial_fit([before, before], [after, after[1:]])
    assert learner.pairs_ == 1


def test_what_nothing_determines_has_infinite_errors():
    before = np.add.outer(np.arange(30.0), np.arange(30.0))
    fit = kf.KernelLearner(3).partial_fit(before, 2 * before).fit_
    assert fit.verdict == "undetermined"
    assert fit.rank < 9
    assert np.isinf(fit.stderr).all()
    flat = kf.KernelLearner(3).partial_fit(np.random.default_rng(0).random((20, 20)), np.ones((20, 20))).fit_
    assert flat.verdict == "undetermined"


def test_it_follows_the_conventions_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV
    from sklearn.utils.validation import check_is_fitted

    befores, afters = zip(*pairs_of(6, noise=3.0, shape=(60, 60)))
    befores, afters = [one[:60] for one in befores], [one[:60] for one in afters]
    learner = kf.KernelLearner(size=(5, 3))
    assert repr(clone(learner)) == repr(learner) == "KernelLearner(size=(5, 3))"
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(learner)
    assert learner.fit(befores, afters) is learner
    check_is_fitted(learner)
    assert not hasattr(clone(learner), "_summary")
    assert learner.fit(befores[:1], afters[:1]).pairs_ == 1
    assert learner.set_params(size=3, clip=None).get_params() == {"channel_axis": "auto", "clip": None, "size": 3}
    with pytest.raises(ValueError, match="colour: expected one of"):
        learner.set_params(colour=1)
    for X, y in ((befores, afters), (np.array(befores), np.array(afters))):
        search = GridSearchCV(kf.KernelLearner(), {"size": [(3, 3), (5, 3), (7, 7)]}, cv=3).fit(X, y)
        assert search.best_params_ == {"size": (5, 3)}
        assert search.predict(X)[0].shape == (60, 60)
    if hasattr(sklearn.utils, "get_tags"):
        assert sklearn.utils.get_tags(learner).estimator_type == "regressor"


def test_sums_that_tell_integers_tell_their_name():
    learner = kf.KernelLearner(size=7)
    for picture in (data.brick(), data.coins()):
        before = picture[60:260, 60:280]
        learner.partial_fit(before, kf.correlate(before, kf.kernels.binomial(3), dtype="uint8"))
    fit = learner.fit_
    assert (fit.divisor, fit.name) == (16, "binomial")


@pytest.mark.parametrize("width", [1, 255, 1000, 4096, 16383, 16384, 16385, 100_000])
def test_tiles_hold_four_million_pixels_in_whole_chunks(width):
    rows, columns = streaming._tile(width)
    assert columns == min(width, 16384)
    assert rows >= 256
    assert rows % 256 == 0
    assert rows * columns <= 1 << 22 < (rows + 256) * columns


@pytest.mark.parametrize(
    ("value", "axis", "several"),
    [
        (np.zeros((4, 5)), "auto", False),
        (np.zeros((40, 50, 3)), "auto", False),
        (np.zeros((9, 4, 5)), "auto", True),
        (np.zeros((4, 5, 3)), None, True),
        (np.zeros((3, 4, 5)), 0, False),
        (np.zeros((2, 4, 5, 3)), "auto", True),
        ([np.zeros((4, 5))], "auto", True),
        ((np.zeros((4, 5)), np.zeros((4, 5))), "auto", True),
        (["a.png", "b.png"], "auto", True),
        ("a.png", "auto", False),
        ([[1.0, 2.0], [3.0, 4.0]], "auto", False),
        ([[[1.0, 2.0], [3.0, 4.0]]], "auto", True),
        ([[np.zeros(5), np.zeros(5)]], "auto", True),
        ([], "auto", True),
    ],
)
def test_which_arguments_are_several_pictures(value, axis, several):
    assert kf.KernelLearner(3, channel_axis=axis)._is_list(value) == several


def test_a_list_of_rows_is_a_picture_and_no_list_is_none():
    rng = np.random.default_rng(0)
    before = rng.random((12, 14))
    learner = kf.KernelLearner((1, 3)).partial_fit(before.tolist(), before.tolist())
    assert (learner.pairs_, learner.fit_.samples) == (1, 12 * 12)
    assert isinstance(learner.predict(before), np.ndarray)
    assert [one.shape for one in learner.predict([before, before[:5]])] == [(12, 14), (5, 14)]
    np.testing.assert_allclose(learner.predict(before), before, atol=1e-9)
    with pytest.raises(ArgumentError, match="before: expected a picture, or a list of some; received an empty one"):
        learner.partial_fit([], [])


def test_one_mask_serves_all_pairs_and_others_each_their_own():
    rng = np.random.default_rng(0)
    befores = rng.random((3, 12, 14))
    masks = rng.random((3, 12, 14)) > 0.2
    same = kf.KernelLearner((1, 1)).partial_fit(list(befores), list(befores), [masks[0]])
    assert same.fit_.samples == 3 * masks[0].sum()
    assert same.fit_.excluded == 3 * (~masks[0]).sum()
    each = kf.KernelLearner((1, 1)).partial_fit(list(befores), list(befores), list(masks))
    assert each.fit_.samples == masks.sum()
    with pytest.raises(ArgumentError, match="mask: expected one, or one for each of 3 pairs; received 2"):
        kf.KernelLearner((1, 1)).partial_fit(list(befores), list(befores), list(masks[:2]))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64])
@pytest.mark.parametrize("clip", ["auto", None, (3, 200)])
def test_values_at_the_ends_of_the_range_are_left_out(kind, clip):
    rng = np.random.default_rng(0)
    after = rng.integers(10, 150, (20, 24, 2)).astype(kind)
    low, high = (0, 255) if kind == np.uint8 else (-(2**15), 2**15 - 1)
    after[3, 4:9, 0], after[7, 8:10, 1], after[15, 2:5, 0], after[15, 7, 1] = low, high, 3, 200
    fit = kf.KernelLearner((1, 1), clip=clip).partial_fit(rng.random(after.shape), after).fit_
    left = {"auto": 0 if kind == np.float64 else 7, None: 0}.get(clip, 11) if not isinstance(clip, tuple) else 11
    assert (fit.excluded, fit.samples) == (left, after.size - left)


@pytest.mark.parametrize(
    "clip", ["none", (1.0,), (1.0, 2.0, 3.0), (2.0, 1.0), (1.0, 1.0), (np.nan, 1.0), 5, ("a", "b")]
)
def test_other_ranges_are_refused(clip):
    with pytest.raises(ArgumentError, match=r'clip: expected "auto", None or \(low, high\)'):
        kf.KernelLearner(3, clip=clip).partial_fit(np.ones((9, 9)), np.ones((9, 9)))


def test_the_score_is_r2_of_other_pairs():
    rng = np.random.default_rng(0)
    before, other = rng.normal(size=(2, 20, 24))
    learner = kf.KernelLearner((1, 1)).partial_fit(before, 2.0 * before + 1.0)
    after = 2.0 * other + 1.0 + rng.normal(size=other.shape)
    expected = 1.0 - ((after - 2.0 * other - 1.0) ** 2).sum() / ((after - after.mean()) ** 2).sum()
    assert learner.score(other, after) == pytest.approx(expected)
    # The mean is as good as nothing; of one value the kernel gives it, or does not.
    assert learner.score(other, -2.0 * other) < 0.0
    # An offset of its own counts.
    assert learner.score(other, 2.0 * other + 4.0) == pytest.approx(1.0 - 9.0 / (4.0 * other.var()))
    assert learner.score(np.full((9, 9), 2.0), np.full((9, 9), 9.0)) == 0.0
    with pytest.raises(ArgumentError, match=r"before: expected 1 channel\(s\), as learned; received 2"):
        learner.score(rng.random((9, 9, 2)), rng.random((9, 9, 2)))


def test_merging_nothing_changes_nothing(tmp_path):
    rng = np.random.default_rng(0)
    before = rng.random((12, 14))
    learner, empty = kf.KernelLearner(3).partial_fit(before, before), kf.KernelLearner(3)
    first = learner.fit_
    assert learner.fit_ is first
    assert learner.merge(empty) is learner
    assert learner.fit_ is first
    assert empty.merge(learner).pairs_ == 1
    assert empty.merge(learner).pairs_ == 2
    assert learner.partial_fit(before, before).fit_ is not first
    assert not hasattr(kf.KernelLearner(3).merge(kf.KernelLearner(3)), "_summary")
    for other in (3, None, first):
        with pytest.raises(ArgumentError, match="other: expected a KernelLearner"):
            learner.merge(other)
    learner.save(tmp_path / "a.npz")
    assert kf.KernelLearner.load(tmp_path / "a.npz").size == 3
    assert repr(kf.KernelLearner()) == "KernelLearner()"
    assert repr(kf.KernelLearner(clip=None)) == "KernelLearner(clip=None)"
    assert repr(kf.KernelLearner(np.array([3, 3]))).startswith("KernelLearner(size=array(")
    with pytest.raises(DataError, match="call partial_fit first"):
        kf.KernelLearner(3).save(tmp_path / "b.npz")
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize("scale", [1e-99, 1e99, 0.0])
def test_numbers_whose_squares_float64_holds(scale):
    before = np.random.default_rng(0).uniform(0.5, 1.0, (300, 290))
    fit = kf.KernelLearner(1).partial_fit(scale * before, 2.0 * scale * before).fit_
    if scale:
        np.testing.assert_allclose(fit.kernel.weights, [[2.0]], rtol=1e-6)
    for wrong in (1e-101, 1e101):
        for pair in ((wrong * before, before), (before, wrong * before)):
            with pytest.raises(DataError, match="of 1e-100 to 1e100"):
                kf.KernelLearner(1).partial_fit(*pair)
    with pytest.raises(DtypeError, match="after: expected integers or floats; received complex128"):
        kf.KernelLearner(1).partial_fit(Recorded(before), Recorded(before.astype(complex)))


def test_shifts_are_means_of_what_counts():
    part = np.full((30, 40), 7.5)
    part[3, 4], part[5, 6] = np.nan, np.inf
    assert streaming._near_mean(part) == 7.5
    assert streaming._near_mean(np.full((3, 4), np.nan)) == 0.0
    assert streaming._near_mean(np.full((3, 4), 7, np.uint8)) == 7.0


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("which", [0, 1])
def test_a_pixel_whose_square_float64_does_not_hold_is_refused(channel, which):
    pair = np.random.default_rng(0).random((2, 300, 290, 2))
    # Outside the part in the middle that is looked at first.
    pair[which, 1, 2, channel] = 1e200
    with pytest.raises(DataError, match="of 1e-100 to 1e100"):
        kf.KernelLearner(1).partial_fit(*pair)


def test_the_residual_is_compared_with_that_of_rounding():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 200, (30, 34)).astype(np.uint8)
    fit = kf.KernelLearner(1, clip=None).partial_fit(before, before + rng.integers(0, 9, before.shape, np.uint8)).fit_
    assert f"{fit.residual_sd * np.sqrt(12.0):.3g} times that of rounding" in fit.explanation
    assert (
        "of rounding" not in kf.KernelLearner(1).partial_fit(before, before + rng.random(before.shape)).fit_.explanation
    )


def test_the_largest_kernel_and_the_usual_one():
    before = np.random.default_rng(0).random((22, 114))
    assert kf.KernelLearner((10, 110)).partial_fit(before, before).pairs_ == 1
    with pytest.raises(ArgumentError, match="size: expected at most 1100 weights; received 19×58"):
        kf.KernelLearner((19, 58)).partial_fit(before, before)
    assert kf.KernelLearner().size == 7


def test_what_scikit_learn_asks():
    pytest.importorskip("sklearn.utils", reason="tags").InputTags  # noqa: B018
    tags = kf.KernelLearner().__sklearn_tags__()
    assert (tags.estimator_type, tags.target_tags.required, tags.target_tags.two_d_labels) == ("regressor", True, True)
    assert (tags.input_tags.two_d_array, tags.input_tags.three_d_array, tags.input_tags.allow_nan) == (
        False,
        True,
        True,
    )
