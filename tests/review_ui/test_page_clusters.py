"""Copies side by side in a real browser: keep the best, some, or all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.feeds import Item, copy_of, item_id
from tests.review_ui.pages import Screen, enter, events, holds, said
from tests.review_ui.site import Site


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """Three clusters, of three, two and two."""
    items = []
    for key, copies in (("a", 2), ("b", 1), ("c", 1)):
        items.append(Item(f"{key}0", columns={"duplicate": item_id(f"{key}0")}))
        for n in range(1, copies + 1):
            near = {"width": 200, "height": 266, "source": "other"}
            items.append(copy_of(f"{key}{n}", f"{key}0", 0.4 - ord(key) / 1_000 - n / 100, **near))
    return open_site(items)


@pytest.fixture
def screen(windows: Windows, site: Site) -> Screen:
    """Somebody who looks at copies."""
    return enter(windows, site, place="clusters/near_duplicate")


def members(screen: Screen, *names: str) -> None:
    """Wait until these are shown, the one to keep first."""
    heads = screen.page.locator(".member-head b")
    expect(heads).to_have_text([f"{name}.jpg" for name in names])


def test_keep_the_best(screen: Screen, site: Site) -> None:
    members(screen, "a0", "a2", "a1")
    screen.press("b")
    members(screen, "b0", "b1")
    screen.all_saved()
    assert holds(site, xa0="accepted", xa1="rejected", xa2="rejected")
    reasons = {row.item_id: row.reasons for row in events(site)}
    assert reasons[item_id("a1")] == "\nnear_duplicate\n"
    assert len({row.batch for row in events(site)}) == 1


def test_keep_some_by_digit_arrows_and_click(screen: Screen, site: Site) -> None:
    members(screen, "a0", "a2", "a1")
    screen.press("2", "1")
    screen.press("k")
    members(screen, "b0", "b1")
    screen.press("ArrowRight", "Space", "Enter")
    members(screen, "c0", "c1")
    screen.page.locator(".member").nth(1).click()
    screen.page.get_by_role("button", name="Keep 2 marked").click()
    screen.all_saved()
    held = {name: said(site)[item_id(name)] for name in ("a0", "a1", "a2", "b0", "b1", "c0", "c1")}
    assert held == {
        "a0": "rejected",
        "a1": "rejected",
        "a2": "accepted",
        "b0": "accepted",
        "b1": "accepted",
        "c0": "accepted",
        "c1": "accepted",
    }
    expect(screen.page.locator(".empty h2")).to_have_text("Done here")


def test_keep_all_skip_back_and_undo(screen: Screen, site: Site) -> None:
    members(screen, "a0", "a2", "a1")
    screen.press("l")
    members(screen, "b0", "b1")
    screen.press("s")
    members(screen, "c0", "c1")
    screen.press("p")
    members(screen, "b0", "b1")
    screen.press("z")
    members(screen, "a0", "a2", "a1")
    screen.all_saved()
    assert set(said(site).values()) == {"undecided"}
    screen.press("y")
    screen.all_saved()
    assert holds(site, xa0="accepted", xa1="accepted", xa2="accepted")


def test_what_differs_is_said_and_shown(screen: Screen) -> None:
    members(screen, "a0", "a2", "a1")
    second = screen.page.locator(".member").nth(1)
    expect(second).to_contain_text("200 × 266 ▼ smaller")
    expect(second).to_contain_text("other ≠ other")
    expect(second).to_contain_text("near duplicate")
    screen.press("d")
    expect(second.locator("canvas")).to_be_visible()
    expect(second.locator(".member-share")).to_contain_text("% differ")
    drawn = second.locator("canvas").evaluate(
        "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, 60, 60).data).size"
    )
    assert drawn > 3
    screen.press("d")
    expect(second.locator("canvas")).to_have_count(0)


def test_settled_ones_can_be_looked_at_and_changed(screen: Screen, site: Site) -> None:
    members(screen, "a0", "a2", "a1")
    screen.press("b")
    members(screen, "b0", "b1")
    screen.all_saved()
    screen.page.get_by_role("button", name="Settled").click()
    members(screen, "a0", "a2", "a1")
    screen.press("l")
    screen.all_saved()
    assert holds(site, xa0="accepted", xa1="accepted", xa2="accepted")


def test_two_do_not_see_the_same_copies(windows: Windows, site: Site) -> None:
    first = enter(windows, site, "ann", "clusters/near_duplicate")
    members(first, "a0", "a2", "a1")
    second = enter(windows, site, "bob", "clusters/near_duplicate")
    expect(second.page.locator(".empty h2")).to_be_visible()


def test_a_picture_is_compared_with_its_copies(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, place="single/all?standing=rejected")
    screen.press("c")
    dialog = screen.dialog("Compare")
    expect(dialog.locator("figure img")).to_have_count(2)
    screen.press("d")
    expect(dialog.locator("canvas")).to_be_visible()
    screen.press("Space")
    expect(dialog.locator("figure")).to_have_count(1)
    shown = dialog.locator("figcaption b").inner_text()
    screen.press("Space")
    expect(dialog.locator("figcaption b")).not_to_have_text(shown)
    screen.press("ArrowRight", "Escape")
    screen.no_dialog()
    assert said(site) == {}
