"""A session: one page's WebSocket, from which requests come and on which answers, progress and errors go.

A request is a text message ``{"id", "op", "args", "images"}``, followed by the bytes of its images in binary messages
of at most `PIECE` bytes. Answers are ``{"id", "progress", "text"}``, then ``{"id", "result", "images"}`` with binary
messages in the same way, or ``{"id", "error"}``. ``{"id", "op": "cancel"}`` ends a request, also while its images come.
Whoever breaks these rules is disconnected.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from kernelfield.errors import ArgumentError, KernelfieldError, received
from kernelfield.lab.images import MAX_PIXELS, size_of
from kernelfield.lab.jobs import Job, Workers
from kernelfield.lab.operations import OPERATIONS, Buffer

#: Largest message, in bytes; images come in as many as they need.
PIECE = 1 << 20
#: Sessions at a time, requests of one that are not answered, and bytes of images of all.
MOST_SESSIONS, MOST_PENDING, MOST_BYTES = 64, 8, 1 << 30
#: Seconds within which a message has to be taken, and an image has to come, beside those of a slow network.
STALLED = 30.0
_SLOWEST = 100_000  # bytes a second
_PROGRESS = 0.2  # seconds
_POLICY, _TOO_BIG = 1008, 1009


@dataclass
class Load:
    """The number of sessions, and the bytes of all their images."""

    sessions: int = 0
    bytes: int = 0


class _Broken(Exception):
    """A message against the rules."""


@dataclass(eq=False)
class Session:
    """The requests of one page.

    Parameters
    ----------
    socket : starlette.websockets.WebSocket
    workers : Workers
    load : Load
        Shared with the other sessions.
    """

    socket: WebSocket
    workers: Workers
    load: Load
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    # One request after another: those of all sessions then take turns.
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Serve the page until it goes."""
        if self.load.sessions >= MOST_SESSIONS:
            await self.socket.send_denial_response(_busy())
            return
        self.load.sessions += 1
        try:
            await self.socket.accept()
            await self._send({"ready": {"max_pixels": MAX_PIXELS, "piece": PIECE}})
            while True:
                await self._take(await self._message())
        except (WebSocketDisconnect, TimeoutError, ConnectionError):
            pass
        except _Broken as error:
            if self.socket.application_state is WebSocketState.CONNECTED:
                await self.socket.close(_POLICY, str(error)[:120])
        finally:
            self.load.sessions -= 1
            for task in self._tasks.values():
                task.cancel()

    async def _message(self) -> str | bytes:
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        content: str | bytes | None = message.get("text")
        return message.get("bytes", b"") if content is None else content

    async def _take(self, message: str | bytes) -> None:
        """Begin with the request that a message holds, or end one."""
        request = _parsed(message)
        number, op = request["id"], request["op"]
        if op == "cancel":
            self._cancel(number)
            return
        if number in self._tasks:
            _broken("id: in use")
        headers = request.get("images", [])
        sizes, refusal = self._sizes(op, headers)
        self.load.bytes += sum(sizes)
        try:
            buffers = None if refusal else [(header, bytearray()) for header in headers]
            whole = await self._receive(number, sizes, [data for _, data in buffers or ()])
        except BaseException:
            self.load.bytes -= sum(sizes)
            raise
        if buffers is None or not whole:
            self.load.bytes -= sum(sizes)
            if whole:
                await self._send({"id": number, "error": refusal})
            return
        task = asyncio.create_task(self._perform(number, Job(op, request["args"], buffers)))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._done(number, sum(sizes)))

    def _cancel(self, number: int) -> None:
        if number in self._tasks:
            self._tasks[number].cancel()

    def _sizes(self, op: Any, headers: Any) -> tuple[list[int], str]:
        """Return the bytes of each image that is taken, and the line that says why none is."""
        if not isinstance(headers, list) or len(headers) > 2:
            _broken("images: expected at most two")
        try:
            sizes = [size_of(header) for header in headers]
        except ArgumentError as error:
            # What follows cannot be told apart: the page checks sizes before it sends.
            raise _Broken(str(error)) from None
        if not isinstance(op, str) or op not in OPERATIONS:
            return sizes, f"op: expected one of {', '.join(OPERATIONS)}; received {received(op)}; reload the page"
        if len(self._tasks) >= MOST_PENDING:
            return sizes, f"{op}: {MOST_PENDING} requests of this page wait already; expected fewer; cancel one"
        if self.load.bytes + sum(sizes) > MOST_BYTES:
            return sizes, f"{op}: the server's memory for images is in use; expected less; try again in a minute"
        return sizes, ""

    async def _receive(self, number: int, sizes: Sequence[int], into: Sequence[bytearray]) -> bool:
        """Take the images of a request, or let them pass; return False if it is cancelled meanwhile."""
        async with asyncio.timeout(STALLED + sum(sizes) / _SLOWEST):
            return await self._pieces(number, sizes, into)

    async def _pieces(self, number: int, sizes: Sequence[int], into: Sequence[bytearray]) -> bool:
        for index, size in enumerate(sizes):
            left = size
            while left:
                piece = await self._message()
                if isinstance(piece, str):
                    request = _parsed(piece)
                    if request["op"] != "cancel":
                        _broken("expected the rest of an image")
                    if request["id"] == number:
                        return False
                    self._cancel(request["id"])
                    continue
                if not 0 < len(piece) <= left:
                    _broken(f"expected {left} more bytes of an image; received {len(piece)}")
                left -= len(piece)
                if into:
                    into[index].extend(piece)
        return True

    async def _perform(self, number: int, job: Job) -> None:
        """Perform a request and answer."""
        try:
            task = asyncio.create_task(self._in_turn(job))
            try:
                while not (await asyncio.wait({task}, timeout=_PROGRESS))[0]:
                    await self._send({"id": number, "progress": job.share, "text": job.state})
                result, images = task.result()
            except KernelfieldError as error:
                await self._send({"id": number, "error": str(error)})
                return
            finally:
                task.cancel()
            job.buffers = ()
            await self._answer(number, result, images)
        except (WebSocketDisconnect, TimeoutError, ConnectionError, RuntimeError):
            return  # the page is gone

    async def _in_turn(self, job: Job) -> tuple[Any, list[Buffer]]:
        async with self._turn:
            return await self.workers.perform(job)

    async def _answer(self, number: int, result: Any, images: Sequence[Buffer]) -> None:
        size = sum(len(data) for _, data in images)
        self.load.bytes += size
        try:
            async with self._sending:
                header = {"id": number, "result": result, "images": [header for header, _ in images]}
                await self._put(json.dumps(header, allow_nan=False))
                for _, data in images:
                    for start in range(0, len(data), PIECE):
                        await self._put(bytes(data[start : start + PIECE]))
        finally:
            self.load.bytes -= size

    async def _send(self, value: dict[str, Any]) -> None:
        async with self._sending:
            await self._put(json.dumps(value, allow_nan=False))

    async def _put(self, content: str | bytes) -> None:
        """Send a message; a page that does not take it is gone."""
        async with asyncio.timeout(STALLED):
            await (self.socket.send_text(content) if isinstance(content, str) else self.socket.send_bytes(content))

    def _done(self, number: int, size: int) -> None:
        self.load.bytes -= size
        del self._tasks[number]


def _parsed(message: str | bytes) -> dict[str, Any]:
    """Return the request in a message."""
    if not isinstance(message, str):
        _broken("expected a request before its images")
    try:
        request = json.loads(message, parse_constant=_broken)
    except (ValueError, RecursionError):
        _broken("expected JSON")
    if not isinstance(request, dict) or type(request.get("id")) is not int or not isinstance(request.get("op"), str):
        _broken("expected an object with id and op")
    if not isinstance(request.setdefault("args", {}), dict):
        _broken("args: expected an object")
    return request


def _broken(why: str) -> NoReturn:
    raise _Broken(why)


def _busy() -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(f"{MOST_SESSIONS} pages are open already; close one\n", 503)
