"""The local shop as a server: HTTP/1.1 over asyncio, on a thread of its own.

Written by hand because half of its work is to do what no server library does: to reset
connections, to cut bodies short and to send ones that never end.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from curation.localshop.expectations import Expected, expected
from curation.localshop.faults import USUAL, Fault, Faults, plan_faults
from curation.localshop.pictures import DrawnPictures, FolderPictures, Pictures
from curation.localshop.plan import Shop, plan_shop
from curation.localshop.replies import Answer, Delivery, Reply, error
from curation.localshop.requestlog import Entry, RequestLog
from curation.localshop.site import Site

_MAX_HEAD: Final = 64 << 10  # bytes of a request; also what may wait while one is answered
_SECONDS: Final = 60.0  # no body takes longer
_BYTES: Final = 1 << 30  # nor is longer
_PIECES: Final = 12  # of a slow body
_PAUSE: Final = 0.05  # seconds between them
_CHUNK: Final = 64 << 10


class LocalShop:
    """A web shop that sells pictures, on loopback.

    Parameters
    ----------
    pictures
        Folder of the pictures, or where else they come from.
    seed
        Decides on everything that is not in the pictures.
    host, port
        Where to listen; port 0 takes any that is free, and keeps it when started again.
    faults
        What goes wrong beside what is for sale: the usual things, nothing, or those named.
    log
        File that gets a JSON line for every request.
    delay
        Seconds that every answer takes longer.
    most
        Pictures that a product has at most.

    Attributes
    ----------
    shop : Shop
        All products, those with faults last.
    faults : Faults
    """

    def __init__(
        self,
        pictures: Path | Pictures,
        *,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: bool | Iterable[Fault] = True,
        log: Path | None = None,
        delay: float = 0.0,
        most: int = 4,
    ) -> None:
        self.pictures = FolderPictures(pictures) if isinstance(pictures, Path) else pictures
        self.faults, self.shop = _plan(self.pictures, seed, faults, most)
        self._address = (host, port)
        self._log, self._delay = log, delay
        self._site: Site | None = None
        self._running: _Running | None = None

    @classmethod
    def generated(cls, products: int, *, seed: int = 0, log: Path | None = None) -> Self:
        """Make a shop of any size: one tiny picture a product, drawn when it is asked for."""
        return cls(DrawnPictures(products), seed=seed, faults=False, log=log, most=1)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end; RuntimeError before the first start."""
        host, port = self._address
        if not port:
            raise RuntimeError("the shop has no port yet; start it first, or give it one")
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected just now."""
        return 0 if self._running is None else len(self._running.connections)

    def expected(self) -> Expected:
        """Tell what a polite crawl that copes with every fault comes to."""
        return expected(self.shop, self.faults, self.pictures, self.url)

    def start(self) -> None:
        """Open the shop, if it is not open already; OSError where the address is taken."""
        if self._running is not None:
            return
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1024)
        self._address = (host, listener.getsockname()[1])
        if self._site is None:
            self._site = Site(self.shop, self.pictures, self.url, self.faults)
        self._running = _Running(listener, self._site, self._log, self._delay)

    def stop(self) -> None:
        """Close the shop and every connection to it. It may be opened again, at the same URL."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _plan(
    pictures: Pictures, seed: int, faults: bool | Iterable[Fault], most: int
) -> tuple[Faults, Shop]:
    kinds = frozenset(USUAL if faults else ()) if isinstance(faults, bool) else frozenset(faults)
    outside = pictures.outside if isinstance(pictures, FolderPictures) else ()
    links = outside if Fault.TO_FILE in kinds else ()
    sound = plan_shop([*pictures.names, *links], seed=seed, most=most)
    planned = plan_faults(
        kinds, seed=seed, names=pictures.names, outside=links, after=len(sound.products)
    )
    return planned, Shop(sound.products + tuple(p.product for p in planned.planted))


class _Running:
    """A server from its start to its end, on a thread of its own."""

    def __init__(self, listener: socket.socket, site: Site, log: Path | None, delay: float) -> None:
        self.site, self.delay = site, delay
        self.log = None if log is None else RequestLog(log)
        self.connections: set[_Connection] = set()
        self.answering = 0
        self._arriving: set[asyncio.Task[None]] = set()
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="local shop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)
        await self._end.wait()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        while self._arriving or self.connections:
            for connection in tuple(self.connections):
                connection.drop()
            await asyncio.sleep(0.001)

    def _accept(self) -> None:
        # Not by asyncio's own server: closed at this very moment, it would forget the client.
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.setblocking(False)
        arrival = self._loop.create_task(self._welcome(client))
        self._arriving.add(arrival)
        arrival.add_done_callback(self._arriving.discard)

    async def _welcome(self, client: socket.socket) -> None:
        await self._loop.connect_accepted_socket(lambda: _Connection(self), client)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        if self.log is not None:
            self.log.close()


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    headers: Mapping[str, str]
    keep_alive: bool


_NONSENSE: Final = _Request("?", "?", {}, keep_alive=False)


@dataclass(slots=True)
class _Exchange:
    """A request and how far its answer has come."""

    request: _Request
    began: float
    at_once: int
    status: int = 0
    sent: int = 0

    def entry(self) -> Entry:
        """Give the line of the log."""
        request = self.request
        return Entry(
            time=self.began,
            method=request.method,
            path=request.target,
            status=self.status,
            bytes=self.sent,
            if_none_match=request.headers.get("if-none-match"),
            user_agent=request.headers.get("user-agent"),
            at_once=self.at_once,
        )


def _parse(head: bytes) -> _Request | None:
    """Read the head of a request; None when it is none."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[1].startswith("/") or not words[2].startswith("HTTP/1."):
        return None
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        return None
    keep = words[2] == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return _Request(words[0], words[1], headers, keep)


class _Connection(asyncio.Protocol):
    """One client; its requests are answered one after the other."""

    _transport: asyncio.Transport

    def __init__(self, server: _Running) -> None:
        self._server = server
        self._waiting = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # ---------------------------------------------------------------------- called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) > _MAX_HEAD:
            self.drop()
        else:
            self._go_on()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        self._go_on()

    # -------------------------------------------------------------------------------- requests

    def drop(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _go_on(self) -> None:
        """Answer what has come, as far as that can be done without waiting."""
        while self._task is None and self._writable.is_set() and not self._transport.is_closing():
            end = self._waiting.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._waiting[:end])
            del self._waiting[: end + 4]
            self._begin(_parse(head))

    def _begin(self, request: _Request | None) -> None:
        server = self._server
        server.answering += 1
        exchange = _Exchange(request or _NONSENSE, time.time(), server.answering)
        answer = self._answer(request)
        if isinstance(answer, Reply) and answer.delivery is Delivery.WHOLE and not server.delay:
            self._send(exchange, answer)
            self._done(exchange)
        else:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._take_time(exchange, answer))

    def _answer(self, request: _Request | None) -> Answer:
        if request is None:
            return error(400)
        if request.method not in ("GET", "HEAD"):
            return error(405, Allow="GET, HEAD")
        return self._server.site.answer(request.target)

    async def _take_time(self, exchange: _Exchange, answer: Answer) -> None:
        try:
            await asyncio.sleep(self._server.delay)
            reply = answer if isinstance(answer, Reply) else await asyncio.to_thread(answer)
            async with asyncio.timeout(_SECONDS):
                await self._deliver(exchange, reply)
        except TimeoutError:
            self.drop()
        finally:
            self._task = None
            self._done(exchange)
        self._go_on()

    def _done(self, exchange: _Exchange) -> None:
        self._server.answering -= 1
        if self._server.log is not None:
            self._server.log.write(exchange.entry())
        if not exchange.request.keep_alive:
            self._transport.close()

    # --------------------------------------------------------------------------------- replies

    def _send(self, exchange: _Exchange, reply: Reply) -> None:
        if reply.unchanged(exchange.request.headers):
            reply = replace(reply, status=304, body=b"")
        self._begin_body(exchange, reply, f"Content-Length: {len(reply.body)}", reply.body)

    def _begin_body(
        self, exchange: _Exchange, reply: Reply, framing: str, body: bytes = b""
    ) -> None:
        """Write the head of a reply, and a body in the same packet."""
        exchange.status = reply.status
        connection = "keep-alive" if exchange.request.keep_alive else "close"
        head = (
            f"{reply.lines()}Date: {formatdate(usegmt=True)}\r\n"
            f"Connection: {connection}\r\n{framing}\r\n\r\n"
        )
        if exchange.request.method == "HEAD":
            body = b""
        exchange.sent += len(body)
        self._transport.write(head.encode("latin-1") + body)

    async def _write(self, exchange: _Exchange, piece: bytes) -> None:
        """Write more of a body, as fast as the client takes it."""
        exchange.sent += len(piece)
        self._transport.write(piece)
        await self._writable.wait()

    async def _deliver(self, exchange: _Exchange, reply: Reply) -> None:
        if reply.delivery is Delivery.WHOLE or exchange.request.method == "HEAD":
            self._send(exchange, reply)
            return
        if reply.delivery is Delivery.ENDLESS:
            await self._deliver_endless(exchange, reply)
            return
        self._begin_body(exchange, reply, f"Content-Length: {len(reply.body)}")
        half = reply.body[: len(reply.body) // 2]
        match reply.delivery:
            case Delivery.SLOW:
                await self._deliver_slowly(exchange, reply.body, _PIECES, _PAUSE)
            case Delivery.STALLED:
                await self._deliver_slowly(exchange, reply.body, len(reply.body), 1.0)
            case Delivery.TRUNCATED:
                await self._write(exchange, half)
                self._transport.close()
            case Delivery.RESET:
                await self._write(exchange, half)
                await asyncio.sleep(_PAUSE)  # the client is to see the half of it first
                self._reset()

    async def _deliver_slowly(
        self, exchange: _Exchange, body: bytes, pieces: int, pause: float
    ) -> None:
        size = -(-len(body) // pieces)
        for start in range(0, len(body), size):
            await self._write(exchange, body[start : start + size])
            await asyncio.sleep(pause)

    async def _deliver_endless(self, exchange: _Exchange, reply: Reply) -> None:
        self._begin_body(exchange, reply, "Transfer-Encoding: chunked")
        data = (reply.body * (_CHUNK // len(reply.body) + 1))[:_CHUNK]
        chunk = b"%x\r\n%s\r\n" % (len(data), data)
        while exchange.sent < _BYTES:
            await self._write(exchange, chunk)
        self.drop()

    def _reset(self) -> None:
        """Close without a farewell: the client's kernel is told that there is no connection."""
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
