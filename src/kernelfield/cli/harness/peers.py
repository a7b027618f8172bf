"""Libraries that kernelfield is timed beside; each is imported when it is asked for.

A library mirrors the image at its border, as kernelfield does here, and writes into memory given to it, where it can.
Tensors are made before the timing.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import numpy as np

from kernelfield.cli.harness.compare import Candidate
from kernelfield.cli.harness.work import Task
from kernelfield.engine import threads as engine_threads


class Peer(ABC):
    """A library, set to a number of threads where it has such a setting."""

    name: ClassVar[str]
    #: The module to import, and the names on PyPI of the packages that may contain it.
    module: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    #: Pixels outside the image are its mirror; else they are 0, and results are compared inside only.
    mirrors: ClassVar[bool] = False
    #: Factor of a task's tolerance for integers, where the library's arithmetic is coarser.
    coarse: ClassVar[float] = 1.0
    #: It works by FFT: the time does not grow with the kernel.
    spectral: ClassVar[bool] = False
    #: The library to beat: timed however long it takes.
    always: ClassVar[bool] = False

    def __init__(self, threads: int) -> None:
        self.threads = threads
        #: Threads that it runs on, as far as known.
        self.works_on: int | str = threads
        self.library: Any = _load(self.module)

    @abstractmethod
    def candidate(self, task: Task) -> Candidate | None:
        """Return the call that does the task; None where this library cannot do it."""

    def tolerance(self, task: Task) -> float:
        """Return the allowed difference between its results and ours."""
        return task.tolerance * (self.coarse if task.image.dtype.kind == "u" else 1.0)

    @classmethod
    def installed(cls) -> bool:
        """Return whether the library is installed, without importing it."""
        return importlib.util.find_spec(cls.module.partition(".")[0]) is not None


class _OpenCV(Peer):
    name, module, mirrors, always = "OpenCV", "cv2", True, True
    packages = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.library.setNumThreads(threads)

    def candidate(self, task: Task) -> Candidate:
        image, kernel, out, cv2 = task.image, task.kernel, task.out, self.library
        calls: dict[str, Callable[[], Any]] = {
            "rank1": lambda: cv2.sepFilter2D(image, -1, task.row, task.column, dst=out),
            "blur": lambda: cv2.GaussianBlur(image, kernel.shape, len(kernel) / 6, dst=out),
            "bank": lambda: [cv2.filter2D(image, -1, one, dst=part) for one, part in zip(kernel, out)],
            "small": lambda: cv2.filter2D(image, -1, kernel),
        }
        call = calls.get(task.case.work, lambda: cv2.filter2D(image, -1, kernel, dst=out))
        return Candidate(call, np.asarray if task.case.work == "small" else lambda _: out)


class _NdImage(Peer):
    name, module, packages, mirrors = "ndimage", "scipy.ndimage", ("scipy",), True

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.works_on = 1

    def candidate(self, task: Task) -> Candidate | None:
        image, out, ndimage = task.image, task.out, self.library
        if image.dtype.kind == "u":  # wraps around where the others saturate
            return None
        kernel = task.kernel[..., None] if image.ndim == 3 else task.kernel

        def passes() -> np.ndarray:
            ndimage.correlate1d(image, task.column, axis=0, mode="mirror", output=out)
            ndimage.correlate1d(out, task.row, axis=1, mode="mirror", output=out)
            return out

        calls: dict[str, Callable[[], Any]] = {
            "rank1": passes,
            "bank": lambda: [ndimage.correlate(image, k, mode="mirror", output=part) for k, part in zip(kernel, out)],
            "small": lambda: ndimage.correlate(image, kernel, mode="mirror"),
        }
        rest = partial(ndimage.correlate, image, kernel, mode="mirror", output=out)
        return Candidate(calls.get(task.case.work, rest), np.asarray if task.case.work == "small" else lambda _: out)


class _OverlapAdd(Peer):
    name, module, packages, spectral = "oaconvolve", "scipy.signal", ("scipy",), True

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.set_workers: Any = _load("scipy.fft").set_workers

    def candidate(self, task: Task) -> Candidate | None:
        image, kernel = task.image, task.kernel[..., ::-1, ::-1]
        if image.dtype.kind == "u":
            return None
        kernels = kernel if kernel.ndim == 3 else kernel[None]
        if image.ndim == 3:
            kernels = kernels[..., None]

        def call() -> Any:
            with self.set_workers(self.threads):
                return [self.library.oaconvolve(image, one, mode="same", axes=(0, 1)) for one in kernels]

        return Candidate(call, lambda planes: np.stack(planes).reshape(task.out.shape))


class _Vips(Peer):
    name, module, packages, coarse = "libvips", "pyvips", ("pyvips",), 8.0

    def __init__(self, threads: int) -> None:
        loaded = self.module in sys.modules
        os.environ.setdefault("VIPS_CONCURRENCY", str(threads))
        super().__init__(threads)
        self.library.cache_set_max(0)  # a cache would return the result of the call before
        self.works_on = "its own choice" if loaded else int(os.environ["VIPS_CONCURRENCY"])

    def candidate(self, task: Task) -> Candidate:
        image, vips = task.image, self.library
        height, width, *bands = image.shape
        kind, precision = ("uchar", "integer") if image.dtype.kind == "u" else ("float", "float")
        source = vips.Image.new_from_memory(image.data, width, height, bands[0] if bands else 1, kind)
        kernels = task.kernel if task.kernel.ndim == 3 else task.kernel[None]
        filters = [[vips.Image.new_from_list(one.tolist())] for one in kernels]
        if task.case.is_product:
            filters = [[vips.Image.new_from_list(part.tolist()) for part in (task.column[:, None], task.row[None])]]

        def call() -> list[Any]:
            results = []
            for masks in filters:
                result = source
                for mask in masks:
                    result = result.conv(mask, precision=precision)
                results.append(result.write_to_memory())
            return results

        def array(results: list[Any]) -> np.ndarray:
            return np.stack([np.frombuffer(one, image.dtype) for one in results]).reshape(task.out.shape)

        return Candidate(call, array)


class _Framework(Peer):
    """A framework of layers: images are (1, C, H, W), weights (C_out, 1, kh, kw), and pixels outside are 0."""

    def candidate(self, task: Task) -> Candidate | None:
        if task.image.dtype.kind == "u":
            return None
        height, width = task.image.shape[:2]
        image = np.moveaxis(task.image, -1, 0) if task.image.ndim == 3 else task.image[None]
        kernel = task.kernel if task.kernel.ndim == 3 else task.kernel[None].repeat(len(image), axis=0)
        layer = self.layer(image[None], kernel[:, None])

        def array(value: Any) -> np.ndarray:
            result = layer.array(value)[0, :, :height, :width]
            return np.moveaxis(result, 0, -1) if task.image.ndim == 3 else result.reshape(task.out.shape)

        return Candidate(layer.call, array)

    @abstractmethod
    def layer(self, image: np.ndarray, weights: np.ndarray) -> Candidate:
        """Return the call on tensors, each channel for itself; its array is (1, C_out, H, W), or larger at the end."""


class _Torch(_Framework):
    name, module, packages = "PyTorch", "torch", ("torch",)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.library.set_num_threads(threads)

    def layer(self, image: np.ndarray, weights: np.ndarray) -> Candidate:
        torch, channels = self.library, image.shape[1]
        x, w = (torch.from_numpy(np.ascontiguousarray(array)) for array in (image, weights))
        rows, columns = weights.shape[-2:]
        padding = rows // 2, columns // 2

        def call() -> Any:
            with torch.inference_mode():
                return torch.nn.functional.conv2d(x, w, padding=padding, groups=channels)

        return Candidate(call, lambda value: np.asarray(value.numpy()))


class _TensorFlow(_Framework):
    name, module, packages = "TensorFlow", "tensorflow", ("tensorflow", "tensorflow-cpu")

    def __init__(self, threads: int) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        super().__init__(threads)
        try:
            self.library.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:  # it has run before in this process
            self.works_on = "its own choice"

    def layer(self, image: np.ndarray, weights: np.ndarray) -> Candidate:
        tf = self.library
        padding: Any = "SAME"
        if not all(n % 2 for n in weights.shape[-2:]):  # where "SAME" has another centre
            padding = [[0, 0], *_paddings(weights), [0, 0]]
        with tf.device("/CPU:0"):
            x, w = tf.constant(image.transpose(0, 2, 3, 1)), tf.constant(weights.transpose(2, 3, 1, 0))
        if image.shape[1] == 1:
            call = partial(tf.nn.conv2d, x, w, 1, padding)
        else:
            w = tf.transpose(w, (0, 1, 3, 2))
            call = partial(tf.nn.depthwise_conv2d, x, w, (1, 1, 1, 1), padding)
        return Candidate(call, lambda value: np.asarray(value.numpy().transpose(0, 3, 1, 2)))


class _Jax(_Framework):
    name, module, packages = "JAX", "jax", ("jax",)

    def __init__(self, threads: int) -> None:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        super().__init__(threads)
        self.works_on = "its own choice"  # XLA uses the processors it finds

    def layer(self, image: np.ndarray, weights: np.ndarray) -> Candidate:
        jax, channels, padding = self.library, image.shape[1], _paddings(weights)
        cpu = jax.devices("cpu")[0]
        x, w = (jax.device_put(array, cpu) for array in (image, weights))
        run = jax.jit(lambda a, b: jax.lax.conv_general_dilated(a, b, (1, 1), padding, feature_group_count=channels))
        return Candidate(lambda: run(x, w).block_until_ready(), np.asarray)


PEERS: tuple[type[Peer], ...] = (_OpenCV, _NdImage, _OverlapAdd, _Vips, _Torch, _TensorFlow, _Jax)


def library(name: str) -> Any:
    """Return the module of a library by its name in the tables, set to as many threads as kernelfield runs on."""
    return next(kind for kind in PEERS if kind.name == name)(engine_threads.threads()).library


def _paddings(weights: np.ndarray) -> list[tuple[int, int]]:
    """Return the rows and columns of zeros before and after the image for results of its size."""
    return [(n // 2, (n - 1) // 2) for n in weights.shape[-2:]]


def _load(name: str) -> Any:
    """Import a module without its warnings and messages."""
    with warnings.catch_warnings(), _no_stderr():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Discard everything written to stderr, by compiled code too."""
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
