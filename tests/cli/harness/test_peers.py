from __future__ import annotations

import numpy as np
import pytest

from kernelfield.cli.harness.measure import difference_from_ours
from kernelfield.cli.harness.peers import PEERS, library
from kernelfield.cli.harness.work import WORK, cases
from kernelfield.engine import threads


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.installed()], ids=lambda peer: peer.name)
@pytest.mark.parametrize("work", WORK)
def test_every_library_gives_our_result(peer, work):
    loaded = peer(2)
    for case in cases((work,), (48,), (3, 7), quick=True):
        task = case.task()
        expected = task.ours()().copy()
        assert task.error(expected) <= task.tolerance
        task.out[...] = 0
        candidate = loaded.candidate(task)
        if candidate is None:
            assert case.dtype == np.uint8
            continue
        assert difference_from_ours(candidate, loaded, task, expected) <= loaded.tolerance(task)
        if expected.ndim == 2:
            rows, columns = (
                slice(0 if peer.mirrors else k // 2, n if peer.mirrors else n - k // 2)
                for n, k in zip(expected.shape, case.kernel)
            )
            result, ours = (array[rows, columns].astype(float) for array in (candidate.result(), expected))
            np.testing.assert_allclose(result, ours, atol=loaded.tolerance(task))


def test_a_library_runs_on_our_threads():
    cv2 = library("OpenCV")
    assert cv2.getNumThreads() == threads.threads()
