"""What the code of `sliding` and `passes` shares: a task, the words that it is told, and a tile of sums in registers.

A task is a strip of rows of one image, cut into tiles. The last tile of a row or of an image is moved inwards: some
outputs are computed twice, with the same bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

from kernelfield.engine.x86.assembler import (
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    RAX,
    RBP,
    RBX,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    Assembler,
    Memory,
)  # fmt: skip
from kernelfield.engine.x86.numbers import Numbers

#: What a task is told, in words of 64 bits: addresses, steps in bytes, sizes in elements, numbers. `table` has a word
#: for each row of the extended image: how far from the image the row lies that is read there. From column `first` to
#: `columns` tiles read the image itself; what `sliding` and `converted` do beside it needs the rest.
FIELDS = (
    "image", "image_batch", "table", "out", "out_step", "out_batch", "out_kernel", "weights", "weights_kernel",
    "kernels", "terms", "rows", "last_row", "first", "columns", "last_column", "width", "strips", "strip_rows",
    "chunks", "scratch", "scratch_task", "scale", "low", "high", "pairs",
    "left_from", "left_to", "left_bytes", "left_pairs", "right_from", "right_to", "right_bytes", "right_pairs",
    "row_from", "row_to", "row_last", "row_columns", "row_pairs", "pitch",
)  # fmt: skip
_AT = {name: 8 * i for i, name in enumerate(FIELDS)}

# General registers: how far a tile is from where rows begin, a row, where rows are told, a tile of outputs, the step of
# its rows, weights.
BLOCK, ROW, TABLE, OUT, OUT_STEP, WEIGHTS, TAP = RDI, RAX, R8, R10, R11, R9, RCX
X, Y, END, TASK, LINE, TIMES, OUT_LINE, COUNT = RBX, R12, R13, R14, R15, RBP, RSI, RDX
_SAVED = (RBX, RBP, R12, R13, R14, R15)
# Words on the stack: where the image of the task and its results begin, and what `passes` keeps.
IMAGE, RESULTS, *SPARE = (Memory(RSP, 8 * i) for i in range(9))

#: Columns of a kernel that are written out one after another.
WRITTEN_OUT = 24
# Columns of wider kernels that a loop takes at a time.
_AT_A_TIME = 8
# Rows of a kernel that meet all rows of a tile: so many are written out, more are looped over.
_FEW = 2


def below(place: Memory) -> Memory:
    """Return where a word on the stack is after one more was pushed."""
    return place._replace(offset=place.offset + 8)


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
        subtracted, before they are multiplied. For images of the type of the sums, or made so, and sums that are exact.
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


class Task(ABC):
    """The beginning of the code for a shape; a subclass writes what becomes of a line of tiles.

    Attributes
    ----------
    code : bytes
        The function ``int task(context, index, fields)``.
    scratch : int
        Bytes of memory that a task needs for each term.
    """

    scratch = 0
    #: Whether tiles read sums, which pixels were made before.
    reads_sums = False

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.asm = Assembler()
        self.numbers = Numbers(self.asm, shape.sums if self.reads_sums else shape.image, shape.sums, shape.out)
        self.width = shape.vectors * self.numbers.lanes
        # Vector registers: sums, then what is held while it meets one number after the other in the last: the pixels of
        # a row of the tile, or the weights of a column of it, whichever are fewer.
        self.sums = [[y * shape.vectors + v for v in range(shape.vectors)] for y in range(shape.rows)]
        used = shape.rows * shape.vectors
        self.held = list(range(used, used + min(shape.rows, shape.vectors)))
        self.other = 15
        self.prepare()
        self._write()
        self.code = self.asm.finished()

    @abstractmethod
    def tiles(self) -> None:
        """Write what is done for a line of tiles; its row is in RAX."""

    def _write(self) -> None:
        asm = self.asm
        for register in _SAVED:
            asm.push(register)
        asm.compute_number("sub", RSP, 8 * (len(SPARE) + 2))
        asm.move(TASK, RDX)
        asm.move_half(RAX, RSI)
        self.begin(RAX)
        asm.divide(self.field("strips"))  # the image in RAX, the strip in RDX
        asm.load(Y, self.field("strip_rows"))
        asm.move(END, Y)
        asm.multiply(Y, RDX)
        asm.compute("add", END, Y)
        self.at_most(END, "rows")
        for name, place in (("image", IMAGE), ("out", RESULTS)):
            asm.load(RCX, self.field(f"{name}_batch"))
            asm.multiply(RCX, RAX)
            asm.compute("add", RCX, self.field(name))
            asm.store(place, RCX)
        asm.load(OUT_STEP, self.field("out_step"))
        loop, test = asm.label(), asm.label()
        asm.jump(test)
        asm.bind(loop)
        asm.move(RAX, Y)
        self.at_most(RAX, "last_row")
        asm.load(LINE, self.field("table"))
        asm.address(LINE, Memory(LINE, 0, RAX, 8))
        self.tiles()
        asm.compute_number("add", Y, self.shape.rows)
        asm.bind(test)
        asm.compute("cmp", Y, END)
        asm.jump(loop, "less")
        asm.compute_number("add", RSP, 8 * (len(SPARE) + 2))
        for register in reversed(_SAVED):
            asm.pop(register)
        asm.zero(RAX)
        asm.clear_upper()
        asm.give_back()

    @abstractmethod
    def prepare(self) -> None:
        """Say how much scratch memory a task needs."""

    @abstractmethod
    def begin(self, index: int) -> None:
        """Write what comes first; the number of the task is in a register that must keep it."""

    def field(self, name: str) -> Memory:
        """Return where a word of the task is."""
        return Memory(TASK, _AT[name])

    def at_most(self, register: int, field: str) -> None:
        """Write ``register = min(register, field)``."""
        small = self.asm.label()
        self.asm.compute("cmp", register, self.field(field))
        self.asm.jump(small, "less")
        self.asm.load(register, self.field(field))
        self.asm.bind(small)

    def copy_pairs(self, source: int, target: int, size: int) -> None:
        """Write the copies of COUNT elements, of so many bytes, from one row to another; WEIGHTS is at the pairs."""
        asm = self.asm
        loop, done = asm.label(), asm.label()
        asm.bind(loop)
        asm.compute_number("cmp", COUNT, 0)
        asm.jump(done, "equal")
        asm.load_signed_half(RAX, Memory(WEIGHTS))
        asm.load_signed_half(OUT, Memory(WEIGHTS, 4))
        asm.move_element(size, RCX, Memory(source, 0, RAX), Memory(target, 0, OUT))
        asm.compute_number("add", WEIGHTS, 8)
        asm.compute_number("sub", COUNT, 1)
        asm.jump(loop)
        asm.bind(done)

    def no_sums(self) -> None:
        """Make all sums of the tile 0."""
        for register in (r for line in self.sums for r in line):
            self.asm.vector("vxorps", register, register, register)

    def products(self, columns: int) -> None:
        """Write the sums of the tile at BLOCK over all rows and so many columns of the kernel, weights at WEIGHTS.

        TABLE is at the first row, and goes on. Each row of the image that the tile needs is loaded once for a column of
        the kernel, and feeds every output row ``y`` with ``0 <= r - y < kh``.
        """
        asm, rows, kh = self.asm, self.shape.rows, self.shape.kernel[0]
        self.no_sums()
        asm.move(TAP, WEIGHTS)
        full = max(0, kh - rows + 1)
        r = 0
        while r < kh + rows - 1:
            fed = range(max(0, r - kh + 1), min(rows - 1, r) + 1)
            if full > _FEW and r == rows - 1:
                asm.number(TIMES, full)
                loop = asm.here()
                self._row(fed, columns)
                asm.compute_number("sub", TIMES, 1)
                asm.jump(loop, "not equal")
                r += full
            else:
                self._row(fed, columns)
                r += 1

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
        """Write the results of the tile to OUT, which comes to stand below it."""
        numbers = self.numbers
        registers = [r for line in self.sums for r in line]
        numbers.broadcast(self.other, bias)
        for register in registers:
            numbers.add(register, register, self.other)
        spare = self.held[0]
        if numbers.rounds:
            for name, limit in (("scale", numbers.scale), ("high", numbers.least), ("low", numbers.greatest)):
                numbers.broadcast(self.other, self.field(name))
                for register in registers:
                    limit(register, register, self.other)
                    if name == "scale":
                        numbers.without_nan(register, spare)
                        if self.shape.down:
                            numbers.down(register)
        for line in self.sums:
            for v, register in enumerate(line):
                numbers.store(Memory(OUT, v * numbers.lanes * numbers.out_size), register, spare)
            self.asm.compute("add", OUT, OUT_STEP)
