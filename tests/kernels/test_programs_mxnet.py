"""The program that the lab gives away for MXNet."""

import mxnet  # noqa: F401
from helpers.snippets import check


def test_a_program_correlates():
    check("mxnet")
