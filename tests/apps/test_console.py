"""What depends on the terminal: colour, movement, width, and streams that end early."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

import kernelfield
from kernelfield.apps.kernel_table import kernel_lines
from kernelfield.apps.messages import one_line


def process(*arguments, stdout=subprocess.PIPE, **environment):
    """Run the command line as its own process."""
    command = [sys.executable, "-m", "kernelfield", *map(str, arguments)]
    variables = os.environ | environment
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=variables)


def finish(running):
    """Return the status, stdout and stderr of a process."""
    out, err = running.communicate(timeout=300)
    return running.returncode, out, err


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colour_on_a_terminal_only(run, pictures, monkeypatch, no_color):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert run("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--size", "3").status == 0
    assert ("\x1b[" in out.getvalue()) == (no_color == "")
    assert "learning the kernel" in err.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert "-1 [16] -1" in plain


def test_the_status_leaves_json_alone(run, pictures, monkeypatch, valid):
    err, out = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sys, "stdout", out)
    run("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--size", "3", "--json")
    valid(out.getvalue())
    assert "reading" in err.getvalue()


def cells(weights, digits):
    return [[f"{value:.{digits}f}" for value in row] for row in weights]


@pytest.mark.parametrize("width", [20, 40, 80, 100])
@pytest.mark.parametrize("size", [1, 3, 9, 15, 31, 63])
def test_a_kernel_never_exceeds_the_terminal(size, width):
    rows = np.hypot(*np.mgrid[:size, :size] - size // 2)
    weights = np.cos(rows) * np.exp(-rows / 3)
    lines = [line.plain for line in kernel_lines(weights, cells(weights, 6), (size // 2, size // 2), width)]
    if size + 2 <= width:
        assert max(map(len, lines[:size])) <= width
        assert len(lines) >= size
    else:
        assert "wider than this terminal" in lines[0]


def test_a_heat_map_shows_signs_and_the_anchor():
    weights = np.zeros((2, 31))
    weights[0, 0], weights[1, 30] = 2.0, -1.0
    two = [line.plain for line in kernel_lines(weights, cells(weights, 6), (1, 30), 80)]
    assert two[0] == " " * 63 + "v"
    assert two[1].startswith("   9 ·")
    assert two[2].startswith("> ")
    assert two[2].endswith("-4")
    one = [line.plain for line in kernel_lines(weights, cells(weights, 6), (1, 30), 40)]
    assert one[1] == "  9" + "·" * 30
    assert one[2] == "> " + "·" * 30 + "d"


def test_digits_are_given_up_before_the_numbers_are():
    weights = np.array([[0.123456, -0.00000001, 0.9]])
    full = kernel_lines(weights, cells(weights, 6), (0, 1), 80)[0].plain
    short = kernel_lines(weights, cells(weights, 6), (0, 1), 22)[0].plain
    assert full == "    0.123456 [-0.000000]  0.900000 "
    assert short == "   .123 [.000] .900 "


def test_red_is_positive_blue_is_negative():
    line = kernel_lines(np.array([[-1.0, 0.0, 1.0]]), [["-1", "0", "1"]], (0, 1), 80)[0]
    styles = [Console().get_style(str(span.style)) for span in line.spans]
    negative, zero, positive = (style.bgcolor.triplet for style in styles)
    assert negative.blue > negative.red
    assert positive.red > positive.blue
    assert min(zero) > 240


def test_one_line():
    assert one_line("é\r\n\t\x1b]") == "é\\r\\n\\t\\x1b]"


def test_version_and_help(run):
    assert run("--version").out == f"{kernelfield.__version__}\n"
    assert "learn" in run("--help").out
    assert run().out == run("--help").out
    text = run("learn", "--help").out
    options = ["json", "plot", "save", "size", "max-size", "mask", "clip", "channel", "per-channel", "max-pixels"]
    assert all(f"--{option} " in text for option in options)
    assert "--no-json" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_as_a_process(pictures, tmp_path):
    learn = process("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--json", engine="")
    status, out, err = finish(learn)
    assert (status, err) == (0, "")
    (tmp_path / "filter.json").write_text(out)
    apply = process("apply", tmp_path / "filter.json", pictures / "grey.png", tmp_path / "result.png")
    assert finish(apply) == (0, "", "")
    status, out, err = finish(process("learn", "missing.png", "missing.png"))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("kernelfield: error: ")


@pytest.fixture
def learning(pictures):
    """The arguments of a quick run."""
    return "learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--size", "3"


def test_output_that_is_not_utf8(learning):
    status, out, err = finish(process(*learning, PYTHONIOENCODING="ascii", PYTHONUTF8="0"))
    assert (status, err) == (0, "")
    assert "size      3?3" in out


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_goes_away(learning, options):
    running = process(*learning, *options)
    running.stdout.close()
    message = running.stderr.read()
    running.stderr.close()
    assert (running.wait(60), message) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk(learning, options):
    with open("/dev/full", "w") as full:
        status, _, err = finish(process(*learning, *options, stdout=full))
    assert (status, err.count("\n")) == (1, 1)
    assert "No space left" in err


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


def test_the_environment_names_the_instruction_set():
    found = json.loads(finish(process("doctor", "--json"))[1])
    for name in found["instruction_sets"]:
        assert json.loads(finish(process("doctor", "--json", KERNELFIELD_CPU=name))[1])["instruction_set"] == name
    status, out, err = finish(process("doctor", KERNELFIELD_CPU="abacus"))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "KERNELFIELD_CPU: expected one of" in err
    assert "received 'abacus'; unset it" in err


def test_nothing_heavy_is_imported_for_help():
    code = "import sys; from kernelfield.apps.cli import main; main(['learn', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"numpy", "scipy", "PIL", "matplotlib", "tifffile", "markdown_it", "torch"}


def test_doctor_imports_no_framework():
    code = (
        "import sys; from kernelfield.apps.cli import main; main(['doctor', '--json']);"
        "print(*(m for m in ('torch', 'tensorflow', 'jax', 'mxnet', 'keras', 'onnx', 'dask') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
