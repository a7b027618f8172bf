"""Cross-correlation and convolution of arrays and of tensors: `corr2d`, `correlate`, `convolve`, `plan`."""

from kernelfield.correlation.api import convolve, corr2d, correlate, plan

__all__ = ["convolve", "corr2d", "correlate", "plan"]
