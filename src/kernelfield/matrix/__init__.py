"""The operation as a matrix: sparse matrix, linear operator, im2col, condition number and null space.

SciPy is imported by the first call that needs it.
"""

from kernelfield.matrix.columns import col2im, im2col
from kernelfield.matrix.condition import Condition, condition_number
from kernelfield.matrix.nullspace import NullSpace, null_space
from kernelfield.matrix.operator import as_operator
from kernelfield.matrix.toeplitz import as_matrix

__all__ = [
    "Condition",
    "NullSpace",
    "as_matrix",
    "as_operator",
    "col2im",
    "condition_number",
    "im2col",
    "null_space",
]
