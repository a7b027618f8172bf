"""Networks of Hugging Face's transformers, made from their configurations without weights and without the hub."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from kernelfield.receptive import receptive_field
from kernelfield.receptive.relations import reached

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import transformers

pytestmark = pytest.mark.torch


def of(name, **settings):
    """Return a model without weights."""
    with torch.device("meta"):
        return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**settings))


# Field, stride and effective padding of the last feature map, without gates.
FIELDS = {
    # Their ResNet has the stride in the 3×3. A block more at stride 16 adds 32: 17 of them make 101 layers of 50.
    ("ResNet", "encoder"): (427, 32, 213),
    ("ResNet-101", "encoder"): (971, 32, 485),
    ("MobileNetV1", "layer.25"): (315, 32, None),
    ("MobileNetV2", "conv_1x1"): (491, 32, None),
}
SETTINGS = {"ResNet-101": ("ResNet", {"depths": [3, 4, 23, 3]})}


@pytest.mark.parametrize(("name", "layer"), FIELDS)
def test_fields(name, layer):
    known, settings = SETTINGS.get(name, (name, {}))
    field = receptive_field(of(known, **settings), (224, 224))[layer]
    size, stride, padding = FIELDS[name, layer]
    assert field.size == (size, size)
    assert field.stride == (stride, stride)
    assert padding is None or field.padding == (padding, padding)


@pytest.mark.parametrize(
    "name",
    ["RegNet", "ConvNext", "ConvNextV2", "EfficientNet", "ViT", "Swin", "Swinv2", "PvtV2", "MobileViTV2", "PoolFormer"],
)
def test_analysed_at_their_own_size(name):
    model = of(name)
    size = getattr(model.config, "image_size", 224)
    field = receptive_field(model, (size, size) if isinstance(size, int) else size)
    assert len(field) > 50
    assert not any(layer.bound for layer in field)


TINY = {
    "ResNet": {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1]},
    "RegNet": {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "groups_width": 2, "layer_type": "x"},
    "ConvNext": {"hidden_sizes": [4, 8], "depths": [1, 1], "num_stages": 2},
    "Bit": {"embedding_size": 4, "hidden_sizes": [8, 8], "depths": [1, 1], "num_groups": 2, "layer_type": "bottleneck"},
    "PoolFormer": {"hidden_sizes": [4, 8], "depths": [1, 1], "patch_sizes": [7, 3], "strides": [4, 2],
                   "padding": [2, 1], "num_encoder_blocks": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", TINY)
def test_against_the_model_itself(name):
    """Every row and column of the image made NaN."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**TINY[name])
    model = getattr(transformers, f"{name}Model")(config).eval()
    network = receptive_field(model, (40, 56)).graph
    last = network.aliases["encoder"]
    x = torch.rand(1, 3, 40, 56)
    for axis, extent in enumerate((40, 56)):
        for place in range(extent):
            touched = x.clone()
            touched.select(2 + axis, place).fill_(float("nan"))
            element = np.zeros((40, 56), bool)
            element[(slice(None),) * axis + (place,)] = True
            with torch.no_grad():
                out = model(touched).last_hidden_state
            assert np.array_equal(out.isnan().any(1)[0].numpy(), reached(network, element, last)), (axis, place)
