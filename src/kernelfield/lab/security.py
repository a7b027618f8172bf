"""Who is let in: the checks that every request and every WebSocket passes before anything else sees it.

The lab computes for pages that this server gave out, on this machine. Any website that is open in the same browser can
send requests here, so that each of these is refused: a foreign Host (a name of the attacker that resolves to this
machine), a foreign or missing Origin on a WebSocket, a session without the token that was printed at the start, a
method other than GET and HEAD, and a request with a body.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Everything comes from this server, and compiled code is WebAssembly's.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "cache-control": "no-cache",
}
SESSION = "/session"
_MOST_FAILURES, _FORGET, _REMEMBERED = 5, 60.0, 1000


@dataclass
class Access:
    """Who may use a server.

    Parameters
    ----------
    port : int
        The port that it listens on.
    token : str
        What a session has to know.
    names : frozenset of str
        The names by which it may be called.
    addresses : bool
        Whether it may be called by any address in numbers. A page of an attacker has a name, never a number.
    password : str or None
        What a person has to know to be given the token.
    """

    port: int
    token: str
    names: frozenset[str] = frozenset({"localhost", "127.0.0.1", "[::1]"})
    addresses: bool = False
    password: str | None = None
    _failures: OrderedDict[str, list[float]] = field(default_factory=OrderedDict, repr=False)

    def knows_host(self, host: str) -> bool:
        """Return whether this server may be called `host`.

        Examples
        --------
        >>> access = Access(8650, "secret")
        >>> [access.knows_host(name) for name in ("127.0.0.1:8650", "localhost:80", "evil.example:8650")]
        [True, False, False]
        """
        name, _, port = host.rpartition(":") if host.rpartition(":")[2].isdecimal() else (host, "", "80")
        if port != str(self.port):
            return False
        return name.lower() in self.names or (self.addresses and _is_address(name))

    def knows_token(self, query: bytes) -> bool:
        """Return whether the query of an address holds the token."""
        given = parse_qs(query.decode("latin-1")).get("token", [])
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self.token.encode())

    def knows_password(self, header: str) -> bool:
        """Return whether an Authorization header holds the password, with any name."""
        kind, _, value = header.partition(" ")
        try:
            given = base64.b64decode(value, validate=True).partition(b":")[2] if kind.lower() == "basic" else b""
        except binascii.Error:
            given = b""
        return self.password is not None and hmac.compare_digest(given, self.password.encode())

    def is_locked(self, client: str) -> bool:
        """Return whether a client gave wrong passwords too often."""
        recent = [when for when in self._failures.get(client, ()) if when > monotonic() - _FORGET]
        return len(recent) >= _MOST_FAILURES

    def note_failure(self, client: str) -> None:
        """Remember that a client gave a wrong password."""
        self._failures[client] = [*self._failures.pop(client, ()), monotonic()][-_MOST_FAILURES:]
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)


class Guard:
    """An ASGI application that lets through what `Access` allows, and adds `HEADERS` to every response.

    WebSockets pass it too: middleware that wraps requests and responses alone would leave them out.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request; hand over any other."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if refusal is not None:
                    headers["connection"] = "close"
            await send(message)

        refusal = self.refusal(scope)
        if refusal is None:
            await self.app(scope, receive, guarded)
        elif scope["type"] == "http":
            await refusal(scope, receive, guarded)
        else:
            await receive()  # the handshake
            await refusal({**scope, "type": "websocket"}, receive, guarded)

    def refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not let through, or None."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self.access.knows_host(hosts[0]):
            return _refused(421, "this server has another name: open the address that kernelfield lab printed")
        if origins != [f"http://{hosts[0]}"] and (origins or scope["type"] == "websocket"):
            return _refused(403, "the request comes from another page: open the address that kernelfield lab printed")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and (
            headers.get("sec-fetch-mode") != "navigate"
        ):
            return _refused(403, "the request comes from another page: open the address that kernelfield lab printed")
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            return _refused(405, "expected GET", allow="GET, HEAD")
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return _refused(413, "expected no body: images go through the page")
        if self.access.password is not None and (denied := self._denied(scope, headers)) is not None:
            return denied
        if scope["type"] == "websocket" and (
            scope["path"] != SESSION or not self.access.knows_token(scope["query_string"])
        ):
            return _refused(403, "expected the token: open the address that kernelfield lab printed")
        return None

    def _denied(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the question for the password; who gives it is sent on to the address with the token."""
        if self.access.knows_token(scope["query_string"]):
            return None
        client = str((scope.get("client") or ("",))[0])
        if self.access.is_locked(client):
            return _refused(429, "too many wrong passwords: wait a minute")
        given = headers.get("authorization")
        if given is None or not self.access.knows_password(given):
            if given is not None:
                self.access.note_failure(client)
            return _refused(401, "expected the password", **{"www-authenticate": 'Basic realm="kernelfield lab"'})
        if scope["type"] == "http" and scope["path"] == "/":
            return RedirectResponse(f"/?token={self.access.token}", 303)
        return None


def _refused(status: int, line: str, **headers: str) -> Response:
    return PlainTextResponse(f"{line}\n", status, headers)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
