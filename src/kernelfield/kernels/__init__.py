"""Kernels and their catalogue: the `Kernel` class, the families of designed kernels, and names for estimated ones."""

from kernelfield.kernels.blurs import disk, motion
from kernelfield.kernels.catalogue import CATALOGUE, design, parse
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
from kernelfield.kernels.matching import Match, match
from kernelfield.kernels.sharpening import sharpen, unsharp
from kernelfield.kernels.smoothing import binomial, box, gaussian, identity, rings, shift, smooth
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
