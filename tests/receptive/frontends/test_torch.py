"""PyTorch modules against a probe of the module itself: every element of the image made NaN in turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from receptive import torch_networks as networks
from torch import nn

from kernelfield.errors import ArgumentError, UnsupportedOperation
from kernelfield.receptive import ReceptiveField, receptive_field, register
from kernelfield.receptive.frontends.select import framework_of
from kernelfield.receptive.frontends.torch import graph
from kernelfield.receptive.registry import REGISTERED
from kernelfield.receptive.relations import reached

SIZE = (12, 16)


def changed(model, shape, kept, amount=float("nan"), part=0):
    """Return, for each element of the image, the positions of the output that change with it."""
    torch.manual_seed(0)
    model = model.double().eval()
    x = torch.rand(shape, dtype=torch.float64)
    places = list(np.ndindex(*shape[2:]))
    batch = x.repeat(len(places), *[1] * (len(shape) - 1))
    for i, place in enumerate(places):
        batch[(i, slice(None), *place)] += amount
    outputs = []
    with torch.no_grad():
        for run in (x, *batch.split(1)):
            out = model(run.clone())
            outputs.append(out[part] if isinstance(out, tuple) else out)
    plain, rest = outputs[0], torch.cat([o.reshape(1, *outputs[0].shape) for o in outputs[1:]])
    assert plain.isfinite().all()
    different = rest != plain
    gone = tuple(t + 1 for t in range(plain.ndim) if t not in kept)
    return (different.amax(gone) if gone else different).numpy(), plain.shape


def known(network, shape, name):
    """Return the same from the graph."""
    sets = []
    for place in np.ndindex(*shape[2:]):
        element = np.zeros(shape[2:], bool)
        element[place] = True
        sets.append(reached(network, element, name))
    return np.array(sets)


CASES = {
    "Residual": {}, "UNet": {}, "Dilated": {}, "Shuffle": {}, "CrossStage": {}, "Passed": {}, "Inception": {},
    "Dense": {}, "Pyramid": {}, "Squeeze": {}, "Coordinates": {}, "Subpixel": {"size": (9, 12)}, "Focus": {},
    "Written": {}, "Extended": {}, "Windows": {"size": (8, 12)}, "Tokens": {"size": (16, 20), "kept": (1,)},
    "Mixer": {"size": (16, 20), "kept": ()}, "Involution": {"size": (8, 9)},
    "Recurrent": {"size": (5, 6), "kept": (1, 2)},
    "Sums": {"size": (8, 9)}, "Norms": {"size": (7, 8)}, "Functional": {"size": (9, 8)},
    "Line": {"size": (40,), "kept": (2,)}, "Volume": {"size": (5, 4, 6), "kept": (2, 3, 4)},
    "Stacked": {"size": (6, 7)},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_against_the_module_itself(name):
    case = {"size": SIZE, "kept": (2, 3), **CASES[name]}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = getattr(networks, name)()
    network = graph(model, case["size"])
    first = [node for node in network if node.operation == "input"]
    assert [node.shape for node in first] == [case["size"]]
    channels = {"Line": 2, "Volume": 2}.get(name, 3)
    shape = (1, channels, *case["size"])
    expected, output = changed(model, shape, case["kept"])
    last = network.aliases.get("output", network.nodes[-1].name)
    if name == "Tokens":
        last = network.aliases["mlp"]
    found = known(network, shape, last)
    assert found.shape[1:] == tuple(output[t] for t in case["kept"])
    assert np.array_equal(found, expected), np.argwhere(found != expected)[:4].tolist()
    assert not any(node.bound for node in network)


@pytest.mark.parametrize(("size", "dilation"), [((2, 4), 1), ((4, 3), (1, 2)), ((2, 2), 3)])
def test_same_padding_of_even_kernels(size, dilation):
    model = nn.Conv2d(1, 1, size, padding="same", dilation=dilation)
    network = graph(model, (7, 8))
    expected, _ = changed(model, (1, 1, 7, 8), (2, 3))
    assert np.array_equal(known(network, (1, 1, 7, 8), network.nodes[-1].name), expected)


def test_bilinear_upsampling_reads_what_has_a_weight():
    model = networks.Smooth()
    network = graph(model, (8, 10))
    some, _ = changed(model, (1, 3, 8, 10), (2, 3), amount=1.0)
    most, _ = changed(model, (1, 3, 8, 10), (2, 3))
    found = known(network, (1, 3, 8, 10), network.nodes[-1].name)
    assert (found >= some).all()
    assert (found <= most).all()


def test_global_tokens_and_gates():
    field = receptive_field(networks.Tokens(), (16, 20))
    assert all(field["attention"].whole)
    assert field["mlp"].size == (4, 4)
    field = receptive_field(networks.Squeeze(), SIZE)
    assert all(field.output.whole)
    assert field.without_gates().output.size == (3, 3)


def test_names_are_the_modules_paths():
    model = nn.Sequential(networks.Residual(), nn.Identity(), nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.ReLU()))
    field = receptive_field(model, (32, 32))
    assert field.layers == (
        "0.conv1", "0.bn1", "0.relu", "0.conv2", "0.bn2", "0.downsample.0", "0.downsample.1", "0.add", "0.relu#2",
        "2.0", "2.1", "2.2",
    )  # fmt: skip
    assert field["0"].name == "0.relu#2"
    assert field["0.downsample"].name == "0.downsample.1"
    assert field["2"].size == (11, 11)
    assert [n.name for n in graph(networks.Inception(), SIZE)][1:] == [
        "avg_pool2d", "a", "b.0", "b.1", "c", "cat", "max_pool2d",
    ]  # fmt: skip


def test_a_modules_name_is_its_output_not_what_it_does_last():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x):
            y = self.conv(x)
            self.mean = y.mean((2, 3)) * 2
            return y

    assert graph(nn.Sequential(Aside(), nn.ReLU()), (9, 9)).aliases == {"0": "0.conv"}


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(networks.Residual(), nn.Dropout(0.5))
    model[0].bn1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    graph(model, SIZE)
    assert [module.training for module in model.modules()] == modes
    assert all((before[name] == value).all() for name, value in model.state_dict().items())


def test_without_weights_and_by_an_exported_program():
    with torch.device("meta"):
        model = networks.UNet()
    network = graph(model, SIZE)
    assert network == graph(networks.UNet(), SIZE)
    program = torch.export.export(networks.UNet(), (torch.zeros(1, 3, *SIZE),))
    assert [node.shape for node in graph(program, SIZE)] == [node.shape for node in network]
    assert graph(program, None).image.shape == SIZE
    with pytest.raises(ArgumentError, match="the exported program's own"):
        graph(program, (8, 8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    assert graph(networks.Residual().to(dtype), SIZE).nodes[-1].shape == (6, 8)


def test_sizes_and_channels():
    model = nn.Sequential(nn.Conv2d(7, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 5))
    assert graph(model, (9, 11)) == graph(model, (1, 7, 9, 11)) == graph(model, [9, 11], channels=7)
    assert graph(networks.Functional(), (9, 9)).image.shape == (9, 9)
    assert graph(nn.Conv1d(1, 1, 3), 12).image.shape == graph(nn.Conv1d(1, 1, 3), (12,)).image.shape == (12,)
    for wrong in ((9,), (9, 9, 9), (0, 9), None, "9", (1.5, 2)):
        with pytest.raises(ArgumentError, match="input_size: expected"):
            graph(model, wrong)
    with pytest.raises(ArgumentError, match=r"model: expected a module that torch\.export traces.*channels="):
        graph(model, (9, 9), channels=3)
    with pytest.raises(ArgumentError, match="1: expected an output of at least 1"):
        graph(nn.Sequential(nn.ReflectionPad2d(1), nn.Upsample(scale_factor=0.1)), (4, 4))


def test_further_arguments():
    class Timed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.time = nn.Conv2d(3, 4, 3), nn.Linear(1, 4)

        def forward(self, x, t, *, scale=None):
            y = self.conv(x) + self.time(t)[:, :, None, None]
            return y if scale is None else y * scale

    network = graph(Timed(), SIZE, arguments=(torch.zeros(1, 1),), keywords={"scale": torch.ones(1)})
    assert [node.operation for node in network] == ["input", "convolution", "add", "multiply"]


def test_what_is_not_known_is_named():
    class Warped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Identity()
            self.conv = nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, x):
            return nn.functional.grid_sample(x, self.conv(x).permute(0, 2, 3, 1), align_corners=False)

    with pytest.raises(UnsupportedOperation, match=r"'aten::grid_sampler.*' in 'grid_sampler.*unknown='global'"):
        graph(Warped(), SIZE)
    network = graph(Warped(), SIZE, unknown="global")
    assert network.nodes[-1].bound.startswith("upper bound: aten::grid_sampler")
    assert ReceptiveField(network).output.whole == (True, True)

    class Chosen(nn.Module):
        def forward(self, x):
            return x[x > 0].sum()

    with pytest.raises(UnsupportedOperation, match="that the values do not decide"):
        graph(Chosen(), SIZE)


def test_an_operation_of_ones_own():
    library = torch.library.Library("kernelfield_test", "DEF")
    library.define("neighbours(Tensor x, int reach) -> Tensor")
    library.impl("neighbours", lambda x, reach: x.clone(), "Meta")

    class Own(nn.Module):
        def forward(self, x):
            return torch.ops.kernelfield_test.neighbours(x, 2)

    with pytest.raises(UnsupportedOperation, match="'kernelfield_test::neighbours' in 'neighbours'"):
        graph(Own(), (1, 1, 8, 8))

    @register("kernelfield_test::neighbours")
    def neighbours(builder, name, inputs, attributes):
        reach = attributes["reach"]
        return builder.pooling(name, inputs[0], kind="max", kernel=(2 * reach + 1,), stride=(1,), dilation=(1,),
                               before=(reach,), after=(reach,), spatial_axes=(-1,))  # fmt: skip

    try:
        field = receptive_field(Own(), (1, 1, 8, 8))
        assert field["neighbours"].size == (1, 5)
    finally:
        del REGISTERED["kernelfield_test::neighbours"]
    with pytest.raises(ArgumentError, match="expected the name of an operation"):
        register("")
    with pytest.raises(ArgumentError, match="expected a function"):
        register("a::b", 3)


def test_modules_are_recognised_and_tensors_are_not():
    assert framework_of(nn.ReLU()) == "torch"
    with pytest.raises(ArgumentError, match="model: expected a module"):
        framework_of(torch.zeros(3))
    with pytest.raises(ArgumentError, match=r"model: expected a module or function.*received builtins\.int"):
        receptive_field(3, (4, 4))


def test_operations_that_pytorch_takes_apart():
    class Rare(nn.Module):
        def forward(self, x):
            y = nn.functional.cosine_similarity(x, x.roll(1, 3), dim=1)
            return torch.addcmul(y, y, y).rot90(1, (1, 2)).diff(dim=2)

    shape = (1, 3, 5, 6)
    network = graph(Rare(), shape)
    expected, _ = changed(Rare(), shape, (1, 2))
    assert np.array_equal(known(network, shape, network.nodes[-1].name), expected)


def test_nearest_neighbours_by_the_arithmetic_of_pytorch():
    """14 to 46: 23 · 14/46 is 7, and 6.9999995 in float32."""

    class Up(nn.Module):
        def forward(self, x):
            return nn.functional.interpolate(x, (46, 3))

    shape = (1, 1, 14, 2)
    network = graph(Up(), shape)
    expected, _ = changed(Up(), shape, (2, 3))
    assert np.array_equal(known(network, shape, network.nodes[-1].name), expected)


class Wave(nn.Module):
    """A wave (N, L) to which the module itself adds channels."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 10, 5)

    def forward(self, x):
        return self.conv(x[:, None])


class Spectrogram(nn.Module):
    """A spectrogram (N, F, T), turned and cut into patches."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, (16, 8), (10, 4))

    def forward(self, x):
        return self.conv(x[:, None].transpose(2, 3))


def test_waves_and_spectrograms():
    for size in (400, (400,), (1, 400)):
        field = receptive_field(Wave(), size)
        assert field.shape == (400,)
        assert (field.output.size, field.output.stride, field.output.shape) == ((10,), (5,), (79,))
    for size in ((64, 100), (1, 64, 100)):
        field = receptive_field(Spectrogram(), size)
        assert field.shape == (64, 100)
        assert (field.output.size, field.output.shape) == ((8, 16), (9, 15))
    program = torch.export.export(Wave().eval(), (torch.zeros(1, 50),))
    assert receptive_field(program).shape == receptive_field(program, 50).shape == (50,)


def test_a_size_may_be_one_number_or_hold_the_channels():
    model = nn.Conv2d(3, 4, 3)
    assert graph(model, 24) == graph(model, (24, 24)) == graph(model, (3, 24, 24)) == graph(model, np.int64(24))
    program = torch.export.export(model.eval(), (torch.zeros(1, 3, 9, 9),))
    assert graph(program, 9) == graph(program, (3, 9, 9)) == graph(program)
    with pytest.raises(ArgumentError, match=r"input_size: expected .*the model's configuration says none"):
        graph(model)


def test_the_model_may_say_its_size():
    model = nn.Conv2d(3, 4, 3)
    model.default_cfg = {"input_size": (3, 20, 24)}
    assert graph(model).image.shape == (20, 24)
    del model.default_cfg
    model.config = type("Config", (), {"image_size": 18, "num_channels": 3})()
    assert graph(model).image.shape == (18, 18)
    assert graph(model, 12).image.shape == (12, 12)


@pytest.mark.parametrize("made", [torch.jit.script, lambda model: torch.jit.trace(model, torch.zeros(1, 3, 16, 16))])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripts_are_followed_by_their_graph(made):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)
    )
    field = receptive_field(made(model.eval()), (16, 16))
    assert (field.output.size, field.output.stride, field.output.padding) == ((8, 8), (2, 2), (1, 1))


def test_an_unexpected_error_names_the_node():
    library = torch.library.Library("kernelfield_broken", "DEF")
    library.define("odd(Tensor x) -> Tensor")
    library.impl("odd", lambda x: x.clone(), "Meta")

    class Own(nn.Module):
        def forward(self, x):
            return torch.ops.kernelfield_broken.odd(x)

    @register("kernelfield_broken::odd")
    def odd(builder, name, inputs, attributes):
        raise KeyError("nothing")

    try:
        with pytest.raises(UnsupportedOperation, match=r"'kernelfield_broken::odd' in 'odd' \(KeyError: 'nothing'\)"):
            graph(Own(), (1, 1, 8, 8))
        assert graph(Own(), (1, 1, 8, 8), unknown="global").nodes[-1].bound
    finally:
        del REGISTERED["kernelfield_broken::odd"]


def test_a_refusal_is_one_line_without_the_trace_of_pytorch(capfd):
    with pytest.raises(ArgumentError) as caught:
        graph(nn.Linear(7, 3), (4, 4))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert capfd.readouterr() == ("", "")


def test_channels_that_meet_positions_stay_apart():
    """A matrix of channels times positions, as bilinear attention has: labels of one operand, a grid of the other."""

    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.Conv2d(2, 6, (6, 1))

        def forward(self, x):
            left = self.rows(nn.functional.adaptive_max_pool2d(x, (6, 1))).view(1, 1, 6, 1)
            left = torch.cat(torch.split(left * torch.eye(6), 2, dim=2), dim=2)
            return left.matmul(x) + x

    expected, _ = changed(Crossed(), (1, 2, 6, 6), (2, 3))
    network = graph(Crossed(), (1, 2, 6, 6))
    assert np.array_equal(known(network, (1, 2, 6, 6), network.nodes[-1].name), expected)
