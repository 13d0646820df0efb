"""A real web server on loopback whose answers a test chooses."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Answer:
    """One answer. `broken` sends only half of the body and closes."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: bool = False


Answering = Answer | bytes | Callable[["Asked"], Answer]


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: Mapping[str, str]
    number: int  # of the requests for this path, from 1


def picture(seed: int) -> bytes:
    """Give the bytes of a small picture of its own."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Site:
    """What the server answers, and what it was asked."""

    def __init__(self, address: str, server: ThreadingHTTPServer) -> None:
        self.address = address
        self.url = f"http://{address}"
        self.answers: dict[str, Answering] = {}
        self.asked: list[Asked] = []
        self.times: Counter[str] = Counter()
        self.server = server
        self._lock = threading.Lock()

    def paths(self) -> list[str]:
        """Give the paths asked for, without robots.txt, in order."""
        return [asked.path for asked in self.asked if asked.path != "/robots.txt"]

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Note a request and give its answer."""
        with self._lock:
            self.times[path] += 1
            asked = Asked(path, headers, self.times[path])
            self.asked.append(asked)
        found = self.answers.get(path, Answer(status=404))
        if isinstance(found, bytes):
            return Answer(found)
        return found if isinstance(found, Answer) else found(asked)


@contextmanager
def serve() -> Iterator[Site]:
    """Run a server while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = site.answer(self.path, dict(self.headers))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 304:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.broken:
                self.wfile.write(answer.body[: len(answer.body) // 2])
                self.close_connection = True
            elif answer.status != 304:
                self.wfile.write(answer.body)

        def log_message(self, *args: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a crawl that was killed hangs up
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = Site(f"127.0.0.1:{server.server_port}", server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
