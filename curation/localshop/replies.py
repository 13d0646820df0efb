"""What the server answers, before it is put on a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum, auto
from hashlib import blake2b
from http import HTTPStatus
from typing import Final, TypeAlias

HTML: Final = "text/html; charset=utf-8"


class Delivery(Enum):
    """How a body goes out."""

    WHOLE = auto()
    SLOW = auto()  # in small pieces, but it ends
    STALLED = auto()  # in ever slower pieces
    TRUNCATED = auto()  # less than Content-Length says, then the end
    RESET = auto()  # half of it, then the connection is reset
    ENDLESS = auto()  # again and again


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes
    ----------
    etag : str
        With its quotation marks; empty where there is none.
    modified : int or None
        Seconds since 1970.
    """

    body: bytes = b""
    type: str = HTML
    status: int = 200
    etag: str = ""
    modified: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE

    def lines(self) -> str:
        """Give the status line and the headers that belong to the content, each ended."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {phrase}", f"Content-Type: {self.type}"]
        if self.etag:
            lines.append(f"ETag: {self.etag}")
        if self.modified is not None:
            lines.append(f"Last-Modified: {formatdate(self.modified, usegmt=True)}")
        lines.extend(f"{name}: {value}" for name, value in self.headers.items())
        return "\r\n".join(lines) + "\r\n"

    def unchanged(self, request: Mapping[str, str]) -> bool:
        """Tell whether the client has this already, by its conditional headers in lower case."""
        if self.status != 200:
            return False
        tags = request.get("if-none-match")
        if tags is not None:
            held = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
            return bool(self.etag) and bool(held & {self.etag, "*"})
        since = request.get("if-modified-since")
        if since is None or self.modified is None:
            return False
        try:
            return parsedate_to_datetime(since).timestamp() >= self.modified
        except ValueError:
            return False


# A reply that takes long to make is made elsewhere than on the thread that serves.
Answer: TypeAlias = Reply | Callable[[], Reply]


def page(content: str | bytes, modified: int | None = None, type: str = HTML) -> Reply:
    """Answer with content whose entity tag changes when it does."""
    body = content.encode() if isinstance(content, str) else content
    tag = blake2b(body, digest_size=12).hexdigest()
    return Reply(body, type, etag=f'"{tag}"', modified=modified)


def redirect(location: str, status: int = 302) -> Reply:
    """Send the client elsewhere."""
    return Reply(b"", "text/plain", status, headers={"Location": location})


def error(status: int, **headers: str) -> Reply:
    """Answer that there is nothing; underscores in the names of headers become dashes."""
    text = f"{status} {HTTPStatus(status).phrase}\n"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(text.encode(), "text/plain; charset=utf-8", status, headers=named)
