"""How much of the processor's multiply-adds the code of our own uses: float32, one channel, valid outputs.

The peak is what twelve registers give that are multiplied and added to in a loop, on as many threads.

python -m benchmarks.peak
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.timing import interleaved, machine, show, write
from kernelfield.engine import direct, threads
from kernelfield.engine._code import Code, system_function
from kernelfield.engine._elf import PAGE, Image
from kernelfield.engine.choice import engine
from kernelfield.engine.x86.assembler import RAX, RCX, Assembler
from kernelfield.engine.x86.function import parallel_for

SIZES = (1024, 2048)
KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)
_REGISTERS, _TURNS, _LANES = 12, 200_000, 8


def main() -> None:
    if not engine().native:
        raise SystemExit("benchmarks.peak: expected x86-64 Linux with AVX2 and FMA; there is no code of our own here")
    count = threads.threads()
    loop = Code(Image(_loop(), (PAGE, 0, 0), (), {}, {"task": 0}), system_function)
    peak = partial(parallel_for(), None, loop.address("task"), 0, 4 * count, 0)
    flops_of_peak = 2 * _LANES * _REGISTERS * _TURNS * 4 * count
    rng = np.random.default_rng(0)
    rows, figures = [], []
    for size in SIZES:
        image = rng.random((1, size, size), dtype=np.float32)
        for k in KERNELS:
            out = np.empty((1, size - k + 1, size - k + 1), np.float32)
            call = partial(direct.correlate, image, rng.normal(size=(k, k)), out)
            times = interleaved({"ours": call, "peak": peak}, rounds=31, seconds=2.0, shortest=5e-3)
            rates = {"ours": 2 * out.size * k * k / times["ours"] / 1e9, "peak": flops_of_peak / times["peak"] / 1e9}
            share = rates["ours"] / rates["peak"]
            figures.append({"size": size, "k": k, "gflops": rates, "share": share})
            numbers = (f"{rates['ours']:.0f}", f"{rates['peak']:.0f}", f"{share:.2f}")
            rows.append([f"{size}²", f"{k}×{k}", f"{1e3 * times['ours']:.2f}", *numbers])
    header = ["image", "kernel", "ms", "GFLOP/s", "peak", "share"]
    show("sliding products of our own beside the peak of multiply-adds, medians of interleaved runs", header, rows)
    write("peak", {"machine": machine(()), "threads": count, "figures": figures})


def _loop() -> bytes:
    """Return code that multiplies and adds, and takes nothing from memory."""
    asm = Assembler()
    for register in range(_REGISTERS + 2):
        asm.vector("vxorps", register, register, register)
    asm.number(RCX, _TURNS)
    loop = asm.here()
    for register in range(_REGISTERS):
        asm.vector("vfmadd231ps", register, _REGISTERS, _REGISTERS + 1)
    asm.compute_number("sub", RCX, 1)
    asm.jump(loop, "not equal")
    asm.zero(RAX)
    asm.clear_upper()
    asm.give_back()
    code = asm.finished()
    return code + bytes(PAGE - len(code))


if __name__ == "__main__":
    main()
