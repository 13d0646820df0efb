"""The pictures of the page in a real browser, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from playwright.sync_api import Page, expect

from data_catalog.schema import Reason
from tests.review_ui.browser import Windows
from tests.review_ui.feeds import blurred, found
from tests.review_ui.holding import holding
from tests.review_ui.pages import enter
from tests.review_ui.site import Site

Open = Callable[..., Site]


def marks(page: Page) -> int:
    """Count how often the page said that a picture is shown."""
    found: int = page.evaluate("() => performance.getEntriesByName('nonesuch:shown').length")
    return found


def test_what_is_loaded_ahead_for_a_page_of_the_grid_is_kept(
    windows: Windows, open_site: Open
) -> None:
    screen = enter(windows, open_site([blurred(n, n / 200) for n in range(1, 101)]))
    screen.go("grid/blurred")
    expect(screen.page.locator(".cell")).to_have_count(40)
    screen.press("Enter")
    expect(screen.page.locator(".sum")).to_contain_text("40 accept")
    # 40 on screen, 40 that were on it before, 20 that come.
    ready = screen.page.evaluate(
        """async () => {
          const { app } = await import("/static/main.js");
          const { items } = await import("/static/items.js");
          const { pictures } = await import("/static/pictures.js");
          await app.supply.ensure(100);
          const all = app.supply.ids.map((id) => items.get(id).thumb);
          await Promise.all(all.map((address) => pictures.load(address)));
          return all.map((address) => pictures.ready(address) !== null);
        }"""
    )
    assert ready == [True] * 100


def test_a_picture_is_shown_once_it_is_decoded_and_not_before(
    windows: Windows, open_site: Open
) -> None:
    screen = enter(windows, open_site([blurred(n, n / 20) for n in range(1, 10)]))
    screen.shows(1)
    with holding(screen.page, "**/original?*"):
        screen.press("o")
        expect(screen.page.locator(".picture-soon")).to_be_visible()
        screen.page.evaluate("() => performance.clearMarks('nonesuch:shown')")
        screen.press("s")
        expect(screen.page.locator(".side-title h3")).to_have_text("2.jpg")
        screen.page.wait_for_timeout(200)
        assert marks(screen.page) == 0
    screen.page.wait_for_function(
        "() => performance.getEntriesByName('nonesuch:shown').length === 1"
    )
    expect(screen.page.locator(".picture-soon")).to_have_count(0)


def test_marks_do_not_grow_for_hours(windows: Windows, open_site: Open) -> None:
    screen = enter(windows, open_site([blurred(1, 0.1)]))
    # With a picture still to come, the frames below, which come at once, would never end.
    expect(screen.page.locator(".picture-soon")).to_have_count(0)
    expect(screen.page.locator(".stage img")).to_be_visible()
    latest = screen.page.evaluate(
        """async () => {
          const { markShown } = await import("/static/pictures.js");
          window.requestAnimationFrame = (run) => queueMicrotask(run);
          for (let n = 0; n < 4000; n += 1) {
            markShown(n);
            await new Promise((resolve) => {
              const { port1, port2 } = new MessageChannel();
              port1.onmessage = () => (port1.close(), resolve());
              port2.postMessage(null);
            });
          }
          await new Promise((resolve) => setTimeout(resolve, 100));
          const all = performance.getEntriesByName("nonesuch:shown");
          return all.slice(-1000).map(({ detail }) => detail.item);
        }"""
    )
    assert latest == list(range(3000, 4000))
    assert marks(screen.page) < 2_000


def test_a_digit_means_the_same_for_every_picture(windows: Windows, open_site: Open) -> None:
    busy = found(Reason.BUSY_BACKGROUND, 0.9, 0.6)
    second = blurred(2, 0.2)
    screen = enter(
        windows,
        open_site([blurred(1, 0.1), replace(second, evidence=(busy, *second.evidence))]),
    )
    screen.shows(1)
    reasons, own = screen.page.locator(".reason"), screen.page.locator(".reason-own")
    first = reasons.all_inner_texts()
    expect(own).to_have_text(["1Blurred"])
    screen.press("s")
    screen.shows(2)
    assert reasons.all_inner_texts() == first
    expect(own).to_have_text(["1Blurred", "2Busy background"])


def test_addresses_that_only_some_can_read_are_shown(windows: Windows, open_site: Open) -> None:
    address = "http://host:99999/x"
    screen = enter(windows, open_site([blurred(1, 0.1, page=address), blurred(2, 0.2)]))
    screen.shows(1)
    expect(screen.page.get_by_role("link", name=address)).to_be_visible()
    screen.press("a")
    screen.shows(2)


def test_what_keys_do_to_a_picture_buttons_do_too(windows: Windows, open_site: Open) -> None:
    screen = enter(windows, open_site([blurred(1, 0.1)]))
    frame = screen.page.locator(".frame")
    screen.page.get_by_role("button", name="Zoom in").click()
    expect(frame).to_have_attribute("data-zoomed", "true")
    screen.page.get_by_role("button", name="Zoom out").click()
    expect(frame).to_have_attribute("data-zoomed", "false")
