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
    expect(done).to_be_visible()
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
    trouble = screen.page.locator(".explore-trouble")
    expect(trouble).not_to_be_empty()
    expect(screen.page.locator(".projection")).to_have_count(0)


def test_one_that_is_under_way_is_cancelled(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows.explore.projecting, "STEPS", 100_000)
    drop(screen, "drop", a_png(3), "long.png")
    screen.page.get_by_role("button", name="Cancel").click()
    expect(screen.page.get_by_role("button", name="Cancel")).to_have_count(0)
