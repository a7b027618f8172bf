"""Connections that may not wait for ever: the protocol of uvicorn with a limit of time for headers, and of number.

uvicorn closes a connection that is idle between two requests, but waits without end for the headers of the first one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds in which the headers of a request have to be complete.
HEADER_TIME = 10.0
#: Connections without complete headers, and connections that are not WebSockets.
MOST_WAITING, MOST_CONNECTIONS = 100, 300


class Connection(H11Protocol):
    """A connection whose headers have to come in time.

    Where too many are without, the one that waits longest is closed: a browser sends its headers at once.
    """

    #: The connections of the process that wait for headers, in the order in which they came.
    waiting: dict[Connection, asyncio.TimerHandle] = {}  # noqa: RUF012

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        super().connection_made(transport)
        while len(self.waiting) >= MOST_WAITING or (self.waiting and len(self.connections) > MOST_CONNECTIONS):
            next(iter(self.waiting))._give_up()
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and wait no longer where they end the headers."""
        self._unset_keepalive_if_required()
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait()  # the headers of a further request have begun
        else:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._go_on()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Wait no longer; the WebSocket has limits of its own."""
        self._go_on()
        super().handle_websocket_upgrade(event)

    def _wait(self) -> None:
        if self not in self.waiting:
            self.waiting[self] = self.loop.call_later(HEADER_TIME, self._give_up)

    def _go_on(self) -> None:
        timer = self.waiting.pop(self, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self) -> None:
        self._go_on()
        self.transport.abort()
