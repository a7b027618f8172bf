"""Learning kernels: `learn`, `match_psf`, `descend`, `KernelLearner`, and their result, `Fit`."""

from kernelfield.learning.api import learn
from kernelfield.learning.descent import descend
from kernelfield.learning.fit import Fit
from kernelfield.learning.models.psf import match_psf
from kernelfield.learning.streaming import KernelLearner

__all__ = ["Fit", "KernelLearner", "descend", "learn", "match_psf"]
