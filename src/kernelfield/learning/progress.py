"""Progress of `learn`: the stage that has begun, told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: The stages in their order; where a part of the pair does not tell enough, those of the whole pair follow.
STAGES = (
    "reading the pair",
    "searching the size",
    "solving",
    "estimating errors",
    "trying other explanations",
    "comparing all pixels",
    "finding name and border",
)
#: Takes the share of the stages that are done, from 0 to 1, and the stage that has begun.
Listener = Callable[[float, str], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Tell the progress of fits within this context to a listener; the share never falls.

    Examples
    --------
    >>> with listening(lambda share, stage: print(f"{share:.2f} {stage}")):
    ...     begin("solving")
    ...     begin("searching the size")
    0.29 solving
    0.29 searching the size
    """
    last = 0.0

    def told(share: float, stage: str) -> None:
        nonlocal last
        last = max(last, share)
        if listener is not None:
            listener(last, stage)

    token = _listener.set(told)
    try:
        yield
    finally:
        _listener.reset(token)


def begin(stage: str) -> None:
    """Tell whoever listens that a stage has begun."""
    listener = _listener.get()
    if listener is not None:
        listener(STAGES.index(stage) / len(STAGES), stage)
