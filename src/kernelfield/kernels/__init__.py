"""Kernels and their catalogue: the `Kernel` class, the families of designed kernels, and names for estimated ones."""

from kernelfield.kernels.blurs import annulus, disk, motion, oriented_gaussian
from kernelfield.kernels.catalogue import CATALOGUE, design, parse
from kernelfield.kernels.comparison import Compared, Comparison, compare
from kernelfield.kernels.differences import derivative, difference, minimum_size, mixed_derivative, stencil
from kernelfield.kernels.directional import corner, diagonal, edge, line
from kernelfield.kernels.edges import (
    dog,
    emboss,
    farid,
    gaussian_derivative,
    isotropic_laplacian,
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
from kernelfield.kernels.masks import frei_chen, kirsch, laws, robinson
from kernelfield.kernels.matching import Match, match
from kernelfield.kernels.optics import airy, moffat, pinhole
from kernelfield.kernels.polynomials import savitzky_golay
from kernelfield.kernels.properties import Properties
from kernelfield.kernels.resampling import bspline, cubic, lanczos, mitchell, sinc
from kernelfield.kernels.sharpening import sharpen, unsharp
from kernelfield.kernels.smoothing import binomial, box, gaussian, identity, rings, shift, smooth
from kernelfield.kernels.steerable import quadrature, steerable, steerable_basis, steering

__all__ = [
    "CATALOGUE",
    "Compared",
    "Comparison",
    "Kernel",
    "Match",
    "Properties",
    "airy",
    "annulus",
    "binomial",
    "box",
    "bspline",
    "compare",
    "corner",
    "cubic",
    "derivative",
    "design",
    "diagonal",
    "difference",
    "disk",
    "dog",
    "edge",
    "emboss",
    "farid",
    "frei_chen",
    "gabor",
    "gaussian",
    "gaussian_derivative",
    "identity",
    "isotropic_laplacian",
    "kirsch",
    "lanczos",
    "laplacian",
    "laws",
    "line",
    "log",
    "log_gabor",
    "match",
    "minimum_size",
    "mitchell",
    "mixed_derivative",
    "moffat",
    "motion",
    "oriented_gaussian",
    "parse",
    "pinhole",
    "prewitt",
    "quadrature",
    "rings",
    "roberts",
    "robinson",
    "savitzky_golay",
    "scharr",
    "sharpen",
    "shift",
    "sinc",
    "smooth",
    "sobel",
    "sobel_laplacian",
    "steerable",
    "steerable_basis",
    "steering",
    "stencil",
    "unsharp",
]
