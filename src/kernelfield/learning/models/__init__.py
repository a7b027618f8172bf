"""Models richer than one kernel: each module fits one, `fit` chooses the module."""

from __future__ import annotations

from dataclasses import replace

from kernelfield.errors import ArgumentError
from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import learned
from kernelfield.learning.models.constants import Constants
from kernelfield.learning.models.curved import fit_with_curve
from kernelfield.learning.models.in_light import fit_in_light
from kernelfield.learning.models.known import check_weights, fit_known
from kernelfield.learning.models.mixed import fit_mixed, sizes
from kernelfield.learning.models.model import Asked, Model
from kernelfield.learning.models.separate import fit_auto, fit_separate
from kernelfield.learning.models.strided import fit_strided, found_stride
from kernelfield.learning.models.varying import fit_varying
from kernelfield.learning.pair import prepare

__all__ = ["Asked", "Model", "fit"]


def fit(model: Model, asked: Asked) -> Fit:
    """Return the fit of a model."""
    if model.plain:
        return _shared(asked)
    if model.over_field or model.known:
        found = _informed(model, asked)
        if found is not None:
            return found
    constants = Constants.of(asked) if model.channels == "auto" else None
    if constants is not None:
        return constants.restored(fit(model, constants.rest))
    if model.curve is not None:
        uncurved = replace(model, curve=None)
        return fit_with_curve(asked, lambda other: fit(uncurved, other))
    if model.light is not None:
        bare = replace(model, light=None)
        return fit_in_light(model.light, asked, lambda other: fit(bare, other))
    strided = _strided(model, asked)
    return strided or _BY_CHANNELS[model.channels](asked)


def _informed(model: Model, asked: Asked) -> Fit | None:
    """Return the fit of a kernel that varies or of which something is known; None if "auto" finds neither."""
    others = {"channels": model.channels not in ("shared", "auto"), "stride": model.stride not in (None, (1, 1))}
    others |= {"light": model.light is not None, "curve": model.curve is not None}
    for name in [name for name, given in others.items() if given]:
        raise ArgumentError(
            f"{name}: expected none with a kernel that varies, a background, weights, a penalty or restrictions; "
            "received both; leave one out"
        )
    if model.over_field and asked.noise is not None:
        raise ArgumentError(
            "noise: expected none with a kernel that varies or a background; received both; leave one out"
        )
    pair = prepare(asked.before, asked.after, asked.mask, asked.clip, asked.channel_axis)
    weights = check_weights(model.weights, pair.shapes[1])
    if model.over_field:
        order = 0 if model.varying is None else model.varying
        fit = fit_varying(
            pair, asked.size, asked.max_size, order, model.background, model.restriction, model.regularise, weights
        )
        if fit is not None:
            return fit
    if not model.known:
        return None
    return fit_known(pair, asked.size, asked.max_size, model.restriction, model.regularise, weights, asked.noise)


def _shared(asked: Asked) -> Fit:
    """Return the fit of one kernel for all channels."""
    pair = prepare(asked.before, asked.after, asked.mask, asked.clip, asked.channel_axis)
    return learned(pair, asked.size, asked.max_size, asked.noise)


def _strided(model: Model, asked: Asked) -> Fit | None:
    """Return the fit with the stride that is given, or that is found and explains the pair; else None."""
    if model.stride not in (None, (1, 1)):
        return fit_strided(asked, model.stride, model.channels)
    if model.stride == (1, 1) or model.channels == "mixed":
        return None
    before, after = sizes(asked)
    stride = found_stride(before, after)
    if stride == (1, 1):
        return None
    found = fit_strided(asked, stride, model.channels)
    return found if found.verdict in ("exact", "approximate") else None


_BY_CHANNELS = {"shared": _shared, "separate": fit_separate, "mixed": fit_mixed, "auto": fit_auto}
