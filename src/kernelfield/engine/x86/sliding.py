"""Code that correlates images with kernels of one shape by sliding products.

An output is ``acc = kernel[a, b] * image[i + a, j + b] + acc`` in row-major order, each step one fused multiply-add:
the bits are those of `kernelfield.engine.direct`, whatever the tiles.

Rows beyond the image are found in the table of rows. At the ends of a row, where tiles read columns beyond it, the
pixels that they read are first copied to scratch memory, as the boundary says: those inside as they lie, and those
outside one by one from a list of pairs, whence and whither.
"""

from __future__ import annotations

from kernelfield.engine.x86.assembler import RAX, RCX, RDI, RDX, RSI, Memory
from kernelfield.engine.x86.layout import (
    BLOCK,
    COUNT,
    IMAGE,
    LINE,
    MASKS,
    OUT,
    OUT_LINE,
    OUT_STEP,
    RESULTS,
    SPARE,
    TABLE,
    WEIGHTS,
    X,
    below,
)  # fmt: skip
from kernelfield.engine.x86.task import Task
from kernelfield.engine.x86.tile import Shape

# Words on the stack: tables of the rows at both ends, and how many kernels are left.
_TABLES = {"left": SPARE[0], "right": SPARE[1]}
_KERNELS = SPARE[2]


class Sliding(Task):
    """The code for a shape: for one kernel or for several, one after the other. A bias follows the weights of each."""

    def __init__(self, shape: Shape) -> None:
        self._tall = shape.rows + shape.kernel[0] - 1  # rows that a tile reads
        super().__init__(shape)

    def prepare(self) -> None:
        """Say how much scratch memory a task needs: at each end, rows and a table of them."""
        shape, numbers = self.shape, self.numbers
        columns = shape.edge * self.width + (shape.kernel[1] - 1) * shape.step
        # A copy of whole registers may write beyond.
        self.pitch = -(-(columns * numbers.image_size + 32) // 64) * 64
        self._table = self._tall * self.pitch
        self.side = self._table + -(-8 * self._tall // 64) * 64
        self.scratch = 2 * self.side if shape.edge else 0

    def begin(self, index: int) -> None:
        """Find the scratch memory of the task, and tell the tables where its rows are."""
        if not self.shape.edge:
            return
        asm = self.asm
        asm.move(RCX, index)
        asm.multiply(RCX, self.field("scratch_task"))
        asm.compute("add", RCX, self.field("scratch"))
        for side in _TABLES.values():
            asm.address(RDX, Memory(RCX, self._table))
            asm.store(side, RDX)
            for r in range(self._tall):
                asm.store(Memory(RDX, 8 * r), RCX)
                asm.compute_number("add", RCX, self.pitch)
            asm.address(RCX, Memory(RDX, self.side - self._table))

    def tiles(self) -> None:
        """Write the loops over kernels and over the tiles of a line."""
        asm = self.asm
        asm.multiply(RAX, OUT_STEP)
        asm.compute("add", RAX, RESULTS)
        asm.push(RAX)
        self.rows()
        asm.pop(OUT_LINE)
        asm.load(WEIGHTS, self.field("weights"))
        asm.load(COUNT, self.field("kernels"))
        tile, after = asm.label(), asm.label()
        kernels = asm.here()
        asm.store(_KERNELS, COUNT)
        asm.zero(X)
        if self.shape.edge:
            self._ends("left", "first", tile)
        columns = asm.here()
        asm.move(RAX, X)
        self.at_most(RAX, "last_column")
        asm.address(OUT, Memory(OUT_LINE, 0, RAX, self.numbers.out_size))
        self.aim()
        asm.call(tile)
        asm.compute_number("add", X, self.width)
        asm.compute("cmp", X, self.field("columns"))
        asm.jump(columns, "less")
        if self.shape.edge:
            asm.load(X, self.field("columns"))
            self._ends("right", "width", tile)
        asm.compute("add", WEIGHTS, self.field("weights_kernel"))
        asm.compute("add", OUT_LINE, self.field("out_kernel"))
        asm.load(COUNT, _KERNELS)
        asm.compute_number("sub", COUNT, 1)
        asm.jump(kernels, "not equal")
        asm.jump(after)
        asm.bind(tile)
        if self.shape.sure:
            self._surely()
        else:
            self._tile()
        asm.give_back()
        asm.bind(after)

    def _tile(self) -> None:
        """Write the sums of the tile at BLOCK, with the weights at WEIGHTS, and what becomes of them."""
        kh, kw = self.shape.kernel
        self.products(kw)
        self.store(Memory(WEIGHTS, kh * kw * self.numbers.size))

    def _surely(self) -> None:
        """Write the same, and again for the groups of registers that hold sums in doubt."""
        asm, numbers = self.asm, self.numbers
        doubts, again = asm.label(), asm.label()
        asm.push(OUT)
        self._tile()
        asm.pop(OUT)
        masks = MASKS[: len(self.groups)]
        for mask in masks:
            asm.compute_number("cmp", mask, 0)
            asm.jump(doubts, "not equal")
        asm.give_back()
        asm.bind(doubts)
        for mask in reversed(masks):
            asm.push(mask)
        for first in self.groups:
            certain = asm.label()
            asm.pop(RAX)
            asm.compute_number("cmp", RAX, 0)
            asm.jump(certain, "equal")
            asm.push(OUT)
            asm.push(BLOCK)
            asm.compute_number("add", OUT, first * numbers.lanes * numbers.out_size)
            asm.compute_number("add", BLOCK, first * numbers.lanes * numbers.image_size)
            asm.compute_number("sub", TABLE, 8 * self._tall)
            asm.compute("add", WEIGHTS, self.field("weights_again"))
            asm.call(again)
            asm.compute("sub", WEIGHTS, self.field("weights_again"))
            asm.pop(BLOCK)
            asm.pop(OUT)
            asm.bind(certain)
        asm.give_back()
        asm.bind(again)
        with self.doubled():
            self._tile()

    def rows(self) -> None:
        """Write what is done to the rows of a line before its tiles. One word more is on the stack."""
        if self.shape.edge:
            for side in _TABLES:
                self._copy(side)

    def aim(self) -> None:
        """Write where the tile at the column in RAX reads."""
        self.asm.load(BLOCK, IMAGE)
        self.asm.address(BLOCK, Memory(BLOCK, 0, RAX, self.numbers.image_size))
        self.asm.move(TABLE, LINE)

    def _ends(self, side: str, end: str, tile: int) -> None:
        """Write the loop over tiles that read scratch memory, up to a column."""
        asm = self.asm
        loop, done = asm.label(), asm.label()
        asm.zero(RDX)
        asm.bind(loop)
        asm.compute("cmp", X, self.field(end))
        asm.jump(done, "greater or equal")
        asm.move(BLOCK, RDX)
        asm.address(OUT, Memory(OUT_LINE, 0, X, self.numbers.out_size))
        asm.load(TABLE, _TABLES[side])
        asm.call(tile)
        asm.compute_number("add", RDX, self.width * self.numbers.image_size)
        asm.compute_number("add", X, self.width)
        asm.jump(loop)
        asm.bind(done)

    def _copy(self, side: str) -> None:
        """Write the copy of what tiles at one end read to scratch memory. One word more is on the stack."""
        asm, size = self.asm, self.numbers.image_size
        at_once = 32 if self.width * size >= 32 else 8
        table, nothing = _TABLES[side], asm.label()
        asm.load(RAX, self.field(f"{side}_bytes"))
        asm.compute_number("cmp", RAX, 0)
        asm.jump(nothing, "equal")
        asm.load(TABLE, below(table))
        asm.zero(X)
        rows = asm.here()
        asm.load(RSI, Memory(LINE, 0, X, 8))
        asm.compute("add", RSI, below(IMAGE))
        asm.load(RDI, Memory(TABLE, 0, X, 8))
        asm.push(RDI)
        asm.push(RSI)
        asm.compute("add", RSI, self.field(f"{side}_from"))
        asm.compute("add", RDI, self.field(f"{side}_to"))
        asm.zero(RCX)
        run = asm.here()
        asm.move(RDX, RCX)
        inside = asm.label()
        asm.load(RAX, self.field(f"{side}_bytes"))
        asm.compute_number("sub", RAX, at_once)
        asm.compute("cmp", RDX, RAX)
        asm.jump(inside, "less")
        asm.move(RDX, RAX)
        asm.bind(inside)
        if at_once == 32:
            asm.vector("vmovups", 0, 0, Memory(RSI, 0, RDX))
            asm.vector("vmovups_to", 0, 0, Memory(RDI, 0, RDX))
        else:
            asm.move_element(8, RAX, Memory(RSI, 0, RDX), Memory(RDI, 0, RDX))
        asm.compute_number("add", RCX, at_once)
        asm.compute("cmp", RCX, self.field(f"{side}_bytes"))
        asm.jump(run, "less")
        asm.pop(RSI)
        asm.pop(RDI)
        self._copy_pairs(side, size)
        asm.compute_number("add", X, 1)
        asm.compute_number("cmp", X, self._tall)
        asm.jump(rows, "less")
        asm.bind(nothing)

    def _copy_pairs(self, side: str, size: int) -> None:
        """Write the copy of single elements from the row at RSI to the one at RDI."""
        asm = self.asm
        asm.load(COUNT, self.field(f"{side}_pairs"))
        asm.load(WEIGHTS, self.field("pairs"))
        if side == "right":  # its pairs come after those of the left
            asm.load(RCX, self.field("left_pairs"))
            asm.address(WEIGHTS, Memory(WEIGHTS, 0, RCX, 8))
        self.copy_pairs(RSI, RDI, size)
