"""Learning the kernel between two images: `learn` and its result, `Fit`."""

from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import learn

__all__ = ["Fit", "learn"]
