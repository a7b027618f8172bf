"""Designed kernels and their catalogue: what filters are, before they meet an image."""

from kernelfield.kernels.blurs import disk, motion
from kernelfield.kernels.catalogue import CATALOGUE, Match, match
from kernelfield.kernels.differences import derivative, difference, minimum_size, stencil
from kernelfield.kernels.directional import corner, diagonal, edge, line
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
from kernelfield.kernels.gabor import gabor, log_gabor
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.sharpening import sharpen, unsharp
from kernelfield.kernels.smoothing import binomial, box, gaussian, identity, rings, shift, smooth
from kernelfield.kernels.specify import design, parse
from kernelfield.kernels.steerable import steerable, steerable_basis, steering

__all__ = [
    "CATALOGUE",
    "Kernel",
    "Match",
    "binomial",
    "box",
    "corner",
    "derivative",
    "design",
    "diagonal",
    "difference",
    "disk",
    "edge",
    "emboss",
    "gabor",
    "gaussian",
    "gaussian_derivative",
    "identity",
    "laplacian",
    "line",
    "log",
    "log_gabor",
    "match",
    "minimum_size",
    "motion",
    "parse",
    "prewitt",
    "rings",
    "roberts",
    "scharr",
    "sharpen",
    "shift",
    "smooth",
    "sobel",
    "sobel_laplacian",
    "steerable",
    "steerable_basis",
    "steering",
    "stencil",
    "unsharp",
]
