"""The second pass of `passes`: sums along rows that the first has made."""

from __future__ import annotations

from kernelfield.engine.x86.assembler import RSI, Memory
from kernelfield.engine.x86.layout import TAP, TIMES
from kernelfield.engine.x86.task import Task

#: The register that says where the rows are.
MID = RSI

# Weights of a row from which on every number that was loaded is used for several sums.
_LONG = 12
# Weights of a row that are written out one after another, and what a loop takes at a time of longer ones.
_WRITTEN_OUT, _AT_A_TIME = 40, 8


class Along(Task):
    """What writes the sums of a tile along rows that lie `pitch` bytes after each other, for one term."""

    pitch = 0

    def together(self, rows: int) -> int:
        """Return the same; each register of a row holds a weight besides."""
        return 15 // (2 * (rows + 1))

    def along(self) -> None:
        """Write the sums of the tile at MID with the weights at TAP, which goes on."""
        columns = self.shape.kernel[1]
        if columns > _LONG and self.shape.step == 1:
            self._sharing(columns)
        else:
            self._plainly(columns)

    @property
    def _weights(self) -> range:
        """Registers for weights that meet what was loaded."""
        used = self.shape.rows * self.shape.vectors
        return range(used, used + self.shape.vectors)

    def _plainly(self, kw: int) -> None:
        """Write sums along rows, weight by weight."""
        asm, numbers = self.asm, self.numbers
        for b in range(kw):
            numbers.broadcast(self.other, Memory(TAP, b * numbers.size))
            for y, line in enumerate(self.sums):
                for v, register in enumerate(line):
                    place = Memory(MID, y * self.pitch + 32 * v + b * self.shape.step * numbers.size)
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
            for register in (TAP, MID):
                asm.compute_number("add", register, _AT_A_TIME * size)
            asm.compute_number("sub", TIMES, 1)
            asm.jump(loop, "not equal")
        # The registers have moved on: places and weights are counted from where they are now.
        for o in range(first, kw + first - moved):
            self._place(o, kw - moved)
        asm.compute_number("add", TAP, (kw - moved) * size)
        if moved:
            asm.compute_number("sub", MID, moved * size)

    def _place(self, o: int, kw: int) -> None:
        """Write what the numbers `o` elements behind the first give to all sums."""
        numbers = self.numbers
        weights = {}
        for v, register in enumerate(self._weights):
            if 0 <= o - numbers.lanes * v < kw:
                weights[v] = register
                numbers.broadcast(register, Memory(TAP, (o - numbers.lanes * v) * numbers.size))
        for y, line in enumerate(self.sums):
            self.asm.vector("vmovups", self.other, 0, Memory(MID, y * self.pitch + o * numbers.size))
            for v, register in weights.items():
                numbers.multiply_add(line[v], register, self.other)
