"""What reviewers do in a browser, in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, expect
from sqlalchemy import select

from review_ui.store.models import decision_event
from tests.review_ui.browser import Windows
from tests.review_ui.feeds import item_id
from tests.review_ui.site import Site


@dataclass
class Screen:
    """A window in which somebody reviews."""

    page: Page
    site: Site

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def go(self, place: str) -> None:
        """Go to a view, e.g. ``grid/blurred``."""
        # The view of the place before takes keys until the page has heard of the new one.
        self.page.evaluate(
            "place => new Promise((there) => { setTimeout(there, 500);"
            " addEventListener('hashchange', () => setTimeout(there, 50), { once: true });"
            " location.hash = `#/${place}`; })",
            place,
        )
        self.ready()

    def ready(self) -> None:
        """Wait until something is there to decide, or to read."""
        expect(
            self.page.locator(
                ".frame img.picture, .grid .cell, .members .member, .empty h2, .empty .primary,"
                " .models .step"
            ).first
        ).to_be_visible()

    def shows(self, name: object) -> None:
        """Wait until one item is shown singly."""
        expect(self.page.locator(".side-title h3")).to_have_text(f"{name}.jpg")
        expect(self.page.locator(".frame img.picture").first).to_be_visible()

    def all_saved(self) -> None:
        """Wait until nothing is left to send."""
        expect(self.page.locator(".unsent")).to_have_text("All saved")

    def unsaved(self, number: int) -> None:
        """Wait until so many decisions are still to be sent."""
        expect(self.page.locator(".unsent")).to_have_text(f"{number} unsaved")

    def dialog(self, title: str | re.Pattern[str]) -> Any:
        """Wait until a dialog is open, and give it."""
        found = self.page.locator("dialog[open]")
        expect(found.locator("h2").first).to_have_text(title)
        return found

    def no_dialog(self) -> None:
        """Wait until none is."""
        expect(self.page.locator("dialog[open]")).to_have_count(0)

    def toast(self, text: str | re.Pattern[str]) -> Any:
        """Wait for a message, and give it."""
        found = self.page.locator(".toast", has_text=text).first
        expect(found).to_be_visible()
        return found


def enter(
    windows: Windows, site: Site, name: str = "ann", place: str = "single/blurred", **how: Any
) -> Screen:
    """Open a window of somebody who has logged in, at a view."""
    cookie = site.client(name).cookie
    screen = Screen(windows.open(f"{site.address}#/{place}", cookie=cookie, **how), site)
    screen.ready()
    return screen


def log_in(page: Page, name: str) -> None:
    """Log in where no token is needed."""
    page.fill("input[name=name]", name)
    page.get_by_role("button", name="Start").click()


def another_tab(screen: Screen, place: str) -> Screen:
    """Open another tab of the same reviewer."""
    other = Screen(screen.page.context.new_page(), screen.site)
    other.page.goto(f"{screen.site.address}#/{place}")
    other.ready()
    return other


def said(site: Site) -> dict[str, str]:
    """Give what holds, by the first letters of the ids that tests name items with."""
    from review_ui.store.models import item_state

    with site.desk.database.reading() as connection:
        return {row.item_id: row.verdict for row in connection.execute(select(item_state))}


def holds(site: Site, **expected: str) -> bool:
    """Tell whether exactly this was decided; names of items with an x before them."""
    wanted = {item_id(name.removeprefix("x")): verdict for name, verdict in expected.items()}
    return said(site) == wanted


def events(site: Site) -> list[Any]:
    """Give all decisions, oldest first."""
    with site.desk.database.reading() as connection:
        return list(connection.execute(select(decision_event).order_by(decision_event.c.seq)))
