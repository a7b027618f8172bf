from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError

pytestmark = pytest.mark.torch

RNG = np.random.default_rng(7)


def convolutions(count: int, kernel: int = 3, channels: int = 1, weight: float | None = None) -> nn.Sequential:
    """Return linear convolutions in a row, with equal weights or random ones."""
    torch.manual_seed(3)
    layers = [nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False) for _ in range(count)]
    for layer in layers:
        if weight is None:
            nn.init.normal_(layer.weight)
        else:
            nn.init.constant_(layer.weight, weight)
    return nn.Sequential(*layers)


def uniform(count: int, kernel: int) -> np.ndarray:
    """Return a uniform distribution convolved `count` times: the gradient of convolutions with equal weights."""
    line = np.ones(1)
    for _ in range(count):
        line = np.convolve(line, np.ones(kernel) / kernel)
    return np.multiply.outer(line, line)


@pytest.mark.parametrize(("count", "kernel"), [(1, 3), (4, 3), (9, 3), (5, 5), (16, 3)])
def test_equal_weights_compose(count, kernel):
    size = count * (kernel - 1) + 9
    found = kf.receptive_field(convolutions(count, kernel, weight=0.3), (size, size)).effective(
        RNG.normal(size=(1, size, size))
    )
    expected = uniform(count, kernel) ** 2
    start = size // 2 - count * (kernel - 1) // 2
    inside = found.energy[start : start + len(expected), start : start + len(expected)]
    np.testing.assert_allclose(inside, expected / expected.sum(), rtol=1e-10, atol=1e-18)
    assert found.outside == 0
    assert found.dtype == "float64"
    # Luo et al. (2016): the standard deviation of the gradient is sqrt(n (k² - 1) / 12).
    gradient = np.sqrt(found.energy).sum(axis=1)
    place = np.arange(size) - size // 2
    spread = np.sqrt((gradient * place**2).sum() / gradient.sum())
    assert spread == pytest.approx(np.sqrt(count * (kernel**2 - 1) / 12))


def test_the_effective_field_grows_as_the_root_of_the_depth():
    sigma, fraction = {}, {}
    for count in (10, 40, 90):
        size = 2 * count + 5
        found = kf.receptive_field(convolutions(count, weight=0.2), (size, size)).effective(
            RNG.normal(size=(1, size, size))
        )
        sigma[count], fraction[count] = found.sigma[0], found.fraction(0.95)
    assert sigma[40] / sigma[10] == pytest.approx(2, rel=0.02)
    assert sigma[90] / sigma[10] == pytest.approx(3, rel=0.02)
    assert fraction[90] < fraction[40] < fraction[10]


def test_random_weights_spread_as_the_law_says():
    found = kf.receptive_field(convolutions(6, channels=40), (31, 31)).effective(RNG.normal(size=(40, 31, 31)))
    assert found.sigma == pytest.approx([np.sqrt(6 * 8 / 12)] * 2, rel=0.05)


def differences(model, image: np.ndarray, unit: tuple[int, int], step: float = 1e-5) -> np.ndarray:
    """Return the energy of a unit by moving every element of the image up and down."""
    model = copy.deepcopy(model).double().eval()
    energy = np.zeros(image.shape)
    with torch.no_grad():
        for index in np.ndindex(image.shape):
            sides = []
            for sign in (1, -1):
                moved = image.copy()
                moved[index] += sign * step
                sides.append(model(torch.tensor(moved)[None])[0, :, unit[0], unit[1]].numpy())
            energy[index] = (((sides[0] - sides[1]) / (2 * step)) ** 2).sum()
    return energy.sum(axis=0) / energy.sum()


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3, stride=2, padding=1),
        nn.Tanh(),
    )


def test_each_channel_against_differences():
    model, image = network(), RNG.normal(size=(2, 12, 14))
    fields = kf.receptive_field(model, (12, 14))
    found = fields.effective(image, unit=(1, 2), channels="each", dither=0)
    np.testing.assert_allclose(found.energy, differences(model, image, (1, 2)), atol=1e-8)
    assert found.outside == 0
    many = fields.effective(image, unit=(1, 2), channels="random", probes=4, dither=0)
    assert 0 < np.abs(many.energy - found.energy).sum() < 1


def test_random_signs_tend_to_each_channel():
    model, image = network(), RNG.normal(size=(2, 12, 14))
    fields = kf.receptive_field(model, (12, 14))
    exact = fields.effective(image, layer="0", channels="each").energy
    apart = [
        np.abs(fields.effective([image] * count, layer="0", probes=4, seed=1).energy - exact).sum() for count in (1, 64)
    ]
    assert apart[1] < 0.2
    assert apart[1] < apart[0]


def test_channels_that_cancel():
    model = nn.Conv2d(1, 2, 3, bias=False)
    with torch.no_grad():
        model.weight[1] = -model.weight[0]
    fields = kf.receptive_field(model, (5, 5))
    image = RNG.normal(size=(1, 5, 5))
    assert fields.effective(image, channels="each").energy.sum() == pytest.approx(1)
    with pytest.raises(DataError, match="no gradient"):
        fields.effective(image, channels="sum")


@pytest.mark.parametrize("channels", [2, 10, 300])
def test_probabilities_sum_to_one_whatever_the_image(channels):
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(1, channels, 3), nn.Softmax(1))
    fields = kf.receptive_field(model, (7, 7))
    image = RNG.normal(size=(1, 7, 7))
    assert fields.effective(image).energy.sum() == pytest.approx(1)
    with pytest.raises(DataError, match="no gradient"):
        fields.effective(image, channels="sum")


def test_channels_that_nearly_cancel():
    model = nn.Conv2d(1, 2, 3, bias=False).double()
    with torch.no_grad():
        model.weight[1] = -model.weight[0]
        model.weight[1, 0, 0, 2] += 1e-6
    energy = kf.receptive_field(model, (5, 5)).effective(RNG.normal(size=(1, 5, 5)), channels="sum").energy
    assert energy[1, 3] == pytest.approx(1)


def test_the_model_stays_as_it_is():
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    fields = kf.receptive_field(model, (12, 14))
    first, second = (fields.effective(RNG.normal(size=(2, 12, 14)) * 0 + np.arange(14.0)) for _ in range(2))
    np.testing.assert_array_equal(first.energy, second.energy)
    assert model.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_layer_before_one_that_works_in_place():
    model, image = network(), RNG.normal(size=(2, 12, 14))
    fields = kf.receptive_field(model, (12, 14))
    found = fields.effective(image, "1", (4, 4), channels="each", dither=0)
    expected = differences(model[:2], image, (4, 4))
    np.testing.assert_allclose(found.energy, expected, atol=1e-8)
    assert found.theory.sum() == np.count_nonzero(found.energy) == 9


def test_images_count_the_same():
    fields = kf.receptive_field(nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 1, 3)), (9, 9))
    images = RNG.normal(size=(3, 1, 9, 9))
    images[1] *= 20
    each = [fields.effective(image, dither=0).energy for image in images]
    for several in (images, list(images), torch.tensor(images), [torch.tensor(image[None]) for image in images]):
        found = fields.effective(several, dither=0)
        np.testing.assert_allclose(found.energy, np.mean(each, axis=0), atol=1e-12)
        assert (found.images, found.dead) == (3, 0)


def test_ties_of_a_pooling():
    fields = kf.receptive_field(nn.MaxPool2d(8), (8, 8))
    white = np.ones((60, 1, 8, 8))
    white[:, :, -1, -1] = 0
    ties = fields.effective(white, dither=0)
    assert ties.energy[0, 0] == 1
    broken = fields.effective(white)
    assert np.count_nonzero(broken.energy) > 30
    assert broken.centre == pytest.approx([3.5, 3.5], abs=0.9)


def test_dead_units():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
    nn.init.ones_(model[0].weight)
    nn.init.constant_(model[0].bias, -5)
    fields = kf.receptive_field(model, (4, 4))
    dark, bright = RNG.random((2, 1, 4, 4))
    with pytest.raises(DataError, match="no gradient"):
        fields.effective(dark)
    found = fields.effective([dark, bright + 10])
    assert (found.images, found.dead) == (2, 1)
    assert found.energy[2, 2] == 1
    assert "no gradient in 1 of 2" in str(found)


@pytest.mark.parametrize("weight", [1e-2, 1e-1, 1.0, 1e2])
def test_gradients_that_vanish_or_explode(weight):
    count = 220
    model = nn.Sequential(convolutions(2, weight=0.3), convolutions(count, kernel=1, weight=weight))
    found = kf.receptive_field(model, (9, 9)).effective(RNG.normal(size=(1, 9, 9)))
    expected = uniform(2, 3) ** 2
    np.testing.assert_allclose(found.energy[2:7, 2:7], expected / expected.sum(), rtol=1e-9)


def test_measures():
    found = kf.receptive_field(convolutions(3, weight=1.0), (15, 21)).effective(RNG.normal(size=(1, 15, 21)))
    assert found.centre == pytest.approx([7, 10])
    assert found.radius(1.0) == pytest.approx(3 * np.sqrt(2))
    assert found.radius(0.1) <= found.radius(0.5) <= found.radius(0.95)
    row, column = np.indices(found.energy.shape)
    near = np.hypot(row - 7, column - 10) <= found.radius(0.68) + 1e-9
    assert found.energy[near].sum() >= 0.68
    assert found.count(1.0) == 49 == found.theory.sum()
    assert found.fraction(1.0) == 1
    record = json.loads(json.dumps(found.record()))
    assert record["radius"]["0.95"] == found.radius(0.95)
    assert "95 % of the energy" in str(found)
    for share in (0, 1.1, np.nan):
        with pytest.raises(ArgumentError, match="share: expected"):
            found.radius(share)


def test_a_module_called_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = convolutions(1, weight=1.0)[0]

        def forward(self, x):
            return self.inner(self.inner(x))

    fields = kf.receptive_field(Twice(), (9, 9))
    image = RNG.normal(size=(1, 9, 9))
    sizes = [int((fields.effective(image, name).energy > 0).sum()) for name in ("inner", "inner#2")]
    assert sizes == [9, 25]


def test_the_name_of_a_module_is_its_last_call():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, 1, 3, 3))

        def forward(self, x):
            return nn.functional.conv2d(nn.functional.conv2d(x, self.weight), self.weight)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            return torch.tanh(self.pair(self.pair(x)))

    fields = kf.receptive_field(Twice(), (15, 15))
    found = fields.effective(RNG.normal(size=(1, 15, 15)), "pair")
    assert found.theory.sum() == np.count_nonzero(found.energy) == 81
    inside = next(name for name in fields.layers if fields[name].size == (3, 3))
    with pytest.raises(ArgumentError, match="name of a module"):
        fields.effective(RNG.normal(size=(1, 15, 15)), inside)


@pytest.mark.parametrize(
    ("images", "options", "says"),
    [
        (np.zeros((2, 12, 14)), {}, "0 everywhere"),
        (np.full((2, 12, 14), 3.0), {}, "3 everywhere"),
        (np.full((2, 12, 14), np.nan), {}, "not finite"),
        (np.empty((0, 2, 12, 14)), {}, "expected at least one"),
        (RNG.normal(size=12), {}, "images: expected"),
        (RNG.normal(size=(2, 14, 12)), {}, "images: expected"),
        (np.full((2, 12, 14), "a"), {}, "real numbers"),
        (RNG.normal(size=(2, 12, 14)), {"layer": "none"}, "layer: expected"),
        (RNG.normal(size=(2, 12, 14)), {"unit": (9, 9)}, "unit: expected"),
        (RNG.normal(size=(2, 12, 14)), {"channels": "all"}, "channels: expected"),
        (RNG.normal(size=(2, 12, 14)), {"probes": 0}, "probes: expected"),
        (RNG.normal(size=(2, 12, 14)), {"dither": -1}, "dither: expected"),
    ],
)
def test_refused(images, options, says):
    fields = kf.receptive_field(network(), (12, 14))
    with pytest.raises(ArgumentError, match=says):
        fields.effective(images, **options)


def test_a_graph_alone_has_no_gradient():
    fields = kf.receptive_field(kf.receptive.plan(5, 9).graph())
    with pytest.raises(ArgumentError, match="a graph alone"):
        fields.effective(RNG.normal(size=(3, 9, 9)))


def test_weights_that_are_not_finite():
    fields = kf.receptive_field(convolutions(1, weight=np.nan), (5, 5))
    with pytest.raises(DataError, match="finite"):
        fields.effective(RNG.normal(size=(1, 5, 5)))
