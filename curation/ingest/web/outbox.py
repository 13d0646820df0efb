"""The crawl's end of the pipe: frames go out as fast as they are taken, and no faster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Any, Final

from curation.ingest.offers import Event
from curation.ingest.web import wire

_BUFFER: Final = 8 << 20  # bytes that may wait to be taken before the crawl waits


class Outbox:
    """Sends events to the process that stores them; ends this process when that one is gone.

    Made by `connect` within the event loop of the crawl.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._watch: asyncio.Future[None] | None = None

    @classmethod
    async def connect(cls, end: socket.socket) -> Outbox:
        """Take over one end of a socket pair."""
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        reader, writer = await asyncio.open_connection(sock=end)
        writer.transport.set_write_buffer_limits(high=_BUFFER)
        outbox = cls(writer)
        outbox._watch = asyncio.ensure_future(outbox._end_with(reader))
        return outbox

    async def _end_with(self, reader: asyncio.StreamReader) -> None:
        """Wait for the other side to go. Nobody would keep what this process goes on to fetch."""
        with contextlib.suppress(OSError):
            await reader.read()
        os._exit(1)

    async def send(self, event: Event, data: bytes = b"") -> None:
        """Send one event, with the bytes of an offer."""
        await self._send(*wire.pack_event(event, data))

    async def tell(self, kind: str, **values: Any) -> None:
        """Send what is no event."""
        await self._send(*wire.pack(kind, **values))

    async def _send(self, head: bytes, body: bytes) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(head)
        if body:
            self._writer.write(body)
        await self._writer.drain()

    async def close(self) -> None:
        """Send all that waits, then close."""
        if self._watch is not None:
            self._watch.cancel()
        self._writer.close()
        await self._writer.wait_closed()
