"""Threads and child processes of the compiled code, each in a fresh interpreter: nothing else has started threads."""

import os
import platform
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="object files are linked on x86-64 Linux only"
)

COMMON = """
import multiprocessing, os, sys, threading, warnings
import numpy as np
import kernelfield as kf
from kernelfield.engine import _objects
from kernelfield.engine.threads import set_threads, threads

# Python 3.12 and later warn of every fork of a process with threads.
warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
image = np.random.default_rng(0).random((600, 700), np.float32)
kernel = np.random.default_rng(1).random((7, 7), np.float32)

def result(data=image):
    return kf.correlate(data, kernel, mode="valid")

def count():
    return len(os.listdir("/proc/self/task"))

def same(expected):
    sys.exit(not np.array_equal(result(), expected))

def ended_well(process):
    process.join(30)
    code = process.exitcode
    process.kill()
    assert code == 0, code
"""


def run(code, **environment):
    """Run a script in a new interpreter; it may hang without hanging the tests."""
    names = ("HL_NUM_THREADS", "OMP_NUM_THREADS", "KERNELFIELD_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", COMMON + textwrap.dedent(code)],
        env={**clean, "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_pipelines_share_one_pool_of_as_many_threads_as_were_asked_for():
    run("""
        before = count()
        set_threads(1)
        expected = result()
        assert count() == before
        for n in (3, 5):
            set_threads(n)
            assert np.array_equal(result(), expected)
            kf.correlate(image.astype(np.uint8), kernel)
            kf.correlate(image[None], kernel[None, None], stride=2)
            kf.correlate(image.astype(float), kernel)
            assert threads() == n and count() == before + n - 1, (n, count(), before)
        set_threads(2)
        assert np.array_equal(result(), expected)
    """)


def test_the_environment_says_how_many():
    code = """
        before = count()
        result()
        print(count() - before + 1, threads())
    """
    assert run(code, KERNELFIELD_THREADS="4", OMP_NUM_THREADS="2").split() == ["4", "4"]
    assert run(code, OMP_NUM_THREADS="3,2").split() == ["3", "3"]


def test_a_forked_child_has_threads_of_its_own():
    run("""
        set_threads(3)
        expected = result()

        def child():
            assert count() == 1
            right = np.array_equal(result(), expected)
            sys.exit(not (right and count() == 3))

        context = multiprocessing.get_context("fork")
        for _ in range(5):
            process = context.Process(target=child)
            process.start()
            ended_well(process)
            assert np.array_equal(result(), expected)
    """)


def test_forks_amid_the_work_of_other_threads():
    run("""
        set_threads(3)
        expected = result()
        stop, wrong = threading.Event(), []

        def work():
            while not stop.is_set():
                if not np.array_equal(result(), expected):
                    wrong.append(1)

        workers = [threading.Thread(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        context = multiprocessing.get_context("fork")

        def fork():
            for _ in range(10):
                together = [context.Process(target=same, args=(expected,)) for _ in range(2)]
                for process in together:
                    process.start()
                for process in together:
                    ended_well(process)

        forker = threading.Thread(target=fork)
        forker.start()
        forker.join()
        stop.set()
        for worker in workers:
            worker.join()
        assert not wrong
    """)


def test_forks_amid_a_compilation():
    # The first thread also imports Halide: a lock of that import would stay locked in a child.
    run(
        """
        kf.correlate
        context = multiprocessing.get_context("fork")
        compiling = [
            threading.Thread(target=result, args=(image.astype(dtype),)) for dtype in ("uint8", "float64")
        ]

        def child():
            same = np.array_equal(result(image.astype(np.int16)), result(np.trunc(image)))
            sys.exit(not same)

        for thread in compiling:
            thread.start()
        while any(thread.is_alive() for thread in compiling):
            process = context.Process(target=child)
            process.start()
            ended_well(process)
        """,
        KERNELFIELD_CACHE="",
    )


def test_a_refusal_in_a_forked_child_is_an_exception():
    run("""
        from kernelfield.engine import _halide, direct
        from kernelfield.errors import KernelfieldError

        result()

        def child():
            pipeline = _halide.compiled(direct._build, image.dtype, image.dtype)
            try:
                pipeline.run(image[None], np.zeros((9, 3), np.float32), 1, 0.0, image[None])
            except KernelfieldError as error:
                sys.exit("accessed" not in str(error))

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        ended_well(process)
    """)


def test_a_spawned_pool_computes_the_same(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(
        COMMON
        + textwrap.dedent("""
        if __name__ == "__main__":
            expected = result()
            with multiprocessing.get_context("spawn").Pool(2, initializer=set_threads, initargs=(1,)) as pool:
                for found in pool.map(result, [image] * 4):
                    assert np.array_equal(found, expected)
                assert pool.apply(threads) == 1
        """)
    )
    subprocess.run([sys.executable, str(script)], check=True, timeout=300)
