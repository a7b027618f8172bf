"""Receptive fields, network by network: processor time of the graph, of the table and of one unit's mask, and memory.

Exporting a PyTorch model and loading others is not counted. Those of PyTorch are timm's, at 224 or the size that each
is made for, without weights.

python -m benchmarks.receptive [name ...]
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import RESULTS
from kernelfield.cli.harness.series import show, write
from kernelfield.receptive.field import ReceptiveField
from kernelfield.receptive.frontends.onnx import graph as onnx_graph
from kernelfield.receptive.graph import Graph

ROUNDS = 3
TESTS = Path(__file__).parents[1] / "tests"

#: One of each kind: plain, gated, dense, windows, halos, grids, several scales, tokens, waves of the same weights.
ARCHITECTURES = [
    "resnet18",
    "efficientnet_b0",
    "densenet121",
    "hrnet_w18_small",
    "nasnetalarge",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "davit_tiny",
    "maxvit_tiny_rw_224",
    "mvitv2_tiny",
    "volo_d1_224",
    "tiny_vit_5m_224",
    "halonet26t",
    "lamhalobotnet50ts_256",
    "bat_resnext26ts",
    "convit_tiny",
    "csatv2",
    "crossvit_tiny_240",
    "coat_tiny",
    "gcvit_xxtiny",
    "xcit_nano_12_p16_224",
    "vit_tiny_patch16_224",
]


def timm(name: str) -> Callable[[], Graph]:
    """Return the function that makes the graph of one of timm's models, already exported."""
    import torch
    from helpers.stand_in import timm as loaded

    from kernelfield.receptive.frontends.torch import graph

    model = loaded().create_model(name, pretrained=False).eval()
    size = model.default_cfg["input_size"]
    size = size if model.default_cfg.get("fixed_input_size") or max(size) > 224 else (3, 224, 224)
    program = torch.export.export(model, (torch.zeros(1, *size),), strict=False)
    return lambda: graph(program)


def resnet() -> Callable[[], Graph]:
    """Return the function that makes the graph of ResNet-152 from bytes of ONNX."""
    import onnx_models

    data = onnx_models.resnet((3, 8, 36, 3)).SerializeToString()
    return lambda: onnx_graph(data)


def nasnet() -> Callable[[], Graph]:
    """Return the function that makes the graph of NASNetLarge of Keras."""
    import keras

    from kernelfield.receptive.frontends.keras import graph

    model = keras.applications.NASNetLarge(weights=None)
    return lambda: graph(model, (331, 331))


NETWORKS: dict[str, Callable[[], Callable[[], Graph]]] = {
    "ResNet-152, ONNX": resnet,
    "NASNetLarge, Keras": nasnet,
    **{name: partial(timm, name) for name in ARCHITECTURES},
}


def measure(make: Callable[[], Graph]) -> dict[str, float]:
    """Return the median seconds of graph, graph and table, and one mask, and the peak memory in MiB."""
    samples: dict[str, list[float]] = {"graph": [], "table": [], "mask": []}
    for _ in range(ROUNDS):
        start = time.process_time()
        made = make()
        built = time.process_time()
        field = ReceptiveField(made)
        str(field)
        printed = time.process_time()
        layer = field.last or field.output
        begun = time.process_time()
        layer.mask(*layer.middle)
        samples["graph"].append(built - start)
        samples["table"].append(printed - start)
        samples["mask"].append(time.process_time() - begun)
    tracemalloc.start()
    field = ReceptiveField(make())
    str(field)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    medians = {name: sorted(times)[ROUNDS // 2] for name, times in samples.items()}
    return medians | {"first table": samples["table"][0], "mebibytes": peak / (1 << 20), "nodes": len(field)}


def main() -> None:
    sys.path[:0] = [str(TESTS / "receptive"), str(TESTS)]
    found = {name: measure(NETWORKS[name]()) for name in sys.argv[1:] or NETWORKS}
    header = ["", "nodes", "graph s", "table s", "first table s", "mask s", "peak MiB"]
    rows = [
        [
            name,
            f"{figures['nodes']:.0f}",
            *(f"{figures[key]:.3f}" for key in ("graph", "table", "first table", "mask")),
            f"{figures['mebibytes']:.0f}",
        ]
        for name, figures in found.items()
    ]
    show(
        "receptive fields, processor time; the table includes the graph; memory does not include weights", header, rows
    )
    if len(sys.argv) == 1:
        write(RESULTS / "receptive.json", ("onnx", "keras", "torch", "timm"), median=found)


if __name__ == "__main__":
    main()
