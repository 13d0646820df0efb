"""A small archive that speaks web.archive.org's dialect, which pywb does not."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote_plus, unquote_plus, urlsplit

FIELDS = ["urlkey", "timestamp", "original", "mimetype", "statuscode", "digest", "length"]


@dataclass(frozen=True)
class Held:
    """One capture, with its bytes."""

    timestamp: str
    original: str
    body: bytes = b""
    mime: str = "image/jpeg"
    status: str = "200"
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    digest: str | None = None

    @property
    def urlkey(self) -> str:
        parts = urlsplit(self.original.lower())
        host = (parts.hostname or "").removeprefix("www.")
        query = f"?{parts.query}" if parts.query else ""
        return f"{','.join(reversed(host.split('.')))}){parts.path or '/'}{query}"

    @property
    def row(self) -> list[str]:
        digest = self.digest or base64.b32encode(hashlib.sha1(self.body).digest()).decode()
        length = len(self.body) if self.length is None else self.length
        key = self.urlkey
        return [key, self.timestamp, self.original, self.mime, self.status, digest, str(length)]


class Index:
    """Captures, searched and replayed as web.archive.org does.

    Parameters
    ----------
    decodes : {1, 2}
        How often a resume key is decoded: web.archive.org does it twice, OpenWayback once.
    most_lines : int
        Lines of the index that are read for one answer, whether or not they are in it. An answer
        that is short for that reason has no resume key, as with the original.
    """

    def __init__(
        self, held: Iterable[Held], *, decodes: int = 2, most_lines: int = 150_000
    ) -> None:
        self.held = sorted(held, key=lambda h: (h.urlkey, h.timestamp))
        self.decodes, self.most_lines = decodes, most_lines

    def search(self, query: dict[str, str]) -> bytes:
        """Answer one search."""
        limit = min(int(query["limit"]), self.most_lines)
        start, end = _range(query["url"], query["matchType"])
        if "resumeKey" in query:
            start = query["resumeKey"]  # decoded once, as every parameter is
            if self.decodes == 2:
                start = unquote_plus(start)
        lines = [h for h in self.held if start <= f"{h.urlkey} {h.timestamp}" < end]
        rows: list[list[str]] = []
        for line in lines[: self.most_lines]:
            if len(rows) == limit:
                break
            last = line
            in_time = query.get("from", "") <= line.timestamp
            until = query.get("to", "9")
            if in_time and (line.timestamp <= until or line.timestamp.startswith(until)):
                rows.append(line.row)
        if not rows:
            return b"[]\n"
        if query.get("showResumeKey") == "true" and len(rows) == limit:
            key = f"{last.urlkey} {last.timestamp[:-1]}{chr(ord(last.timestamp[-1]) + 1)}"
            rows += [[], [quote_plus(key)]]
        return (",\n ".join(["[" + json.dumps(FIELDS), *map(json.dumps, rows)]) + "]\n").encode()

    def replay(self, asked: str) -> tuple[int, dict[str, str], bytes]:
        """Answer a request for the bytes of a capture; what the site said is renamed."""
        timestamp, _, original = asked.partition("id_/")
        for held in self.held:
            if (held.timestamp, held.original) == (timestamp, original):
                theirs = {f"x-archive-orig-{name}": value for name, value in held.headers.items()}
                status = 200 if held.status == "-" else int(held.status)  # of a revisit
                return status, {"Content-Type": held.mime, **theirs}, held.body
        return 404, {}, b"not archived"


class CdxServer:
    """Serves an index: its search below /cdx/search/cdx, the bytes below /web."""

    def __init__(self, index: Index) -> None:
        self.asked: list[str] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []  # given first, one a request
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append(self.path)
                if server.refusals:
                    self._send(*server.refusals.pop(0), b"not now")
                elif self.path.startswith("/cdx/search/cdx?"):
                    body = index.search(query_of(self.path))
                    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
                    self._send(200, headers, gzip.compress(body))
                elif self.path.startswith("/web/"):
                    self._send(*index.replay(self.path.removeprefix("/web/")))
                else:
                    self._send(404, {}, b"")

            def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle(self) -> None:
                # Either side may hang up: a crawl that was ended, an index that is to fail.
                with contextlib.suppress(ConnectionError):
                    super().handle()

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.cdx_url, self.replay_url = f"{url}/cdx/search/cdx", f"{url}/web"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def query_of(url: str) -> dict[str, str]:
    """Give the parameters of a URL, decoded once."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}


def _range(url: str, match: str) -> tuple[str, str]:
    key = Held("", url if "://" in url else f"http://{url}").urlkey
    host = key.partition(")")[0]
    if match == "exact":
        return f"{key} ", f"{key}!"
    if match == "prefix":
        return key, key[:-1] + chr(ord(key[-1]) + 1)
    return (f"{host})", f"{host}*") if match == "host" else (f"{host})", f"{host}-")
