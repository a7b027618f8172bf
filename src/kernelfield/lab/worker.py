"""A process that performs the requests of the lab's server one after another, from stdin to stdout.

A request is cancelled by ending the process. It ends by itself where the server does: its stdin is then closed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from typing import Any, BinaryIO

from kernelfield.errors import KernelfieldError, bounded
from kernelfield.lab.frames import LENGTH, head, length
from kernelfield.lab.images import pack, size_of
from kernelfield.lab.operations import Buffer, perform
from kernelfield.learning.progress import Listener, listening


def answer(
    op: str, args: dict[str, Any], buffers: list[Buffer], listener: Listener | None = None
) -> tuple[dict[str, Any], list[memoryview]]:
    """Return the header and the buffers that answer a request: a result, or the line that says why there is none.

    Progress of learning goes to the listener.

    Examples
    --------
    >>> "def correlate" in answer("code", {"kernel": {"weights": [[1]]}, "target": "numpy"}, [])[0]["result"]["text"]
    True
    >>> answer("fly", {}, [])[0]["error"][:30]
    'op: expected one of open, lear'
    """
    try:
        with listening(listener):
            result, arrays = perform(op, args, buffers)
        packed = [pack(array) for array in arrays]
        return {"result": result, "images": [header for header, _ in packed]}, [data for _, data in packed]
    except KernelfieldError as error:
        line = str(error)
    except MemoryError:
        line = "not enough memory; expected a smaller image; cut it or scale it down"
    except Exception as error:
        line = f"unexpected {type(error).__name__}: {error}; this is a defect of kernelfield: report it"
    return {"error": bounded(line)}, []


def main() -> None:
    """Perform requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the server decides
    source, result = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a library prints is no part of an answer.
    os.dup2(2, 1)

    def tell(header: dict[str, Any]) -> None:
        result.write(head(header))
        result.flush()

    tell({"ready": True})
    requests: queue.SimpleQueue[tuple[dict[str, Any], list[Buffer]]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(source, requests), daemon=True).start()
    while True:
        request, buffers = requests.get()
        header, parts = answer(
            request["op"], request["args"], buffers, lambda share, stage: tell({"progress": share, "stage": stage})
        )
        del buffers
        result.write(head(header))
        for part in parts:
            result.write(part)
        result.flush()


def _receive(source: BinaryIO, requests: queue.SimpleQueue[Any]) -> None:
    """Put requests into the queue as they come; end the process when the server is gone, whatever it computes."""
    while len(start := source.read(LENGTH)) == LENGTH:
        request = json.loads(source.read(length(start)))
        requests.put((request, [(header, source.read(size_of(header))) for header in request["images"]]))
    os._exit(0)


if __name__ == "__main__":
    main()
