"""Designed kernels and their catalogue: what filters are, before they meet an image."""

from kernelfield.kernels.catalogue import CATALOGUE, Match, match
from kernelfield.kernels.differences import derivative, difference, stencil
from kernelfield.kernels.edges import (
    emboss,
    gaussian_derivative,
    laplacian,
    log,
    prewitt,
    roberts,
    scharr,
    sobel,
    sobel_laplacian,
)
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.sharpening import sharpen, unsharp
from kernelfield.kernels.smoothing import binomial, box, gaussian, identity, rings, shift, smooth

__all__ = [
    "CATALOGUE",
    "Kernel",
    "Match",
    "binomial",
    "box",
    "derivative",
    "difference",
    "emboss",
    "gaussian",
    "gaussian_derivative",
    "identity",
    "laplacian",
    "log",
    "match",
    "prewitt",
    "rings",
    "roberts",
    "scharr",
    "sharpen",
    "shift",
    "smooth",
    "sobel",
    "sobel_laplacian",
    "stencil",
    "unsharp",
]
