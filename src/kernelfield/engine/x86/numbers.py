"""How numbers of each type are loaded, summed and stored by the code of `sliding` and `passes`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from kernelfield.engine.x86.assembler import Assembler, Memory, Operand

#: Types of images that each type of sums takes.
LOADED = {
    "float32": ("uint8", "uint16", "int16", "int32", "float32"),
    "float64": ("uint8", "uint16", "int16", "int32", "float32", "float64"),
}
#: Types of results beside that of the sums; integers are rounded and saturated.
STORED = {"float32": ("uint8", "uint16", "int16"), "float64": ("uint8", "uint16", "int16", "float32")}


@lru_cache
def serves(image: np.dtype[Any], sums: np.dtype[Any], out: np.dtype[Any]) -> bool:
    """Return whether there is code for these dtypes."""
    return image.name in LOADED.get(sums.name, ()) and (out == sums or out.name in STORED[sums.name])


#: Bytes of a number.
SIZES = {"uint8": 1, "uint16": 2, "int16": 2, "int32": 4, "float32": 4, "float64": 8}
_WIDENED = {"uint8": "vpmovzxbd", "uint16": "vpmovzxwd", "int16": "vpmovsxwd"}
_ORDERED = 7  # vcmpps: neither is NaN
_GREATER = 30  # vcmpps: and not NaN
_NEAREST, _DOWN = 8, 9  # vroundps: to the nearest integer, halves to even, or the next lower, no word about precision


class Numbers:
    """Instructions for three types.

    Attributes
    ----------
    lanes : int
        Sums that one register holds.
    image_size, size, out_size : int
        Bytes of a pixel, of a sum and of a result.
    rounds : bool
        Whether results are integers.
    """

    def __init__(self, asm: Assembler, image: str, sums: str, out: str) -> None:
        self._asm, self._image, self._out = asm, image, out
        self._suffix = {"float32": "s", "float64": "d"}[sums]
        self.image_size, self.size, self.out_size = SIZES[image], SIZES[sums], SIZES[out]
        self.lanes = 32 // self.size
        self.rounds = "int" in out

    def load(self, register: int, source: Memory) -> None:
        """Load pixels as sums."""
        asm = self._asm
        if self._image in _WIDENED:
            asm.vector(_WIDENED[self._image], register, 0, source, bits=256 if self._suffix == "s" else 128)
            asm.vector(f"vcvtdq2p{self._suffix}", register, 0, register)
        elif self._image == "int32":
            asm.vector(f"vcvtdq2p{self._suffix}", register, 0, source)
        else:
            asm.vector("vmovups" if self.image_size == self.size else "vcvtps2pd", register, 0, source)

    def broadcast(self, register: int, source: Memory) -> None:
        """Fill a register with one number."""
        self._asm.vector(f"vbroadcasts{self._suffix}", register, 0, source)

    def multiply_add(self, register: int, first: int, second: Operand) -> None:
        """Add a product to a register, rounded once."""
        self._asm.vector(f"vfmadd231p{self._suffix}", register, first, second)

    def add(self, register: int, first: int, second: Operand) -> None:
        """Add."""
        self._asm.vector(f"vaddp{self._suffix}", register, first, second)

    def subtract(self, register: int, first: int, second: Operand) -> None:
        """Subtract the second from the first."""
        self._asm.vector(f"vsubp{self._suffix}", register, first, second)

    def scale(self, register: int, first: int, second: int) -> None:
        """Multiply."""
        self._asm.vector(f"vmulp{self._suffix}", register, first, second)

    def least(self, register: int, first: int, second: int) -> None:
        """Take the lesser."""
        self._asm.vector(f"vminp{self._suffix}", register, first, second)

    def greatest(self, register: int, first: int, second: int) -> None:
        """Take the greater."""
        self._asm.vector(f"vmaxp{self._suffix}", register, first, second)

    def without_nan(self, register: int, spare: int) -> None:
        """Make NaN 0."""
        self._asm.vector(f"vcmpp{self._suffix}", spare, register, register, _ORDERED)
        self._asm.vector("vandps", register, register, spare)

    def down(self, register: int) -> None:
        """Round down."""
        self._asm.vector(f"vroundp{self._suffix}", register, 0, register, _DOWN)

    def furthest(self, registers: Iterable[int], most: int, least: int, spare: int) -> None:
        """Write to `most` how far the numbers of some registers are from integers: of each lane the furthest."""
        for register in (most, least):
            self._asm.vector("vxorps", register, register, register)
        for register in registers:
            self._asm.vector(f"vroundp{self._suffix}", spare, 0, register, _NEAREST)
            self.subtract(spare, register, spare)
            self.greatest(most, most, spare)
            self.least(least, least, spare)
        self._asm.vector("vxorps", spare, spare, spare)
        self.subtract(spare, spare, least)
        self.greatest(most, most, spare)

    def mask_greater(self, general: int, register: int, limit: int) -> None:
        """Write bits to a general register: of lanes that are greater than a limit."""
        self._asm.vector("vcmpps", register, register, limit, _GREATER)
        self._asm.vector("vmovmskps", general, 0, register)

    def store(self, target: Memory, register: int, spare: int) -> None:
        """Store results; integers are rounded to nearest, halves to even, and must be within the type's limits."""
        asm, narrow = self._asm, dict(bits=128)
        if not self.rounds:
            if self.out_size < self.size:
                asm.vector("vcvtpd2ps", register, 0, register)
            asm.vector("vmovups_to", register, 0, target, bits=256 * self.out_size // self.size)
            return
        pack = "vpackssdw" if self._out == "int16" else "vpackusdw"
        if self._suffix == "s":
            asm.vector("vcvtps2dq", register, 0, register)
            asm.vector("vextracti128", register, 0, spare, 1)  # the register is the source, the spare one the target
            asm.vector(pack, register, register, spare, **narrow)
            to = "vmovq_to" if self.out_size == 1 else "vmovups_to"
        else:
            asm.vector("vcvtpd2dq", register, 0, register)
            asm.vector(pack, register, register, register, **narrow)
            to = "vmovd_to" if self.out_size == 1 else "vmovq_to"
        if self.out_size == 1:
            asm.vector("vpackuswb", register, register, register, **narrow)
        asm.vector(to, register, 0, target, **narrow)
