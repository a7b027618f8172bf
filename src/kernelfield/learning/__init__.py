"""Learning the kernel between two images."""

from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import learn

__all__ = ["Fit", "learn"]
