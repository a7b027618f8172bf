"""`learn`: the filter between two images."""

from __future__ import annotations

from numpy.typing import ArrayLike

from kernelfield.arrays import check_channel_axis
from kernelfield.engine.blas import one_thread
from kernelfield.learning import models
from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import check_noise
from kernelfield.learning.models import Asked, Model
from kernelfield.learning.models.curved import check_curve
from kernelfield.learning.models.in_light import check_light
from kernelfield.learning.models.regularise import Regularise
from kernelfield.learning.models.restriction import Restriction
from kernelfield.learning.models.strided import check_stride
from kernelfield.learning.models.varying import check_degree, check_order
from kernelfield.learning.progress import begin
from kernelfield.learning.support_search import check_max_size, check_size


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
    channels: str = "auto",
    stride: int | tuple[int, int] | None = None,
    light: str | float | None = None,
    curve: str | None = None,
    varying: int | tuple[int, int] | str | None = None,
    background: int = 0,
    weights: ArrayLike | None = None,
    regularise: str | float | tuple[str, float] | None = None,
    nonnegative: bool = False,
    sum_to: float | None = None,
    symmetric: bool | str | None = None,
    support: ArrayLike | None = None,
) -> Fit:
    """Return the filter that made `after` from `before`: its kernel with errors, name, boundary and verdict.

    Exact least squares of ``after[p] = sum over u of kernel[u] * before[p + u] + offset`` over the positions with their
    window inside the image.

    Parameters
    ----------
    before, after : array_like, PIL image, str or path-like
        Shape (H, W) or (H, W, C); a path is read by `kernelfield.images.read`. Of the same size, or the after smaller:
        by ``(kh - 1, kw - 1)``, the valid part; a crop, whose place is found; or reduced, see `stride`. NaN, infinite
        and masked pixels (`numpy.ma`) are excluded. See `channels` for colour.
    size : int or (int, int), optional
        Of the kernel, centred on the output pixel (element ``size // 2``). If not given, size and centre are searched
        for, up to `max_size`; for the valid part the image shapes imply the size.
    max_size : int
        Largest size to search, at most 255.
    mask : array_like of bool, optional
        True for pixels to use. Of the shape of `before` (windows that contain a False are excluded) or of `after`.
    clip : "auto", None or (low, high)
        Range of the after; values at or beyond its ends are excluded if they would bias the fit. ``"auto"`` takes the
        range of an integer dtype, or 0 and 1 for floats that are multiples of 1/255 or 1/65535; None excludes none.
    channel_axis : int or "auto"
        The channel axis of a three-dimensional image; ``"auto"`` takes a last axis of up to 4.
    channels : {"auto", "shared", "separate", "mixed"}
        One kernel for all channels, one for each, or one for each channel of the after and each of the before, which
        then may differ in number: colour matrices, RGB to grey. ``"auto"`` decides by the evidence of the pair. Every
        channel has an offset of its own.
    stride : int or (int, int), optional
        Rows and columns of the before from one pixel of the after to the next, for reduced pictures. By default that of
        the sizes of the pair, 1 to 8, where it explains the pair. Other factors than whole numbers have no one kernel.
    light : "auto", "sRGB", float or None
        The transfer function between stored numbers and light that is undone in both pictures: IEC 61966-2-1 or the
        exponent of a power. ``"auto"`` takes the one that explains the pair much better than none, if one does. The
        kernel and the offset, a share of the light of white, are then of light; residual and verdict of the numbers.
    curve : "auto" or None
        ``"auto"`` learns a pointwise rising curve (tone curve, gamma) before or after the kernel, where one explains
        held-out tiles of the pair much better than the kernel alone.
    noise : (float, float), optional
        Standard deviation of the noise in the before and in the after, if known: least squares is corrected for that
        in the before, which otherwise draws every kernel towards a blur. That in the after gives `Fit.chi_square`; the
        errors rest on the residual, whatever is given.
    varying : int, (int, int) or "auto", optional
        Let the kernel vary over the field: as polynomials of the place up to this total degree, at most 5, or
        bilinearly between the nodes of a grid, (3, 4) for three rows of four. ``"auto"`` takes the degree from 0 to 2
        that the Bayesian information criterion prefers. See `Fit.varying`.
    background : int
        Total degree of the polynomials that are added to each channel; 0 is the offset alone.
    weights : array_like, shape (H, W) of the after, optional
        Weights of the squared residuals, 1 / variance; 0 for pixels that do not count. Only their ratios matter.
    regularise : "auto", "ridge", "smooth", float or (str, float), optional
        Penalise squared weights (``"ridge"``) or their squared second differences (``"smooth"``), for small or
        degenerate pairs; by a strength in units of the Gram matrix, or the likeliest one. ``"auto"`` takes the likelier
        penalty; a number alone is the strength of ``"smooth"``. The errors count the bias.
    nonnegative : bool
        Whether no weight may be negative.
    sum_to : float, optional
        The sum of the weights.
    symmetric : bool or str, optional
        ``"h"`` mirrored left to right, ``"v"`` top to bottom, ``"hv"`` or True both, ``"square"`` at the diagonals too,
        ``"point"`` turned by 180°, ``"radial"`` equal at equal distances from the middle, or ``"auto"`` for the one
        that the Bayesian information criterion prefers.
    support : array_like of bool, shape (kh, kw), optional
        True for weights that may differ from 0; it gives the size.

    Returns
    -------
    Fit

    Raises
    ------
    ArgumentError
        If shapes or an option are invalid, or options cannot be combined.
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
    begin("reading the pair")
    check_channel_axis(channel_axis)
    asked = Asked(
        before,
        after,
        None if size is None else check_size(size),
        check_max_size(max_size),
        mask,
        clip,
        channel_axis,
        check_noise(noise),
    )
    model = Model(
        channels=channels,
        light=check_light(light),
        curve=check_curve(curve),
        stride=None if stride is None else check_stride(stride),
        varying=None if varying is None else check_order("varying", varying),
        background=check_degree("background", background),
        weights=weights,
        regularise=Regularise.checked(regularise),
        restriction=Restriction.checked(symmetric, sum_to, nonnegative, support),
    )
    with one_thread():
        return models.fit(model, asked)
