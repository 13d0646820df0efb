"""Projecting pictures, in a real browser."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, expect

import flows.explore.projecting
from tests.review_ui.browser import Windows
from tests.review_ui.explore.conftest import Explorer, Open
from tests.review_ui.explore.pages import Screen, enter, place

PATIENCE = 120_000  # ms: a projection takes a while on a machine that does other things
TOLD = ".explore-trouble:not([data-of=look])"
"""Where it is told what became of a file."""


@pytest.fixture
def explorer(open_explorer: Open, monkeypatch: pytest.MonkeyPatch) -> Explorer:
    monkeypatch.setattr(flows.explore.projecting, "STEPS", 3)
    return open_explorer(runs=("plain",))


@pytest.fixture
def screen(windows: Windows, explorer: Explorer) -> Screen:
    return enter(windows, explorer, place("project"))


def a_png(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 24, 3), np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_projected_and_edited(screen: Screen) -> None:
    file: FilePayload = {"name": "my shoe.png", "mimeType": "image/png", "buffer": a_png(1)}
    screen.page.set_input_files("input[type=file]", [file])
    done = screen.page.locator(".projection[data-state=done]")
    expect(done).to_be_visible(timeout=PATIENCE)
    expect(done.locator("img")).to_have_count(3)
    screen.page.wait_for_function(
        "() => [...document.querySelectorAll('.projection img')]"
        ".every((image) => image.complete && image.naturalWidth > 0)"
    )
    expect(done.locator(".projection-distance")).to_contain_text("at the start")
    name = done.get_attribute("data-name")
    done.get_by_role("button", name="Edit this one").click()
    expect(screen.page.locator(".explore-projected")).to_have_text(f"Projected: {name}")
    assert screen.look["look"]["projection"] == name
    before = screen.sees()
    screen.slide("psi", 0.1)
    expect(screen.page).to_have_url(re.compile(r"psi%22%3A0\.1"))
    screen.settled()
    assert screen.sees() != before


def drop(screen: Screen, event: str, data: bytes, name: str) -> None:
    """Drop a file, or paste it."""
    screen.page.evaluate(
        """([event, bytes, name]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' }));
          const how = { bubbles: true, cancelable: true };
          document.querySelector('.drop').dispatchEvent(event === 'paste'
            ? new ClipboardEvent('paste', { ...how, clipboardData: data })
            : new DragEvent('drop', { ...how, dataTransfer: data }));
        }""",
        [event, list(data), name],
    )


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(screen: Screen, event: str) -> None:
    drop(screen, event, a_png(2), "dropped.png")
    expect(screen.page.locator(".projection h3")).to_contain_text("dropped")


def test_what_is_no_picture_is_told(screen: Screen, windows: Windows) -> None:
    windows.expected.append("422")
    drop(screen, "drop", b"nothing to see", "words.txt")
    trouble = screen.page.locator(TOLD)
    expect(trouble).not_to_be_empty()
    expect(screen.page.locator(".projection")).to_have_count(0)


def test_what_went_wrong_stays_told_where_the_server_was_away_before(
    screen: Screen, windows: Windows
) -> None:
    windows.expected += ["422", "500"]
    said = '{"error": "broken", "message": "away"}'
    polls = re.compile(r"/api/explore/projections/plain$")
    screen.page.route(polls, lambda route: route.fulfill(status=500, body=said), times=1)
    drop(screen, "drop", b"nothing", "first.txt")
    away = screen.page.get_by_text("away", exact=True)
    expect(away).to_be_visible()
    expect(away).to_have_count(0)
    with screen.page.expect_response(polls):
        drop(screen, "drop", b"nothing", "second.txt")
    screen.page.wait_for_timeout(200)
    expect(screen.page.locator(TOLD).locator("p")).to_have_count(1)


def test_each_file_that_is_refused_is_told(screen: Screen, windows: Windows) -> None:
    windows.expected.append("422")
    files: list[FilePayload] = [
        {"name": name, "mimeType": "image/png", "buffer": b"nothing to see"}
        for name in ("one.png", "two.png")
    ]
    screen.page.set_input_files("input[type=file]", files)
    lines = screen.page.locator(TOLD).locator("p")
    expect(lines).to_have_text([re.compile("^one.png: "), re.compile("^two.png: ")])


def test_what_is_too_large_is_told_before_it_is_sent(screen: Screen) -> None:
    sent: list[str] = []
    screen.page.on("request", lambda request: sent.append(request.method))
    screen.page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array((24 << 20) + 1)], 'large.png'));
          document.querySelector('.drop').dispatchEvent(
            new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: data }));
        }"""
    )
    expect(screen.page.locator(TOLD)).to_contain_text("at most 24 MB")
    assert "POST" not in sent


def test_one_that_is_under_way_is_cancelled(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows.explore.projecting, "STEPS", 100_000)
    drop(screen, "drop", a_png(3), "long.png")
    screen.page.get_by_role("button", name="Cancel").click()
    expect(screen.page.get_by_role("button", name="Cancel")).to_have_count(0)
