"""``kernelfield lab``: the page where a kernel is seen at work, served from this machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from kernelfield.cli.messages import UsageError, note
from kernelfield.errors import MissingDependencyError

if TYPE_CHECKING:
    import socket

_LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "localhost", "::1": "[::1]"}
_PASSWORD = "KERNELFIELD_LAB_PASSWORD"
_SHORTEST = 8


def lab(
    *, port: int | None = None, host: str = "127.0.0.1", no_open: bool = False, password: str | None = None
) -> None:
    """Open a page where a kernel slides over an image and is learned from one; Ctrl-C ends it.

    Parameters
    ----------
    port
        The port to listen on; 0 takes any free one. By default 8650, or any free one where that is in use.
    host
        The address to listen on. By default only this machine can open the page; 0.0.0.0 lets others on the network
        open it, who need the password. There is no encryption: on a network that you do not trust, use ssh -L instead.
    no_open
        Print the address without opening it in a browser.
    password
        What others need to know, at least 8 characters. Other users of this machine see the command line: rather set
        KERNELFIELD_LAB_PASSWORD, or type it when asked.
    """
    try:
        from kernelfield.lab.security import Access
        from kernelfield.lab.server import bind, new_token, serve
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("h11", "starlette", "uvicorn", "websockets"):
            raise
        raise MissingDependencyError(
            f"lab: {error.name} is not installed; expected it for the page; pip install 'kernelfield[lab]'"
        ) from error
    if port is not None and not 0 <= port <= 65535:
        raise UsageError(f"--port: expected a number from 0 to 65535; received {port}.")
    word = _word(host, password if password is not None else os.environ.get(_PASSWORD))
    with bind(host, port) as listener:
        number = listener.getsockname()[1]
        if word is None:
            access = Access(number, new_token())
            address = f"http://{_LOOPBACK[host]}:{number}/?token={access.token}"
        else:
            names = frozenset({*_LOOPBACK.values(), host.lower(), *_names()})
            access = Access(number, new_token(), names, addresses=True, password=word)
            address = f"http://{_shown(host, listener)}:{number}/"
            note(
                f"whoever reaches {host} and knows the password can use this machine's processors and memory, within "
                "limits, but no files; nothing is encrypted: use it on a network that you trust"
            )

        def started() -> None:
            sys.stdout.write(f"{address}\n")
            sys.stdout.flush()
            note("Ctrl-C ends the lab")
            if not no_open and _has_display():
                _open(address)

        serve(listener, access, started)


def _word(host: str, password: str | None) -> str | None:
    """Return the password that others need, or None where there are no others."""
    if host in _LOOPBACK and password is None:
        return None
    if password is None and sys.stdin.isatty():
        from getpass import getpass

        note(f"--host {host}: others on the network will be able to open the page, and need a password")
        password = getpass("Password for them: ")
    if password is None:
        raise UsageError(
            f"--host: {host} lets others on the network use this machine; expected a password too; set {_PASSWORD}."
        )
    if len(password) < _SHORTEST:
        raise UsageError(f"--password: expected at least {_SHORTEST} characters; received {len(password)}.")
    return password


def _names() -> tuple[str, ...]:
    """Return the names of this machine."""
    import socket

    return socket.gethostname().lower(), socket.getfqdn().lower()


def _shown(host: str, listener: socket.socket) -> str:
    """Return the host for the address that is printed: one that others can open."""
    if host in ("0.0.0.0", "::"):
        return _names()[0]
    return f"[{host}]" if ":" in host else host


def _has_display() -> bool:
    """Return whether a browser has a window to open: without one, a browser of the terminal would take it."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(address: str) -> None:
    """Open the address in the user's browser, without waiting for it."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
