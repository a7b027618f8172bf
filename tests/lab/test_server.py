"""The lab's server: what a page asks through its WebSocket, and the client of the page in Chromium."""

from __future__ import annotations

import gzip
import io
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from helpers.lab import Client, served
from helpers.static import ASSETS
from PIL import Image

import kernelfield as kf

EXAMPLES = Path(__file__).parents[2] / "examples"
CODE = ("code", {"kernel": {"weights": [[1]]}, "target": "numpy"})


@pytest.fixture(scope="module")
def pair() -> list[np.ndarray]:
    return [np.asarray(Image.open(EXAMPLES / f"{name}.png")) for name in ("before", "after")]


@pytest.fixture
def client(lab):
    with Client(lab) as connected:
        yield connected


def test_learning_is_that_of_the_library(client, pair):
    record, _ = client.ask("learn", {"size": None}, pair)
    fit = kf.learn(*pair)
    assert record["verdict"] == fit.verdict
    assert np.array_equal(record["kernel"], fit.kernel.weights)
    assert (record["name"], record["boundary"], record["divisor"]) == (fit.name, fit.boundary, fit.divisor)


def test_a_file_is_opened_through_the_gate_with_its_depth(client):
    pixels = np.arange(70 * 50, dtype=np.uint16).reshape(50, 70) * 17
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    result, [found] = client.ask("open", {"name": "sixteen.png"}, [file.getvalue()])
    assert found.dtype == np.uint16
    assert np.array_equal(found, pixels)
    assert result["notes"] == ["the name ends in '.png', the content is TIFF"]


def test_kernels_become_code(client):
    sobel = {"kernel": {"weights": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]}}
    assert "cv2.filter2D" in client.ask("code", {**sobel, "target": "opencv"})[0]["text"]


WRONG = {
    "an unknown operation": ("fly", {}, [], "op: expected one of open"),
    "no image": ("learn", {}, [], "learn: expected 2 image(s); received 0"),
    "no kernel": ("code", {}, [], "kernel: expected rows"),
    "ragged rows": ("code", {"kernel": {"weights": [[1], [1, 2]]}}, [], "kernel: expected rows"),
    "words": ("code", {"kernel": {"weights": [["a"]]}}, [], "kernel: expected finite numbers"),
    "a huge number": ("code", {"kernel": {"weights": [[10**400]]}}, [], "kernel: expected"),
    "an anchor far away": ("code", {"kernel": {"weights": [[1]], "anchor": [0, 10**9]}}, [], "anchor: expected two"),
    "another target": ("code", {"kernel": {"weights": [[1]]}, "target": "fortran"}, [], "target: expected one of"),
    "a path": ("code", {"kernel": {"weights": [[1]]}, "target": "../../etc/passwd"}, [], "target: expected one of"),
    "no picture": ("open", {"name": "x"}, [b"<svg/>"], "content is not"),
    "a file as an image": ("learn", {}, [b"abc", b"abc"], "image: expected the pixels"),
    "unlike images": ("learn", {}, [np.zeros((9, 9)), np.zeros((30, 9))], "after: expected"),
    "a size in words": ("learn", {"size": "3"}, [np.zeros((9, 9)), np.ones((9, 9))], "size: expected"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_one_line(client, case):
    op, args, images, line = WRONG[case]
    answer = client.answer(op, args, images)
    assert line in answer["error"]
    assert "\n" not in answer["error"]
    assert "defect" not in answer["error"]
    assert "def correlate" in client.ask(*CODE)[0]["text"]


def test_progress_is_told_and_cancel_frees_the_worker(lab):
    rng = np.random.default_rng(0)
    large = [rng.integers(0, 256, (3000, 3000), np.uint8) for _ in range(2)]
    with Client(lab) as one, Client(lab) as other:
        number = one.send("learn", {}, large)
        texts, shares = [], [0.0]
        # As soon as the work has begun: on a fast machine it is over in a second.
        while shares[-1] == 0.0:
            message = one.message()
            texts.append(message["text"])
            shares.append(message["progress"] or 0.0)
        assert shares == sorted(shares)
        assert shares[-1] < 1
        assert all(re.fullmatch(r"[a-z ]+, \d+ s|waiting.*", text) for text in texts)
        one.cancel(number)
        # Both workers are free again, and what was cancelled is not answered.
        began = [each.send("learn", {"size": 3}, [image[:50, :50] for image in large]) for each in (one, other)]
        assert [each.result()["id"] for each in (one, other)] == began


def test_files_travel_packed_where_the_browser_unpacks_them(lab):
    plain = (ASSETS / "lab.js").read_bytes()
    for accepted, encoding in (("gzip, br", "gzip"), ("identity", None)):
        request = urllib.request.Request(f"{lab.origin}/lab.js", headers={"accept-encoding": accepted})
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        assert answer.headers["content-encoding"] == encoding
        assert (gzip.decompress(body) if encoding else body) == plain
        assert len(body) < 30_000 or not encoding


def test_ctrl_c_ends_server_and_workers(lab):
    with served() as own:
        with Client(own) as client:
            client.ask(*CODE)
            own.process.send_signal(signal.SIGINT)
            out, err = own.process.communicate(timeout=10)
        assert own.process.returncode == 130
        assert (out, err) == ("", "note: Ctrl-C ends the lab\n")
        assert _children(own.process.pid) == []


def _children(parent: int) -> list[str]:
    """Return the command lines of the processes that a process started, or left."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == parent and "lab.worker" in command:
            found.append(command)
    return found


def test_a_port_in_use_is_one_line_with_the_remedy(lab):
    command = [sys.executable, "-m", "kernelfield", "lab", "--no-open", "--port", str(lab.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"kernelfield: error: port: expected a free one; received {lab.port} (Address already in use); --port 0 takes "
        "any free one\n"
    )


def test_the_client_of_the_page(lab, page, pair):
    page.goto(lab.address)
    result = page.evaluate(
        """async ([token, before, after]) => {
          const { createRemote } = await import("/remote.js");
          const states = [];
          const url = new URL("/session", location.href.replace("http", "ws"));
          const remote = createRemote(url, token, { onState: (state) => states.push(state) });
          const image = (rows) => ({
            width: rows[0].length, height: rows.length, channels: 1, depth: 8, data: Float32Array.from(rows.flat()),
          });
          const record = await remote.learn(image(before), image(after));
          const kernel = { weights: record.kernel, anchor: record.anchor };
          const file = await (await fetch("/photographs/brick.png")).arrayBuffer();
          const opened = await remote.open(file, "brick.png");
          const text = await remote.code(kernel, "numpy");
          const error = await remote.code({ weights: [[]], anchor: [0, 0] }, "numpy").catch((reason) => reason.message);
          const controller = new AbortController();
          const cancelled = remote.learn(image(before), image(after), {}, { signal: controller.signal });
          controller.abort();
          const name = await cancelled.catch((reason) => reason.name);
          remote.close();
          await new Promise((resolve) => setTimeout(resolve, 50));
          return { record, opened: { ...opened, data: Array.from(opened.data) }, text, error, name, states };
        }""",
        [lab.token, *(image[:120, :160].tolist() for image in pair)],
    )
    pair = [image[:120, :160] for image in pair]
    fit = kf.learn(*pair)
    assert np.array_equal(result["record"]["kernel"], fit.kernel.weights)
    expected = np.asarray(Image.open(ASSETS / "photographs" / "brick.png"))
    assert np.array_equal(np.reshape(result["opened"]["data"], expected.shape), expected)
    assert (result["opened"]["depth"], result["opened"]["notes"]) == (8, [])
    assert "sliding_window_view" in result["text"]
    assert result["error"].startswith("kernel: expected rows")
    assert result["name"] == "AbortError"
    assert result["states"] == ["connected", "lost"]


def test_the_client_says_when_it_is_refused(lab, page):
    page.expected.append("WebSocket connection to .* failed")
    page.goto(lab.origin)
    line = page.evaluate(
        """async () => {
          const { createRemote } = await import("/remote.js");
          const remote = createRemote(new URL("/session", location.href.replace("http", "ws")), "wrong");
          return remote.code({ weights: [[1]], anchor: [0, 0] }, "numpy").catch((reason) => reason.message);
        }"""
    )
    assert line == "kernelfield lab does not answer; start it again and open the address that it prints"
