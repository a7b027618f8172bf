"""Symmetries against their definition, one weight at a time."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.errors import ArgumentError
from kernelfield.learning.models.restriction import (
    SYMMETRIES,
    UNRESTRICTED,
    Restriction,
    orbits,
    symmetries_of,
)

SIZES = [(1, 1), (1, 4), (3, 3), (4, 4), (4, 3), (3, 5), (2, 6), (11, 11), (12, 12)]


def equal(size: tuple[int, int], name: str | None, a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Return whether a symmetry makes two weights equal, by their distances from the middle, twice."""
    (y, x), (v, u) = ([2 * i - (n - 1) for i, n in zip(place, size)] for place in (a, b))
    return {
        None: (y, x) == (v, u),
        "radial": y * y + x * x == v * v + u * u,
        "square": sorted((abs(y), abs(x))) == sorted((abs(v), abs(u))),
        "hv": (abs(y), abs(x)) == (abs(v), abs(u)),
        "point": (v, u) in ((y, x), (-y, -x)),
        "h": y == v and abs(x) == abs(u),
        "v": abs(y) == abs(v) and x == u,
    }[name]


def table(size: tuple[int, int], name: str | None) -> np.ndarray:
    places = list(np.ndindex(size))
    return np.array([[equal(size, name, a, b) for b in places] for a in places])


@pytest.mark.parametrize("name", [None, *SYMMETRIES])
@pytest.mark.parametrize("size", SIZES)
def test_weights_have_one_label_where_they_are_equal(size, name):
    if name == "square" and size[0] != size[1]:
        with pytest.raises(ArgumentError, match='symmetric: expected a square kernel for "square"'):
            orbits(size, name)
        return
    labels = orbits(size, name).ravel()
    np.testing.assert_array_equal(labels[:, None] == labels, table(size, name))


@pytest.mark.parametrize("size", SIZES)
def test_symmetries_that_differ_are_listed_once_from_none_to_the_strongest(size):
    names = [name for name in (*SYMMETRIES, None) if name != "square" or size[0] == size[1]]
    tables = {name: table(size, name).tobytes() for name in names}
    found = symmetries_of(size)
    assert len({tables[name] for name in found}) == len(found) == len(set(tables.values()))
    # Of several names for one symmetry it has the strongest, and it ends with that.
    assert (
        found == [name for name in names if tables[name] not in [tables[n] for n in names[: names.index(name)]]][::-1]
    )


def test_a_basis_has_one_kernel_for_each_weight_that_is_free():
    mask = np.ones((3, 4), bool)
    mask[0, 0] = mask[1, 2] = False
    given = Restriction(support=mask)
    basis = given.basis((3, 4), "h")
    assert set(basis.ravel().tolist()) == {0.0, 1.0}
    # Six pairs; those of (0, 0) and of (1, 2) have a weight outside the support.
    np.testing.assert_array_equal(basis.sum(axis=1), [2.0] * 4)
    np.testing.assert_array_equal(basis.sum(axis=0).reshape(3, 4), [[0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(UNRESTRICTED.basis((2, 2), None), np.eye(4))
    with pytest.raises(ArgumentError, match=r"support: expected the kernel's size \(4, 3\); received \(3, 4\)"):
        given.basis((4, 3), None)
    with pytest.raises(ArgumentError, match="support, symmetric: expected a weight whose mirror images"):
        Restriction(support=np.array([[True, False]])).basis((1, 2), "h")


def test_what_is_known_is_told():
    assert UNRESTRICTED.none
    assert Restriction.checked(symmetric=False).none
    for known in ({"symmetric": "h"}, {"sum_to": 0.0}, {"nonnegative": True}, {"support": np.ones((1, 2), bool)}):
        assert not Restriction.checked(**known).none, known
    assert Restriction.checked(True).symmetric == Restriction.checked(np.True_).symmetric == "hv"
    assert Restriction.checked("auto").symmetric == "auto"
    assert Restriction.checked(nonnegative=True, sum_to=1e-9).sum_to == 1e-9
    assert Restriction.checked(sum_to=-1.0).sum_to == -1.0
    with pytest.raises(ArgumentError, match="sum_to, nonnegative: expected a sum above 0"):
        Restriction.checked(nonnegative=True, sum_to=0.0)
    with pytest.raises(ArgumentError, match="symmetric: expected"):
        Restriction.checked(1)
    with pytest.raises(ArgumentError, match=r"support: expected a mask \(kh, kw\).*received shape \(3,\)$"):
        Restriction.checked(support=np.ones(3, bool))
