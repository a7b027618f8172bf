"""Models richer than one kernel: each module fits one, `fit` chooses the module."""

from __future__ import annotations

from kernelfield.errors import ArgumentError
from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import learned
from kernelfield.learning.models.model import Asked, Model
from kernelfield.learning.pair import prepare

__all__ = ["Asked", "Model", "fit"]


def fit(model: Model, asked: Asked) -> Fit:
    """Return the fit of a model."""
    if model.plain:
        pair = prepare(asked.before, asked.after, asked.mask, asked.clip, asked.channel_axis)
        return learned(pair, asked.size, asked.max_size, asked.noise)
    raise ArgumentError(f"channels: expected shared; received {model.channels}")
