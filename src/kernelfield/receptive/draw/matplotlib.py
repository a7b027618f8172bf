"""The check for matplotlib, and names that it draws literally."""

from __future__ import annotations

import importlib.util

from kernelfield.errors import MissingDependencyError

_LONGEST = 36


def require_matplotlib() -> None:
    """Raise unless matplotlib is installed.

    Raises
    ------
    MissingDependencyError
        If it is not; the message holds the command that installs it.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "draw: expected matplotlib; it is not installed; run: pip install 'kernelfield[plot]'"
        )


def label(name: str, longest: int = _LONGEST) -> str:
    """Return a name that matplotlib draws literally; a long name loses its beginning."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    shown = shown if len(shown) <= longest else "…" + shown[1 - longest :]
    # A dollar sign would start a formula; a legend omits labels that start with an underscore.
    return " " * shown.startswith("_") + shown.replace("$", r"\$")
