"""Dictionaries of kernels learned from patches of natural images."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.coding.encoding import check_luminance, images_of
from kernelfield.coding.matching import Matches, match
from kernelfield.errors import ArgumentError, MissingDependencyError
from kernelfield.kernels.arguments import one_of, whole

Floats = NDArray[np.float64]

# L1 penalty on the coefficients of a patch of unit variance; with lower penalties features do not become edges.
_PENALTY = 3.0


@dataclass(frozen=True, eq=False, repr=False)
class Dictionary:
    """Features learned from image patches; each patch is approximately a weighted sum of them.

    Attributes
    ----------
    kernels : numpy.ndarray, shape (n, size, size)
        The features, of unit energy, sorted by decreasing variance in the images.
    method : str
        ``"ica"`` or ``"dictionary"``.
    patches : int
        Number of patches learned from.
    converged : bool
        Whether the iterations converged; if False, more patches or iterations may change the features.
    """

    kernels: Floats
    method: str
    patches: int
    converged: bool

    def match(self) -> Matches:
        """Return the Gabor functions nearest to the features: `kernelfield.coding.match`."""
        return match(self.kernels)

    def __repr__(self) -> str:
        count, rows, columns = self.kernels.shape
        return f"Dictionary of {count} kernels {rows}×{columns}, by {self.method} from {self.patches:,} patches"


def learn_dictionary(
    images: NDArray[Any] | Sequence[ArrayLike],
    method: str = "ica",
    *,
    size: int = 12,
    components: int = 64,
    patches: int = 30_000,
    iterations: int = 400,
    seed: int = 0,
) -> Dictionary:
    """Return kernels learned from patches of natural images alone: oriented and localised, like Gabor functions.

    The result of Olshausen and Field 1996, "Emergence of simple-cell receptive field properties by learning a sparse
    code for natural images", Nature 381, 607-609, and, by independent components, of Bell and Sejnowski 1997, "The
    'independent components' of natural scenes are edge filters", Vision Research 37(23), 3327-3338.

    Every image is scaled to unit variance, the mean of each patch is subtracted, and the patches are whitened in their
    `components` strongest principal components. Then scikit-learn's FastICA finds statistically independent directions,
    or its MiniBatchDictionaryLearning features with sparse coefficients.

    Parameters
    ----------
    images : numpy.ndarray, shape (H, W), or a sequence of array_like
        Luminance.
    method : {"ica", "dictionary"}
        Independent component analysis, or sparse dictionary learning.
    size : int
        Side of the patches in pixels.
    components : int
        Number of features; fewer than ``size**2``.
    patches : int
        Number of patches, drawn equally from the images.
    iterations : int
        Maximum for ``"ica"``; ``"dictionary"`` makes a fortieth as many passes over the patches.
    seed : int
        Seed for drawing patches and for initial values.

    Returns
    -------
    Dictionary

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed: ``pip install 'kernelfield[learn]'``.
    ArgumentError, DataError
        For invalid numbers or images.

    Examples
    --------
    >>> import kernelfield as kf, numpy as np
    >>> image = np.random.default_rng(0).laplace(size=(64, 64)).cumsum(axis=1)
    >>> kf.coding.learn_dictionary(image, size=5, components=6, patches=500)
    Dictionary of 6 kernels 5×5, by ica from 500 patches
    """
    if importlib.util.find_spec("sklearn") is None:
        raise MissingDependencyError(
            "method: expected scikit-learn; it is not installed; run: pip install 'kernelfield[learn]'"
        )
    one_of("method", method, ("ica", "dictionary"))
    side, count = whole("size", size, 2), whole("components", components, 1)
    if count >= side**2:
        raise ArgumentError(
            f"components: expected fewer than {side**2}, the pixels of a patch; received {count}; take larger patches"
        )
    total = whole("patches", patches, 2 * count)
    several = images_of(images)
    if not several:
        raise ArgumentError("images: expected at least one; received none")
    drawn = _patches([check_luminance(image) for image in several], side, total, np.random.default_rng(seed))
    variances, directions = np.linalg.eigh(drawn.T @ drawn / total)
    strongest = slice(-1, -count - 1, -1)
    scale = np.sqrt(np.maximum(variances[strongest], np.finfo(np.float64).tiny))
    white = drawn @ (directions[:, strongest] / scale)
    learn = _independent if method == "ica" else _sparse
    features, converged = learn(white, whole("iterations", iterations, 1), seed)
    kernels = features @ (directions[:, strongest] * scale).T
    strength = np.linalg.norm(kernels, axis=1)
    order = np.argsort(-strength, kind="stable")
    kernels = kernels[order] / np.maximum(strength[order], np.finfo(np.float64).tiny)[:, None]
    return Dictionary(kernels.reshape(count, side, side), method, total, converged)


def _patches(images: Sequence[Floats], side: int, total: int, rng: np.random.Generator) -> Floats:
    """Return patches (total, side * side) with zero means, from images scaled to unit variance."""
    found = []
    for i, image in enumerate(images):
        if min(image.shape) < side:
            raise ArgumentError(
                f"images: expected sides of at least {side} pixels, one patch; received {image.shape[0]}×"
                f"{image.shape[1]}; take smaller patches"
            )
        windows = np.lib.stride_tricks.sliding_window_view(image / image.std(), (side, side))
        share = total // len(images) + (i < total % len(images))
        rows, columns = (rng.integers(n, size=share) for n in windows.shape[:2])
        found.append(windows[rows, columns].reshape(share, -1))
    drawn = np.concatenate(found)
    return np.asarray(drawn - drawn.mean(axis=1, keepdims=True))


def _independent(white: Floats, iterations: int, seed: int) -> tuple[Floats, bool]:
    """Return independent directions of white patches, and whether FastICA converged."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    search = FastICA(whiten=False, max_iter=iterations, tol=1e-3, random_state=seed)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ConvergenceWarning)
        search.fit(white)
    return np.asarray(search.mixing_).T, not warned


def _sparse(white: Floats, iterations: int, seed: int) -> tuple[Floats, bool]:
    """Return features that code white patches sparsely, and True."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    search = MiniBatchDictionaryLearning(
        white.shape[1],
        alpha=_PENALTY,
        fit_algorithm="cd",
        max_iter=max(1, iterations // 40),
        batch_size=256,
        random_state=seed,
    )
    search.fit(white)
    return np.asarray(search.components_), True
