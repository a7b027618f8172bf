"""Colour and animation depend on the terminal."""

from __future__ import annotations

import io
import re
import sys

import pytest


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
