"""Where the code of `sliding` and `passes` keeps what: the words that a task is told, registers, and the stack."""

from __future__ import annotations

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
    Memory,
)  # fmt: skip

#: What a task is told, in words of 64 bits: addresses, steps in bytes, sizes in elements, numbers. `table` has a word
#: for each row of the extended image: how far from the image the row lies that is read there. From column `first` to
#: `columns` tiles read the image itself; what `sliding` and `converted` do beside it needs the rest. The last
#: are for sums that are taken again in float64: limits, and how many bytes behind the weights those in float64 lie.
FIELDS = (
    "image", "image_batch", "table", "out", "out_step", "out_batch", "out_kernel", "weights", "weights_kernel",
    "kernels", "terms", "rows", "last_row", "first", "columns", "last_column", "width", "strips", "strip_rows",
    "chunks", "scratch", "scratch_task", "scale", "low", "high", "pairs",
    "left_from", "left_to", "left_bytes", "left_pairs", "right_from", "right_to", "right_bytes", "right_pairs",
    "row_from", "row_to", "row_last", "row_columns", "row_pairs", "pitch",
    "low_again", "high_again", "weights_again",
)  # fmt: skip
AT = {name: 8 * i for i, name in enumerate(FIELDS)}

# General registers: how far a tile is from where rows begin, a row, where rows are told, a tile of outputs, the step of
# its rows, weights.
BLOCK, ROW, TABLE, OUT, OUT_STEP, WEIGHTS, TAP = RDI, RAX, R8, R10, R11, R9, RCX
X, Y, END, TASK, LINE, TIMES, OUT_LINE, COUNT = RBX, R12, R13, R14, R15, RBP, RSI, RDX
SAVED = (RBX, RBP, R12, R13, R14, R15)
#: What says of each group whether sums are in doubt: what is not needed once a tile is summed, TAP the longest.
MASKS = (RAX, TIMES, TAP)
# Words on the stack: where the image of the task and its results begin, and what `passes` keeps.
IMAGE, RESULTS, *SPARE = (Memory(RSP, 8 * i) for i in range(12))


def below(place: Memory) -> Memory:
    """Return where a word on the stack is after one more was pushed."""
    return place._replace(offset=place.offset + 8)
