"""The decorator of the functions that stand for SciPy's: a cached call first, SciPy's function where ours declines."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import numpy as np
from numpy.typing import NDArray

from kernelfield.arrays import check_plain
from kernelfield.engine.plan import CACHE, NO_KERNEL, Runner

Parameters = ParamSpec("Parameters")


class NotCovered(Exception):
    """The engine does not cover the call: SciPy's function answers it. Raised before anything is written."""


class Filtered(NamedTuple):
    """A result, and the runner that repeats the call on arrays of the same layout; None if it depends on the pixels."""

    result: NDArray[Any]
    runner: Runner | None


def drop_in(module: str) -> Callable[[Callable[Parameters, Filtered]], Callable[Parameters, NDArray[Any]]]:
    """Return a decorator that caches calls and falls back to the function of `module` on `NotCovered`.

    The first argument is the image, one called ``weights`` or ``in2`` the kernel, one called ``output`` the result.
    """

    def decorated(function: Callable[Parameters, Filtered]) -> Callable[Parameters, NDArray[Any]]:
        signature = inspect.signature(function)
        names = tuple(signature.parameters)
        label = f"{module}.{function.__name__}"

        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> NDArray[Any]:
            arrays: dict[str, Any] = {}
            options: list[Any] = [label]
            for name, value in (*zip(names, args), *kwargs.items()):
                if type(value) is np.ndarray:
                    arrays[name] = value
                else:
                    options += name, value
            image = arrays.pop(names[0], None)
            kernel, out = arrays.pop(names[1], NO_KERNEL), arrays.pop("output", None)
            key = tuple(options)
            try:
                if image is not None and not arrays:
                    found = CACHE.run(image, kernel, out, key)
                    if found is not None:
                        return found
                result, runner = function(*args, **kwargs)
            except NotCovered:
                # SciPy drops masks and units without a word.
                for name, value in (*zip(names, args), *kwargs.items()):
                    check_plain(value, name)
                theirs = getattr(importlib.import_module(module), function.__name__)
                answer: NDArray[Any] = theirs(*args, **kwargs)
                return answer
            if runner is not None and image is not None and not arrays and image.dtype.isnative and image.flags.aligned:
                CACHE.keep(image, kernel, out, key, runner, result.shape, result.dtype)
            return result

        call.__signature__ = signature.replace(return_annotation=np.ndarray)  # type: ignore[attr-defined]
        return call

    return decorated
