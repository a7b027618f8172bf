"""Random networks in PyTorch, probed with NaN, against the graph of the same network."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from receptive.networks import networks
from receptive.probe import check, probe

from kernelfield.receptive import receptive_field

pytestmark = pytest.mark.torch


@given(networks())
def test_what_a_probe_finds_is_what_the_graph_says(net):
    check(net.graph(), net, net.shape, net.spatial, batched=True)


@given(networks(ranks=(1, 2), most=5))
def test_masks_and_regions_of_units_are_those_that_a_probe_finds(net):
    field = receptive_field(net.graph()).output
    unit = field.middle
    extents = net.shape[2:]
    elements = list(np.eye(prod(extents), dtype=bool).reshape(-1, *extents))
    found = probe(net, net.shape, elements, net.spatial, batched=True)
    sees = np.array([spoilt.any(axis=(0, 1))[unit] for spoilt in found]).reshape(extents)
    assert np.array_equal(field.mask(*unit), sees)
    for axis, ends in enumerate(field.region(*unit)):
        others = tuple(a for a in range(sees.ndim) if a != axis)
        places = np.flatnonzero(sees.any(axis=others))
        assert (ends.start, ends.stop) == ((places[0], places[-1] + 1) if len(places) else (0, 0))
