import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from kernelfield.engine import blas
from kernelfield.engine.blas import one_thread

pytestmark = pytest.mark.core


class Library:
    """Counts threads as OpenBLAS does."""

    def __init__(self, count):
        self.count = count

    def threads(self):
        return self.count

    def set_threads(self, count):
        self.count = count


def test_one_thread_until_the_last_context_ends(monkeypatch):
    library = Library(5)
    monkeypatch.setattr(blas, "_library", lambda: library)
    first, second = one_thread(), one_thread()
    first.__enter__()
    second.__enter__()
    assert library.count == 1
    first.__exit__(None, None, None)
    assert library.count == 1
    second.__exit__(None, None, None)
    assert library.count == 5


def test_an_error_ends_the_context(monkeypatch):
    library = Library(5)
    monkeypatch.setattr(blas, "_library", lambda: library)
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert library.count == 5


def test_contexts_of_several_threads(monkeypatch):
    library = Library(3)
    monkeypatch.setattr(blas, "_library", lambda: library)
    seen = []

    def work():
        for _ in range(200):
            with one_thread():
                seen.append(library.count)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert set(seen) == {1}
    assert library.count == 3


def test_without_openblas_nothing_changes(monkeypatch):
    monkeypatch.setattr(blas, "_library", lambda: None)
    with one_thread():
        assert np.ones(3) @ np.ones(3) == 3.0


SEEN = """
import numpy as np
from threadpoolctl import threadpool_info
import kernelfield as kf
from kernelfield.engine.blas import one_thread

def counts():
    near = [one for one in threadpool_info() if one["internal_api"] == "openblas" and "numpy" in one["filepath"]]
    return [one["num_threads"] for one in near]

before = np.random.default_rng(0).random((30, 30))
kf.learn(before, before, size=1)
outside = counts()
with one_thread():
    inside = counts()
print(*outside, "|", *inside, "|", *counts())
"""


def test_numpys_own_library():
    """Another program sees what NumPy's OpenBLAS is set to, where NumPy has it."""
    pytest.importorskip("threadpoolctl")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", SEEN], env=environment, capture_output=True, text=True, check=True)
    before, inside, after = (part.split() for part in done.stdout.split("|"))
    if not before:
        pytest.skip("NumPy's wheel has another library")
    assert before == after
    assert set(inside) == {"1"}
