"""Learning the kernel between two images: `learn`, `descend`, and their result, `Fit`."""

from kernelfield.learning.api import learn
from kernelfield.learning.descent import descend
from kernelfield.learning.fit import Fit

__all__ = ["Fit", "descend", "learn"]
