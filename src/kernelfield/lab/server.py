"""The server of the lab: the page's files, and sessions, behind the checks of `security.Guard`."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from kernelfield.errors import ArgumentError, reason
from kernelfield.lab.connections import Connection
from kernelfield.lab.jobs import Workers
from kernelfield.lab.pages import assets
from kernelfield.lab.security import SESSION, Access, Guard
from kernelfield.lab.session import PIECE, Load, Session

#: The port that is tried first.
PORT = 8650


def application(access: Access, workers: Workers) -> ASGIApp:
    """Return the lab as an ASGI application."""
    pages = assets()
    pages["/"] = pages["/index.html"]
    load = Load()

    async def page(request: Request) -> Response:
        asset = pages.get(request.scope["path"])
        if asset is None:
            return PlainTextResponse("there is no such page\n", 404)
        headers = {"etag": asset.tag, "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == asset.tag:
            return Response(None, 304, headers)
        headers["content-type"] = asset.type
        if asset.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(asset.data, headers=headers)
        return Response(asset.packed, headers={**headers, "content-encoding": "gzip"})

    async def session(socket: WebSocket) -> None:
        await Session(socket, workers, load).run()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # The page does not wait for the workers' imports.
        starting = asyncio.create_task(workers.start())
        try:
            yield
        finally:
            starting.cancel()
            await asyncio.wait([starting])
            await workers.close()

    routes = [Route("/{path:path}", page, methods=["GET", "HEAD"]), WebSocketRoute(SESSION, session)]
    return Guard(Starlette(routes=routes, lifespan=lifespan), access)


def bind(host: str, port: int | None) -> socket.socket:
    """Return a listening socket.

    Parameters
    ----------
    host : str
    port : int or None
        0 takes any free one; None takes 8650, or any free one where that is in use.

    Raises
    ------
    ArgumentError
        If the port is in use, or the host is not one of this machine.
    """
    wanted = PORT if port is None else port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ArgumentError(
            f"host: expected an address of this machine; received {host!r} ({reason(error)}); leave it out"
        ) from None
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if port is None:
            return bind(host, 0)
        raise ArgumentError(
            f"port: expected a free one; received {port} ({reason(error)}); --port 0 takes any free one"
        ) from None
    return listener


def server(access: Access, workers: Workers) -> uvicorn.Server:
    """Return the lab as a server of uvicorn's, with all limits set."""
    config = uvicorn.Config(
        application(access, workers),
        loop="asyncio",
        http=Connection,
        ws="websockets-sansio",
        ws_max_size=PIECE + 1024,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=16 << 10,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def serve(listener: socket.socket, access: Access, started: Callable[[], None]) -> None:
    """Serve the lab until Ctrl-C.

    Parameters
    ----------
    listener : socket.socket
    access : Access
    started : callable
        Called when the page can be opened.
    """
    prepared = server(access, Workers(max(1, min(4, os.cpu_count() or 1))))
    started()
    prepared.run(sockets=[listener])


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)
