"""Names of layers as labels of a figure."""

from __future__ import annotations

_LONGEST = 36


def label(name: str, longest: int = _LONGEST) -> str:
    """Return a name that matplotlib draws literally; a long name loses its beginning."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    shown = shown if len(shown) <= longest else "…" + shown[1 - longest :]
    # A dollar sign would start a formula; a legend omits labels that start with an underscore.
    return " " * shown.startswith("_") + shown.replace("$", r"\$")
