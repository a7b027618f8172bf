"""What all figures of networks need: matplotlib, and names that it draws as they are."""

from __future__ import annotations

import importlib.util

from kernelfield.errors import MissingDependencyError

_LONGEST = 36


def require() -> None:
    """Raise unless matplotlib is there.

    Raises
    ------
    MissingDependencyError
        With the command that installs it.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "draw: expected matplotlib; it is not installed; run: pip install 'kernelfield[plot]'"
        )


def label(name: str, longest: int = _LONGEST) -> str:
    """Return a name that matplotlib draws letter by letter, cut at its front."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    shown = shown if len(shown) <= longest else "…" + shown[1 - longest :]
    # No formula begins; a legend leaves out what starts with an underscore.
    return " " * shown.startswith("_") + shown.replace("$", r"\$")
