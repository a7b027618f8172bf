"""Extreme arguments of every family: a kernel of finite weights, or one line that says why there is none."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from kernelfield.errors import AccuracyWarning, ArgumentError
from kernelfield.kernels import CATALOGUE
from kernelfield.kernels.catalogue import parameters_of
from kernelfield.kernels.descriptions import describe

NEEDED = {"rows": 1, "columns": 2}
EXTREMES = [
    *(1e308, -1e308, 1e-308, 5e-324, math.nan, math.inf, 0, -1, 2**31, 2**63, 10**400, 0.5),
    *("", "x", None, True, [[1]], (), (1, 2, 3, 4), (1e308, 1e308), (1e-308, 0.0), (10**400, 1), (math.nan, 1.0)),
]
CASES = [(family, key) for family in CATALOGUE for key in parameters_of(family)]


@pytest.mark.parametrize(("family", "key"), CASES, ids=map("-".join, CASES))
def test_a_kernel_or_one_line(family, key):
    given = {name: value for name, value in NEEDED.items() if name in parameters_of(family)}
    for value in EXTREMES:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", AccuracyWarning)
            kernel, message = None, ""
            try:
                kernel = CATALOGUE[family](**given | {key: value})
            except ArgumentError as error:
                message = str(error)
            if kernel is None:
                assert 0 < len(message) <= 600
                assert "\n" not in message
            else:
                assert np.isfinite(kernel.weights).all()
                assert describe(kernel)


def test_the_message_names_the_argument():
    with pytest.raises(ArgumentError, match=r"^sharpen: expected .* received amount=1e\+308 .*; take values"):
        CATALOGUE["sharpen"](amount=1e308)
