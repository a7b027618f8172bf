"""Channels of one value, as an opaque alpha: set apart before a pair is learned, and put back into its fit.

They tell nothing of a filter, and weights for them would be undetermined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kernelfield.learning.fit import Fit
from kernelfield.learning.models.model import Asked
from kernelfield.learning.pair import as_image, channels, views


@dataclass(frozen=True)
class Constants:
    """The channels of before and after that are set apart, with their values; None where a channel stays.

    Attributes
    ----------
    before, after : tuple of float or None
        One for each channel.
    rest : Asked
        The pair without them.
    """

    before: tuple[float | None, ...]
    after: tuple[float | None, ...]
    rest: Asked

    @classmethod
    def of(cls, asked: Asked) -> Constants | None:
        """Return what is set apart of a pair; None where that is nothing, or nothing would be left."""
        images = [as_image(value, name) for value, name in ((asked.before, "before"), (asked.after, "after"))]
        planes = [views(image, name, asked.channel_axis) for (image, _), name in zip(images, ("before", "after"))]
        before, after = (tuple(_value(plane) for plane in each) for each in planes)
        if all(v is None for v in (*before, *after)) or not all(None in each for each in (before, after)):
            return None
        kept = []
        for (_, good), each, apart, name in zip(images, planes, (before, after), ("before", "after")):
            stays = [i for i, value in enumerate(apart) if value is None]
            image = np.stack([each[i] for i in stays], axis=2)
            if good is not None:
                masks = channels(good, name, asked.channel_axis)
                image = np.ma.array(image, mask=~np.stack([masks[i] for i in stays], axis=2))
            kept.append(image)
        rest = replace(asked, before=kept[0], after=kept[1], channel_axis=2 if asked.channel_axis is not None else None)
        return cls(before, after, rest)

    def restored(self, fit: Fit) -> Fit:
        """Return the fit of the rest with the channels that were set apart."""
        inputs, outputs = len(self.before), len(self.after)
        sources = [i for i, value in enumerate(self.before) if value is None]
        targets = [i for i, value in enumerate(self.after) if value is None]
        offsets = np.array([0.0 if value is None else _given(fit, value) for value in self.after])
        offsets[targets] = np.atleast_1d(np.asarray(fit.offset, np.float64))
        bank, errors, model = fit.bank, fit.bank_stderr, fit.model
        paired = inputs == outputs and sources == targets
        if model == "shared" and paired:
            total = float(fit.kernel.weights.sum())
            offsets -= [0.0 if value is None else total * _read(fit, value) for value in self.before]
        else:
            # Of one kernel or one a channel those of other channels are 0.
            single = fit.kernel.weights[None, None], fit.stderr[None, None]
            own, own_errors = single if bank is None or errors is None else (bank, errors)
            apart = paired and model == "separate"
            bank, errors = np.zeros((2, outputs, 1 if apart else inputs, *fit.size))
            for row, target in enumerate(targets):
                for column, source in enumerate(sources):
                    if model == "mixed" or row == column:
                        place = target, 0 if apart else source
                        from_ = min(row, len(own) - 1), column if model == "mixed" else 0
                        bank[place], errors[place] = own[from_], own_errors[from_]
            model = "separate" if apart else "mixed"
        return replace(
            fit,
            offset=tuple(offsets.tolist()) if outputs > 1 else float(offsets[0]),
            channels=tuple(str(i) for i in range(outputs)) if outputs > 1 else ("grey",),
            bank=bank,
            bank_stderr=errors,
            model=model,
            integers=fit.integers if bank is None else None,
            divisor=fit.divisor if bank is None else None,
            gain=fit.gain if bank is None else 1.0,
            notes=(*fit.notes, *self._notes()),
        )

    def _notes(self) -> tuple[str, ...]:
        """Return which channels were set apart, as sentences."""
        return tuple(
            f"channel {i} of the {name} has one value, {value:.6g}, which tells nothing of a filter"
            for name, values in (("before", self.before), ("after", self.after))
            for i, value in enumerate(values)
            if value is not None
        )


def _read(fit: Fit, value: float) -> float:
    """Return a number of the before as the kernel of a fit reads it."""
    if fit.light is not None:
        return float(fit.light.decode(np.array(value), fit.light.before_white))
    return float(fit.curve(np.array(value))) if fit.curve is not None and fit.curve.place == "before" else value


def _given(fit: Fit, value: float) -> float:
    """Return a number of the after as the kernel of a fit gives it."""
    if fit.light is not None:
        return float(fit.light.decode(np.array(value), fit.light.after_white))
    return float(fit.curve.undo(np.array(value))) if fit.curve is not None and fit.curve.place == "after" else value


def _value(plane: np.ndarray) -> float | None:
    """Return the one value of a plane, or None."""
    first = plane.flat[0]
    sample = plane[:: max(1, plane.shape[0] // 16), :: max(1, plane.shape[1] // 16)]
    same = bool((sample == first).all()) and bool((plane == first).all())
    return float(first) if same and np.isfinite(first) else None
