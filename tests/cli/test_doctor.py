from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

import kernelfield


def test_doctor(run):
    result = run("doctor", "--json")
    assert (result.status, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["version"] == kernelfield.__version__
    assert found["numpy"] == np.__version__
    assert found["instruction_set"] == found["instruction_sets"][0]
    assert {"baseline", "neon"} & set(found["instruction_sets"])
    assert found["threads"] >= 1
    assert set(found["frameworks"]) == {"torch", "tensorflow", "jax", "mxnet", "keras", "onnx", "dask"}
    assert found["check"]["error"] is None
    text = run("doctor").out
    assert "agrees with the definition" in text
    assert f"numpy, scipy   {np.__version__}" in text


def test_doctor_says_what_is_wrong(run, refused, monkeypatch):
    monkeypatch.setattr(kernelfield, "correlate", lambda image, kernel: image)
    result = run("doctor")
    assert result.status == 1
    assert "failed: a cross-correlation is wrong by" in result.out
    assert result.err.count("\n") == 1


def test_the_environment_names_the_instruction_set(process):
    found = json.loads(process("doctor", "--json")[1])
    for name in found["instruction_sets"]:
        assert json.loads(process("doctor", "--json", KERNELFIELD_CPU=name)[1])["instruction_set"] == name
    status, out, err = process("doctor", KERNELFIELD_CPU="abacus")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "KERNELFIELD_CPU: expected one of" in err
    assert "received 'abacus'; unset it" in err


def test_doctor_imports_no_framework():
    code = (
        "import sys; from kernelfield.cli.main import main; main(['doctor', '--json']);"
        "print(*(m for m in ('torch', 'tensorflow', 'jax', 'mxnet', 'keras', 'onnx', 'dask') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
