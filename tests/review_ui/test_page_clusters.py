"""Copies side by side in a real browser: keep the best, some, or all."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.feeds import Item, blurred, copy_of, item_id
from tests.review_ui.holding import holding
from tests.review_ui.pages import Screen, enter, events, holds, said
from tests.review_ui.site import Site


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """Three clusters, of three, two and two; and a picture by itself."""
    items = [blurred(1, 0.1)]
    for key, copies in (("a", 2), ("b", 1), ("c", 1)):
        items.append(Item(f"{key}0", columns={"duplicate": item_id(f"{key}0")}))
        for n in range(1, copies + 1):
            near = {"width": 200, "height": 266, "source": "other"}
            items.append(copy_of(f"{key}{n}", f"{key}0", 0.4 - ord(key) / 1_000 - n / 100, **near))
    return open_site(items, tag_keys={"m": "mirrored"})


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
    second.locator("canvas").evaluate("canvas => { window.drawn = canvas; }")
    screen.press("d")
    expect(second.locator("canvas")).to_have_count(0)
    # It was drawn once.
    screen.press("d")
    assert second.locator("canvas").evaluate("canvas => canvas === window.drawn")


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
    expect(second.page.locator(".empty")).to_contain_text("3 wait with others")


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


def test_a_picture_that_arrives_changes_its_own_place_only(
    windows: Windows, open_site: Callable[..., Site]
) -> None:
    keeper = Item("a0", columns={"duplicate": item_id("a0")})
    copies = [copy_of(f"a{n:02}", "a0", n / 100) for n in range(1, 52)]
    screen = enter(windows, open_site([blurred(1, 0.1), keeper, *copies]))
    drawn = screen.page.locator(".member")
    with holding(screen.page, "**/standard?*"):
        screen.go("clusters/near_duplicate")
        expect(drawn).to_have_count(52)
        screen.press("ArrowRight", "ArrowRight")
        drawn.nth(20).scroll_into_view_if_needed()
        screen.page.evaluate(
            "() => { const row = document.querySelector('.members'); window.redrawn = 0;"
            " window.place = [row.scrollLeft, row.scrollTop].join();"
            " new MutationObserver((all) => { window.redrawn += all.length; })"
            ".observe(row, { childList: true }); }"
        )
    expect(screen.page.locator(".member-picture img:not(.picture-soon)")).to_have_count(52)
    assert screen.page.evaluate("() => window.redrawn") == 0
    expect(drawn.nth(2)).to_be_focused()
    assert screen.page.evaluate(
        "() => { const row = document.querySelector('.members');"
        " return [row.scrollLeft, row.scrollTop].join() === window.place; }"
    )
    # Marking one draws no other anew either.
    screen.press("Space")
    expect(drawn.nth(2)).to_have_attribute("aria-selected", "true")
    assert screen.page.evaluate("() => window.redrawn") == 0


def test_skipped_ones_come_again(screen: Screen, site: Site) -> None:
    members(screen, "a0", "a2", "a1")
    screen.press("s")
    members(screen, "b0", "b1")
    screen.press("b")
    members(screen, "c0", "c1")
    screen.press("s")
    expect(screen.page.locator(".empty")).to_contain_text("2 groups were skipped")
    screen.page.get_by_role("button", name="2 skipped again").click()
    members(screen, "a0", "a2", "a1")
    screen.press("b")
    members(screen, "c0", "c1")
    screen.press("b")
    expect(screen.page.locator(".empty")).to_contain_text("No copies wait")
    screen.all_saved()
    assert len(said(site)) == 7


def test_of_a_large_group_the_others_come_next(
    windows: Windows, open_site: Callable[..., Site]
) -> None:
    keeper = Item("a0", columns={"duplicate": item_id("a0")})
    copies = [copy_of(f"a{n:02}", "a0", n / 100) for n in range(1, 65)]
    site = open_site([keeper, *copies])
    screen = enter(windows, site, place="clusters/near_duplicate")
    expect(screen.page.locator(".cluster-title")).to_contain_text("5 more are not shown")
    screen.press("b")
    expect(screen.page.locator(".empty")).to_contain_text("1 group has more copies")
    screen.all_saved()
    assert len(said(site)) == 60
    screen.page.get_by_role("button", name="Look again").click()
    expect(screen.page.locator(".member").nth(1)).to_contain_text("a60.jpg")
    screen.press("b")
    expect(screen.page.locator(".empty")).to_contain_text("No copies wait")
    screen.all_saved()
    assert sorted(said(site).values()) == ["accepted"] + ["rejected"] * 64


def test_nothing_is_skipped_before_it_is_seen(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    with holding(screen.page, "**/clusters"):
        screen.page.evaluate("() => { location.hash = '#/clusters/near_duplicate'; }")
        expect(screen.page.locator("#toolbar h2")).to_have_text("near_duplicate")
        expect(screen.page.locator(".empty")).to_have_text("Loading…")
        screen.press("s", "s", "b", "s")
    members(screen, "a0", "a2", "a1")
    assert said(site) == {}


def test_a_tag_by_its_key(screen: Screen, site: Site) -> None:
    members(screen, "a0", "a2", "a1")
    screen.press("ArrowRight", "m")
    expect(screen.page.locator(".member").nth(1)).to_contain_text("mirrored")
    screen.all_saved()
    assert [(row.item_id, row.tags) for row in events(site)] == [(item_id("a2"), "\nmirrored\n")]


def free(site: Site, number: int) -> bool:
    """Tell whether another gets so many clusters, once what is on its way has arrived."""
    bob = site.client("bob")
    body = {"lease": True}
    for _ in range(100):
        found = bob.post("/api/queues/near_duplicate/clusters", body).json["clusters"]
        if len(found) == number:
            return True
        time.sleep(0.05)
    return False


def test_a_window_that_closes_gives_back_what_it_held(screen: Screen, site: Site) -> None:
    members(screen, "a0", "a2", "a1")
    screen.press("s")  # what was skipped, too
    members(screen, "b0", "b1")
    screen.page.goto("about:blank")
    assert free(site, 3)


def test_what_arrives_too_late_is_given_back(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    with holding(screen.page, "**/clusters", is_answer=True):
        screen.page.evaluate("() => { location.hash = '#/clusters/near_duplicate'; }")
        expect(screen.page.locator("#toolbar h2")).to_have_text("near_duplicate")
        screen.page.evaluate("() => { location.hash = '#/single/blurred'; }")
        screen.shows(1)
    screen.page.wait_for_timeout(200)
    assert free(site, 3)
