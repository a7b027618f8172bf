"""Learning the kernel between two images: `learn`, `descend`, and their result, `Fit`."""

from kernelfield.learning.descent import descend
from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import learn

__all__ = ["Fit", "descend", "learn"]
