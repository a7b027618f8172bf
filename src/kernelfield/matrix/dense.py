"""Singular values and vectors of a matrix too large in one direction to be held dense: its rows come block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Rows of a block, in columns of the matrix: each block factorises as many rows as the matrix has columns once more.
_BLOCK = 3


def triangle(matrix: csr_array) -> np.ndarray:
    """Return a matrix of no more rows than columns with the singular values and right singular vectors of `matrix`.

    The triangular factor R of A = Q R, updated by blocks of rows: Q is never made, and of A only a few
    squares of its columns are dense at a time. Householder's factorisation of each step is backward stable, unlike
    the product Aᵀ A.

    References
    ----------
    G. H. Golub and C. F. Van Loan, *Matrix Computations*, 4th edition, sections 5.2 and 6.5.3 (appending rows).
    """
    rows, columns = matrix.shape
    if rows <= columns:
        return np.asarray(matrix.toarray())
    factor, block = np.zeros((0, columns)), _BLOCK * columns
    for start in range(0, rows, block):
        rest = np.concatenate([factor, matrix[start : start + block].toarray()])
        factor = np.asarray(np.linalg.qr(rest, mode="r"))
    return factor


def singular_values(matrix: csr_array) -> np.ndarray:
    """Return the singular values, the largest first: as many as the smaller of rows and columns."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T.tocsr()
    return np.asarray(np.linalg.svd(triangle(tall), compute_uv=False))
