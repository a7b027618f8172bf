"""The operation as a matrix: sparse, as an operator without one, as a product with columns of windows, and its limits.

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
