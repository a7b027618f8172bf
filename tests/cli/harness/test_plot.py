"""The figure of the benchmarks."""

import json
from pathlib import Path

import pytest
from legibility import faults

from kernelfield.cli.harness.plot import draw

RECORD = json.loads((Path(__file__).parents[3] / "benchmarks" / "results" / "bench.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("count", [1, 2, len(RECORD["figures"])])
def test_the_recorded_figures_are_drawn_legibly(count):
    figure = draw(RECORD | {"figures": RECORD["figures"][:count]})
    assert faults(figure) == []


def test_libraries_differ_by_shape_as_well_as_by_colour():
    figure = draw(RECORD)
    lines = {
        line.get_label(): line for axes in figure.axes for line in axes.lines if not line.get_label().startswith("_")
    }
    assert len(lines) > 5
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines.values()}) == len(lines)
    assert len({line.get_color() for line in lines.values()}) == len(lines)
