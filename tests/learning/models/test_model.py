"""What a model asks for, and what cannot be asked for together."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.errors import ArgumentError
from kernelfield.learning.models.model import Model
from kernelfield.learning.models.regularise import Regularise
from kernelfield.learning.models.restriction import Restriction

#: Each by itself makes a model richer than one kernel.
RICHER = {
    "over_field": [{"varying": 0}, {"varying": "auto"}, {"background": 1}],
    "known": [{"weights": np.ones((2, 2))}, {"regularise": Regularise()}, {"restriction": Restriction("h")}],
    "plain": [{"channels": "auto"}, {"light": "auto"}, {"curve": "auto"}, {"stride": None}, {"stride": (1, 2)}],
}


def test_a_plain_model_asks_for_nothing():
    model = Model()
    assert (model.plain, model.known, model.over_field) == (True, False, False)


@pytest.mark.parametrize("channels", ["shared", "separate", "mixed", "auto"])
@pytest.mark.parametrize("stride", [None, (1, 1), (1, 2), (2, 2)])
def test_all_channels_but_mixed_ones_go_with_a_stride(channels, stride):
    if channels == "mixed" and stride not in (None, (1, 1)):
        with pytest.raises(ArgumentError, match="channels: expected shared, separate or auto with a stride"):
            Model(channels=channels, stride=stride)
        return
    model = Model(channels=channels, stride=stride)
    assert (model.channels, model.stride) == (channels, stride)
    assert model.plain == (channels == "shared" and stride == (1, 1))


@pytest.mark.parametrize("kind", RICHER)
def test_each_argument_makes_it_richer(kind):
    for arguments in RICHER[kind]:
        model = Model(**arguments)
        assert not model.plain, arguments
        assert model.over_field == (kind == "over_field"), arguments
        assert model.known == (kind == "known"), arguments


def test_what_cannot_be_combined_is_refused():
    for channels in ("both", None, 3):
        with pytest.raises(ArgumentError, match="channels: expected one of shared, separate, mixed, auto; received"):
            Model(channels=channels)
    with pytest.raises(ArgumentError, match="curve: expected none with light"):
        Model(light=2.2, curve="auto")
