"""Code like that of `sliding` for images whose pixels are not of the type of the sums.

Each row is converted once, to scratch memory, and extended there by what lies outside; all tiles read that. As many
rows as a tile reads take turns in it. A table has their places twice over, so that any of them may come first.
"""

from __future__ import annotations

from kernelfield.engine.x86.assembler import RAX, RCX, RDI, RDX, Memory
from kernelfield.engine.x86.layout import BLOCK, COUNT, IMAGE, LINE, SPARE, TABLE, WEIGHTS, X, below
from kernelfield.engine.x86.numbers import Numbers
from kernelfield.engine.x86.sliding import Sliding

#: Registers of pixels that are converted at a time: a row has at least so many.
AT_ONCE = 4

# Words on the stack: the table, the next row of the image in its own table, and that row's place, in bytes of ours.
# The third of `SPARE` is the kernels that are left.
_PLACES, _NEXT, _PLACE = SPARE[0], SPARE[1], SPARE[3]


class Converted(Sliding):
    """The code for a shape. Scratch memory begins with the table, of `table` bytes, for `tall` rows."""

    reads_sums = True

    def prepare(self) -> None:
        """Say how large the table is; what rows need is not known before."""
        self.tall = self.shape.rows + self.shape.kernel[0] - 1
        self.table = -(-16 * self.tall // 64) * 64
        self._pixels = Numbers(self.asm, self.shape.image, self.shape.sums, self.shape.out)

    def begin(self, index: int) -> None:
        """Find the scratch memory of the task, and write the table."""
        asm = self.asm
        asm.move(RCX, index)
        asm.multiply(RCX, self.field("scratch_task"))
        asm.compute("add", RCX, self.field("scratch"))
        asm.store(_PLACES, RCX)
        asm.address(RDX, Memory(RCX, self.table))
        asm.number(X, self.tall)
        loop = asm.here()
        asm.store(Memory(RCX), RDX)
        asm.store(Memory(RCX, 8 * self.tall), RDX)
        asm.compute("add", RDX, self.field("pitch"))
        asm.compute_number("add", RCX, 8)
        asm.compute_number("sub", X, 1)
        asm.jump(loop, "not equal")
        asm.zero(RCX)
        asm.store(_NEXT, RCX)
        asm.store(_PLACE, RCX)

    def rows(self) -> None:
        """Write the conversion of the rows that no line before has read."""
        asm = self.asm
        begun, loop, done, around = asm.label(), asm.label(), asm.label(), asm.label()
        asm.load(RAX, below(_NEXT))
        asm.compute_number("cmp", RAX, 0)
        asm.jump(begun, "not equal")
        asm.store(below(_NEXT), LINE)
        asm.bind(begun)
        asm.bind(loop)
        asm.address(RCX, Memory(LINE, 8 * self.tall))
        asm.load(RAX, below(_NEXT))
        asm.compute("cmp", RAX, RCX)
        asm.jump(done, "equal")
        asm.load(TABLE, Memory(RAX))
        asm.compute("add", TABLE, below(IMAGE))
        asm.compute("add", TABLE, self.field("row_from"))
        asm.compute_number("add", RAX, 8)
        asm.store(below(_NEXT), RAX)
        asm.load(RAX, below(_PLACE))
        asm.load(RDI, below(_PLACES))
        asm.load(RDI, Memory(RDI, 0, RAX))
        asm.compute("add", RDI, self.field("row_to"))
        asm.compute_number("add", RAX, 8)
        asm.compute_number("cmp", RAX, 8 * self.tall)
        asm.jump(around, "less")
        asm.zero(RAX)
        asm.bind(around)
        asm.store(below(_PLACE), RAX)
        self._convert()
        self._extend()
        asm.jump(loop)
        asm.bind(done)

    def _convert(self) -> None:
        """Write the conversion of a row at TABLE to where RDI is."""
        asm, pixels = self.asm, self._pixels
        asm.zero(X)
        loop = asm.here()
        asm.move(RAX, X)
        self.at_most(RAX, "row_last")
        for i in range(AT_ONCE):
            pixels.load(i, Memory(TABLE, i * pixels.lanes * pixels.image_size, RAX, pixels.image_size))
        for i in range(AT_ONCE):
            asm.vector("vmovups_to", i, 0, Memory(RDI, 32 * i, RAX, pixels.size))
        asm.compute_number("add", X, AT_ONCE * pixels.lanes)
        asm.compute("cmp", X, self.field("row_columns"))
        asm.jump(loop, "less")

    def _extend(self) -> None:
        """Write the copies of single pixels to where the row does not reach."""
        asm = self.asm
        asm.load(COUNT, self.field("row_pairs"))
        asm.load(WEIGHTS, self.field("pairs"))
        self.copy_pairs(RDI, RDI, self.numbers.size)

    def aim(self) -> None:
        """Write where the tile at the column in RAX reads."""
        asm = self.asm
        asm.zero(BLOCK)
        asm.address(BLOCK, Memory(BLOCK, 0, RAX, self.numbers.size))
        asm.load(TABLE, _PLACES)
        asm.compute("add", TABLE, _PLACE)
