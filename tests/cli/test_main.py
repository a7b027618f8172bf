"""The program as a process: exit status, encodings, and streams that end early."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

import kernelfield


def test_version_and_help(run):
    assert run("--version").out == f"{kernelfield.__version__}\n"
    assert "learn" in run("--help").out
    assert run().out == run("--help").out
    text = run("learn", "--help").out
    options = ["json", "plot", "save", "size", "max-size", "mask", "clip", "channel", "per-channel", "max-pixels"]
    assert all(f"--{option} " in text for option in options)
    assert "--no-json" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_as_a_process(process, pictures, tmp_path):
    status, out, err = process("learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--json")
    assert (status, err) == (0, "")
    (tmp_path / "filter.json").write_text(out)
    apply = process("apply", tmp_path / "filter.json", pictures / "grey.png", tmp_path / "result.png")
    assert apply == (0, "", "")
    status, out, err = process("learn", "missing.png", "missing.png")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("kernelfield: error: ")


@pytest.fixture
def learning(pictures):
    """The arguments of a quick run."""
    return "learn", pictures / "grey.png", pictures / "grey-sharpen.png", "--size", "3"


def test_output_that_is_not_utf8(process, learning):
    status, out, err = process(*learning, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (status, err) == (0, "")
    assert "size      3?3" in out


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_goes_away(start, learning, options):
    running = start(*learning, *options)
    running.stdout.close()
    message = running.stderr.read()
    running.stderr.close()
    assert (running.wait(60), message) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk(process, learning, options):
    with open("/dev/full", "w") as full:
        status, _, err = process(*learning, *options, stdout=full)
    assert (status, err.count("\n")) == (1, 1)
    assert "No space left" in err


def test_nothing_heavy_is_imported_for_help():
    commands = ["", "--install-completion", "learn", "apply", "design", "field", "code", "bench", "doctor"]
    code = (
        "import sys; from kernelfield.cli.main import main;"
        f"[main([*command.split(), '--help']) for command in {commands}]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"numpy", "scipy", "PIL", "matplotlib", "tifffile", "markdown_it", "torch"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_completion_by_bash(process, tmp_path):
    status, out, err = process("--install-completion", "--shell", "bash", HOME=str(tmp_path))
    assert (status, err) == (0, "")
    assert "bash-completion" in out
    (tmp_path / "photo.png").touch()
    script = f"""
        source {tmp_path}/.bashrc; cd {tmp_path}
        completer=$(complete -p kernelfield | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        for line in "app" "apply --dty" "apply --dtype floa" "apply pho" "learn --chan"; do
            COMP_WORDS=(kernelfield $line); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
            $completer kernelfield "${{COMP_WORDS[-1]}}" "${{COMP_WORDS[-2]}}"
            echo "${{COMPREPLY[@]}}"
        done
    """
    home = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=home)
    assert done.stdout.splitlines() == [
        "apply",
        "--dtype",
        "float32 float64",
        "photo.png",
        "--channel --channels --channel-axis",
    ], done.stderr


def test_completion_where_nothing_can_be_written(process, tmp_path):
    (tmp_path / "home").touch()
    status, out, err = process("--install-completion", "--shell", "bash", HOME=str(tmp_path / "home"))
    assert (status, out, err.count("\n")) == (1, "", 1)
