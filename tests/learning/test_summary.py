"""The file of a summary: what it holds comes back; numbers of no pair are refused at the ends of what is possible."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.statistics import gather
from kernelfield.learning.summary import Summary, packed, unpacked
from kernelfield.learning.support import Support, centred


def made(seed: int = 0, channels: int = 2, support: Support | None = None, unit: float = 1.0) -> Summary:
    rng = np.random.default_rng(seed)
    size = (2, 3)
    statistics = tuple(
        gather(
            unit * rng.normal(50.0, 20.0, (9, 12)),
            unit * rng.normal(50.0, 20.0, (8, 10)),
            size,
            48.0 * unit,
            52.0 * unit,
        )
        for _ in range(channels)
    )
    return Summary(support or centred(size), statistics, 3, 4, 0.5, 1e-7)


def same(a: Summary, b: Summary) -> None:
    assert (a.support, a.pairs, a.excluded, a.step, a.epsilon) == (b.support, b.pairs, b.excluded, b.step, b.epsilon)
    for one, other in zip(a.statistics, b.statistics, strict=True):
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), field.name)


@pytest.mark.parametrize("support", [centred((2, 3)), Support(0, 0, 2, 3)])
@pytest.mark.parametrize("channels", [1, 2, 64])
def test_what_is_packed_comes_back(support, channels):
    summary = made(channels=channels, support=support)
    same(unpacked(packed(summary), "a file"), summary)


def test_sums_add():
    first, second = made(0), dataclasses.replace(made(1), pairs=5, excluded=7, step=0.25, epsilon=1e-3)
    both = first + second
    assert (both.pairs, both.excluded, both.step, both.epsilon) == (8, 11, 0.25, 1e-3)
    assert (second + first).step == 0.25
    assert (second + first).epsilon == 1e-3
    for one, a, b in zip(both.statistics, first.statistics, second.statistics):
        np.testing.assert_allclose(one.gram, a.gram + b.gram)
        assert one.count == a.count + b.count
    with pytest.raises(ArgumentError, match="after: expected pairs of one kind"):
        first + made(support=Support(0, 0, 2, 3))
    with pytest.raises(ArgumentError, match=r"before: expected 2 channel\(s\), as learned; received 1"):
        first + made(channels=1)


def refused(message: str, summary: Summary | None = None, **changes: object) -> None:
    """Change arrays of a file, and expect its refusal."""
    with np.load(io.BytesIO(packed(summary or made()))) as file:
        arrays = {key: file[key] for key in file.files}
    for key, change in changes.items():
        arrays[key] = change(arrays[key]) if callable(change) else change
        if arrays[key] is None:
            del arrays[key]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    if not message:
        unpacked(buffer.getvalue(), "a file")
        return
    with pytest.raises(
        DataError, match=f"a file: expected the file that KernelLearner.save wrote; .*{message}"
    ) as error:
        unpacked(buffer.getvalue(), "a file")
    assert ("is missing" in str(error.value)) == ("is missing" in message)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("", {}),
        ("gram is missing", {"gram": None}),
        ("format: expected 1, received 2", {"format": np.int64(2)}),
        ("format: expected int64", {"format": np.int32(1)}),
        (r"size: expected int64 of shape \(2,\)", {"size": np.array([2, 3, 1])}),
        ("size: expected at most 1100 weights", {"size": np.array([0, 3])}),
        ("size: expected at most 1100 weights", {"size": np.array([2, 0])}),
        ("size: expected at most 1100 weights", {"size": np.array([-2, -3])}),
        ("size: expected at most 1100 weights", {"size": np.array([3, 367])}),
        ("total: expected float64", {"size": np.array([4, 275])}),
        ("count: expected a number for each channel", {"count": np.zeros(0, np.int64)}),
        ("count: expected a number for each channel", {"count": np.zeros(65, np.int64)}),
        ("shift: expected float64", {"count": np.zeros(64, np.int64)}),
        ("shift: expected finite numbers", {"shift": lambda a: a * np.nan}),
        ("", {"seen": np.array([0, 0])}),
        ("numbers below 0", {"seen": np.array([-1, 0])}),
        ("numbers below 0", {"seen": np.array([0, -1])}),
        ("", {"grid": np.array([0.0, 0.0])}),
        ("", {"grid": np.array([0.5, 1.0])}),
        ("numbers below 0", {"grid": np.array([-0.1, 0.5])}),
        ("numbers below 0", {"grid": np.array([0.5, -0.1])}),
        ("numbers below 0", {"grid": np.array([0.5, 1.1])}),
        ("numbers below 0", {"count": np.array([80, -1])}),
        ("same_size: expected 0 or 1", {"same_size": np.int64(2)}),
        ("same_size: expected 0 or 1", {"same_size": np.int64(-1)}),
        # Cauchy and Schwarz: of squares, of products, and of sums of so many numbers.
        ("gram: expected squares of at least 0", {"gram": lambda a: -a}),
        ("gram: expected squares of at least 0", {"gram": lambda a: np.where(np.arange(a.shape[1]) == 0, -1.0, a)}),
        ("gram: expected squares of at least 0", {"after": lambda a: -a}),
        ("", {"cross": 0.0 * made().statistics[0].cross + np.zeros((2, 1))}),
    ],
)
def test_numbers_of_no_pair_are_refused(message, changes):
    refused(message, **changes)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("factor", [1.0 + 0.9e-6, 1.0 + 1.2e-6])
def test_sums_up_to_what_numbers_can_have(channel, factor, unit):
    """Products up to the root of the squares, and sums up to that of the squares and the count, to a millionth."""
    summary = made(unit=unit)
    one = summary.statistics[channel]
    inside = factor < 1.0 + 1e-6
    sd = np.sqrt(np.diag(one.gram))

    def at(value: float, *place: int):
        def change(array: np.ndarray) -> np.ndarray:
            array[(channel, *place)] = value
            return array

        return change

    # The product of the weights (0, 1) stands second in the triangle.
    refused("" if inside else "gram: expected sums of products", summary, gram=at(factor * sd[0] * sd[1], 1))
    refused("" if inside else "gram: expected sums of products", summary, gram=at(-factor * sd[0] * sd[1], 1))
    refused(
        "" if inside else "cross: expected sums of", summary, cross=at(factor * sd[3] * np.sqrt(one.after_square), 3)
    )
    root = np.sqrt(factor)
    refused(
        "" if inside else "total: expected sums of as many", summary, total=at(-root * sd[2] * np.sqrt(one.count), 2)
    )
    refused(
        "" if inside else "after: expected sums of", summary, after=at(root * np.sqrt(one.after_square * one.count), 0)
    )


def test_black_pictures_have_sums_of_zero():
    """Sums of no weight, and of a before and an after that are 0, are those of a pair."""
    zero = {key: lambda array: 0.0 * array for key in ("gram", "cross", "total", "after")}
    refused("", **zero)
    for key in ("cross", "total"):
        refused(f"{key}: expected sums", **zero | {key: lambda array: 0.0 * array + 1e-9})


def listed(size: int) -> bytes:
    """A file whose first array says that it has so many bytes, and has none."""
    buffer = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (size,)})
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("gram.npy", header.getvalue())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "message"), [(512 << 20, "not as long as it says"), ((512 << 20) + 1, "at most 536870912")]
)
def test_arrays_of_half_a_gigabyte_are_the_largest(size, message):
    with pytest.raises(DataError, match=message):
        unpacked(listed(size), "a file")
