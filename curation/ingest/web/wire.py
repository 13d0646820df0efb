"""Frames between a crawl and the process that stores what it brings.

A frame is two lengths, a JSON header and a body. The crawl digests hostile content, so the reader
believes no length and no type.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from curation.errors import CurationError
from curation.ingest.names import escape
from curation.ingest.offers import (
    Event,
    Failure,
    Offer,
    Page,
    Passed,
    Traffic,
)
from data_catalog.schema import Reason

LENGTHS: Final = struct.Struct("!II")
MAX_HEADER: Final = 64 << 20

_dumps = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":")).encode


class WireError(CurationError):
    """The other side broke off in the midst of a frame, or sent what is none."""


def pack(kind: str, body: bytes = b"", /, **header: Any) -> tuple[bytes, bytes]:
    """Make a frame: what goes before the body, and the body."""
    text = _dumps({"is": kind, **header}).encode("ascii")
    return LENGTHS.pack(len(text), len(body)) + text, body


def read(stream: IO[bytes], max_body: int) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Read frames until the stream ends.

    Raises
    ------
    WireError
        If it ends within a frame, or a frame is larger than it may be.
    """
    while lengths := stream.read(LENGTHS.size):
        if len(lengths) < LENGTHS.size:
            raise WireError("broke off within a frame")
        header, body = LENGTHS.unpack(lengths)
        if header > MAX_HEADER or body > max_body:
            raise WireError(f"sent a frame of {header + body:,} bytes")
        text, data = stream.read(header), stream.read(body)
        if len(text) < header or len(data) < body:
            raise WireError("broke off within a frame")
        try:
            values = json.loads(text)
        except ValueError as error:
            raise WireError(f"sent a frame that cannot be read: {error}") from error
        yield values, data


def pack_event(event: Event, data: bytes = b"") -> tuple[bytes, bytes]:
    """Make the frame of an event; `data` are the bytes of an offer that has some."""
    match event:
        case Offer():
            return pack(
                "offer",
                data,
                locator=event.locator,
                revision=event.revision,
                failure=event.failure and [event.failure.reason.value, event.failure.detail],
                image_id=event.image_id,
                fields=event.fields,
                label=event.label,
                tags=event.tags,
            )
        case Passed():
            return pack("passed", known=event.known, filtered=event.filtered)
        case Page():
            return pack(
                "page",
                (event.found or "").encode(),
                url=event.url,
                kind=event.kind,
                crawl=event.crawl,
                etag=event.etag,
                last_modified=event.last_modified,
                has_found=event.found is not None,
                failure=event.failure and [event.failure.reason.value, event.failure.detail],
            )
        case Traffic():
            return pack("traffic", **_of_traffic(event))
        case _:
            raise TypeError(f"a crawl never sends a {type(event).__name__}")


def unpack_event(header: Mapping[str, Any], body: bytes) -> Event | None:
    """Read the event of a frame; None when it is another kind of frame.

    Raises
    ------
    WireError
        If it is no event that a crawl may send.
    """
    try:
        match header["is"]:
            case "offer":
                return _offer(header, body)
            case "passed":
                return Passed(known=int(header["known"]), filtered=int(header["filtered"]))
            case "page":
                return Page(
                    _line(header["url"]),
                    _line(header["kind"]),
                    _line(header["crawl"]),
                    _line(header["etag"]),
                    _line(header["last_modified"]),
                    body.decode() if header["has_found"] else None,
                    _failure(header["failure"]),
                )
            case "traffic":
                return _traffic(header)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"sent an event that cannot be read: {error!r}") from error
    return None


def _offer(header: Mapping[str, Any], body: bytes) -> Offer:
    failure = _failure(header["failure"])
    has_bytes = failure is None and header["image_id"] is None
    return Offer(
        _line(header["locator"]),
        _line(header["revision"]),
        read=(lambda: body) if has_bytes else None,
        failure=failure,
        image_id=_line(header["image_id"]),
        fields=header["fields"],
        label=_text(header["label"]),
        tags=tuple(_text(tag) for tag in header["tags"]),
        size=len(body),
    )


def _failure(value: Any) -> Failure | None:
    return None if value is None else Failure(Reason(value[0]), _line(value[1]))


def _text(value: Any) -> Any:
    """Refuse what no table can hold."""
    if value is not None:
        value.encode()
    return value


def _line(value: Any) -> Any:
    """Refuse what is not valid, printable UTF-8 on one line; a backslash escapes."""
    if value is not None and escape(plain := value.replace("\\", "")) != plain:
        raise ValueError(f"{value!r} is not escaped")
    return value


def _of_traffic(traffic: Traffic) -> dict[str, Any]:
    return {
        "pages": traffic.pages,
        "images": traffic.images,
        "bytes": traffic.bytes,
        "errors": dict(traffic.errors),
        "hosts": {host: _of_traffic(part) for host, part in traffic.hosts.items()},
    }


def _traffic(values: Mapping[str, Any]) -> Traffic:
    return Traffic(
        int(values["pages"]),
        int(values["images"]),
        int(values["bytes"]),
        {Reason(k).value: int(n) for k, n in values["errors"].items()},
        {_line(host): _traffic(part) for host, part in values["hosts"].items()},
    )
