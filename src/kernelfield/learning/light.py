"""Light: transfer functions between stored numbers and the intensity of light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# IEC 61966-2-1:1999, section 5.2: the linear part, its end in stored numbers, and the power above it.
_SLOPE, _END, _SHIFT, _POWER = 12.92, 0.04045, 0.055, 2.4


@dataclass(frozen=True)
class Light:
    """A transfer function, with the numbers that stand for white in the before and in the after.

    Attributes
    ----------
    transfer : "sRGB" or float
        IEC 61966-2-1, or the exponent of a power.
    before_white, after_white : float
        255 for 8 bits.
    """

    transfer: str | float
    before_white: float = 1.0
    after_white: float = 1.0

    def __str__(self) -> str:
        return "sRGB" if self.transfer == "sRGB" else f"power {self.transfer:.4g}"

    def decode(self, values: np.ndarray, white: float = 1.0) -> np.ndarray:
        """Return the light of stored numbers as a share of that of white, in float64; odd about 0.

        Examples
        --------
        >>> Light("sRGB").decode(np.array([0.0, 0.04045, 0.5, 1.0])).round(6)
        array([0.      , 0.003131, 0.214041, 1.      ])
        """
        shares = np.asarray(values, np.float64) / white
        size = np.abs(shares)
        if self.transfer == "sRGB":
            light = np.where(size <= _END, size / _SLOPE, ((size + _SHIFT) / (1.0 + _SHIFT)) ** _POWER)
        else:
            light = size ** float(self.transfer)
        signed: np.ndarray = np.copysign(light, shares)
        return signed

    def encode(self, light: np.ndarray, white: float = 1.0) -> np.ndarray:
        """Return the stored numbers of light, in float64: the inverse of `decode`.

        Examples
        --------
        >>> Light(2.2).encode(Light(2.2).decode(np.array([-0.5, 0.0, 0.25, 2.0]))).round(12)
        array([-0.5 ,  0.  ,  0.25,  2.  ])
        """
        size = np.abs(np.asarray(light, np.float64))
        if self.transfer == "sRGB":
            stored = np.where(size <= _END / _SLOPE, size * _SLOPE, (1.0 + _SHIFT) * size ** (1.0 / _POWER) - _SHIFT)
        else:
            stored = size ** (1.0 / float(self.transfer))
        encoded: np.ndarray = np.copysign(stored, light) * white
        return encoded
