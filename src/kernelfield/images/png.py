"""PNG files (W3C PNG, third edition): chunks are parsed here, deflate and filters undone by Pillow's decoder.

Pillow's PNG reader silently drops the low byte of 16-bit colour and warns about chunks that are not needed here. Its
decoder alone does neither, has no global pixel limit, and returns both bytes in two passes.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from kernelfield.errors import FileError
from kernelfield.images import orientation
from kernelfield.images.limits import DEFLATE_RATIO, check_pixels, check_supply
from kernelfield.images.picture import GREY, RGB, Decoded, Pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PALETTE = 3


@dataclass(frozen=True)
class Header:
    """The IHDR chunk."""

    width: int
    height: int
    depth: int
    kind: int
    interlace: int

    @property
    def row_bytes(self) -> int:
        """Number of bytes in one unfiltered row."""
        return (self.width * SAMPLES[self.kind] * self.depth + 7) // 8


def decode(file: BinaryIO, size: int, max_pixels: int) -> Decoded:
    """Return the first picture of a PNG file of `size` bytes."""
    file.seek(len(SIGNATURE))
    header = _header(file, size)
    check_pixels(header.height, header.width, SAMPLES[header.kind], max_pixels)
    chunks = _chunks(file, size)
    stream = chunks["IDAT"]
    check_supply(header.height * header.row_bytes, len(stream), DEFLATE_RATIO)

    found = Decoded(_unpack(header, stream), GREY, orientation.find(chunks.get("eXIf", b"")))
    if header.kind == PALETTE:
        found.pixels = _expand(found.pixels, chunks.get("PLTE", b""))
        found.notes.append("palette expanded to RGB")
    elif header.depth < 8:
        found.notes.append(f"{header.depth}-bit grey spread over 0 to 255")
    if header.kind in (4, 6):
        found.pixels = found.pixels[..., 0] if header.kind == 4 else found.pixels[..., :3]
        found.notes.append("alpha channel left out")
    elif "tRNS" in chunks:
        found.notes.append("alpha of the palette left out" if header.kind == PALETTE else "transparent colour kept")
    frames = int.from_bytes(chunks.get("acTL", b"")[:4], "big")
    if frames > 1:
        found.notes.append(f"first of {frames} frames")
    found.channels = GREY if found.pixels.ndim == 2 else RGB
    return found


def _header(file: BinaryIO, size: int) -> Header:
    name, body = _chunk(file, size)
    if name != "IHDR" or len(body) != 13:
        raise FileError("the PNG header is damaged; expected an IHDR chunk first; copy or export the file again")
    width, height, depth, kind, method, filters, interlace = struct.unpack(">IIBBBBB", body)
    if depth not in DEPTHS.get(kind, ()) or method or filters or interlace > 1:
        raise FileError(
            f"the PNG header is damaged: colour type {kind}, {depth} bits, methods {method}, {filters}, "
            f"{interlace} do not go together; expected those of the PNG standard; copy or export the file "
            "again"
        )
    return Header(width, height, depth, kind, interlace)


def _chunk(file: BinaryIO, size: int) -> tuple[str, bytes]:
    """Return the name and body of the next chunk; bodies that are not needed are skipped."""
    head = file.read(8)
    length = int.from_bytes(head[:4], "big")
    if len(head) < 8 or length + 4 > size - file.tell():
        raise FileError("the PNG file is cut short; expected chunks up to IEND; copy or export it again")
    name = head[4:].decode("latin-1")
    if name not in ("IHDR", "PLTE", "IDAT", "tRNS", "eXIf", "acTL", "IEND"):
        file.seek(length + 4, 1)
        return name, b""
    body = file.read(length)
    if zlib.crc32(head[4:] + body) != int.from_bytes(file.read(4), "big"):
        raise FileError(
            f"the {name} chunk of the PNG file is damaged; expected its checksum to agree; copy or export it again"
        )
    return name, body


def _chunks(file: BinaryIO, size: int) -> dict[str, bytes]:
    """Return the bodies of the chunks up to IEND, by name, with the parts of IDAT joined."""
    bodies: dict[str, bytes] = {}
    stream: list[bytes] = []
    name = ""
    while name != "IEND":
        name, body = _chunk(file, size)
        if name == "IDAT":
            stream.append(body)
        elif body:
            bodies[name] = body
    return {**bodies, "IDAT": b"".join(stream)}


def _unpack(header: Header, stream: bytes) -> Pixels:
    """Return the decompressed, unfiltered samples ``(H, W)`` or ``(H, W, samples)``; palette indices stay indices."""

    def plane(mode: str, raw: str) -> Pixels:
        return _pillow(mode, header, stream, raw)

    match header.kind, header.depth:
        case 0, 1:
            return plane("1", "1").astype(np.uint8) * np.uint8(255)
        case 0, 16:
            # Decoded as 8-bit grey with alpha, also two bytes per pixel: the high and the low byte.
            both = plane("LA", "LA")
            return _join(both[..., 0], both[..., 1])
        case 4, 16:
            both = plane("RGBA", "RGBA")
            return _join(both[..., ::2], both[..., 1::2])
        case ((2 | 6), 16):
            mode = "RGB" if header.kind == 2 else "RGBA"
            # The "B" unpacker keeps the first byte of each sample, the "L" one the second.
            return _join(plane(mode, mode + ";16B"), plane(mode, mode + ";16L"))
        case kind, depth:
            mode = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}[kind]
            return plane(mode, mode if depth == 8 else f"{mode};{depth}")


def _pillow(mode: str, header: Header, stream: bytes, raw: str) -> Pixels:
    from PIL import Image

    try:
        picture = Image.frombytes(mode, (header.width, header.height), stream, "zip", raw, header.interlace)
    except ValueError as error:
        raise FileError(
            f"the PNG data are damaged or cut short ({error}); expected {header.width} x {header.height} "
            "pixels; copy or export the file again"
        ) from error
    return np.asarray(picture)


def _join(high: Pixels, low: Pixels) -> Pixels:
    joined: Pixels = high.astype(np.uint16)
    joined <<= 8
    joined |= low
    return joined


def _expand(indices: Pixels, palette: bytes) -> Pixels:
    colours = np.frombuffer(palette, np.uint8, count=len(palette) // 3 * 3).reshape(-1, 3)
    top = int(indices.max())
    if top >= len(colours):
        raise FileError(
            f"a pixel of the PNG file has colour {top} of a palette of {len(colours)}; expected less; the "
            "file is damaged: export it again"
        )
    expanded: Pixels = colours[indices]
    return expanded


def encode(file: BinaryIO, pixels: Pixels) -> None:
    """Write uint8 or uint16 ``(H, W)`` or ``(H, W, 3)``; Pillow cannot write 16-bit colour."""
    height, width = pixels.shape[:2]
    depth = 8 * pixels.dtype.itemsize
    _put(file, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2 if pixels.ndim == 3 else 0, 0, 0, 0))
    step = pixels[0, 0].size * pixels.dtype.itemsize
    squeeze = zlib.compressobj(6)
    above = np.zeros((1, width * step), np.uint8)
    block = max(1, (1 << 20) // above.size)
    for start in range(0, height, block):
        part = np.ascontiguousarray(pixels[start : start + block], dtype=pixels.dtype.newbyteorder(">"))
        rows: Any = part.view(np.uint8).reshape(len(part), -1)
        packed = squeeze.compress(_filtered(rows, np.concatenate([above, rows[:-1]]), step))
        if packed:
            _put(file, b"IDAT", packed)
        above = rows[-1:]
    _put(file, b"IDAT", squeeze.flush())
    _put(file, b"IEND", b"")


def _put(file: BinaryIO, name: bytes, body: bytes) -> None:
    if name == b"IHDR":
        file.write(SIGNATURE)
    file.write(len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big"))


def _filtered(rows: Pixels, above: Pixels, step: int) -> bytes:
    """Return rows filtered by None, Sub, Up or Paeth, each by the one with the smallest sum (PNG, section 12.7)."""
    edge = ((0, 0), (step, 0))
    left = np.pad(rows, edge)[:, : rows.shape[1]]
    corner = np.pad(above, edge)[:, : rows.shape[1]]
    a, b, c = (part.astype(np.int16) for part in (left, above, corner))
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    paeth = np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, above, corner))
    tries = np.stack([rows, rows - left, rows - above, rows - paeth])
    # As signed bytes; int16 first, because abs(int8(-128)) overflows.
    best = np.abs(tries.view(np.int8).astype(np.int16)).sum(axis=2).argmin(axis=0)
    lines = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    lines[:, 0] = np.array([0, 1, 2, 4], np.uint8)[best]
    lines[:, 1:] = tries[best, np.arange(len(rows))]
    return lines.tobytes()
