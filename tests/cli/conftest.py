"""Photographs in files, and the command line run in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import skimage.data
import sklearn.datasets
from PIL import Image, ImageFilter

from kernelfield.cli.harness import measure
from kernelfield.cli.harness.peers import PEERS, Peer
from kernelfield.cli.main import main

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "filter.schema.json"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder: each photograph as it is and through Pillow's filters."""
    folder = tmp_path_factory.mktemp("pictures")
    grey = skimage.data.camera()[60:260, 150:390]
    flower = sklearn.datasets.load_sample_image("flower.jpg")[150:330, 200:420]
    china = sklearn.datasets.load_sample_image("china.jpg")[100:300, 100:350]
    for name, pixels in {"grey": grey, "flower": flower, "china": china}.items():
        image = Image.fromarray(pixels)
        image.save(folder / f"{name}.png")
        image.filter(ImageFilter.SHARPEN).save(folder / f"{name}-sharpen.png")
        image.filter(ImageFilter.EMBOSS).save(folder / f"{name}-emboss.png")
        image.filter(ImageFilter.MedianFilter(5)).save(folder / f"{name}-median.png")
    coins = Image.fromarray(skimage.data.coins())
    coins.save(folder / "coins.png")
    coins.filter(ImageFilter.SHARPEN).save(folder / "coins-sharpen.png")
    return folder


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line in this process and return its status, stdout and stderr."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> SimpleNamespace:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return call


@pytest.fixture
def refused(run):
    """Run a command that has to fail; return the one line that it prints, on stderr."""

    def call(status: int, *arguments: object) -> str:
        result = run(*arguments)
        assert result.status == status, result
        assert result.out == ""
        lines = [line for line in result.err.splitlines() if not line.startswith("note: ")]
        assert len(lines) == 1, result.err
        assert lines[0].startswith("kernelfield: error: ")
        return lines[0]

    return call


@pytest.fixture(scope="session")
def valid(strict_json):
    """Read strict JSON and validate it by the schema in docs/."""
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def check(text: str) -> dict:
        record = strict_json(text)
        validator.validate(record)
        return record

    return check


@pytest.fixture(scope="session")
def pixels():
    """Read a picture as Pillow does."""
    return lambda path: np.asarray(Image.open(path))


@pytest.fixture(scope="session")
def start():
    """Start the command line as its own process."""

    def call(*arguments: object, stdout=subprocess.PIPE, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "kernelfield", *map(str, arguments)]
        variables = os.environ | environment
        return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=variables)

    return call


@pytest.fixture(scope="session")
def process(start):
    """Run the command line as its own process and return its status, stdout and stderr."""

    def call(*arguments: object, **options: object) -> tuple[int, str, str]:
        running = start(*arguments, **options)
        out, err = running.communicate(timeout=300)
        return running.returncode, out, err

    return call


@pytest.fixture
def few_libraries(monkeypatch) -> list[type[Peer]]:
    """Time briefly, beside the libraries that other tests need anyway; the frameworks take seconds to import."""
    few = [peer for peer in PEERS if peer.name in ("OpenCV", "ndimage", "oaconvolve")]
    monkeypatch.setattr(measure, "PEERS", tuple(few))
    for name in ("FULL", "QUICK"):
        monkeypatch.setattr(measure, name, measure.Effort(1, 0.0, 10.0))
    monkeypatch.setattr(measure, "_SAMPLE", 0.0)
    return few


@pytest.fixture(scope="session")
def strict_json():
    """Read JSON in which NaN and infinity are errors."""

    def refuse(name: str):
        raise AssertionError(f"{name} is not JSON")

    return lambda text: json.loads(text, parse_constant=refuse)
