"""The layers of PyTorch where torch.nn's own are used: saving, copies, hooks, compilers, memory formats, `swap`."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
import torch

import kernelfield as kf
from kernelfield.errors import DtypeError
from kernelfield.tensors import layouts
from kernelfield.torch import Conv2d, Filter2d, LazyConv2d, swap


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(autouse=True)
def forget():
    """Let every test compile anew: PyTorch compiles a function at most eight times."""
    torch.compiler.reset()


@pytest.fixture
def engine(monkeypatch):
    """A list that grows when the engine computes."""
    count, forward = [], layouts.forward
    monkeypatch.setattr(layouts, "forward", lambda *a: (count.append(1), forward(*a))[1])
    return count


@pytest.mark.parametrize(("ours", "theirs"), [(Conv2d, torch.nn.Conv2d), (LazyConv2d, torch.nn.LazyConv2d)])
def test_the_same_seed_gives_the_same_start_and_text(ours, theirs):
    given = (6, 3) if ours is LazyConv2d else (4, 6, 3)
    made = []
    for kind in (ours, theirs):
        torch.manual_seed(5)
        layer = kind(*given, groups=2, padding_mode="reflect", padding=(1, 2))
        assert isinstance(layer, theirs)
        text = repr(layer)
        layer(normal(1, 4, 5, 5))
        made.append((text, repr(layer), {k: v.clone() for k, v in layer.state_dict().items()}))
    torch.testing.assert_close(made[0][2], made[1][2], rtol=0, atol=0)
    assert made[0][:2] == made[1][:2]


def test_lazy_layers_become_layers():
    layer = LazyConv2d(6, 3)
    assert isinstance(layer, Conv2d)
    lazy = layer.state_dict()
    wanted = layer(normal(1, 4, 5, 5))
    assert type(layer) is Conv2d
    assert layer.in_channels == 4
    LazyConv2d(6, 3).load_state_dict(lazy)
    other = LazyConv2d(6, 3)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(normal(1, 4, 5, 5)), wanted)
    weight = np.ones((6, 4, 3, 3))
    taken = LazyConv2d(6, 3)
    taken.set_oihw(weight)
    assert taken(normal(1, 4, 5, 5)).shape == (1, 6, 3, 3)


def test_settings_may_be_changed_as_users_do(engine):
    layer, theirs = Conv2d(4, 6, 3), torch.nn.Conv2d(4, 6, 3)
    theirs.load_state_dict(layer.state_dict())
    for changed in (dict(stride=(2, 2)), dict(padding=(2, 2)), dict(dilation=2), dict(padding=1), dict(stride=[1, 2])):
        for one in (layer, theirs):
            for name, value in changed.items():
                setattr(one, name, value)
        torch.testing.assert_close(layer(normal(1, 4, 9, 9)), theirs(normal(1, 4, 9, 9)))
    assert len(engine) == 4


def test_save_and_load_and_copy(engine):
    layer = Conv2d(4, 6, 3, padding=1, padding_mode="symmetric")
    image = normal(1, 4, 5, 5)
    wanted = layer(image)
    whole = io.BytesIO()
    torch.save(layer, whole)
    whole.seek(0)
    for same in (copy.deepcopy(layer), torch.load(whole, weights_only=False), pickle.loads(pickle.dumps(layer))):
        assert type(same) is Conv2d
        torch.testing.assert_close(same(image), wanted)
    assert len(engine) == 4


def test_moves_and_dtypes():
    layer = Conv2d(4, 6, 3).double()
    assert layer(normal(1, 4, 5, 5, dtype=torch.float64)).dtype == torch.float64
    layer.to("meta")
    assert layer(torch.empty(1, 4, 5, 5, dtype=torch.float64, device="meta")).shape == (1, 6, 3, 3)
    half = Conv2d(4, 6, 3, dtype=torch.bfloat16)
    assert half(normal(1, 4, 5, 5).bfloat16()).dtype == torch.bfloat16
    assert half.get_oihw()[0].dtype == np.float32
    assert Conv2d(4, 6, 3, device="meta").weight.device.type == "meta"
    complex_layer = Conv2d(4, 6, 3, dtype=torch.complex64)
    assert complex_layer(normal(1, 4, 5, 5).to(torch.complex64)).dtype == torch.complex64


@pytest.mark.parametrize("mode", ["zeros", "symmetric"])
def test_mixed_precision(mode):
    layer, theirs = Conv2d(4, 6, 3, padding=1, padding_mode=mode), torch.nn.Conv2d(4, 6, 3)
    theirs.load_state_dict(layer.state_dict())
    image = normal(2, 4, 5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        one, other = layer(image), theirs(image)
        again = layer(one[:, :4])
    assert one.dtype == other.dtype == again.dtype == torch.bfloat16
    torch.testing.assert_close(one[..., 1:-1, 1:-1], other)
    one.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("which", ["image", "weights"])
def test_channels_last_stays(which, grad, engine):
    layer, theirs = Conv2d(4, 6, 3, padding=1), torch.nn.Conv2d(4, 6, 3, padding=1)
    theirs.load_state_dict(layer.state_dict())
    found = []
    for one in (layer, theirs):
        image = normal(2, 4, 5, 6)
        if which == "image":
            image = image.contiguous(memory_format=torch.channels_last)
        else:
            one.to(memory_format=torch.channels_last)
        with torch.set_grad_enabled(grad):
            result = one(image.requires_grad_(grad))
        if grad:
            result.square().sum().backward()
            found.append([result, image.grad, one.weight.grad])
        else:
            found.append([result])
    for mine, wanted in zip(*found):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)
    assert found[0][0].stride() == found[1][0].stride()
    assert len(engine) == 1
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")(image)
    assert compiled.stride() == result.stride()


@pytest.mark.parametrize("mode", ["zeros", "reflect", "symmetric"])
def test_compiled_and_exported(mode):
    layer = Conv2d(4, 6, 3, padding=1, padding_mode=mode)
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


def test_compiled_lazily_traced_and_scripted():
    image = normal(1, 4, 5, 5)
    layer = LazyConv2d(6, 3)
    wanted = torch.compile(layer, fullgraph=True, backend="aot_eager")(image)
    torch.testing.assert_close(wanted, layer(image))
    torch.testing.assert_close(torch.vmap(layer)(image[None])[0], wanted)
    torch.testing.assert_close(torch.fx.symbolic_trace(layer)(image), wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.testing.assert_close(torch.jit.script(layer)(image), wanted)
        torch.testing.assert_close(torch.jit.trace(layer, image)(image), wanted)


def test_normalised_weights_and_folded_batch_normalisation(engine):
    image = normal(2, 4, 5, 6)
    layer = torch.nn.utils.parametrizations.weight_norm(Conv2d(4, 3, 3))
    theirs = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(4, 3, 3))
    theirs.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(image), theirs(image))
    batch = torch.nn.BatchNorm2d(3)
    plain = Conv2d(4, 3, 3)
    batch(plain(image))
    folded = torch.nn.utils.fuse_conv_bn_eval(plain.eval(), batch.eval())
    assert type(folded) is Conv2d
    torch.testing.assert_close(folded(image), batch(plain(image)))
    assert len(engine) == 4


def test_numpy_arrays_are_refused_in_one_line():
    for layer in (Conv2d(1, 2, 3), LazyConv2d(2, 3), Filter2d([[1.0]])):
        with pytest.raises(
            DtypeError, match=r"^image: expected a torch.Tensor; received a NumPy array; use torch.from"
        ):
            layer(np.ones((1, 1, 5, 5), "float32"))


def test_filters_move_save_and_take_integers():
    layer = Filter2d(kf.kernels.sobel(), boundary="nearest")
    assert repr(layer) == "Filter2d(3×3, boundary='nearest')"
    assert not list(layer.parameters())
    pixels = torch.arange(24, dtype=torch.uint8).reshape(1, 4, 6)
    torch.testing.assert_close(layer(pixels), layer(pixels.float()))
    assert layer(pixels.double()).dtype == torch.float64
    assert layer.double().kernel.dtype == torch.float64
    torch.testing.assert_close(copy.deepcopy(layer)(pixels), layer(pixels))
    assert "kernelfield" not in str(torch.export.export(layer, (pixels.float(),)).graph)


class Own(torch.nn.Conv2d):
    def forward(self, image):
        return super().forward(image) + 1


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(1, 4, 5, padding=2, padding_mode="reflect")
        self.body = torch.nn.Sequential(torch.nn.Conv2d(4, 64, 3), torch.nn.Conv2d(64, 2, 1, dtype=torch.float32))
        self.own, self.again = Own(2, 3, 3), self.stem
        self.wide = torch.nn.Conv2d(1, 1, 3, device="meta")
        self.double = torch.nn.Conv2d(2, 2, 3, dtype=torch.float64)
        self.half = torch.nn.Conv2d(1, 1, 3, dtype=torch.bfloat16)

    def forward(self, image):
        return self.own(self.body(self.stem(image)))


def test_swap_replaces_what_the_engine_does_faster_and_nothing_else():
    model = Network().eval()
    image = normal(1, 1, 12, 12)
    wanted, calls = model(image), []
    parameters = dict(model.named_parameters())
    model.stem.register_forward_hook(lambda *a: calls.append(a))
    lines = []
    assert swap(model, report=lines.append) is model
    kinds = {name: type(m) for name, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)}
    plain = torch.nn.Conv2d
    assert kinds == {
        "stem": Conv2d, "body.0": plain, "body.1": Conv2d, "own": Own, "wide": plain, "double": Conv2d, "half": plain,
    }  # fmt: skip
    assert model.again is model.stem
    assert all(one is other for one, other in zip(model.parameters(), parameters.values(), strict=True))
    assert not any(m.training for m in model.modules())
    torch.testing.assert_close(model(image), wanted)
    assert len(calls) == 1
    assert lines[0].startswith("stem: Conv2d(1, 4, kernel_size=(5, 5), ")
    assert lines[0].endswith("padding_mode=reflect): replaced, 4 filters over 1 channel")
    assert [line.split("): ")[1] for line in lines[1:7]] == [
        "kept, PyTorch is faster with 64 filters over 4 channels",
        "replaced, 2 filters over 64 channels",
        "kept, a subclass of torch.nn.Conv2d",
        "kept, on meta",
        "replaced, 2 filters over 2 channels",
        "kept, dtype bfloat16",
    ]
    assert lines[7] == "3 of 7 convolutions replaced"
    again = []
    swap(model, report=again.append)
    assert again[0].endswith("kept, kernelfield's already")
    assert again[-1] == "0 of 7 convolutions replaced"


def test_swap_prints_and_takes_a_single_layer(capsys, engine):
    layer = torch.nn.Conv2d(1, 1, 3)
    swap(layer)(normal(1, 1, 5, 5))
    assert len(engine) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 1 convolution replaced"
    swap(torch.nn.ReLU(), report=None)
    assert capsys.readouterr().out == ""


def test_in_a_network_that_learns():
    torch.manual_seed(0)
    network = torch.nn.Sequential(LazyConv2d(4, 3, padding=1), torch.nn.ReLU(), Conv2d(4, 1, 3, padding=1))
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


def test_the_corners_are_those_of_torch():
    """Empty, expanded and transposed images, borders wider than the image, settings out of range, bad images."""
    image = normal(2, 4, 6, 7)
    images = [image[:0], image[:1].expand(3, 4, 6, 7), image.transpose(2, 3), image[:, :, ::2, 1:], image[0]]
    bad = [image[:, :3], image.double(), image[:, :, :0], image[None], image[0, 0], image.int(), None, [1, 2]]
    settings = [
        dict(padding=9, padding_mode="reflect"), dict(padding=6, padding_mode="circular"), dict(stride=2**40),
        dict(padding_mode="circular", padding=(6, 8)), dict(padding=-1), dict(stride=0), dict(dilation=0),
        dict(kernel_size=(1, 2, 3)), dict(padding=((1, 1), (0, 0))), dict(groups=3), dict(out_channels=0),
    ]  # fmt: skip
    calls = [({}, x) for x in (*images, *bad)] + [(options, image) for options in settings]
    outcomes = []
    for kind in (Conv2d, torch.nn.Conv2d):
        outcomes.append([])
        for options, x in calls:
            torch.manual_seed(0)
            try:
                outcomes[-1].append(kind(**{**dict(in_channels=4, out_channels=6, kernel_size=3), **options})(x))
            except Exception as error:
                outcomes[-1].append(type(error))
    for (options, x), ours, theirs in zip(calls, *outcomes):
        if isinstance(theirs, type):
            assert ours is theirs, (options, x)
        else:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert sum(isinstance(theirs, type) for theirs in outcomes[1]) > 10
