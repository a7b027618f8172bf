"""Link an object file of Halide into one relocatable image, which `_code` brings to memory in well under a millisecond.

Only what Halide emits for x86-64 Linux is understood (System V ABI, AMD64 supplement, chapter 4: sections and the
relocations 64, PC32, PLT32 and GOTPCREL); all else is refused. The image is in three parts, each of whole pages: code,
constants (with the table of addresses that code reads through) and data.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

PAGE = 4096

_ALLOCATED, _EXECUTABLE, _WRITABLE = 2, 4, 1  # flags of a section
_SYMBOLS, _RELOCATIONS, _ZEROS = 2, 4, 8  # types of sections
# Constructors would have to be called. Destructors, which end the pool of threads, need not: it ends with the process.
_CONSTRUCTORS, _DESTRUCTORS = (14, 16), 15
_ABSOLUTE, _RELATIVE, _CALL, _TABLE = 1, 2, 4, 9  # types of relocations
_UNDEFINED, _RESERVED = 0, 0xFF00
_JUMP = 8  # bytes of a jump through the table of addresses


class Image(NamedTuple):
    """Code and data as one block of bytes, to be put anywhere in memory.

    Attributes
    ----------
    content : bytes
        The three parts, one after another.
    parts : tuple of int
        Their sizes in bytes, multiples of `PAGE`.
    relative : tuple of int
        Places of 64-bit numbers to which the address of the image is to be added.
    imports : dict
        Place of a 64-bit number -> name of the function whose address it must hold.
    exports : dict
        Name of a function -> its place.
    """

    content: bytes
    parts: tuple[int, int, int]
    relative: tuple[int, ...]
    imports: dict[int, str]
    exports: dict[str, int]


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class _Symbol(NamedTuple):
    name: str
    section: int
    value: int
    is_exported: bool


class _Relocation(NamedTuple):
    section: int
    offset: int
    type: int
    symbol: int
    addend: int


def link(data: bytes) -> Image:
    """Return the image of an object file.

    Raises
    ------
    ValueError
        If the file holds anything that is not understood.
    """
    kind, machine = struct.unpack_from("<16xHH", data)
    if data[:6] != b"\x7fELF\x02\x01" or (kind, machine) != (1, 62):
        raise ValueError("no object file for x86-64 Linux")
    start, = struct.unpack_from("<40xQ", data)  # fmt: skip
    size, count = struct.unpack_from("<58xHH", data)
    sections = [_Section(*struct.unpack_from("<IIQQQQIIQQ", data, start + i * size)) for i in range(count)]
    symbols = _symbols(data, sections)
    relocations = _relocations(data, sections)
    called = sorted({r.symbol for r in relocations if r.type == _CALL and symbols[r.symbol].section == _UNDEFINED})
    through = sorted({r.symbol for r in relocations if r.type == _TABLE} | set(called))

    places, jumps, table, parts = _laid_out(sections, len(called), len(through))
    content = bytearray(sum(parts))
    for i, place in places.items():
        section = sections[i]
        if section.type != _ZEROS:
            content[place : place + section.size] = data[section.offset : section.offset + section.size]
    address_of = {
        i: places[symbol.section] + symbol.value for i, symbol in enumerate(symbols) if symbol.section in places
    }
    relative: list[int] = []
    imports: dict[int, str] = {}

    def write_address(place: int, symbol: int, addend: int = 0) -> None:
        if symbol in address_of:
            struct.pack_into("<Q", content, place, address_of[symbol] + addend)
            relative.append(place)
        elif symbols[symbol].section == _UNDEFINED and not addend:
            imports[place] = symbols[symbol].name
        else:
            raise ValueError(f"an address of {symbols[symbol]} that is not understood")

    slots = {symbol: table + 8 * i for i, symbol in enumerate(through)}
    for symbol, slot in slots.items():
        write_address(slot, symbol)
    stubs = {}
    for i, symbol in enumerate(called):
        stubs[symbol] = jump = jumps + _JUMP * i
        content[jump : jump + _JUMP] = b"\xff\x25" + struct.pack("<i", slots[symbol] - jump - 6) + b"\x0f\x0b"
    for r in relocations:
        if r.section not in places:
            continue
        place = places[r.section] + r.offset
        if r.type == _ABSOLUTE:
            write_address(place, r.symbol, r.addend)
            continue
        to = slots[r.symbol] if r.type == _TABLE else address_of.get(r.symbol, stubs.get(r.symbol))
        if to is None or r.type not in (_RELATIVE, _CALL, _TABLE):
            raise ValueError(f"a relocation that is not understood: {r} of {symbols[r.symbol]}")
        struct.pack_into("<i", content, place, to + r.addend - place)
    exports = {symbol.name: address_of[i] for i, symbol in enumerate(symbols) if symbol.is_exported and i in address_of}
    return Image(bytes(content), parts, tuple(relative), imports, exports)


def _symbols(data: bytes, sections: list[_Section]) -> list[_Symbol]:
    found = []
    for table in sections:
        if table.type != _SYMBOLS:
            continue
        names = sections[table.link].offset
        for at in range(table.offset, table.offset + table.size, table.entry):
            name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, at)
            text = data[names + name : data.index(b"\0", names + name)].decode()
            # Functions (type 2) that other files see (binding above 0); mangled names are of use within Halide only.
            is_exported = info & 15 == 2 and info >> 4 > 0 and not text.startswith("_Z")
            found.append(_Symbol(text, section, value, is_exported))
    return found


def _relocations(data: bytes, sections: list[_Section]) -> list[_Relocation]:
    found = []
    for table in sections:
        if table.type == _RELOCATIONS and sections[table.info].type != _DESTRUCTORS:
            for at in range(table.offset, table.offset + table.size, table.entry):
                offset, info, addend = struct.unpack_from("<QQq", data, at)
                found.append(_Relocation(table.info, offset, info & 0xFFFFFFFF, info >> 32, addend))
    return found


def _laid_out(
    sections: list[_Section], jumps: int, slots: int
) -> tuple[dict[int, int], int, int, tuple[int, int, int]]:
    """Return the place of each section, of the jumps and of the table of addresses, and the sizes of the parts."""
    parts: list[list[int]] = [[], [], []]
    for i, section in enumerate(sections):
        if section.type in _CONSTRUCTORS:
            raise ValueError("an object file with constructors")
        if section.flags & _ALLOCATED and section.type != _DESTRUCTORS:
            parts[0 if section.flags & _EXECUTABLE else 2 if section.flags & _WRITABLE else 1].append(i)
    places: dict[int, int] = {}
    sizes = []
    extra = []
    at = 0
    for part, more in zip(parts, (_JUMP * jumps, 8 * slots, 0)):
        begin = at
        for i in part:
            align = max(sections[i].alignment, 1)
            if align > PAGE:
                raise ValueError(f"a section aligned to {align} bytes")
            places[i] = at = at + -at % align
            at += sections[i].size
        at += -at % 16
        extra.append(at)
        at += more
        at += -at % PAGE
        sizes.append(at - begin)
    return places, extra[0], extra[1], (sizes[0], sizes[1], sizes[2])
