"""A tile of sums in registers: its products, and what becomes of the sums.

Sums that are rounded to integers may be taken in float32 first. Those that lie so near a half that float64 might round
them to the other side are in doubt (`kernelfield.engine.x86.doubt`): theirs are taken again, in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kernelfield.engine.x86.assembler import RSP, Assembler, Memory
from kernelfield.engine.x86.layout import AT, BLOCK, MASKS, OUT, OUT_STEP, ROW, TABLE, TAP, TASK, TIMES, WEIGHTS
from kernelfield.engine.x86.numbers import Numbers

#: Columns of a kernel that are written out one after another.
WRITTEN_OUT = 24
# Columns of wider kernels that a loop takes at a time.
_AT_A_TIME = 8
#: Rows of a tile whose sums may be taken again, at the most.
HIGHEST = 6
# Rows of a kernel that meet all rows of a tile: so many are written out, more are looped over.
_FEW = 2
# Products of a sum from 0: the shorter sums are, the less is lost in them.
_PRODUCTS = 32


def full_rows(kh: int, rows: int) -> int:
    """Return how many rows of the image a loop takes, which feed all rows of a tile; few are not looped over."""
    full = max(0, kh - rows + 1)
    return full if full > _FEW else 0


def rows_of_part(columns: int) -> int:
    """Return over how many rows of a kernel sums that are to be rounded surely go, before another begins from 0."""
    return max(1, _PRODUCTS // columns)


def parts_of(full: int, columns: int) -> int:
    """Return how many such sums end among so many rows; none where they are too few to tell."""
    return full // rows_of_part(columns) if columns > 1 and full > rows_of_part(columns) else 0


class Shape(NamedTuple):
    """What code is written for.

    Attributes
    ----------
    kernel : (int, int)
        Rows and columns.
    step : int
        Elements of the image from one column of the kernel to the next: the number of channels where they are
        interleaved.
    image, sums, out : str
        Names of dtypes: of the image, of the sums (float32 or float64) and of the results.
    rows, vectors : int
        Of a tile.
    edge : int
        Tiles at each end of a row that read beyond it, at the most.
    down : bool
        Integer results are rounded down, not to nearest.
    fold : int
        1 where the rows of kernels are the same from both ends, -1 where they are opposite: two pixels are added, or
        subtracted, before they are multiplied. For images of the type of the sums, or made so, and sums that are exact
        or `sure`.
    sure : bool
        Integer results are those of float64 sums: those that float32 leaves in doubt are taken again.
    """

    kernel: tuple[int, int]
    step: int
    image: str
    sums: str
    out: str
    rows: int
    vectors: int
    edge: int = 0
    down: bool = False
    fold: int = 0
    sure: bool = False


class Tile:
    """What writes code for the tiles of a shape.

    Attributes
    ----------
    shape : Shape
    numbers : Numbers
    width : int
        Elements of a row of a tile.
    sums : list of list of int
        Registers.
    group : int
        Registers of a row whose sums are taken again together, where it is sure.
    groups : list of int
        The first of each group; the last group is moved inwards.
    """

    #: Whether tiles read sums, which pixels were made before.
    reads_sums = False

    def __init__(self, shape: Shape) -> None:
        self.asm = Assembler()
        self.other = 15
        self._read = shape.sums if self.reads_sums else shape.image
        self._sure, self._again = shape.sure, ""
        if shape.sure:
            self.group = min(self.together(shape.rows), shape.vectors)
            self.groups = [min(v, shape.vectors - self.group) for v in range(0, shape.vectors, self.group)]
        self._lay_out(shape)

    def together(self, rows: int) -> int:
        """Return how many registers of a row are summed again together, where so many rows of theirs fit."""
        return 12 // (2 * rows)

    def _lay_out(self, shape: Shape) -> None:
        self.shape = shape
        self.numbers = Numbers(self.asm, self._read, shape.sums, shape.out)
        self.width = shape.vectors * self.numbers.lanes
        # Vector registers: sums, then what is held while it meets one number after the other in the last: the pixels of
        # a row of the tile, or the weights of a column of it, whichever are fewer.
        self.sums = [[y * shape.vectors + v for v in range(shape.vectors)] for y in range(shape.rows)]
        used = shape.rows * shape.vectors
        self.held = list(range(used, used + min(shape.rows, shape.vectors)))

    @contextmanager
    def doubled(self) -> Iterator[None]:
        """Write, meanwhile, for float64 sums of a tile as wide as a group of registers."""
        shape = self.shape
        self._again = "_again"
        self._lay_out(shape._replace(sums="float64", vectors=2 * self.group, fold=0, sure=False))
        yield
        self._again = ""
        self._lay_out(shape)

    def field(self, name: str) -> Memory:
        """Return where a word of the task is."""
        return Memory(TASK, AT[name])

    def no_sums(self) -> None:
        """Make all sums of the tile 0."""
        for register in (r for line in self.sums for r in line):
            self.asm.vector("vxorps", register, register, register)

    def products(self, columns: int) -> None:
        """Write the sums of the tile at BLOCK over all rows and so many columns of the kernel, weights at WEIGHTS.

        TABLE is at the first row, and goes on. Each row of the image that the tile needs is loaded once for a column of
        the kernel, and feeds every output row ``y`` with ``0 <= r - y < kh``.
        """
        rows, kh = self.shape.rows, self.shape.kernel[0]
        self.no_sums()
        self.asm.move(TAP, WEIGHTS)
        full = full_rows(kh, rows)
        parts = parts_of(full, columns) if self.shape.sure else 0
        totals = [Memory(RSP, 32 * i) for i in range(len(self.sums) * len(self.sums[0]))]
        if parts:
            self._begin_parts(totals)
        r = 0
        while r < kh + rows - 1:
            fed = range(max(0, r - kh + 1), min(rows - 1, r) + 1)
            if full and r == rows - 1:
                if parts:
                    self._parts(fed, columns, parts, totals)
                if rest := full - parts * rows_of_part(columns):
                    self._rows(fed, columns, rest)
                r += full
            else:
                self._row(fed, columns)
                r += 1
        if parts:
            self._end_parts(totals)

    def _rows(self, fed: Iterable[int], columns: int, count: int) -> None:
        """Write a loop over rows of the image that feed the same output rows."""
        self.asm.number(TIMES, count)
        loop = self.asm.here()
        self._row(fed, columns)
        self.asm.compute_number("sub", TIMES, 1)
        self.asm.jump(loop, "not equal")

    def _begin_parts(self, totals: list[Memory]) -> None:
        """Make room for sums of parts on the stack, and for how many parts there are."""
        self.asm.compute_number("sub", RSP, 32 * len(totals) + 8)
        self.asm.vector("vxorps", self.other, self.other, self.other)
        for total in totals:
            self.asm.vector("vmovups_to", self.other, 0, total)

    def _parts(self, fed: Iterable[int], columns: int, parts: int, totals: list[Memory]) -> None:
        """Write the sums of some rows after others, each from 0, and their totals."""
        asm, left = self.asm, Memory(RSP, 32 * len(totals))
        asm.number(ROW, parts)
        loop = asm.here()
        asm.store(left, ROW)
        self._rows(fed, columns, rows_of_part(columns))
        for register, total in enumerate(totals):
            self.numbers.add(register, register, total)
            asm.vector("vmovups_to", register, 0, total)
        self.no_sums()
        asm.load(ROW, left)
        asm.compute_number("sub", ROW, 1)
        asm.jump(loop, "not equal")

    def _end_parts(self, totals: list[Memory]) -> None:
        for register, total in enumerate(totals):
            self.numbers.add(register, register, total)
        self.asm.compute_number("add", RSP, 32 * len(totals) + 8)

    def _row(self, fed: Iterable[int], columns: int) -> None:
        """Write what a row of the image gives to the output rows `fed`, and go to the next."""
        asm, numbers = self.asm, self.numbers
        asm.load(ROW, Memory(TABLE))
        asm.compute("add", ROW, BLOCK)
        asm.compute_number("add", TABLE, 8)
        many = columns > WRITTEN_OUT
        across, rest = self.shape.step * numbers.image_size, columns
        if many:
            rest = columns % _AT_A_TIME
            asm.push(TIMES)
            asm.number(TIMES, columns // _AT_A_TIME)
            loop = asm.here()
            for b in range(_AT_A_TIME):
                self._column(fed, columns, b * across, b * numbers.size)
            asm.compute_number("add", TAP, _AT_A_TIME * numbers.size)
            asm.compute_number("add", ROW, _AT_A_TIME * across)
            asm.compute_number("sub", TIMES, 1)
            asm.jump(loop, "not equal")
        folded = columns // 2 if self.shape.fold else 0
        for b in range(folded):
            self._column(fed, columns, b * across, b * numbers.size, (columns - 1 - b) * across)
        for b in range(folded, rest - folded):
            self._column(fed, columns, b * across, b * numbers.size)
        if rest:
            asm.compute_number("add", TAP, rest * numbers.size)
        if many:
            asm.pop(TIMES)

    def _column(self, fed: Iterable[int], columns: int, pixel: int, weight: int, mirrored: int | None = None) -> None:
        """Write the products of one column of the kernel, or of it and its mirrored one, with one row of the image."""
        numbers, shape = self.numbers, self.shape

        def load(register: int, v: int) -> None:
            beside = v * numbers.lanes * numbers.image_size
            numbers.load(register, Memory(ROW, pixel + beside))
            if mirrored is not None:
                combine = numbers.add if shape.fold > 0 else numbers.subtract
                combine(register, register, Memory(ROW, mirrored + beside))

        if shape.rows >= shape.vectors:
            for v, register in enumerate(self.held):
                load(register, v)
            for y in fed:
                numbers.broadcast(self.other, Memory(TAP, weight - y * columns * numbers.size))
                for register, pixels in zip(self.sums[y], self.held):
                    numbers.multiply_add(register, self.other, pixels)
            return
        for y in fed:
            numbers.broadcast(self.held[y], Memory(TAP, weight - y * columns * numbers.size))
        for v in range(shape.vectors):
            load(self.other, v)
            for y in fed:
                numbers.multiply_add(self.sums[y][v], self.held[y], self.other)

    def store(self, bias: Memory) -> None:
        """Write the results of the tile to OUT, which comes to stand below it; then, where sure, whether all are."""
        numbers = self.numbers
        registers = [r for line in self.sums for r in line]
        numbers.broadcast(self.other, bias)
        for register in registers:
            numbers.add(register, register, self.other)
        spare = self.held[0]
        if numbers.rounds:
            if not self._sure:
                numbers.broadcast(self.other, self.field("scale"))
                for register in registers:
                    numbers.scale(register, register, self.other)
                    numbers.without_nan(register, spare)
                    if self.shape.down:
                        numbers.down(register)
            for name, limit in (("high", numbers.least), ("low", numbers.greatest)):
                numbers.broadcast(self.other, self.field(name + self._again))
                for register in registers:
                    limit(register, register, self.other)
        if self.shape.sure:
            self._doubt(bias._replace(offset=bias.offset + numbers.size))
        for line in self.sums:
            for v, register in enumerate(line):
                numbers.store(Memory(OUT, v * numbers.lanes * numbers.out_size), register, spare)
            self.asm.compute("add", OUT, OUT_STEP)

    def _doubt(self, certain: Memory) -> None:
        """Write to `MASKS`, for each group, which lanes hold sums further from an integer than is certain."""
        numbers = self.numbers
        most, least, spare = 13, 14, 15
        for mask, first in zip(MASKS, self.groups):
            numbers.furthest([line[first + v] for line in self.sums for v in range(self.group)], most, least, spare)
            numbers.broadcast(least, certain)
            numbers.mask_greater(mask, most, least)
