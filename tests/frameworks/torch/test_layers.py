"""The layer of PyTorch beside `torch.nn.Conv2d`: parameters, saving, devices, mixed precision, compilers."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch

from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.torch import Conv2d

PAIRS = [
    (dict(kernel_size=3), {}),
    (dict(kernel_size=(2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), {}),
    (dict(kernel_size=3, padding="same", groups=2), {}),
    (dict(kernel_size=(4, 2), padding="same", dilation=(1, 3)), {}),
    (dict(kernel_size=3, padding=2, padding_mode="circular"), {}),
    (dict(kernel_size=3, padding=1, padding_mode="replicate", bias=False), {}),
    (dict(kernel_size=5, padding=2, padding_mode="mirror"), dict(padding_mode="reflect")),
]


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def pair(options, own, dtype=torch.float32):
    theirs = torch.nn.Conv2d(4, 6, **{**options, **own}, dtype=dtype)
    ours = Conv2d(6, **options, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize(("options", "own"), PAIRS, ids=str)
def test_it_does_as_its_model_does_from_the_same_state(options, own):
    ours, theirs = pair(options, own, torch.float64)
    image = normal(2, 4, 9, 10, dtype=torch.float64)
    one, other = ours(image), theirs(image)
    torch.testing.assert_close(one, other)
    for result in (one, other):
        result.square().sum().backward()
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad)
    torch.testing.assert_close(ours(image[0]), theirs(image[0]))
    theirs.load_state_dict(ours.state_dict())


def test_the_same_seed_gives_the_same_start():
    torch.manual_seed(5)
    theirs = torch.nn.LazyConv2d(6, 3, groups=2)
    theirs(normal(1, 4, 5, 5))
    torch.manual_seed(5)
    ours = Conv2d(6, 3, groups=2)
    ours(normal(1, 4, 5, 5))
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()))


def test_lazy_layers_are_lazy():
    layer = Conv2d(6, 3)
    assert layer.has_uninitialized_params()
    assert repr(layer) == "Conv2d(?, 6, kernel_size=(3, 3))"
    lazy = layer.state_dict()
    layer(normal(1, 4, 5, 5))
    assert not layer.has_uninitialized_params()
    assert repr(layer) == "Conv2d(4, 6, kernel_size=(3, 3))"
    assert [tuple(p.shape) for p in layer.parameters()] == [(6, 4, 3, 3), (6,)]
    Conv2d(6, 3).load_state_dict(lazy)


def test_save_and_load_and_copy():
    layer = Conv2d(6, 3, padding=1)
    image = normal(1, 4, 5, 5)
    wanted = layer(image)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = Conv2d(6, 3, padding=1)
    other.load_state_dict(torch.load(file))
    whole = io.BytesIO()
    torch.save(layer, whole)
    whole.seek(0)
    for same in (other, copy.deepcopy(layer), torch.load(whole, weights_only=False), copy.deepcopy(other)):
        torch.testing.assert_close(same(image), wanted)


def test_moves_and_dtypes():
    layer = Conv2d(6, 3).double()
    assert layer(normal(1, 4, 5, 5, dtype=torch.float64)).dtype == torch.float64
    layer.to("meta")
    assert layer(torch.empty(1, 4, 5, 5, dtype=torch.float64, device="meta")).shape == (1, 6, 3, 3)
    half = Conv2d(6, 3, dtype=torch.bfloat16)
    assert half(normal(1, 4, 5, 5).bfloat16()).dtype == torch.bfloat16
    assert half.get_oihw()[0].dtype == np.float32
    assert Conv2d(6, 3, device="meta").weight.device.type == "meta"


def test_mixed_precision():
    layer, theirs = pair(dict(kernel_size=3, padding=1), {})
    image = normal(2, 4, 5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        one, other = layer(image), theirs(image)
        again = layer(one[:, :4])
    assert one.dtype == other.dtype == again.dtype == torch.bfloat16
    torch.testing.assert_close(one, other)
    one.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("mode", ["zeros", "mirror", "symmetric"])
def test_compiled_and_exported(mode):
    layer = Conv2d(6, 3, padding=1, padding_mode=mode)
    image = normal(2, 4, 5, 6)
    wanted = layer(image)
    wanted.square().sum().backward()
    slope, layer.weight.grad = layer.weight.grad, None
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    result = compiled(image)
    torch.testing.assert_close(result, wanted)
    result.square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, slope)
    program = torch.export.export(layer, (image,))
    assert "kernelfield" not in str(program.graph)
    torch.testing.assert_close(program.module()(image), wanted)


def test_a_lazy_layer_can_be_compiled():
    layer = Conv2d(6, 3)
    result = torch.compile(layer, fullgraph=True, backend="aot_eager")(normal(1, 4, 5, 5))
    torch.testing.assert_close(result, layer(normal(1, 4, 5, 5)))


def test_in_a_network_that_learns():
    torch.manual_seed(0)
    network = torch.nn.Sequential(Conv2d(4, 3, padding=1), torch.nn.ReLU(), Conv2d(1, 3, padding=1))
    image = normal(4, 1, 8, 8)
    network(image)
    rule = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        rule.zero_grad()
        loss = (network(image) - image.roll(1, -1)).square().mean()
        loss.backward()
        rule.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_errors():
    layer = Conv2d(6, 3)
    layer(normal(1, 4, 5, 5))
    with pytest.raises(DtypeError, match=r"^image: expected torch.float32, as the weights; received torch.float64"):
        layer(normal(1, 4, 5, 5, dtype=torch.float64))
    with pytest.raises(ArgumentError, match=r"^image: expected it on cpu, as the weights; received meta"):
        layer(torch.empty(1, 4, 5, 5, device="meta"))
    with pytest.raises(ArgumentError, match=r"^image: expected \(N, C, H, W\) or \(C, H, W\); received shape"):
        Conv2d(6, 3)(normal(5, 5))
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer.load_state_dict(torch.nn.Conv2d(5, 6, 3).state_dict())
