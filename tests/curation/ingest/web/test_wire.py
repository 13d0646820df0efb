"""Frames come through whole; what is none is refused."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ingest.offers import Event, Failure, Offer, Page, Passed, Traffic
from curation.ingest.web import wire
from data_catalog.schema import Reason

EVENTS: tuple[Event, ...] = (
    Passed(known=3, filtered=4),
    Offer("https://x/a.jpg", "r+1", failure=Failure(Reason.NOT_FOUND, "status 404")),
    Offer("https://x/a.jpg", "r", image_id="ab", label="ä", tags=("b",), fields={"p": "q"}),
    Page("https://x/", "page", "c1", '"e"', None, '{"links": []}'),
    Page("", "crawl", "c1", failure=Failure(Reason.TLS_FAILURE, "expired")),
    Traffic(1, 2, 3, {"not_found": 4}, {"x": Traffic(1, 2, 3, {"not_found": 4})}),
)


def through(*frames: tuple[bytes, bytes], most: int = 1000) -> list[Event | None]:
    stream = io.BytesIO(b"".join(part for frame in frames for part in frame))
    return [wire.unpack_event(*frame) for frame in wire.read(stream, most)]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_come_through(event: Event) -> None:
    assert through(wire.pack_event(event)) == [event]


@given(st.binary(min_size=1, max_size=100), st.text(alphabet="abc äöü/:.", min_size=1))
def test_bytes_come_through(data: bytes, locator: str) -> None:
    offer = Offer(locator, None, read=lambda: data)
    (event,) = through(wire.pack_event(offer, data))
    assert isinstance(event, Offer) and event.read is not None
    assert (event.read(), event.locator, event.size) == (data, locator, len(data))


def test_other_frames_are_no_events() -> None:
    assert through(wire.pack("end", finished=True)) == [None]


@given(st.integers(1, 200))
def test_a_broken_frame_is_refused(kept: int) -> None:
    whole = b"".join(wire.pack_event(EVENTS[2]))
    stream = io.BytesIO(whole[: min(kept, len(whole) - 1)])
    with pytest.raises(wire.WireError, match="broke off"):
        list(wire.read(stream, 1000))


def test_a_body_larger_than_any_picture_is_refused() -> None:
    offer = Offer("a", None, read=lambda: b"")
    with pytest.raises(wire.WireError, match="of 1,"):
        through(wire.pack_event(offer, b"x" * 1001), most=1000)


@pytest.mark.parametrize(
    "header",
    [
        {"is": "offer"},
        {"is": "passed", "known": "many", "filtered": 0},
        {"is": "traffic", "pages": 1, "images": 1, "bytes": 1, "errors": {"odd": 1}, "hosts": {}},
    ],
)
def test_an_event_that_is_none_is_refused(header: dict[str, object]) -> None:
    with pytest.raises(wire.WireError, match="cannot be read"):
        wire.unpack_event(header, b"")


@pytest.mark.parametrize("locator", ["a\nb", "a\x1b[2J", "\ud800", "\u202eabc"])
def test_a_locator_that_is_not_escaped_is_refused(locator: str) -> None:
    head, _ = wire.pack_event(Offer("place", None, read=lambda: b""))
    header = next(wire.read(io.BytesIO(head), 10))[0] | {"locator": locator}
    with pytest.raises(wire.WireError, match="escaped"):
        wire.unpack_event(header, b"x")


def test_a_label_that_no_table_can_hold_is_refused() -> None:
    head, _ = wire.pack_event(Offer("place", None, read=lambda: b""))
    header = next(wire.read(io.BytesIO(head), 10))[0] | {"label": "\ud800"}
    with pytest.raises(wire.WireError):
        wire.unpack_event(header, b"x")
