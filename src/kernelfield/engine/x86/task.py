"""The frame of the code of `sliding` and `passes`: a task.

A task is a strip of rows of one image, cut into tiles. The last tile of a row or of an image is moved inwards: some
outputs are computed twice, with the same bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from kernelfield.engine.x86.assembler import RAX, RCX, RDX, RSI, RSP, Memory
from kernelfield.engine.x86.layout import (
    COUNT,
    END,
    IMAGE,
    LINE,
    OUT,
    OUT_STEP,
    RESULTS,
    SAVED,
    SPARE,
    TASK,
    WEIGHTS,
    Y,
)  # fmt: skip
from kernelfield.engine.x86.tile import Shape, Tile


class Task(Tile, ABC):
    """The beginning of the code for a shape; a subclass writes what becomes of a line of tiles.

    Attributes
    ----------
    code : bytes
        The function ``int task(context, index, fields)``.
    scratch : int
        Bytes of memory that a task needs for each term.
    """

    scratch = 0

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.prepare()
        self._write()
        self.code = self.asm.finished()

    @abstractmethod
    def tiles(self) -> None:
        """Write what is done for a line of tiles; its row is in RAX."""

    def _write(self) -> None:
        asm = self.asm
        for register in SAVED:
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
        for register in reversed(SAVED):
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
