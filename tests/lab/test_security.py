"""Attacks on the lab's server: other websites, other machines, and pages that ask for too much."""

from __future__ import annotations

import base64
import http.client
import http.server
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from helpers.lab import Client, running, served, slow_network
from PIL import Image
from playwright.sync_api import Error
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from kernelfield.lab import connections, jobs, session
from kernelfield.lab.security import HEADERS

CODE = ("code", {"kernel": {"weights": [[1]]}, "target": "numpy"})


def exchange(lab, request: bytes) -> bytes:
    """Send bytes and return all that comes back."""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(1 << 16):
            received += part
    return received


def get(lab, target: str, *lines: str, method: str = "GET", host: str | None = None) -> bytes:
    head = (f"{method} {target} HTTP/1.1", f"Host: {host or lab.host}", "Connection: close", *lines)
    return exchange(lab, ("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def handshake(lab, origin: str | None, query: str, **headers: str) -> int:
    """Return the status of a WebSocket's handshake, 101 where it is let in."""
    address = f"ws://127.0.0.1:{lab.port}/session{query}"
    try:
        with connect(address, origin=origin, additional_headers=headers):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_the_page_has_its_headers(lab):
    for target in ("/", "/lab.js", "/nothing"):
        head = get(lab, target).partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")
        assert {f"{name}: {value}".lower() for name, value in HEADERS.items()} <= set(head)


def test_a_session_needs_origin_and_token(lab):
    right = f"?token={lab.token}"
    assert handshake(lab, lab.origin, right) == 101
    for origin in (None, "null", "http://evil.example", "https://" + lab.host, f"http://{lab.host}.evil.example"):
        assert handshake(lab, origin, right) == 403
    for query in ("", "?token=", "?token=wrong", f"?token={lab.token}x", f"?token={lab.token}&token=x", "?TOKEN=x"):
        assert handshake(lab, lab.origin, query) == 403
    assert handshake(lab, f"http://localhost:{lab.port}", right) == 403, "an origin of another name than the host"


HOSTS = ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", "[::1", ""]


@pytest.mark.parametrize("host", HOSTS)
def test_a_foreign_host_is_refused(lab, host):
    """DNS rebinding: the attacker's name resolves to this machine, so that its page has the server's own origin."""
    host = host.format(port=lab.port)
    assert status(get(lab, "/", host=host or " ")) in (400, 421)
    if host:
        assert status(get(lab, "/", "Host: " + lab.host, host=host)) in (400, 421), "two hosts"
        request = f"GET /session?token={lab.token} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
        request += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        request += f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n\r\n"
        assert status(exchange(lab, request.encode())) in (400, 421)


TRAVERSALS = [
    "/../server.py",
    "/../../../../../../etc/passwd",
    "/%2e%2e/server.py",
    "/%2e%2e%2fserver.py",
    "/..%2f..%2f..%2f..%2f..%2fetc/passwd",
    "/..%5cserver.py",
    "/..\\server.py",
    "/....//server.py",
    "/%252e%252e/server.py",
    "//etc/passwd",
    "/./../server.py",
    "/lab.js/../../server.py",
    "/%c0%ae%c0%ae/server.py",
    "/lab.js%00.html",
    "/lab.js;/../server.py",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("target", TRAVERSALS)
def test_no_path_leads_out_of_the_page(lab, target):
    answer = get(lab, target)
    assert status(answer) in (400, 404)
    assert b"uvicorn" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_there_is_nothing_to_change(lab, method):
    assert status(get(lab, "/", method=method)) in (400, 405)


def test_another_page_cannot_read_the_files(lab):
    assert status(get(lab, "/lab.js", "Origin: http://evil.example")) == 403
    assert status(get(lab, "/lab.js", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors")) == 403
    assert status(get(lab, "/", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")) == 200, "a link to the lab"


@pytest.mark.parametrize("kind", ["length", "chunked"])
def test_a_body_of_a_gigabyte_is_refused_early(lab, kind):
    announced = "Content-Length: 1073741824" if kind == "length" else "Transfer-Encoding: chunked"
    with socket.create_connection(("127.0.0.1", lab.port), timeout=30) as connection:
        connection.sendall(f"POST /session HTTP/1.1\r\nHost: {lab.host}\r\n{announced}\r\n\r\n".encode())
        piece = bytes(1 << 20)
        sent = 0
        try:
            while sent < 1 << 30:
                connection.sendall(b"100000\r\n" + piece + b"\r\n" if kind == "chunked" else piece)
                sent += len(piece)
        except OSError:
            pass
    assert sent < 64 << 20, "what the system's buffers hold"
    assert resident(lab.process.pid) < 400 << 20


def drip(connection: socket.socket) -> None:
    """Send a byte from time to time, until the server closes the connection."""
    connection.settimeout(0.05)
    while True:
        try:
            connection.sendall(b"x")
            if connection.recv(1 << 16) == b"":
                return
        except TimeoutError:
            continue
        except OSError:
            return


@pytest.mark.parametrize("begun", ["", "GET / HTTP/1.1\r\nHost: ", "GET / HTTP/1.1\r\nHost: {host}\r\nX: y\r\n"])
def test_headers_have_to_come_in_time(monkeypatch, begun):
    monkeypatch.setattr(connections, "HEADER_TIME", 0.3)
    with running() as lab, socket.create_connection(("127.0.0.1", lab.port), timeout=30) as connection:
        connection.sendall(begun.format(host=lab.host).encode())
        if begun:
            drip(connection)
        else:
            with suppress(ConnectionError):
                assert connection.recv(1) == b""


def test_headers_of_a_second_request_have_to_come_in_time_too(monkeypatch):
    monkeypatch.setattr(connections, "HEADER_TIME", 0.3)
    with running() as lab, socket.create_connection(("127.0.0.1", lab.port), timeout=30) as connection:
        connection.sendall(f"GET /nothing HTTP/1.1\r\nHost: {lab.host}\r\n\r\n".encode())
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 404")
        connection.sendall(b"GET / HTTP/1.1\r\nX-")
        drip(connection)


def test_half_open_connections_leave_room_for_pages(lab, page):
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", lab.port))) for _ in range(500)]
        for connection in opened[::2]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        # A page that comes while the server closes the others may be closed with them; one that asks again is served.
        for last in (*[False] * 20, True):
            try:
                page.goto(lab.address)
                break
            except Error:
                time.sleep(0.1)
                if last:
                    raise
        with Client(lab) as client:
            assert "def correlate" in client.ask(*CODE)[0]["text"]
        closed = 0
        for connection in opened:
            connection.settimeout(0.001)
            try:
                closed += connection.recv(1) == b""
            except TimeoutError:
                pass
            except OSError:
                closed += 1
        assert closed >= 400
        assert len(os.listdir(f"/proc/{lab.process.pid}/fd")) < 350


def stored(pixels: np.ndarray, **options: int) -> bytes:
    """Return a picture's PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def png(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size, and whose data are a few zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(100_000, 100_000), (9_000, 9_000)])
def test_a_bomb_is_not_decoded(lab, size):
    with Client(lab) as client:
        error = client.answer("open", {"name": "holiday.png"}, [png(*size)])["error"]
        assert "\n" not in error
        assert f"'holiday.png': the header says {size[0]} x {size[1]} pixels" in error
        assert "def correlate" in client.ask(*CODE)[0]["text"]


def test_a_file_name_is_no_path(lab):
    with Client(lab) as client:
        error = client.answer("open", {"name": "/etc/passwd"}, [b"x" * 100])["error"]
        assert "the content is not" in error


def closed_with(lab, *messages: str | bytes) -> int:
    """Send messages; return the code with which the server closes."""
    with connect(
        f"ws://127.0.0.1:{lab.port}/session?token={lab.token}", origin=lab.origin, compression=None
    ) as connection:
        connection.recv(10)
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012
            for message in messages:
                connection.send(message)
            while True:
                connection.recv(10)
    return closed.value.rcvd.code


def request(**changes: object) -> str:
    image = {"width": 4, "height": 4, "channels": 1, "dtype": "u1"}
    return json.dumps({"id": 1, "op": "learn", "args": {}, "images": [image]} | changes)


BROKEN = {
    "a large text": (["x" * (2 << 20)], 1009),
    "a large piece": ([request(), bytes(2 << 20)], 1009),
    "no JSON": (["{"], 1008),
    "a number": (["1"], 1008),
    "deep JSON": (["[" * 100_000], 1008),
    "NaN": (['{"id": 1, "op": "code", "args": {"kernel": {"weights": [[NaN]]}}}'], 1008),
    "bytes first": ([b"abc"], 1008),
    "an id in words": ([request(id="1")], 1008),
    "a huge image": ([request(images=[{"width": 10**6, "height": 10**6, "channels": 1, "dtype": "u1"}])], 1008),
    "many channels": ([request(images=[{"width": 1, "height": 1, "channels": 10**6, "dtype": "u1"}])], 1008),
    "a negative size": ([request(images=[{"width": -4, "height": -4, "channels": 1, "dtype": "u1"}])], 1008),
    "another dtype": ([request(images=[{"width": 4, "height": 4, "channels": 1, "dtype": "O"}])], 1008),
    "many images": ([request(images=[{"bytes": 1}] * 3)], 1008),
    "too many bytes": ([request(), bytes(17)], 1008),
    "no bytes": ([request(), b""], 1008),
    "a request among bytes": ([request(), bytes(8), request(id=2)], 1008),
}


@pytest.mark.parametrize("case", BROKEN)
def test_messages_against_the_rules_end_the_session(lab, case):
    messages, code = BROKEN[case]
    assert closed_with(lab, *messages) == code


def test_an_image_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(session, "STALLED", 0.3)
    with running() as lab:
        with pytest.raises(ConnectionClosed), Client(lab) as client:  # noqa: PT012
            client.socket.send(request())
            client.socket.send(bytes(3))
            client.socket.recv(30)
        with Client(lab) as client:
            assert "def correlate" in client.ask(*CODE)[0]["text"]


def test_memory_for_images_and_requests_is_bounded(monkeypatch):
    monkeypatch.setattr(session, "MOST_BYTES", 15_000)
    monkeypatch.setattr(session, "MOST_PENDING", 2)
    small, large = np.random.default_rng(0).integers(0, 256, (2, 90, 90), np.uint8)[:, :60, :60], np.zeros((90, 90))
    with running() as lab, Client(lab) as client:
        error = client.answer("learn", {}, [large, large])["error"]
        assert error == "learn: the server's memory for images is in use; expected less; try again in a minute"
        began = [client.send("learn", {}, list(small)) for _ in range(3)]
        answers = {answer["id"]: answer for answer in (client.result() for _ in began)}
        assert ["error" in answers[number] for number in began] == [False, False, True]
        assert "2 requests of this page wait already" in answers[began[2]]["error"]
        # All of it is free again.
        assert "result" in client.answer("learn", {}, list(small))


def test_sessions_are_counted(monkeypatch):
    monkeypatch.setattr(session, "MOST_SESSIONS", 2)
    with running() as lab:
        with Client(lab), Client(lab):
            assert handshake(lab, lab.origin, f"?token={lab.token}") == 503
        deadline = time.monotonic() + 30
        while handshake(lab, lab.origin, f"?token={lab.token}") != 101:
            assert time.monotonic() < deadline


def test_a_job_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setitem(jobs.TIME_LIMITS, "learn", 0.2)
    noise = np.random.default_rng(0).integers(0, 256, (2, 1500, 1500), np.uint8)
    with running() as lab, Client(lab) as client:
        error = client.answer("learn", {}, list(noise))["error"]
        assert error == "learn: took longer than 0 s; expected less; cut the image smaller"
        _, [opened] = client.ask("open", {"name": "noise.png"}, [stored(noise[0, :9, :9])])
        assert np.array_equal(opened, noise[0, :9, :9])


def test_a_worker_that_dies_is_one_line_and_replaced(lab):
    # Several seconds of work: a median of noise, for which every explanation is tried.
    before = np.random.default_rng(0).integers(0, 256, (2500, 2500), np.uint8)
    after = np.median([np.roll(before, by, 1) for by in range(3)], axis=0).astype(np.uint8)
    with Client(lab) as client:
        client.send("learn", {}, [before, after])
        # A share of the work is told by the process that does it.
        while client.message()["progress"] is None:
            pass
        for child in children(lab.process.pid):
            os.kill(child, signal.SIGKILL)
        assert "its process ended" in client.result()["error"]
        assert "def correlate" in client.ask(*CODE)[0]["text"]


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def resident(process: int) -> int:
    """Return the bytes of memory that a process holds."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.threads
def test_fifty_sessions_learn_at_once_and_others_are_unharmed():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (300, 300), np.uint8)
    after = before[:, ::-1].copy()
    with served() as lab, ExitStack() as stack, ThreadPoolExecutor(50) as pool:
        clients = [stack.enter_context(Client(lab)) for _ in range(50)]
        began = [client.send("learn", {}, [before, after]) for client in clients]
        answers = [pool.submit(client.result, 300) for client in clients]
        with Client(lab) as other:
            assert "def correlate" in other.ask(*CODE)[0]["text"]
            assert sum(answer.done() for answer in answers) < 50, "who asks little does not wait for those who learn"
            most = sum(map(resident, [lab.process.pid, *children(lab.process.pid)]))
        for number, answer in zip(began, answers):
            assert answer.result()["id"] == number
            assert answer.result().get("result", {"verdict": "not linear"})["verdict"] == "not linear"
        assert most < 1500 << 20


def test_another_website_in_the_same_browser(lab, watched):
    """A page of another origin that knows even the token: no session, no file, no frame."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<!doctype html><link rel=icon href=data:,><title>evil</title>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as website:
        threading.Thread(target=website.serve_forever, daemon=True).start()
        page = watched()
        page.expected.append(".")
        page.goto(f"http://127.0.0.1:{website.server_address[1]}/")
        tried = page.evaluate(
            """async ([origin, token]) => {
              const socket = await new Promise((resolve) => {
                const opened = new WebSocket(`${origin.replace("http", "ws")}/session?token=${token}`);
                opened.onopen = () => resolve("open");
                opened.onerror = () => resolve("refused");
              });
              const text = await fetch(`${origin}/lab.js`).then((answer) => answer.text(), () => "refused");
              const script = await import(`${origin}/lab.js`).then(() => "loaded", () => "refused");
              const image = await new Promise((resolve) => {
                const element = new Image();
                element.onload = () => resolve("loaded");
                element.onerror = () => resolve("refused");
                element.src = `${origin}/code.json.gz`;
              });
              const frame = document.createElement("iframe");
              frame.src = `${origin}/?token=${token}`;
              document.body.append(frame);
              await new Promise((resolve) => (frame.onload = resolve));
              return { socket, text, script, image, frame: frame.contentDocument === null };
            }""",
            [lab.origin, lab.token],
        )
        website.shutdown()
    assert tried == {"socket": "refused", "text": "refused", "script": "refused", "image": "refused", "frame": True}


def test_a_slow_network(page):
    size = 1300
    picture = np.arange(size * size).reshape(size, size) % 251
    file = base64.b64encode(stored(picture.astype(np.uint8), compress_level=0)).decode()
    with slow_network(0.03) as (port, target), running(port) as lab:
        target(lab.bound)
        page.goto(lab.address)
        answer = page.evaluate(
            """async ([token, file]) => {
              const { createRemote } = await import("/remote.js");
              const remote = createRemote(new URL("/session", location.href.replace("http", "ws")), token);
              const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0)).buffer;
              const sent = [];
              const onProgress = (fraction, text) => { if (text === "sending") sent.push(fraction); };
              const { width, height, data } = await remote.open(bytes, "large.png", { onProgress });
              const whole = data.length === width * height && data.every((value, index) => value === index % 251);
              return { size: [width, height], whole, sent };
            }""",
            [lab.token, file],
        )
    assert answer["size"] == [size, size]
    assert answer["whole"]
    assert len(answer["sent"]) == 2
    assert answer["sent"] == sorted(answer["sent"])
    assert answer["sent"][-1] <= 1


def test_others_need_the_password():
    with served("--host", "0.0.0.0", "--password", "correct horse") as lab:
        lab.host = f"127.0.0.1:{lab.port}"
        assert lab.token == ""

        def ask(word: str) -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", lab.port, timeout=30)
            key = base64.b64encode(f"me:{word}".encode()).decode()
            connection.request("GET", "/", headers={"Authorization": f"Basic {key}"})
            answer = connection.getresponse()
            location = answer.getheader("location", "")
            connection.close()
            return answer.status, location

        assert status(get(lab, "/")) == 401
        assert status(get(lab, "/lab.js")) == 401
        assert status(get(lab, "/", host=f"evil.example:{lab.port}")) == 421
        code, location = ask("correct horse")
        assert code == 303
        lab.token = location.partition("token=")[2]
        lab.origin = f"http://{lab.host}"
        assert handshake(lab, lab.origin, "") == 401
        with Client(lab) as client:
            assert "def correlate" in client.ask(*CODE)[0]["text"]
        assert [ask("wrong")[0] for _ in range(6)] == [401] * 5 + [429]
        assert ask("correct horse")[0] == 429, "guessing goes no faster with a right one between"
        assert status(get(lab, location)) == 200, "who has the token needs no password"


WORDS = {
    "no password": (["--host", "0.0.0.0"], "--host: 0.0.0.0 lets others on the network use this machine; expected a"),
    "a short one": (["--password", "short"], "--password: expected at least 8 characters; received 5."),
    "a large port": (["--port", "70000"], "--port: expected a number from 0 to 65535; received 70000."),
}


@pytest.mark.parametrize("case", WORDS)
def test_a_command_that_cannot_be_served_is_one_line(case):
    arguments, line = WORDS[case]
    command = [sys.executable, "-m", "kernelfield", "lab", "--no-open", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
