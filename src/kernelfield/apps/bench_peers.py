"""The libraries that ``kernelfield bench`` times ours beside; each is imported when it is asked for.

Where a library can extend the image by its mirror, as ours does here, and write into memory given to it, it does.
Tensors are made beforehand and their making is not timed.
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
from typing import Any, ClassVar, NamedTuple

import numpy as np

from kernelfield.apps.bench_work import Task


class Candidate(NamedTuple):
    """What is timed, and what makes of its value an array of the shape of the task's `out`."""

    call: Callable[[], Any]
    array: Callable[[Any], np.ndarray]


class Peer(ABC):
    """A library, set to `threads` threads as far as it lets itself."""

    name: ClassVar[str]
    #: What is imported, and what may be its name on PyPI.
    module: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    #: Pixels outside the image are its mirror; else they are 0, and results are compared inside only.
    mirrors: ClassVar[bool] = False
    #: How many times the tolerance of a task results of integers may be off: what it computes with is coarser.
    coarse: ClassVar[float] = 1.0
    #: Time does not grow with the kernel, by FFT.
    spectral: ClassVar[bool] = False
    #: The one to beat: timed however long it takes.
    always: ClassVar[bool] = False

    def __init__(self, threads: int) -> None:
        self.threads = threads
        #: Threads that it works on, as far as known.
        self.works_on: int | str = threads

    @abstractmethod
    def candidate(self, task: Task) -> Candidate | None:
        """Return how the task is done; None where this library cannot do it."""

    def tolerance(self, task: Task) -> float:
        """Return how far its results may be from ours."""
        return task.tolerance * (self.coarse if task.image.dtype.kind == "u" else 1.0)

    @classmethod
    def installed(cls) -> bool:
        """Return whether it is there, without importing it."""
        return importlib.util.find_spec(cls.module.partition(".")[0]) is not None


class _OpenCV(Peer):
    name, module, mirrors, always = "OpenCV", "cv2", True, True
    packages = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.cv2: Any = _load(self.module)
        self.cv2.setNumThreads(threads)

    def candidate(self, task: Task) -> Candidate:
        image, kernel, out, cv2 = task.image, task.kernel, task.out, self.cv2
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
        self.ndimage: Any = _load(self.module)
        self.works_on = 1

    def candidate(self, task: Task) -> Candidate | None:
        image, out, ndimage = task.image, task.out, self.ndimage
        if image.dtype.kind == "u":  # wraps around, where the others saturate
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
        rest = lambda: ndimage.correlate(image, kernel, mode="mirror", output=out)  # noqa: E731
        return Candidate(calls.get(task.case.work, rest), np.asarray if task.case.work == "small" else lambda _: out)


class _OverlapAdd(Peer):
    name, module, packages, spectral = "oaconvolve", "scipy.signal", ("scipy",), True

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.oaconvolve: Any = _load(self.module).oaconvolve
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
                return [self.oaconvolve(image, one, mode="same", axes=(0, 1)) for one in kernels]

        return Candidate(call, lambda planes: np.stack(planes).reshape(task.out.shape))


class _Vips(Peer):
    name, module, packages, coarse = "libvips", "pyvips", ("pyvips",), 8.0

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        loaded = self.module in sys.modules
        os.environ.setdefault("VIPS_CONCURRENCY", str(threads))
        self.vips: Any = _load(self.module)
        self.vips.cache_set_max(0)  # or it returns what it did before
        self.works_on = "its own choice" if loaded else int(os.environ["VIPS_CONCURRENCY"])

    def candidate(self, task: Task) -> Candidate:
        image, vips = task.image, self.vips
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
    """A framework of layers: images are (1, C, H, W), weights (C_out, 1, k, k), and what is outside is 0."""

    def candidate(self, task: Task) -> Candidate | None:
        if task.image.dtype.kind == "u":
            return None
        image = np.moveaxis(task.image, -1, 0) if task.image.ndim == 3 else task.image[None]
        kernel = task.kernel if task.kernel.ndim == 3 else task.kernel[None].repeat(len(image), axis=0)
        call, planes = self.layer(image[None], kernel[:, None])

        def array(value: Any) -> np.ndarray:
            result = planes(value)[0]
            return np.moveaxis(result, 0, -1) if task.image.ndim == 3 else result.reshape(task.out.shape)

        return Candidate(call, array)

    @abstractmethod
    def layer(self, image: np.ndarray, weights: np.ndarray) -> Candidate:
        """Return the call on tensors, and what makes an array (1, C_out, H, W) of its value; channels do not mix."""


class _Torch(_Framework):
    name, module, packages = "PyTorch", "torch", ("torch",)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.torch: Any = _load(self.module)
        self.torch.set_num_threads(threads)

    def layer(self, image: np.ndarray, weights: np.ndarray) -> Candidate:
        torch, channels = self.torch, image.shape[1]
        x, w = (torch.from_numpy(np.ascontiguousarray(array)) for array in (image, weights))
        margin = weights.shape[-1] // 2

        def call() -> Any:
            with torch.inference_mode():
                return torch.nn.functional.conv2d(x, w, padding=margin, groups=channels)

        return Candidate(call, lambda value: np.asarray(value.numpy()))


class _TensorFlow(_Framework):
    name, module, packages = "TensorFlow", "tensorflow", ("tensorflow", "tensorflow-cpu")

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        self.tf: Any = _load(self.module)
        try:
            self.tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:  # it has run before in this process
            self.works_on = "its own choice"

    def layer(self, image: np.ndarray, weights: np.ndarray) -> Candidate:
        tf = self.tf
        with tf.device("/CPU:0"):
            x, w = tf.constant(image.transpose(0, 2, 3, 1)), tf.constant(weights.transpose(2, 3, 1, 0))
        if image.shape[1] == 1:
            call: Callable[[], Any] = lambda: tf.nn.conv2d(x, w, 1, "SAME")  # noqa: E731
        else:
            w = tf.transpose(w, (0, 1, 3, 2))
            call = lambda: tf.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), "SAME")  # noqa: E731
        return Candidate(call, lambda value: np.asarray(value.numpy().transpose(0, 3, 1, 2)))


class _Jax(_Framework):
    name, module, packages = "JAX", "jax", ("jax",)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        self.jax: Any = _load(self.module)
        self.works_on = "its own choice"  # XLA takes the processors it sees

    def layer(self, image: np.ndarray, weights: np.ndarray) -> Candidate:
        jax, channels = self.jax, image.shape[1]
        cpu = jax.devices("cpu")[0]
        x, w = (jax.device_put(array, cpu) for array in (image, weights))
        run = jax.jit(lambda a, b: jax.lax.conv_general_dilated(a, b, (1, 1), "SAME", feature_group_count=channels))
        return Candidate(lambda: run(x, w).block_until_ready(), np.asarray)


PEERS: tuple[type[Peer], ...] = (_OpenCV, _NdImage, _OverlapAdd, _Vips, _Torch, _TensorFlow, _Jax)


def _load(name: str) -> Any:
    """Import a module; what it has to say about itself is not ours to pass on."""
    with warnings.catch_warnings(), _no_stderr():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Let nothing reach stderr, compiled code's messages neither."""
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
