"""A kernel and a background that vary over the field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.learning.field_basis import Basis


@dataclass(frozen=True, eq=False)
class Varying:
    """Kernel and background as functions of the place: sums of a few fixed ones, weighted over the field.

    The kernel over the pixel (row, column) is ``sum over i of f[i](row, column) * bank[i]``. For an order that is a
    number the functions are products of Legendre polynomials of the row and the column, which run from -1 to 1 over the
    field, up to that total degree: 1; row; column; (3 row² - 1) / 2; row · column; ... For a grid (n, m) they are
    bilinear between its nodes, each 1 at its own, where ``bank[i]`` is then the kernel.

    Attributes
    ----------
    order : int or (int, int)
    shape : (int, int)
        Rows and columns of the field.
    bank, stderr : numpy.ndarray, shape (n, kh, kw)
        The fixed kernels and the standard errors of their weights.
    background_order : int
        Total degree of the background's polynomials.
    background, background_stderr : numpy.ndarray, shape (C, m)
        Coefficients of the background of each channel, in units of the after.
    covariances : numpy.ndarray, shape (kh, kw, n, n), or None
        For each place in the kernel the covariance of that weight of the fixed kernels.
    """

    order: int | tuple[int, int]
    shape: tuple[int, ...]
    bank: np.ndarray
    stderr: np.ndarray
    background_order: int
    background: np.ndarray
    background_stderr: np.ndarray
    covariances: np.ndarray | None = None

    @cached_property
    def functions(self) -> Basis:
        """The functions of the place that multiply the kernels."""
        return Basis(self.order, self.shape)

    def kernel_at(self, row: float, column: float) -> np.ndarray:
        """Return the kernel over a pixel, shape (kh, kw).

        Raises
        ------
        ArgumentError
            If the place lies outside the field.
        """
        if not (0 <= row <= self.shape[0] - 1 and 0 <= column <= self.shape[1] - 1):
            raise ArgumentError(
                f"row, column: expected a place in the field of {self.shape[0]}×{self.shape[1]}; received "
                f"({row:g}, {column:g})"
            )
        kernel: np.ndarray = np.tensordot(self.functions.at(row, column), self.bank, 1)
        return kernel

    def stderr_at(self, row: float, column: float) -> np.ndarray:
        """Return the standard errors of the kernel over a pixel, shape (kh, kw); infinite where they are not known."""
        shares = self.functions.at(row, column)
        if self.covariances is None or not np.isfinite(self.stderr).all():
            return np.full(self.bank.shape[1:], np.inf)
        variances = np.einsum("i,uvij,j->uv", shares, self.covariances, shares)
        found: np.ndarray = np.sqrt(np.maximum(variances, 0.0))
        return found

    @property
    def mean(self) -> np.ndarray:
        """The mean of the kernel over the pixels of the field, shape (kh, kw)."""
        kernel: np.ndarray = np.tensordot(self.functions.means(), self.bank, 1)
        return kernel

    def ratio_map(self) -> np.ndarray:
        """Return the sum of the kernel over each pixel, the photometric ratio of two exposures, shape (H, W)."""
        return _map(self.functions, self.bank.sum(axis=(1, 2)))

    def background_map(self, channel: int = 0) -> np.ndarray:
        """Return the background of a channel over each pixel, the differential background of two exposures."""
        return _map(Basis(self.background_order, self.shape), self.background[channel])


def _map(functions: Basis, coefficients: np.ndarray) -> np.ndarray:
    """Return a sum of functions of the place over the field, shape (H, W)."""
    rows, columns = (functions.along(axis, np.arange(n)) for axis, n in enumerate(functions.shape))
    table = np.zeros((len(rows), len(columns)))
    for (a, b), value in zip(functions.terms, coefficients):
        table[a, b] += value
    result: np.ndarray = rows.T @ table @ columns
    return result
