from __future__ import annotations

import numpy as np
import scipy.ndimage

from kernelfield.cli.harness.work import WORK, Case, cases


def test_the_definition_is_that_of_scipy():
    for case in cases(("dense", "bank", "rgb", "small"), (40,), (5,), quick=True):
        task = case.task()
        kernels = task.kernel.reshape(-1, *case.kernel).astype(np.float64)
        planes = [task.image] if task.image.ndim == 2 else list(np.moveaxis(task.image, -1, 0))
        sums = [scipy.ndimage.correlate(p.astype(np.float64), k, mode="mirror") for p in planes for k in kernels]
        right = np.stack(sums, axis=-1 if task.image.ndim == 3 else 0).reshape(task.out.shape)
        if case.dtype == np.uint8:
            right = np.clip(np.rint(right), 0, 255)
        assert task.error(right) < 1e-9
        wrong = right.copy()
        wrong[..., -1, -1] += 0.5 if case.work != "rgb" else 2.0
        assert task.error(wrong) > 0.4


def test_quick_has_every_work():
    quick, full = (list(cases(tuple(WORK), None, None, quick)) for quick in (True, False))
    assert {case.work for case in quick} == {case.work for case in full} == set(WORK)
    assert sum(case.multiply_adds for case in quick) < sum(case.multiply_adds for case in full) / 10
    assert {case.shape for case in full if case.work == "rgb"} == {(3000, 4000, 3)}


def test_a_copy_writes_the_whole_result():
    single, byte = np.dtype(np.float32), np.dtype(np.uint8)
    for name, shape, dtype in (("dense", (37, 40), single), ("bank", (37, 40), single), ("rgb", (37, 40, 3), byte)):
        for threads in (1, 3):
            task = Case(name, shape, (3, 3), dtype).task()
            task.copy(threads)()
            assert np.array_equal(task.out, np.broadcast_to(task.image, task.out.shape))
