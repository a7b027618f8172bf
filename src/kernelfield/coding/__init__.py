"""Sparse coding of natural images by banks of sensors, as in Field (1987), and sensors learned from images.

SciPy, scikit-learn and matplotlib are imported by the first call that needs them.
"""

from kernelfield.coding.bandwidth import Bandwidths, by_bandwidth
from kernelfield.coding.dictionary import Dictionary, learn_dictionary
from kernelfield.coding.encoding import Code, code, luminance
from kernelfield.coding.matching import Matches, match
from kernelfield.coding.sensors import Bank, Sensor, bank
from kernelfield.coding.spectrum import AmplitudeSpectrum, amplitude_spectrum
from kernelfield.coding.statistics import kurtosis, relative_response, sparseness

__all__ = [
    "AmplitudeSpectrum",
    "Bandwidths",
    "Bank",
    "Code",
    "Dictionary",
    "Matches",
    "Sensor",
    "amplitude_spectrum",
    "bank",
    "by_bandwidth",
    "code",
    "kurtosis",
    "learn_dictionary",
    "luminance",
    "match",
    "relative_response",
    "sparseness",
]
