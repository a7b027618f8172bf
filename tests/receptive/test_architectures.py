"""timm's architectures, one a family, without weights: analysed, or refused by name, and probed with NaN.

A sample of them runs by default; `KERNELFIELD_ARCHITECTURES=all` (`make test-architectures`) runs all.
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch
from helpers.stand_in import timm

from kernelfield.errors import UnsupportedOperation
from kernelfield.receptive import receptive_field

pytestmark = pytest.mark.torch

#: By the smallest size that each accepts, and whether it must be made for that size.
NETWORKS = {
    (32, False): (
        "davit_tiny mvitv2_tiny tiny_vit_5m_224 lambda_resnet26t crossvit_tiny_240 twins_svt_small "
        "xcit_nano_12_p16_224 focalnet_tiny_srf hieradet_small efficientvit_b0 efficientvit_m0 "
        "efficientvim_m1 resnet18 efficientnet_b0 mobilenetv3_small_050 "
        "hrnet_w18_small densenet121 dla34 dpn68 convmixer_768_32 convnext_atto cs3darknet_focus_s "
        "cspnext_tiny test_vit edgenext_xx_small fasternet_t0 fastvit_t8 ghostnet_050 hardcorenas_a "
        "hgnetv2_b0 iformer_t inception_next_atto lcnetv2_small lowformer_b0 test_mambaout "
        "poolformer_s12 mobilevit_xxs nextvit_small test_nfnet pvt_v2_b0 rdnet_tiny regnetx_002 "
        "repghostnet_050 repvit_m0_9 res2net50_14w_8s resnest14d rexnet_100 selecsls42 "
        "legacy_seresnet18 sequencer2d_s shvit_s1 skresnet18 starnet_s050 swiftformer_xs tresnet_m "
        "vgg11_bn ese_vovnet19b_slim legacy_xception xception41 cpubone_nano "
        "qwen3_vit_88m naflexvit_base_patch16_gap"
    ),
    (32, True): (
        "swin_tiny_patch4_window7_224 maxvit_tiny_rw_224 volo_d1_224 botnet26t_256 "
        "swinv2_tiny_window8_256 swinv2_cr_tiny_224 coat_tiny cait_xxs24_224 convit_tiny gcvit_xxtiny "
        "hiera_tiny_224 nest_tiny vit_relpos_small_patch16_224 deit_tiny_distilled_patch16_224 "
        "efficientformerv2_s0 eva02_tiny_patch14_224 gmlp_ti16_224 levit_128s pit_ti_224 "
        "tnt_s_patch16_224 visformer_tiny vit_tiny_r_s16_p8_224 vitamin_small_224"
    ),
    (64, False): ("csatv2"),
    (96, False): ("inception_v3"),
    (224, False): ("efficientformer_l1"),
    (256, False): ("halonet26t bat_resnext26ts"),
}

CASES = {name: (size, made) for (size, made), names in NETWORKS.items() for name in names.split()}
#: Networks that are refused, and why.
REFUSED: dict[str, str] = {}
#: How many run by default.
SAMPLE = 12
CHOSEN = sorted(CASES) if os.environ.get("KERNELFIELD_ARCHITECTURES") == "all" else random.Random(5).sample(
    sorted(name for name in CASES if CASES[name][0] <= 64), SAMPLE
)  # fmt: skip


def places(shape, grid):
    """Return the axes of a module's output that are those of its node's grid, None where that is not certain."""
    behind, between = tuple(shape[2:]) == grid, tuple(shape[1:-1]) == grid
    if behind == between or not grid:
        return None
    return tuple(range(2, len(shape))) if behind else tuple(range(1, len(shape) - 1))


def outputs(model, images, function):
    """Return a function of the output of each module, by path, of those that return one tensor."""
    found = {}

    def keep(path):
        def hook(_, __, y):
            if isinstance(y, torch.Tensor):
                found.setdefault(path, function(y.detach()))

        return hook

    hooks = [module.register_forward_hook(keep(path)) for path, module in model.named_modules()]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return found


def test_there_are_sixty_families():
    modules = {timm().models._registry._model_to_module[name] for name in CASES}
    assert len(modules) >= 60


@pytest.mark.parametrize("name", CHOSEN)
def test_an_architecture_is_analysed_and_agrees_with_a_probe(name):
    size, made = CASES[name]
    torch.manual_seed(0)
    model = timm().create_model(name, pretrained=False, **({"img_size": size} if made else {})).eval()
    if name in REFUSED:
        with pytest.raises(UnsupportedOperation, match=REFUSED[name]):
            receptive_field(model, size)
        return
    field = receptive_field(model, size)
    assert str(field)
    draw = random.Random(name)
    image = torch.rand(1, 3, size, size)
    shapes = {path: shape for path, shape in outputs(model, image, lambda y: y.shape).items() if path in field}
    axes = {path: found for path, shape in shapes.items() if (found := places(shape, field[path].shape))}
    paths = sorted(axes)
    some = [path for path in paths if not all(field[path].whole)]
    chosen = [*draw.sample(some, min(3, len(some))), *draw.sample(paths, min(2, len(paths)))]
    clean = outputs(model, image, torch.clone)

    def told(path, unit, spoilt, function):
        """Return a function of the outputs of a module for a changed image, at one unit."""
        found = outputs(model, spoilt, lambda y: y)[path]
        found = function(found, clean[path])[0].movedim([t - 1 for t in axes[path]], list(range(len(axes[path]))))
        return bool(found[unit].any())

    for path in dict.fromkeys(chosen):
        unit = tuple(draw.randrange(n) for n in field[path].shape)
        mask = field[path].mask(*unit)
        assert bounding(mask) == field[path].region(*unit)
        inside = torch.from_numpy(mask)
        for place in np.argwhere(mask)[[draw.randrange(int(mask.sum()))] if mask.any() else []]:
            spoilt = image.masked_fill(torch.from_numpy(single(mask.shape, place)), torch.nan)
            assert told(path, unit, spoilt, lambda y, _: y.isnan()), f"{path}: unit {unit} does not see {place}"
        if not mask.all() and told(path, unit, image.masked_fill(~inside, torch.nan), lambda y, _: y.isnan()):
            # A resizing multiplies elements by a weight of 0, which NaN outlives: they change nothing.
            other = torch.where(inside, image, torch.rand(image.shape))
            assert not told(path, unit, other, torch.ne), f"{path}: unit {unit} sees more"


def single(shape, place):
    """Return the set of one element."""
    chosen = np.zeros(shape, bool)
    chosen[tuple(place)] = True
    return chosen


def bounding(mask):
    """Return the ranges from the first to the last element of a set along each axis."""
    ranges = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        ranges.append(range(int(inside[0]), int(inside[-1]) + 1) if len(inside) else range(0))
    return tuple(ranges)
