"""A running lab, and a client of its WebSocket that shares no code with the page's."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.sync.client import connect

from kernelfield.lab.jobs import Workers
from kernelfield.lab.security import Access
from kernelfield.lab.server import bind, new_token, server

_PIECE = 1 << 20
_DTYPES = {"u1": np.uint8, "u2": np.uint16, "f4": np.float32}


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[SimpleNamespace]:
    """Run ``kernelfield lab`` on a free port; give its address, with and without the token, and the process."""
    command = [sys.executable, "-m", "kernelfield", "lab", "--no-open", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        address = process.stdout.readline().strip()
        parts = urlsplit(address)
        assert parts.scheme == "http", address + process.stderr.read()
        yield SimpleNamespace(
            address=address,
            origin=f"{parts.scheme}://{parts.netloc}",
            host=parts.netloc,
            port=parts.port,
            token=parse_qs(parts.query).get("token", [""])[0],
            process=process,
        )
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def running(port: int | None = None, workers: int = 1) -> Iterator[SimpleNamespace]:
    """Run the lab in a thread of this process, where limits can be changed; `port` is what browsers call it by."""
    listener = bind("127.0.0.1", 0)
    port = port or listener.getsockname()[1]
    access = Access(port, new_token())
    prepared = server(access, Workers(workers))
    thread = threading.Thread(target=prepared.run, args=([listener],))
    thread.start()
    try:
        host = f"127.0.0.1:{port}"
        yield SimpleNamespace(
            address=f"http://{host}/?token={access.token}",
            origin=f"http://{host}",
            host=host,
            port=port,
            bound=listener.getsockname()[1],
            token=access.token,
        )
    finally:
        prepared.should_exit = True
        thread.join()


@contextmanager
def slow_network(delay: float) -> Iterator[tuple[int, Callable[[int], None]]]:
    """Run a relay that delays everything by some seconds each way; give its port, and a function to set its target."""
    listener = socket.create_server(("127.0.0.1", 0))
    target: list[int] = []
    opened, threads = [listener], []

    def start(function: Callable[..., None], *arguments: socket.socket) -> None:
        threads.append(threading.Thread(target=function, args=arguments))
        threads[-1].start()

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(delay)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", target[0]))
                opened.extend((near, far))
                start(carry, near, far)
                start(carry, far, near)

    start(accept)
    try:
        yield listener.getsockname()[1], target.append
    finally:
        for each in opened:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for each in opened:
            each.close()


class Client:
    """A session, as a page has one."""

    def __init__(self, lab: SimpleNamespace) -> None:
        self._connection = connect(
            f"ws://127.0.0.1:{lab.port}/session?token={lab.token}", origin=lab.origin, max_size=None, compression=None
        )
        self.last = 0

    def __enter__(self) -> Client:
        self.socket = self._connection.__enter__()
        assert self.message()["ready"]["piece"] == _PIECE
        return self

    def __exit__(self, *error: Any) -> None:
        self._connection.__exit__(*error)

    def message(self, timeout: float = 60.0) -> dict[str, Any]:
        return json.loads(self.socket.recv(timeout))

    def send(self, op: str, args: dict[str, Any], images: Sequence[np.ndarray | bytes] = ()) -> int:
        """Send a request and return its number."""
        self.last += 1
        parts = [_packed(image) for image in images]
        self.socket.send(
            json.dumps({"id": self.last, "op": op, "args": args, "images": [header for header, _ in parts]})
        )
        for _, data in parts:
            for start in range(0, len(data), _PIECE):
                self.socket.send(data[start : start + _PIECE])
        return self.last

    def cancel(self, number: int) -> None:
        self.socket.send(json.dumps({"id": number, "op": "cancel"}))

    def result(self, timeout: float = 60.0) -> dict[str, Any]:
        """Return the next message that is no progress."""
        while "progress" in (message := self.message(timeout)):
            pass
        return message

    def answer(self, op: str, args: dict[str, Any], images: Sequence[np.ndarray | bytes] = ()) -> dict[str, Any]:
        """Return the header that answers a request."""
        number = self.send(op, args, images)
        message = self.result()
        assert message["id"] == number
        return message

    def ask(
        self, op: str, args: dict[str, Any], images: Sequence[np.ndarray | bytes] = ()
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Return the result of a request, and its images."""
        message = self.answer(op, args, images)
        assert "error" not in message, message
        found = []
        for header in message["images"]:
            shape = (header["height"], header["width"], header["channels"])
            dtype = np.dtype(_DTYPES[header["dtype"]])
            data = b""
            while len(data) < int(np.prod(shape)) * dtype.itemsize:
                data += self.socket.recv(60)
            found.append(np.frombuffer(data, dtype).reshape(shape).squeeze(axis=2 if shape[2] == 1 else ()))
        return message["result"], found


def _packed(image: np.ndarray | bytes) -> tuple[dict[str, Any], bytes]:
    if isinstance(image, bytes):
        return {"bytes": len(image)}, image
    name = {"uint8": "u1", "uint16": "u2"}.get(str(image.dtype), "f4")
    height, width, *channels = image.shape
    header = {"width": width, "height": height, "channels": channels[0] if channels else 1, "dtype": name}
    return header, image.astype(_DTYPES[name]).tobytes()
