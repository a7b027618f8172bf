import ctypes
import gc
import platform
import sys
import threading
import time

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.engine import _halide, _objects, channels, code_cache, direct, lags
from kernelfield.engine._elf import link
from kernelfield.engine._runtime import error_of
from kernelfield.errors import ArgumentError, KernelfieldError

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="object files are linked on x86-64 Linux only"
)

F4 = np.dtype(np.float32)


def pipeline():
    return _halide.compiled(direct._build, F4, F4)


def arguments(rows=40, columns=70, kh=3, kw=3, seed=0):
    rng = np.random.default_rng(seed)
    weights = np.zeros((kh + 2 * direct._PAD, kw), np.float32)
    weights[direct._PAD : direct._PAD + kh] = rng.normal(size=(kh, kw))
    image = rng.normal(size=(2, rows, columns)).astype(np.float32)
    return image, weights, 2, 0.25, np.empty((2, rows - kh + 1, columns - kw + 1), np.float32)


@pytest.fixture(scope="module")
def by_halide():
    """Return the pipeline as Halide itself loads and calls it."""
    return _halide._InProcess(direct._build(F4, F4))


@given(st.integers(1, 40), st.integers(40, 90), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
def test_the_bits_are_those_of_halides_own_loader(by_halide, rows, columns, kh, kw, layout):
    image, weights, strip, bias, out = arguments(rows + kh, columns + kw, kh, kw)
    if layout == 1:
        image = np.repeat(image, 3, axis=1)[:, ::3]
    elif layout == 2:
        image = np.broadcast_to(image[:1], image.shape)
    elif layout == 3:
        image.flags.writeable = False
    by_halide.run(image, weights, strip, bias, out)
    ours = np.full_like(out, np.nan)
    pipeline().run(image, weights, strip, bias, ours)
    assert ours.tobytes() == out.tobytes()


def test_the_stride_of_a_single_element_can_be_anything():
    image, weights, strip, bias, out = arguments()
    pipeline().run(image, weights, strip, bias, out)
    odd = np.lib.stride_tricks.as_strided(image[:1], strides=(2**40, *image.strides[1:]))
    one = np.empty_like(out[:1])
    pipeline().run(odd, weights, strip, bias, one)
    assert np.array_equal(one, out[:1])


def test_a_second_process_does_without_halide(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELFIELD_CACHE", str(tmp_path / "cache"))
    key = (F4, F4)
    before = dict(code_cache.counts)
    first, second = _objects.pipeline(direct._build, key), _objects.pipeline(direct._build, key)
    assert code_cache.counts == {"hits": before["hits"] + 1, "misses": before["misses"] + 1}
    assert first.width == second.width == 2 * _halide.lanes(F4)
    image, weights, strip, bias, out = arguments()
    first.run(image, weights, strip, bias, out)
    again = np.empty_like(out)
    second.run(image, weights, strip, bias, again)
    assert np.array_equal(out, again)


def test_what_the_code_depends_on_is_in_the_key(monkeypatch):
    def identity():
        return _objects._identity(["direct"], "direct")

    keys = [identity(), _objects._identity(["lags"], "lags")]
    for name in ("processor.identity", "_halide_version", "_source_digest"):
        with monkeypatch.context() as patch:
            patch.setattr(f"kernelfield.engine._objects.{name}", lambda *_: "another")
            keys.append(identity())
    with monkeypatch.context() as patch:
        patch.setenv("HL_JIT_TARGET", "host-no_asserts")
        keys.append(identity())
    with monkeypatch.context() as patch:
        patch.setattr("kernelfield.__version__", "9")
        keys.append(identity())
    assert len({str(key) for key in keys}) == len(keys) == 7
    assert identity() == keys[0]
    assert _objects._halide_version() == __import__("importlib.metadata").metadata.version("halide")


def test_code_for_another_processor_is_compiled_and_right(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELFIELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HL_JIT_TARGET", "x86-64-linux-sse41")
    narrow = _objects.pipeline(direct._build, (F4, F4))
    assert narrow.width == 8
    image, weights, strip, bias, out = arguments()
    narrow.run(image, weights, strip, bias, out)
    kernel = weights[direct._PAD : -direct._PAD]
    expected = [scipy.signal.correlate2d(i.astype(float), kernel, "valid") + bias for i in image]
    assert np.allclose(out, expected, atol=1e-5)
    monkeypatch.setenv("HL_JIT_TARGET", "arm-64-linux")
    with pytest.raises(ArgumentError, match=r"HL_JIT_TARGET: expected .* received 'arm-64-linux' .*; unset it"):
        _objects.pipeline(direct._build, (F4, F4))


@pytest.mark.parametrize(("at", "value"), [(0, 0), (4, 1), (16, 3), (18, 40)])
def test_no_other_file_is_linked(at, value):
    data = bytearray(64)
    data[:6] = b"\x7fELF\x02\x01"
    data[16], data[18] = 1, 62
    data[at] = value
    with pytest.raises(ValueError, match="no object file"):
        link(bytes(data))


def test_a_refusal_is_an_exception_with_halides_words():
    image, weights, strip, bias, out = arguments()
    with pytest.raises(KernelfieldError, match=r"image is accessed at 69, which is beyond the max .63. in dimension 0"):
        pipeline().run(image[:, :, :64], weights, strip, bias, out)
    with pytest.raises(KernelfieldError, match=r"image.stride.0 .2. == 1"):
        pipeline().run(np.repeat(image, 2, axis=2)[:, :, ::2], weights, strip, bias, out)
    pipeline().run(image, weights, strip, bias, out)
    assert np.isfinite(out).all()


def test_each_thread_gets_its_own_refusal():
    wrong = []

    def call(columns):
        image, weights, strip, bias, out = arguments()
        for _ in range(50):
            try:
                pipeline().run(image[:, :, :columns], weights, strip, bias, out)
            except KernelfieldError as error:
                if f"({columns - 1}) in dimension 0" not in str(error):
                    wrong.append(str(error))
            else:
                wrong.append("no error")

    run_together([lambda n=n: call(n) for n in range(40, 48)])
    assert not wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, w, s, b, o: (i.astype(np.float64), w, s, b, o), "expected float32; received float64"),
        (lambda i, w, s, b, o: (i.astype(">f4"), w, s, b, o), "expected float32; received >f4"),
        (lambda i, w, s, b, o: (i[0], w, s, b, o), r"expected 3 axes; received shape \(40, 70\)"),
        (lambda i, w, s, b, o: (np.broadcast_to(i[:1, :1, :1], (1, 2**31, 1)), w, s, b, o), "fit 32 bits"),
        (lambda i, w, s, b, o: (i, w, 2**31, b, o), "fit 32 bits"),
        (lambda i, w, s, b, o: (i, w, s), "expected 5"),
    ],
)
def test_wrong_arguments_never_reach_the_code(change, message):
    with pytest.raises(ArgumentError, match=message):
        pipeline().run(*change(*arguments()))


def test_no_memory_is_a_memory_error():
    a = np.ones((70, 70), np.float32)
    expected = lags.lag_products(a[:64, :64], a, (7, 7), 64)
    allocator = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    runtime = _objects.runtime()
    setter = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(runtime.address("halide_set_custom_malloc"))
    nothing = allocator(lambda context, size: None)
    usual = setter(ctypes.cast(nothing, ctypes.c_void_p))
    try:
        with pytest.raises(MemoryError, match="memory"):
            lags.lag_products(a[:64, :64], a, (7, 7), 64)
    finally:
        setter(usual)
    assert np.array_equal(lags.lag_products(a[:64, :64], a, (7, 7), 64), expected)
    assert isinstance(error_of(-11, 0), MemoryError)


def test_what_halide_prints_goes_to_stderr(capsys):
    address = _objects.runtime().address("halide_print")
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(address)(None, b"a note\n")
    assert capsys.readouterr().err == "a note\n"


def test_the_interpreter_lock_is_free_during_the_work():
    """A thread that may wait an hour for the lock moves on, because a call gives it away; plain Python does not."""
    call = pipeline()
    image, weights, strip, bias, out = arguments(2000, 2000, 9, 9)
    call.run(image, weights, strip, bias, out)
    steps, stop = [], threading.Event()

    def step():
        while not stop.is_set():
            steps.append(None)
            time.sleep(0.001)

    usual = sys.getswitchinterval()
    thread = threading.Thread(target=step)
    sys.setswitchinterval(3600)
    try:
        thread.start()
        before = len(steps)
        for _ in range(1_000_000):
            pass
        assert len(steps) == before
        for _ in range(100):
            call.run(image, weights, strip, bias, out)
            if len(steps) > before:
                break
        assert len(steps) > before
    finally:
        sys.setswitchinterval(usual)
        stop.set()
        thread.join()


def run_together(jobs):
    """Run all in threads of their own; an error in one is raised."""
    errors = []

    def guarded(job):
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_many_threads_call_many_shapes_while_garbage_is_collected():
    rng = np.random.default_rng(3)
    shapes = [tuple(int(n) for n in rng.integers(1, 90, 2)) for _ in range(100)]
    image = rng.normal(size=(100, 100)).astype(np.float32)
    kernel = rng.normal(size=(4, 3)).astype(np.float32)
    whole = scipy.signal.correlate2d(image.astype(float), kernel, "valid")
    layer_kernel = rng.normal(size=(2, 1, 2, 2)).astype(np.float32)
    layer = [scipy.signal.correlate2d(image.astype(float), k[0], "valid") for k in layer_kernel]

    def job(seed):
        for n in np.random.default_rng(seed).permutation(len(shapes)):
            rows, columns = shapes[n]
            part = image[: rows + 3, : columns + 2].copy()
            out = np.empty((1, rows, columns), np.float32)
            direct.correlate(part[None], kernel, out)
            assert np.allclose(out[0], whole[:rows, :columns], atol=1e-4)
            out = np.empty((1, 2, rows, columns), np.float32)
            channels.forward(part[None, None, : rows + 1, : columns + 1], layer_kernel, out, (1, 1), (1, 1), 1)
            assert np.allclose(out[0], [one[:rows, :columns] for one in layer], atol=1e-4)
            if n % 20 == 0:
                gc.collect()

    run_together([lambda seed=seed: job(seed) for seed in range(8)])


def test_more_arrays_than_one_call_at_a_time_need_no_new_memory():
    call = _objects.pipeline(direct._build, (F4, F4))
    for _ in range(5):
        call.run(*arguments())
    assert len(call._free) == 1
