"""`learn`: the filter between two images."""

from __future__ import annotations

from numpy.typing import ArrayLike

from kernelfield.learning import models
from kernelfield.learning.fit import Fit
from kernelfield.learning.models import Asked, Model


def learn(
    before: ArrayLike,
    after: ArrayLike,
    *,
    size: int | tuple[int, int] | None = None,
    max_size: int = 255,
    mask: ArrayLike | None = None,
    clip: str | tuple[float, float] | None = "auto",
    channel_axis: int | str | None = "auto",
    noise: tuple[float, float] | None = None,
) -> Fit:
    """Return the filter that made `after` from `before`: its kernel with errors, name, boundary and verdict.

    Exact least squares of ``after[p] = sum over u of kernel[u] * before[p + u] + offset`` over the positions with their
    window inside the image.

    Parameters
    ----------
    before, after : array_like, PIL image, str or path-like
        Shape (H, W) or (H, W, C); a path is read by `kernelfield.images.read`. Of the same size, or the after smaller
        by ``(kh - 1, kw - 1)``, the valid part. NaN, infinite and masked pixels (`numpy.ma`) are excluded. The channels
        of a colour image share one kernel and have an offset each.
    size : int or (int, int), optional
        Of the kernel, centred on the output pixel (element ``size // 2``). If not given, size and centre are searched
        for, up to `max_size`; for a smaller after the image shapes imply the size.
    max_size : int
        Largest size to search, at most 255.
    mask : array_like of bool, optional
        True for pixels to use. Of the shape of `before` (windows that contain a False are excluded) or of `after`.
    clip : "auto", None or (low, high)
        Range of the after; values at or beyond its ends are excluded if they would bias the fit. ``"auto"`` takes the
        range of an integer dtype, or 0 and 1 for floats that are multiples of 1/255 or 1/65535; None excludes none.
    channel_axis : int or "auto"
        The channel axis of a three-dimensional image; ``"auto"`` takes a last axis of up to 4.
    noise : (float, float), optional
        Standard deviation of the noise in the before and in the after, if known: least squares is corrected for that
        in the before, which otherwise draws every kernel towards a blur. That in the after is taken from the residual,
        whatever is given.

    Returns
    -------
    Fit

    Raises
    ------
    ArgumentError
        If shapes, size, mask or clip are invalid.
    DataError
        If too few pixels remain to determine the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfield as kf
    >>> before = np.random.default_rng(0).random((40, 50))
    >>> fit = kf.learn(before, kf.correlate(before, [[1.0, -1.0]], boundary="mirror"))
    >>> fit.verdict, fit.size, fit.anchor, fit.boundary
    ('exact', (1, 2), (0, 1), 'mirror')
    >>> fit.kernel.weights.round(6)
    array([[ 1., -1.]])
    """
    asked = Asked(before, after, size, max_size, mask, clip, channel_axis, noise)
    return models.fit(Model(), asked)
