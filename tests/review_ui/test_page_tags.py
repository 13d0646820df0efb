"""Typing tags in a real browser: what is added, and what must not be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.feeds import blurred
from tests.review_ui.holding import holding
from tests.review_ui.pages import Screen, enter, events
from tests.review_ui.site import Site


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """Three blurred pictures."""
    return open_site([blurred(n, n / 20) for n in range(1, 4)])


@pytest.fixture
def screen(windows: Windows, site: Site) -> Screen:
    """Somebody at the second, after the first was tagged with arrows."""
    screen = enter(windows, site)
    screen.shows(1)
    screen.press("t")
    screen.dialog("Tags")
    screen.page.keyboard.type("arrows")
    screen.press("Enter", "Escape")
    screen.no_dialog()
    screen.all_saved()
    screen.press("s")
    screen.shows(2)
    return screen


def test_what_is_typed_and_not_entered_is_added_when_it_is_done(screen: Screen, site: Site) -> None:
    screen.press("t")
    dialog = screen.dialog("Tags")
    screen.page.keyboard.type("stripes")
    dialog.get_by_role("button", name="Done").click()
    screen.no_dialog()
    screen.all_saved()
    assert events(site)[-1].tags == "\nstripes\n"


def test_tab_adds_no_suggestion_for_what_was_typed_before(screen: Screen) -> None:
    screen.press("t")
    dialog = screen.dialog("Tags")
    expect(dialog.get_by_role("option", name="arrows")).to_be_visible()
    with holding(screen.page, "**/api/tags?*"):
        screen.page.keyboard.type("box")
        expect(dialog.get_by_role("option")).to_have_count(0)
        screen.press("Tab")
    expect(dialog.locator(".chip")).to_have_count(0)
    screen.press("Escape")


def test_going_back_by_tab_adds_nothing(screen: Screen) -> None:
    screen.press("t")
    dialog = screen.dialog("Tags")
    screen.page.keyboard.type("arr")
    expect(dialog.get_by_role("option", name="arrows")).to_be_visible()
    screen.press("Shift+Tab")
    expect(dialog.locator(".tag-input")).not_to_be_focused()
    expect(dialog.locator(".chip")).to_have_count(0)
    dialog.locator(".tag-input").focus()
    screen.press("Tab")
    expect(dialog.locator(".chip")).to_have_count(1)
