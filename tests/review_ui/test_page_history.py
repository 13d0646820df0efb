"""The history of decisions in a real browser: what it lists, restores and goes back to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.feeds import blurred, item_id
from tests.review_ui.holding import holding
from tests.review_ui.pages import enter, events, said
from tests.review_ui.site import Site

MANY = 130


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """More blurred pictures than the history lists at once."""
    return open_site([blurred(n, n / 400) for n in range(1, MANY + 1)])


def decide(site: Site, name: str, verdict: str, numbers: Sequence[int]) -> None:
    """Say something of items, at one stroke."""
    client, batch = site.client(name), str(uuid.uuid4())
    states = {n: client.get(f"/api/items/{item_id(n)}").json["head"] for n in numbers}
    decisions = [
        {
            "uuid": str(uuid.uuid4()),
            "item": item_id(n),
            "verdict": verdict,
            "base": head,
            "batch": batch,
        }
        for n, head in states.items()
    ]
    assert client.post("/api/decisions", {"decisions": decisions}).status == 200


def test_a_batch_is_restored_whole_though_the_list_ends_within_it(
    windows: Windows, site: Site
) -> None:
    decide(site, "bob", "accepted", range(1, MANY + 1))
    decide(site, "bob", "rejected", range(1, 21))
    screen = enter(windows, site, place="grid/blurred?standing=accepted")
    screen.press("h")
    dialog = screen.dialog("History")
    entry = dialog.locator(".history > li", has_text="bob accepted")
    entry.get_by_role("button", name="Restore this").click()
    asked = screen.page.locator("dialog[open]").last
    expect(asked).to_contain_text(f"{MANY} items will be as decided")
    asked.get_by_role("button", name="Restore", exact=True).click()
    screen.no_dialog()
    screen.all_saved()
    assert list(said(site).values()) == ["accepted"] * MANY


def test_mine_only_while_the_first_page_is_on_its_way(windows: Windows, site: Site) -> None:
    decide(site, "bob", "accepted", [1, 2])
    decide(site, "ann", "rejected", [3])
    screen = enter(windows, site)
    with holding(screen.page, "**/api/history?*"):
        screen.press("h")
        screen.dialog("History").get_by_label("Mine only").check()
    entries = screen.page.locator(".history > li > p")
    expect(entries).to_have_count(1)
    expect(entries).to_contain_text("ann rejected")


def test_one_can_go_back_to_what_was_done_again(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a", "r", "z", "y", "s", "a")
    screen.all_saved()
    assert len(events(site)) == 5
    screen.press("h")
    dialog = screen.dialog("History")
    again = dialog.locator(".history > li", has_text="ann rejected again")
    again.get_by_role("button", name="Go back to here").click()
    screen.page.get_by_role("button", name="Go back", exact=True).click()
    screen.no_dialog()
    screen.all_saved()
    assert said(site) == {
        item_id(1): "accepted",
        item_id(2): "rejected",
        item_id(3): "undecided",
    }
