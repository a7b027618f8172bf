"""Threads and child processes of the compiled code, each in a fresh interpreter: nothing else has started threads."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = [
    pytest.mark.core,
    pytest.mark.threads,
    pytest.mark.skipif(sys.platform != "linux", reason="threads are counted and processes forked as on Linux"),
]

COMMON = """
import multiprocessing, os, sys, threading, warnings
import numpy as np
import kernelfield as kf
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
    names = ("OMP_NUM_THREADS", "KERNELFIELD_THREADS")
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


def test_all_work_shares_one_pool_of_as_many_threads_as_were_asked_for():
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


def test_forks_amid_lag_products_and_layers():
    run("""
        from kernelfield import _core

        set_threads(2)
        wide = np.random.default_rng(2).random((3, 500, 600), np.float32)
        weights = np.random.default_rng(3).random((4, 3, 3, 3))
        lags = _core.lag_products(image[:580, :680], image, (9, 9), 64)
        layer = kf.correlate(wide, weights)
        stop = threading.Event()

        def work():
            while not stop.is_set():
                kf.correlate(wide, weights)

        def child():
            right = np.array_equal(kf.correlate(wide, weights), layer)
            sys.exit(not (right and np.array_equal(_core.lag_products(image[:580, :680], image, (9, 9), 64), lags)))

        worker = threading.Thread(target=work)
        worker.start()
        for _ in range(5):
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            ended_well(process)
        stop.set()
        worker.join()
    """)


def test_a_refusal_in_a_forked_child_is_an_exception():
    run("""
        from kernelfield import _core

        result()

        def child():
            try:
                _core.Correlation(np.zeros((9, 3)))(image, np.zeros((2, 600, 698)))
            except ValueError:
                sys.exit(0)
            sys.exit(1)

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


_NO_NEW_CODE = """
import ctypes, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
import mmap
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    pass
else:
    sys.exit("memory could be made executable: the process is not what is tested")
import numpy as np, kernelfield as kf
image = np.random.default_rng(0).random((300, 400)).astype("f4")
for kernel, dtype in ((np.ones((3, 3)) / 9, "f4"), (np.arange(35.0).reshape(5, 7), "f8"), (np.ones((9, 9)), "u1")):
    kf.correlate((image * 99).astype("u1"), kernel, dtype=dtype), kf.correlate(image, kernel)
print(kf.learn(image, kf.correlate(image, [[1.0, 2.0, 1.0]])).verdict)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux can refuse memory that is written and executed")
def test_no_memory_is_made_executable():
    done = subprocess.run([sys.executable, "-c", _NO_NEW_CODE], capture_output=True, text=True, timeout=300)
    if done.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "exact"


_LONG = """
import sys, numpy as np, kernelfield as kf
image = np.random.default_rng(0).random((8000, 8000))
kernel = np.random.default_rng(1).random((81, 81))
print("begun", flush=True)
try:
    kf.correlate(image, kernel, method="direct", dtype="float64")
except KeyboardInterrupt:
    print("interrupted")
else:
    print("finished")
kf.correlate(image[:50, :50], kernel[:3, :3])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX does")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_ctrl_c_ends_long_work(threads):
    environment = {**os.environ, "KERNELFIELD_THREADS": threads}
    with subprocess.Popen([sys.executable, "-c", _LONG], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=300)
    assert out == "interrupted\n"
    assert process.returncode == 0
