"""Code that correlates images with a sum of products of a column and a row of weights, in two passes.

A tile of rows is first correlated down into rows that stay in the cache, chunk by chunk of columns, and then along.
Sums go over the weights in their order, one fused multiply-add a step, as in `kernelfield.engine.separable`. Symmetric
weights are not folded: every number must still be loaded, and the processor loads as many as it multiplies and adds.
"""

from __future__ import annotations

from kernelfield.engine.x86.assembler import RAX, RCX, RDX, RSI, Memory
from kernelfield.engine.x86.ends import CHUNK
from kernelfield.engine.x86.task import (
    BLOCK,
    COUNT,
    IMAGE,
    LINE,
    OUT,
    OUT_STEP,
    RESULTS,
    SPARE,
    TABLE,
    TAP,
    TIMES,
    WEIGHTS,
    Task,
    X,
    below,
)  # fmt: skip

#: Rows and registers of a tile.
TILE = (4, 3)

# Weights of a row from which on every number that was loaded is used for several sums.
_LONG = 12
# Weights of a row that are written out one after another, and what a loop takes at a time of longer ones.
_WRITTEN_OUT, _AT_A_TIME = 40, 8
# Words on the stack: the results of the line, the chunk, its results, where the rows between the passes are, what is
# said of the chunk, and which columns of it the first pass writes.
_OUT_LINE, _FIRST, _LAST, _MIDDLE, _RECORD, _LOW, _HIGH = SPARE[:7]
_ZERO = 32  # bytes before the next row between the passes: a 0
_MID = RSI


class Passes(Task):
    """The code for a shape. Weights are all columns, then all rows, then a bias."""

    def prepare(self) -> None:
        """Say how much scratch memory a task needs: a tile of rows between the passes."""
        used = self.shape.rows * self.shape.vectors
        self._weights = range(used, used + self.shape.vectors)
        self._reach = (self.shape.kernel[1] - 1) * self.shape.step
        # No multiple of a page.
        self._pitch = -(-(CHUNK + self._reach) * self.numbers.size // 64) * 64 + 64
        self.scratch = self.shape.rows * self._pitch
        self.zero = self._pitch - _ZERO

    def begin(self, index: int) -> None:
        """Find the scratch memory of the task."""
        asm = self.asm
        asm.move(RCX, index)
        asm.multiply(RCX, self.field("scratch_task"))
        asm.compute("add", RCX, self.field("scratch"))
        asm.store(_MIDDLE, RCX)

    def tiles(self) -> None:
        """Write the loop over chunks of a line of tiles."""
        asm = self.asm
        asm.multiply(RAX, OUT_STEP)
        asm.compute("add", RAX, RESULTS)
        asm.store(_OUT_LINE, RAX)
        asm.load(RAX, self.field("chunks"))
        asm.store(_RECORD, RAX)
        asm.zero(RAX)
        chunks = asm.here()
        asm.store(_FIRST, RAX)
        self.at_most(RAX, "last_column")
        # From here on X is where the chunk begins.
        asm.move(X, RAX)
        asm.load(RCX, _FIRST)
        asm.compute_number("add", RCX, CHUNK)
        self.at_most(RCX, "columns")
        asm.compute("sub", RCX, X)
        asm.store(_LAST, RCX)
        asm.load(RDX, _RECORD)
        for at, place in ((0, _LOW), (8, _HIGH)):
            asm.load(RCX, Memory(RDX, at))
            asm.store(place, RCX)
        self._down()
        self._along()
        asm.load(RAX, _RECORD)
        asm.compute_number("add", RAX, 32)
        asm.store(_RECORD, RAX)
        asm.load(RAX, _FIRST)
        asm.compute_number("add", RAX, CHUNK)
        asm.compute("cmp", RAX, self.field("columns"))
        asm.jump(chunks, "less")

    def _blocks(self, end: Memory) -> int:
        """Begin a loop over blocks of columns from RDX to `end`; RDX, where one begins, is pushed. Return its top."""
        asm = self.asm
        top = asm.here()
        fits = asm.label()
        asm.push(RDX)
        asm.load(RAX, below(end))
        asm.compute_number("sub", RAX, self.width)
        asm.compute("cmp", RDX, RAX)
        asm.jump(fits, "less")
        asm.move(RDX, RAX)
        asm.bind(fits)
        return top

    def _next(self, top: int, end: Memory) -> None:
        """End the loop that `_blocks` began."""
        asm = self.asm
        asm.pop(RDX)
        asm.compute_number("add", RDX, self.width)
        asm.compute("cmp", RDX, end)
        asm.jump(top, "less")

    def _down(self) -> None:
        """Write the first pass over a chunk, for every term."""
        asm, numbers, shape = self.asm, self.numbers, self.shape
        asm.load(WEIGHTS, self.field("weights"))
        asm.load(_MID, _MIDDLE)
        asm.load(COUNT, self.field("terms"))
        terms = asm.here()
        asm.push(COUNT)
        end = below(_HIGH)
        asm.load(RDX, below(_LOW))
        top = self._blocks(end)
        asm.address(RAX, Memory(X, 0, RDX))
        asm.load(BLOCK, below(below(IMAGE)))
        asm.address(BLOCK, Memory(BLOCK, 0, RAX, numbers.image_size))
        asm.move(TABLE, LINE)
        self.products(1)
        asm.address(RAX, Memory(_MID, 0, RDX, numbers.size))
        for y, line in enumerate(self.sums):
            for v, register in enumerate(line):
                place = Memory(RAX, y * self._pitch + 32 * v)
                asm.vector("vmovups_to", register, 0, place)
        self._next(top, end)
        if shape.edge:
            self._fill()
        asm.compute_number("add", WEIGHTS, shape.kernel[0] * numbers.size)
        asm.compute_number("add", _MID, self.scratch)
        asm.pop(COUNT)
        asm.compute_number("sub", COUNT, 1)
        asm.jump(terms, "not equal")

    def _fill(self) -> None:
        """Write the copies of single numbers between the passes to where the image does not reach."""
        asm = self.asm
        asm.load(TABLE, below(_RECORD))
        asm.load(COUNT, Memory(TABLE, 24))
        asm.load(TABLE, Memory(TABLE, 16))
        loop, done = asm.label(), asm.label()
        asm.bind(loop)
        asm.compute_number("cmp", COUNT, 0)
        asm.jump(done, "equal")
        asm.load_signed_half(RAX, Memory(TABLE))
        asm.load_signed_half(TIMES, Memory(TABLE, 4))
        for y in range(self.shape.rows):
            row = y * self._pitch
            asm.move_element(self.numbers.size, RCX, Memory(_MID, row, RAX), Memory(_MID, row, TIMES))
        asm.compute_number("add", TABLE, 8)
        asm.compute_number("sub", COUNT, 1)
        asm.jump(loop)
        asm.bind(done)

    def _along(self) -> None:
        """Write the second pass over a chunk. WEIGHTS is at the rows of weights."""
        asm, numbers, shape = self.asm, self.numbers, self.shape
        kw = shape.kernel[1]
        asm.zero(RDX)
        top = self._blocks(_LAST)
        asm.load(_MID, below(_MIDDLE))
        asm.address(_MID, Memory(_MID, 0, RDX, numbers.size))
        asm.address(RAX, Memory(X, 0, RDX))
        asm.load(OUT, below(_OUT_LINE))
        asm.address(OUT, Memory(OUT, 0, RAX, numbers.out_size))
        self.no_sums()
        asm.move(TAP, WEIGHTS)
        asm.load(RAX, self.field("terms"))
        terms = asm.here()
        if kw > _LONG and shape.step == 1:
            self._sharing(kw)
        else:
            self._plainly(kw)
        asm.compute_number("add", _MID, self.scratch)
        asm.compute_number("sub", RAX, 1)
        asm.jump(terms, "not equal")
        self.store(Memory(TAP))
        self._next(top, _LAST)

    def _plainly(self, kw: int) -> None:
        """Write sums along rows, weight by weight."""
        asm, numbers = self.asm, self.numbers
        for b in range(kw):
            numbers.broadcast(self.other, Memory(TAP, b * numbers.size))
            for y, line in enumerate(self.sums):
                for v, register in enumerate(line):
                    place = Memory(_MID, y * self._pitch + 32 * v + b * self.shape.step * numbers.size)
                    numbers.multiply_add(register, self.other, place)
        asm.compute_number("add", TAP, kw * numbers.size)

    def _sharing(self, kw: int) -> None:
        """Write sums along rows, place by place: what was loaded there has a weight for each register of a row."""
        asm, size = self.asm, self.numbers.size
        first = self.numbers.lanes * (self.shape.vectors - 1)
        loops = (kw - first) // _AT_A_TIME if kw > _WRITTEN_OUT else 0
        moved = loops * _AT_A_TIME
        for o in range(first):
            self._place(o, kw)
        if loops:
            asm.number(TIMES, loops)
            loop = asm.here()
            for o in range(first, first + _AT_A_TIME):
                self._place(o, kw)
            for register in (TAP, _MID):
                asm.compute_number("add", register, _AT_A_TIME * size)
            asm.compute_number("sub", TIMES, 1)
            asm.jump(loop, "not equal")
        # The registers have moved on: places and weights are counted from where they are now.
        for o in range(first, kw + first - moved):
            self._place(o, kw - moved)
        asm.compute_number("add", TAP, (kw - moved) * size)
        if moved:
            asm.compute_number("sub", _MID, moved * size)

    def _place(self, o: int, kw: int) -> None:
        """Write what the numbers `o` elements behind the first give to all sums."""
        numbers = self.numbers
        weights = {}
        for v, register in enumerate(self._weights):
            if 0 <= o - numbers.lanes * v < kw:
                weights[v] = register
                numbers.broadcast(register, Memory(TAP, (o - numbers.lanes * v) * numbers.size))
        for y, line in enumerate(self.sums):
            self.asm.vector("vmovups", self.other, 0, Memory(_MID, y * self._pitch + o * numbers.size))
            for v, register in weights.items():
                numbers.multiply_add(line[v], register, self.other)
