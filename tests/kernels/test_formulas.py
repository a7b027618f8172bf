"""The formulas of docs/reference/kernels.md, evaluated by SymPy at every weight; and the conventions of that page."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import sympy

from kernelfield import kernels as k
from kernelfield.kernels.conventions import DIRECTED, convention, table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "kernels.md").read_text(encoding="utf-8")
FORMULAS = re.search(r"## Formulas\n.*?```\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
R, C = sympy.symbols("r c")


def functions(shape):
    """Return the names of the page: offsets, coordinates of an angle, the distance, a Gaussian, Mitchell's cubic."""
    grid = [(sympy.Integer(i), sympy.Integer(j)) for i in offsets(shape[0]) for j in offsets(shape[1])]

    def gaussian(sigma):
        bell = sympy.exp(-(R**2 + C**2) / (2 * sigma**2))
        return bell / sum(bell.subs({R: i, C: j}) for i, j in grid)

    def mitchell(t):
        t, third = sympy.Abs(t), sympy.Rational(1, 3)
        near = (12 - 9 * third - 6 * third) * t**3 + (-18 + 12 * third + 6 * third) * t**2 + (6 - 2 * third)
        far = -7 * third * t**3 + 36 * third * t**2 - 60 * third * t + 32 * third
        return sympy.Piecewise((near, t < 1), (far, t < 2), (0, True)) / 6

    def along(angle):
        return C * sympy.cos(sympy.rad(angle)) + R * sympy.sin(sympy.rad(angle))

    def across(angle):
        return R * sympy.cos(sympy.rad(angle)) - C * sympy.sin(sympy.rad(angle))

    return {"r": R, "c": C, "x": along, "y": across, "rho": sympy.sqrt(R**2 + C**2), "g": gaussian, "M": mitchell}


def offsets(n):
    return range(-(n // 2), n // 2 + 1)


@pytest.mark.parametrize("line", FORMULAS, ids=lambda line: line.partition(" = ")[0])
def test_every_weight_is_that_of_the_formula(line):
    text, _, formula = line.partition(" = ")
    kernel = k.parse(text)
    formula, over, _ = formula.partition(", over the sum")
    expression = sympy.sympify(formula, locals=functions(kernel.shape))

    def value(i, j):
        # A quotient 0/0 in the middle has a limit.
        at = sympy.limit(expression.subs(C, 0), R, 0) if expression.has(sympy.besselj) and i == j == 0 else None
        return float((expression.subs({R: i, C: j}) if at is None else at).evalf(30))

    expected = np.array([[value(i, j) for j in offsets(kernel.shape[1])] for i in offsets(kernel.shape[0])])
    expected = expected / expected.sum() if over else expected
    np.testing.assert_allclose(kernel.weights, expected, atol=1e-12 * np.abs(expected).max())


def test_the_page_has_formulas():
    assert len(FORMULAS) > 10


@pytest.mark.parametrize("family", DIRECTED)
def test_both_values_have_the_convention_of_the_table(family):
    first, second = (convention(family, value) for value in DIRECTED[family][1])
    assert (first.along, first.sign) == (second.along, second.sign)
    assert f"| `{family}` |" in table()


def test_signs_and_places_as_stated():
    assert [convention(name).sign for name in ("edge", "emboss", "roberts", "difference", "gabor")] == [
        1,
        -1,
        -1,
        -1,
        -1,
    ]
    assert not any(convention(name).along for name in ("line", "motion", "oriented_gaussian"))
    assert convention("roberts").middle == (0.5, 0.5)


def test_every_family_with_a_direction_is_in_the_table_and_says_it():
    words = {"axis", "direction", "orientation", "angle", "diagonal"}
    directed = {name for name, family in k.CATALOGUE.items() if words & set(inspect.signature(family).parameters)}
    assert directed == set(DIRECTED)
    for name in directed:
        assert re.search(r"degrees|[Dd]own|vertical|upper left", k.CATALOGUE[name].__doc__), name
