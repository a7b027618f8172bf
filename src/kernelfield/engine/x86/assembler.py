"""Encode the few x86-64 instructions that the engine's own code is made of.

Registers are numbers: 0 to 15 of the general ones (``RAX`` …) and of the vector ones. An operand in memory is a
`Memory`. Encodings are those of the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: chapter 2
has the prefixes, and the pages of the instructions the rest.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)

_NONE, _66, _F3, _F2 = range(4)  # prefixes of an opcode
_0F, _0F38, _0F3A = 1, 2, 3  # maps of opcodes


class Memory(NamedTuple):
    """What lies at ``base + offset``, or at ``base + scale * by + offset``."""

    base: int
    offset: int = 0
    by: int | None = None
    scale: int = 1


Operand = int | Memory


class _Vector(NamedTuple):
    """How an instruction on vector registers is encoded: prefix, map, opcode, the bit W."""

    prefix: int
    map: int
    opcode: int
    w: int = 0


_VECTOR = {
    "vaddpd": _Vector(_66, _0F, 0x58),
    "vaddps": _Vector(_NONE, _0F, 0x58),
    "vandps": _Vector(_NONE, _0F, 0x54),
    "vbroadcastsd": _Vector(_66, _0F38, 0x19),
    "vbroadcastss": _Vector(_66, _0F38, 0x18),
    "vcmppd": _Vector(_66, _0F, 0xC2),
    "vcmpps": _Vector(_NONE, _0F, 0xC2),
    "vcvtdq2pd": _Vector(_F3, _0F, 0xE6),
    "vcvtdq2ps": _Vector(_NONE, _0F, 0x5B),
    "vcvtpd2dq": _Vector(_F2, _0F, 0xE6),
    "vcvtpd2ps": _Vector(_66, _0F, 0x5A),
    "vcvtps2dq": _Vector(_66, _0F, 0x5B),
    "vcvtps2pd": _Vector(_NONE, _0F, 0x5A),
    "vextracti128": _Vector(_66, _0F3A, 0x39),
    "vfmadd231pd": _Vector(_66, _0F38, 0xB8, 1),
    "vfmadd231ps": _Vector(_66, _0F38, 0xB8),
    "vmaxpd": _Vector(_66, _0F, 0x5F),
    "vmaxps": _Vector(_NONE, _0F, 0x5F),
    "vminpd": _Vector(_66, _0F, 0x5D),
    "vminps": _Vector(_NONE, _0F, 0x5D),
    "vmovmskps": _Vector(_NONE, _0F, 0x50),  # to a general register
    "vmovups": _Vector(_NONE, _0F, 0x10),
    "vmulpd": _Vector(_66, _0F, 0x59),
    "vmulps": _Vector(_NONE, _0F, 0x59),
    "vpackssdw": _Vector(_66, _0F, 0x6B),
    "vpackusdw": _Vector(_66, _0F38, 0x2B),
    "vpackuswb": _Vector(_66, _0F, 0x67),
    "vpmovsxwd": _Vector(_66, _0F38, 0x23),
    "vpmovzxbd": _Vector(_66, _0F38, 0x31),
    "vpmovzxwd": _Vector(_66, _0F38, 0x33),
    "vroundpd": _Vector(_66, _0F3A, 0x09),
    "vroundps": _Vector(_66, _0F3A, 0x08),
    "vsubpd": _Vector(_66, _0F, 0x5C),
    "vsubps": _Vector(_NONE, _0F, 0x5C),
    "vxorps": _Vector(_NONE, _0F, 0x57),
    # Stores: the register is the source.
    "vmovd_to": _Vector(_66, _0F, 0x7E),
    "vmovq_to": _Vector(_66, _0F, 0xD6),
    "vmovups_to": _Vector(_NONE, _0F, 0x11),
}
_CONDITIONS = {"equal": 4, "not equal": 5, "less": 12, "greater or equal": 13}
_ARITHMETIC = {"add": 0, "sub": 5, "cmp": 7}


class Assembler:
    """Bytes of code, one instruction after another."""

    def __init__(self) -> None:
        self.code = bytearray()
        self._places: list[int | None] = []
        self._jumps: list[tuple[int, int]] = []

    def label(self) -> int:
        """Return a new label, which `bind` puts somewhere."""
        self._places.append(None)
        return len(self._places) - 1

    def bind(self, label: int) -> None:
        """Put a label here."""
        self._places[label] = len(self.code)

    def here(self) -> int:
        """Return a label that is here."""
        label = self.label()
        self.bind(label)
        return label

    def jump(self, label: int, condition: str | None = None) -> None:
        """Jump to a label, always or if the last comparison says so."""
        self.code += b"\xe9" if condition is None else bytes((0x0F, 0x80 + _CONDITIONS[condition]))
        self._jumps.append((len(self.code), label))
        self.code += bytes(4)

    def finished(self) -> bytes:
        """Return the code, with every jump told where to go."""
        for at, label in self._jumps:
            to = self._places[label]
            assert to is not None, "a label was never bound"
            struct.pack_into("<i", self.code, at, to - at - 4)
        return bytes(self.code)

    def vector(
        self, name: str, register: int, first: int, second: Operand, immediate: int | None = None, bits: int = 256
    ) -> None:
        """Write a vector instruction ``name register, first, second``; `first` is 0 where there are two operands."""
        prefix, opcodes, opcode, w = _VECTOR[name]
        base, index = (second, 0) if isinstance(second, int) else (second.base, second.by or 0)
        far = (register >> 3, index >> 3, base >> 3)
        last = (~first & 15) << 3 | (bits == 256) << 2 | prefix
        if opcodes == _0F and not (w or far[1] or far[2]):
            head = bytes((0xC5, (far[0] ^ 1) << 7 | last))
        else:
            head = bytes((0xC4, (far[0] ^ 1) << 7 | (far[1] ^ 1) << 6 | (far[2] ^ 1) << 5 | opcodes, w << 7 | last))
        self.code += head + bytes((opcode,)) + _place(register, second)
        if immediate is not None:
            self.code.append(immediate)

    def load(self, register: int, source: Memory) -> None:
        """Load 64 bits."""
        self._general(0x8B, register, source)

    def store(self, target: Memory, register: int) -> None:
        """Store 64 bits."""
        self._general(0x89, register, target)

    def move(self, register: int, source: int) -> None:
        """Copy a register."""
        self._general(0x8B, register, source)

    def move_half(self, register: int, source: int) -> None:
        """Copy the lower 32 bits of one of the first eight registers to another; the upper ones become 0."""
        self.code += bytes((0x8B, 0xC0 | register << 3 | source))

    def address(self, register: int, source: Memory) -> None:
        """Take the address of what lies in memory."""
        self._general(0x8D, register, source)

    def compute(self, name: str, register: int, operand: Operand) -> None:
        """Write ``register = register name operand`` (add, sub); cmp only compares."""
        self._general(8 * _ARITHMETIC[name] + 3, register, operand)

    def compute_number(self, name: str, register: int, number: int) -> None:
        """Do the same with a number of 32 bits."""
        small = -128 <= number < 128
        self._general(0x83 if small else 0x81, _ARITHMETIC[name], register)
        self.code += struct.pack("<b" if small else "<i", number)

    def multiply(self, register: int, operand: Operand) -> None:
        """Write ``register = register * operand``."""
        self._general(0xAF, register, operand, b"\x0f")

    def divide(self, operand: Memory) -> None:
        """Divide RAX: the quotient goes to RAX, the remainder to RDX."""
        self.zero(RDX)
        self._general(0xF7, 6, operand)

    def number(self, register: int, value: int) -> None:
        """Write a number of 32 bits into a register."""
        self._general(0xC7, 0, register)
        self.code += struct.pack("<i", value)

    def zero(self, register: int) -> None:
        """Make a register 0."""
        self._general(0x33, register, register)

    def push(self, register: int) -> None:
        """Push a register."""
        self.code += (b"\x41" if register > 7 else b"") + bytes((0x50 | register & 7,))

    def pop(self, register: int) -> None:
        """Pop a register."""
        self.code += (b"\x41" if register > 7 else b"") + bytes((0x58 | register & 7,))

    def clear_upper(self) -> None:
        """Leave the upper halves of the vector registers clean (``vzeroupper``)."""
        self.code += b"\xc5\xf8\x77"

    def call(self, label: int) -> None:
        """Call what is at a label."""
        self.code += b"\xe8"
        self._jumps.append((len(self.code), label))
        self.code += bytes(4)

    def move_element(self, size: int, register: int, source: Memory, target: Memory) -> None:
        """Copy 1, 2, 4 or 8 bytes by way of one of the first four registers."""
        for opcode, place in ((0x8A, source), (0x88, target)):
            wide = size == 8
            rex = 0x40 | wide << 3 | ((place.by or 0) >> 3) << 1 | place.base >> 3
            self.code += (b"\x66" if size == 2 else b"") + bytes((rex, opcode | (size > 1))) + _place(register, place)

    def load_signed_half(self, register: int, source: Memory) -> None:
        """Load 32 bits and extend their sign."""
        self._general(0x63, register, source)

    def give_back(self) -> None:
        """Return from the function."""
        self.code += b"\xc3"

    def _general(self, opcode: int, register: int, operand: Operand, escape: bytes = b"") -> None:
        base, index = (operand, 0) if isinstance(operand, int) else (operand.base, operand.by or 0)
        wide = 0x48 | (register >> 3) << 2 | (index >> 3) << 1 | base >> 3
        self.code += bytes((wide,)) + escape + bytes((opcode,)) + _place(register, operand)


def _place(register: int, operand: Operand) -> bytes:
    """Return the bytes ModRM, SIB and displacement."""
    middle = (register & 7) << 3
    if isinstance(operand, int):
        return bytes((0xC0 | middle | operand & 7,))
    base = operand.base & 7
    offset = operand.offset
    if offset == 0 and base != RBP:
        mode, rest = 0x00, b""
    elif -128 <= offset < 128:
        mode, rest = 0x40, struct.pack("<b", offset)
    else:
        mode, rest = 0x80, struct.pack("<i", offset)
    if operand.by is None and base != RSP:
        return bytes((mode | middle | base,)) + rest
    index = RSP if operand.by is None else operand.by & 7
    scale = operand.scale.bit_length() - 1
    return bytes((mode | middle | RSP, scale << 6 | index << 3 | base)) + rest
