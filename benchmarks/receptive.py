"""Receptive fields, network by network: time of the whole table and of one unit's exact mask, and memory.

python -m benchmarks.receptive
"""

from __future__ import annotations

import io
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from benchmarks import RESULTS
from kernelfield.cli.harness.series import show, write
from kernelfield.receptive.field import ReceptiveField
from kernelfield.receptive.frontends.onnx import graph as onnx_graph
from kernelfield.receptive.graph import Graph

ROUNDS = 5


def networks() -> dict[str, Callable[[], Callable[[], Graph]]]:
    """Return, by name, a function that loads a network and returns the function that makes its graph."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "receptive"))
    import onnx_models

    def resnet() -> Callable[[], Graph]:
        model = onnx_models.resnet((3, 8, 36, 3))
        return lambda: onnx_graph(model)

    def resnet_file() -> Callable[[], Graph]:
        data = onnx_models.resnet((3, 8, 36, 3)).SerializeToString()
        return lambda: onnx_graph(data)

    def densenet() -> Callable[[], Graph]:
        model = onnx_models.densenet((6, 12, 48, 32))
        return lambda: onnx_graph(model)

    def nasnet() -> Callable[[], Graph]:
        import keras

        from kernelfield.receptive.frontends.keras import graph

        model = keras.applications.NASNetLarge(weights=None)
        return lambda: graph(model, (331, 331))

    return {
        "ResNet-152, ONNX": resnet,
        "ResNet-152, ONNX bytes": resnet_file,
        "DenseNet-201, ONNX": densenet,
        "NASNetLarge, Keras": nasnet,
    }


def last_layer(field: ReceptiveField) -> str:
    """Return the last layer that has positions."""
    return next(layer.name for layer in reversed(list(field)) if layer.shape)


def measure(make: Callable[[], Graph]) -> dict[str, float]:
    """Return the median seconds of graph, table and one mask, those of the first table, and the peak memory in MiB."""
    samples: dict[str, list[float]] = {"graph": [], "table": [], "mask": []}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        made = make()
        built = time.perf_counter()
        field = ReceptiveField(made)
        print(field, file=io.StringIO())
        printed = time.perf_counter()
        layer = field[last_layer(field)]
        begun = time.perf_counter()
        layer.mask(*layer.middle)
        samples["graph"].append(built - start)
        samples["table"].append(printed - start)
        samples["mask"].append(time.perf_counter() - begun)
    tracemalloc.start()
    field = ReceptiveField(make())
    print(field, file=io.StringIO())
    layer = field[last_layer(field)]
    layer.mask(*layer.middle)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    medians = {name: sorted(times)[ROUNDS // 2] for name, times in samples.items()}
    return medians | {"first table": samples["table"][0], "mebibytes": peak / (1 << 20)}


def main() -> None:
    found = {}
    for name, load in networks().items():
        found[name] = measure(load())
    header = ["", "graph s", "table s", "first table s", "mask s", "peak MiB"]
    rows = [
        [
            name,
            *(f"{figures[key]:.3f}" for key in ("graph", "table", "first table", "mask")),
            f"{figures['mebibytes']:.0f}",
        ]
        for name, figures in found.items()
    ]
    show("receptive fields; the table includes the graph; memory does not include weights", header, rows)
    write(RESULTS / "receptive.json", ("onnx", "keras"), median=found)


if __name__ == "__main__":
    main()
