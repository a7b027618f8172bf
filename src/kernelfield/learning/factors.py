"""Systems of equations by Cholesky's factor, with NumPy alone: `scipy.linalg` takes longer to load than to learn."""

from __future__ import annotations

import numpy as np

# Rows that are solved for at once; all others are products of matrices.
_BLOCK = 64


def forward(lower: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the solution of ``lower @ solution = right``.

    Block by block (Golub and Van Loan, *Matrix Computations*, 4th ed., section 3.1.4).

    Parameters
    ----------
    lower : numpy.ndarray, shape (p, p)
        Lower triangular.
    right : numpy.ndarray, shape (p,) or (p, n)

    Examples
    --------
    >>> forward(np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([2.0, 9.0]))
    array([1., 2.])
    """
    solution = np.array(right, dtype=np.float64)
    for start in range(0, len(lower), _BLOCK):
        part = slice(start, start + _BLOCK)
        solution[part] -= lower[part, :start] @ solution[:start]
        solution[part] = np.linalg.solve(lower[part, part], solution[part])
    return solution


def backward(lower: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the solution of ``lower.T @ solution = right``; arguments as in `forward`.

    Examples
    --------
    >>> backward(np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([4.0, 8.0]))
    array([1., 2.])
    """
    # BLAS takes no negative strides.
    turned = np.ascontiguousarray(lower[::-1, ::-1].T)
    return forward(turned, right[::-1])[::-1]


def solved(lower: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the solution of ``lower @ lower.T @ solution = right``; arguments as in `forward`.

    Examples
    --------
    >>> solved(np.linalg.cholesky(np.array([[4.0, 2.0], [2.0, 5.0]])), np.array([8.0, 12.0]))
    array([1., 2.])
    """
    return backward(lower, forward(lower, right))


def inverted(lower: np.ndarray) -> np.ndarray:
    """Return the inverse of a lower triangular matrix, which is lower triangular.

    Examples
    --------
    >>> inverted(np.array([[2.0, 0.0], [1.0, 4.0]]))
    array([[ 0.5  ,  0.   ],
           [-0.125,  0.25 ]])
    """
    inverse = np.eye(len(lower))
    for start in range(0, len(lower), _BLOCK):
        part, columns = slice(start, start + _BLOCK), slice(start + _BLOCK)
        inverse[part, :start] = -lower[part, :start] @ inverse[:start, :start]
        inverse[part, columns] = np.linalg.solve(lower[part, part], inverse[part, columns])
    return inverse
