"""Code that correlates images with a sum of products of a column and a row of weights, in two passes.

A tile of rows is first correlated down into rows that stay in the cache, chunk by chunk of columns, and then along.
Sums go over the weights in their order, one fused multiply-add a step, as in `kernelfield.engine.separable`. Symmetric
weights are not folded: every number must still be loaded, and the processor loads as many as it multiplies and adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kernelfield.engine.x86.along import MID, Along
from kernelfield.engine.x86.assembler import RAX, RCX, RDX, Memory
from kernelfield.engine.x86.ends import CHUNK
from kernelfield.engine.x86.layout import (
    BLOCK,
    COUNT,
    IMAGE,
    LINE,
    MASKS,
    OUT,
    OUT_STEP,
    RESULTS,
    SPARE,
    TABLE,
    TAP,
    TIMES,
    WEIGHTS,
    X,
)  # fmt: skip

#: Rows and registers of a tile.
TILE = (4, 3)

# Words on the stack: the results of the line, the chunk, its results, where the rows between the passes are, what is
# said of the chunk, and which columns of it the first pass writes; where it is done again, from where to where, and
# whether up to where the image does not reach.
_OUT_LINE, _FIRST, _LAST, _MIDDLE, _RECORD, _LOW, _HIGH, _FROM, _TO, _ALL = SPARE
_ZERO = 32  # bytes before the next row between the passes: a 0


class Passes(Along):
    """The code for a shape. Weights are all columns, then all rows, then a bias."""

    def prepare(self) -> None:
        """Say how much scratch memory a task needs: a tile of rows between the passes, in one type or in two."""
        self._reach = (self.shape.kernel[1] - 1) * self.shape.step
        # No multiple of a page.
        self.pitch = -(-(CHUNK + self._reach) * self.numbers.size // 64) * 64 + 64
        self._above = self._pushed = 0
        single = self.shape.rows * self.pitch
        self.scratch = 3 * single if self.shape.sure else single
        self.zero = self.pitch - _ZERO

    @contextmanager
    def doubled(self) -> Iterator[None]:
        """Write, meanwhile, for float64 sums; their rows between the passes lie below those in float32."""
        self._above, self.pitch = self.shape.rows * self.pitch, 2 * self.pitch
        with super().doubled():
            yield
        self._above, self.pitch = 0, self.pitch // 2

    def _push(self, register: int) -> None:
        self.asm.push(register)
        self._pushed += 1

    def _pop(self, register: int) -> None:
        self.asm.pop(register)
        self._pushed -= 1

    def _at(self, place: Memory) -> Memory:
        """Return where a word on the stack is now."""
        return place._replace(offset=place.offset + 8 * self._pushed)

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
        self._down(_LOW, _HIGH)
        if self.shape.edge:
            self._fill()
        asm.zero(RDX)
        self._along(_LAST)
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
        self._push(RDX)
        asm.load(RAX, self._at(end))
        asm.compute_number("sub", RAX, self.width)
        asm.compute("cmp", RDX, RAX)
        asm.jump(fits, "less")
        asm.move(RDX, RAX)
        asm.bind(fits)
        return top

    def _next(self, top: int, end: Memory) -> None:
        """End the loop that `_blocks` began."""
        asm = self.asm
        self._pop(RDX)
        asm.compute_number("add", RDX, self.width)
        asm.compute("cmp", RDX, self._at(end))
        asm.jump(top, "less")

    def _terms(self) -> int:
        """Begin a loop over terms; return its top."""
        asm = self.asm
        asm.load(MID, self._at(_MIDDLE))
        asm.load(COUNT, self.field("terms"))
        top = asm.here()
        self._push(COUNT)
        return top

    def _next_term(self, top: int) -> None:
        """End the loop that `_terms` began."""
        asm = self.asm
        asm.compute_number("add", MID, self.scratch)
        self._pop(COUNT)
        asm.compute_number("sub", COUNT, 1)
        asm.jump(top, "not equal")

    def _down(self, low: Memory, high: Memory) -> None:
        """Write the first pass over some columns of a chunk, for every term. WEIGHTS comes to be at rows of weights."""
        asm, numbers, shape = self.asm, self.numbers, self.shape
        asm.load(WEIGHTS, self.field("weights"))
        if self._above:
            asm.compute("add", WEIGHTS, self.field("weights_again"))
        terms = self._terms()
        asm.load(RDX, self._at(low))
        top = self._blocks(high)
        asm.address(RAX, Memory(X, 0, RDX))
        asm.load(BLOCK, self._at(IMAGE))
        asm.address(BLOCK, Memory(BLOCK, 0, RAX, numbers.image_size))
        asm.move(TABLE, LINE)
        self.products(1)
        asm.address(RAX, Memory(MID, self._above, RDX, numbers.size))
        for y, line in enumerate(self.sums):
            for v, register in enumerate(line):
                place = Memory(RAX, y * self.pitch + 32 * v)
                asm.vector("vmovups_to", register, 0, place)
        self._next(top, high)
        asm.compute_number("add", WEIGHTS, shape.kernel[0] * numbers.size)
        self._next_term(terms)

    def _fill(self) -> None:
        """Write the copies of single numbers between the passes to where the image does not reach, for every term."""
        asm, size = self.asm, self.numbers.size
        terms = self._terms()
        asm.load(TABLE, self._at(_RECORD))
        asm.load(COUNT, Memory(TABLE, 24))
        asm.load(TABLE, Memory(TABLE, 16))
        loop, done = asm.label(), asm.label()
        asm.bind(loop)
        asm.compute_number("cmp", COUNT, 0)
        asm.jump(done, "equal")
        asm.load_signed_half(RAX, Memory(TABLE))
        asm.load_signed_half(TIMES, Memory(TABLE, 4))
        wider = 2 if self._above else 1  # pairs are for the type of the first sums
        for y in range(self.shape.rows):
            row = self._above + y * self.pitch
            asm.move_element(size, RCX, Memory(MID, row, RAX, wider), Memory(MID, row, TIMES, wider))
        asm.compute_number("add", TABLE, 8)
        asm.compute_number("sub", COUNT, 1)
        asm.jump(loop)
        asm.bind(done)
        self._next_term(terms)

    def _along(self, end: Memory) -> None:
        """Write the second pass over columns of a chunk, from RDX on. WEIGHTS is at the rows of weights."""
        asm, numbers = self.asm, self.numbers
        top = self._blocks(end)
        asm.load(MID, self._at(_MIDDLE))
        asm.address(MID, Memory(MID, self._above, RDX, numbers.size))
        asm.address(RAX, Memory(X, 0, RDX))
        asm.load(OUT, self._at(_OUT_LINE))
        asm.address(OUT, Memory(OUT, 0, RAX, numbers.out_size))
        self.no_sums()
        asm.move(TAP, WEIGHTS)
        asm.load(RAX, self.field("terms"))
        terms = asm.here()
        self.along()
        asm.compute_number("add", MID, self.scratch)
        asm.compute_number("sub", RAX, 1)
        asm.jump(terms, "not equal")
        self.store(Memory(TAP))
        if self.shape.sure:
            self._surely()
        self._next(top, end)

    def _surely(self) -> None:
        """Write both passes again, for the tile at RDX, if sums are in doubt."""
        asm, width = self.asm, self.width
        doubts, certain, inside = asm.label(), asm.label(), asm.label()
        for mask in MASKS[: len(self.groups)]:
            asm.compute_number("cmp", mask, 0)
            asm.jump(doubts, "not equal")
        asm.jump(certain)
        asm.bind(doubts)
        self._push(WEIGHTS)
        self._push(RDX)
        self._read_again()
        with self.doubled():
            self._down(_FROM, _TO)
            if self.shape.edge:
                asm.load(RAX, self._at(_ALL))
                asm.compute_number("cmp", RAX, 0)
                asm.jump(inside, "equal")
                self._fill()
                asm.bind(inside)
            self._pop(RDX)
            asm.address(RAX, Memory(RDX, width))
            asm.store(self._at(_TO), RAX)
            self._along(_TO)
        self._pop(WEIGHTS)
        asm.bind(certain)

    def _read_again(self) -> None:
        """Write which columns the tile at RDX reads: those of the chunk, where some are beyond the image."""
        asm = self.asm
        beyond, inside = asm.label(), asm.label()
        asm.zero(RCX)
        asm.store(self._at(_ALL), RCX)
        asm.address(RAX, Memory(RDX, self.width + self._reach))
        asm.store(self._at(_FROM), RDX)
        asm.store(self._at(_TO), RAX)
        if not self.shape.edge:
            return
        asm.load(RCX, self._at(_HIGH))
        asm.compute("cmp", RCX, RAX)
        asm.jump(beyond, "less")
        asm.compute("cmp", RDX, self._at(_LOW))
        asm.jump(inside, "greater or equal")
        asm.bind(beyond)
        asm.store(self._at(_TO), RCX)
        asm.load(RCX, self._at(_LOW))
        asm.store(self._at(_FROM), RCX)
        asm.number(RCX, 1)
        asm.store(self._at(_ALL), RCX)
        asm.bind(inside)
