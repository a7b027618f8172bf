"""Code that correlates images with kernels of one shape by sliding products.

An output is ``acc = kernel[a, b] * image[i + a, j + b] + acc`` in row-major order, each step one fused multiply-add:
the bits are those of `kernelfield.engine.direct`, whatever the tiles.
"""

from __future__ import annotations

from kernelfield.engine.x86.assembler import RAX, Memory
from kernelfield.engine.x86.task import (
    BLOCK,
    COUNT,
    IMAGE,
    IMAGE_STEP,
    LINE,
    OUT,
    OUT_LINE,
    OUT_STEP,
    RESULTS,
    WEIGHTS,
    Task,
    X,
)  # fmt: skip


class Sliding(Task):
    """The code for a shape: for one kernel or for several, one after the other. A bias follows the weights of each."""

    def tiles(self) -> None:
        """Write the loops over kernels and over the tiles of a line."""
        asm, (kh, kw) = self.asm, self.shape.kernel
        asm.move(LINE, RAX)
        asm.multiply(LINE, IMAGE_STEP)
        asm.compute("add", LINE, IMAGE)
        asm.multiply(RAX, OUT_STEP)
        asm.compute("add", RAX, RESULTS)
        asm.move(OUT_LINE, RAX)
        asm.load(WEIGHTS, self.field("weights"))
        asm.load(COUNT, self.field("kernels"))
        kernels = asm.here()
        asm.zero(X)
        columns = asm.here()
        asm.move(RAX, X)
        self.at_most(RAX, "last_column")
        asm.address(BLOCK, Memory(LINE, 0, RAX, self.numbers.image_size))
        asm.address(OUT, Memory(OUT_LINE, 0, RAX, self.numbers.out_size))
        self.products(kw)
        self.store(Memory(WEIGHTS, kh * kw * self.numbers.size))
        asm.compute_number("add", X, self.width)
        asm.compute("cmp", X, self.field("columns"))
        asm.jump(columns, "less")
        asm.compute("add", WEIGHTS, self.field("weights_kernel"))
        asm.compute("add", OUT_LINE, self.field("out_kernel"))
        asm.compute_number("sub", COUNT, 1)
        asm.jump(kernels, "not equal")
