"""The grid in a real browser: mark the exceptions, commit what is visible."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.feeds import blurred, item_id
from tests.review_ui.pages import Screen, another_tab, enter, events, said
from tests.review_ui.site import Site


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """Fifty blurred pictures; the lower the number, the worse."""
    return open_site([blurred(n, n / 100) for n in range(1, 51)])


@pytest.fixture
def screen(windows: Windows, site: Site) -> Screen:
    """Somebody at the grid."""
    screen = enter(windows, site, place="grid/blurred")
    expect(screen.page.locator(".cell")).to_have_count(40)
    return screen


def marked(screen: Screen) -> list[int]:
    """Give the places of the marked cells, from 0."""
    cells = screen.page.locator(".cell")
    return [
        n for n in range(cells.count()) if cells.nth(n).get_attribute("aria-selected") == "true"
    ]


def numbers(site: Site, verdict: str) -> list[int]:
    """Give the numbers of the items with a verdict."""
    held = said(site)
    return [n for n in range(1, 51) if held.get(item_id(n)) == verdict]


def test_marked_one_way_the_rest_the_other(screen: Screen, site: Site) -> None:
    screen.press("ArrowRight", "Space")
    screen.page.locator(".cell").nth(4).click()
    expect(screen.page.locator(".sum")).to_contain_text("38 accept · 2 reject")
    screen.press("Enter")
    expect(screen.page.locator(".cell")).to_have_count(10)
    screen.all_saved()
    assert numbers(site, "rejected") == [2, 5]
    assert len(numbers(site, "accepted")) == 38
    assert len({row.batch for row in events(site)}) == 1


def test_ranges_by_shift_with_keys_and_with_the_mouse(screen: Screen, site: Site) -> None:
    screen.press("Shift+ArrowRight", "Shift+ArrowRight")
    assert marked(screen) == [0, 1, 2]
    screen.page.locator(".cell").nth(10).click()
    screen.page.locator(".cell").nth(13).click(modifiers=["Shift"])
    assert marked(screen) == [0, 1, 2, 10, 11, 12, 13]
    screen.page.locator(".cell").nth(11).click()
    assert marked(screen) == [0, 1, 2, 10, 12, 13]
    assert said(site) == {}


def test_the_meaning_of_a_mark_can_be_turned_round(screen: Screen, site: Site) -> None:
    screen.press("x", "Space", "Enter")
    screen.all_saved()
    assert numbers(site, "accepted") == [1]
    assert numbers(site, "rejected") == list(range(2, 41))


def test_a_page_is_undone_as_one_and_done_again_as_one(screen: Screen, site: Site) -> None:
    screen.press("Space", "Enter")
    expect(screen.page.locator(".cell")).to_have_count(10)
    screen.press("z")
    screen.toast("Taken back: 40 decisions")
    expect(screen.page.locator(".cell")).to_have_count(40)
    screen.all_saved()
    assert set(said(site).values()) == {"undecided"}
    screen.press("y")
    screen.all_saved()
    assert numbers(site, "rejected") == [1]
    assert len(numbers(site, "accepted")) == 39


def test_what_was_done_again_is_not_turned_into_its_opposite(screen: Screen, site: Site) -> None:
    screen.press("Space", "ArrowRight", "Space", "Enter")
    expect(screen.page.locator(".cell")).to_have_count(10)
    screen.press("z")
    expect(screen.page.locator(".cell")).to_have_count(40)
    assert marked(screen) == [0, 1]  # as they were left
    screen.press("y")
    screen.all_saved()
    expect(screen.page.locator(".sum")).to_contain_text("0 accept · 0 reject · 40 stay")
    before = len(events(site))
    screen.press("Enter")
    screen.all_saved()
    assert len(events(site)) == before
    assert numbers(site, "rejected") == [1, 2]


def test_what_another_tab_decided_stays(screen: Screen, site: Site) -> None:
    other = another_tab(screen, "single/blurred")
    other.shows(1)
    other.press("r", "a")
    other.all_saved()
    expect(screen.page.locator(".sum")).to_contain_text("38 accept · 0 reject · 2 stay")
    screen.press("Enter")
    screen.all_saved()
    assert numbers(site, "rejected") == [1]
    assert len(numbers(site, "accepted")) == 39


def test_a_page_is_filled_though_most_of_it_was_decided_elsewhere(
    windows: Windows, open_site: Callable[..., Site]
) -> None:
    site = open_site([blurred(n, n / 1_000) for n in range(1, 131)])
    screen = enter(windows, site, place="grid/blurred")
    screen.page.get_by_role("button", name="L", exact=True).click()
    expect(screen.page.locator(".cell")).to_have_count(20)
    other = another_tab(screen, "grid/blurred")
    other.page.get_by_role("button", name="S", exact=True).click()
    expect(other.page.locator(".cell")).to_have_count(60)
    other.press("Enter")
    expect(other.page.locator(".sum")).to_contain_text("60 accept")
    other.press("Enter")
    other.all_saved()
    screen.press("Enter")
    expect(screen.page.locator(".cell")).to_have_count(10)


def test_tag_keys_tag_what_is_marked(windows: Windows, open_site: Callable[..., Site]) -> None:
    site = open_site([blurred(n, n / 100) for n in range(1, 5)], tag_keys={"m": "mirrored"})
    screen = enter(windows, site, place="grid/blurred")
    screen.press("Shift+ArrowRight", "m")
    screen.all_saved()
    assert {row.item_id for row in events(site)} == {item_id(1), item_id(2)}
    assert {row.tags for row in events(site)} == {"\nmirrored\n"}
    screen.press("z")  # one stroke
    screen.all_saved()
    assert {row.tags for row in events(site)[2:]} == {""}
    assert len(events(site)) == 4


def test_the_link_over_the_menu_leads_to_the_pictures(screen: Screen) -> None:
    screen.press("x")
    screen.page.locator(".skip-link").focus()
    screen.press("Enter")
    assert screen.page.evaluate("() => document.activeElement.id") == "view"
    expect(screen.page.locator(".sum")).to_contain_text("0 accept · 40 reject")


def test_skip_and_the_page_before(screen: Screen, site: Site) -> None:
    screen.press("s")
    expect(screen.page.locator(".cell")).to_have_count(10)
    screen.press("b")
    expect(screen.page.locator(".cell")).to_have_count(40)
    assert said(site) == {}


def test_a_second_look_touches_the_marked_alone(screen: Screen, site: Site) -> None:
    screen.press("Enter")
    screen.all_saved()
    screen.go("grid/blurred?standing=accepted")
    expect(screen.page.locator(".cell")).to_have_count(40)
    screen.press("ArrowRight", "ArrowRight", "Space")
    expect(screen.page.locator(".sum")).to_contain_text("0 accept · 1 reject · 39 stay")
    before = len(events(site))
    screen.press("Enter")
    screen.all_saved()
    assert len(events(site)) == before + 1
    assert numbers(site, "rejected") == [3]


@pytest.mark.parametrize("size", ["S", "M", "L"])
def test_all_that_is_committed_is_in_sight(screen: Screen, size: str) -> None:
    screen.page.get_by_role("button", name=size, exact=True).click()
    for width, height in ((1280, 800), (1920, 1080), (1100, 900)):
        screen.page.set_viewport_size({"width": width, "height": height})
        screen.page.wait_for_timeout(150)
        bar = screen.page.locator(".commit-bar").bounding_box()
        last = screen.page.locator(".cell").last.bounding_box()
        assert bar is not None
        assert last is not None
        assert last["y"] + last["height"] <= bar["y"]
        assert last["width"] >= 70


def test_sizes_show_more_or_fewer(screen: Screen) -> None:
    for size, count in (("L", 20), ("S", 50), ("M", 40)):
        screen.page.get_by_role("button", name=size, exact=True).click()
        expect(screen.page.locator(".cell")).to_have_count(count)


def test_one_is_opened_alone_and_back(screen: Screen) -> None:
    screen.press("ArrowRight", "ArrowRight", "e")
    screen.shows(3)
    screen.press("g")
    expect(screen.page.locator(".cell").first).to_be_visible()
    screen.page.locator(".cell").nth(1).dblclick()
    screen.ready()
    expect(screen.page.locator(".side-title h3")).to_be_visible()


def test_tags_of_all_that_are_marked(screen: Screen, site: Site) -> None:
    screen.press("Shift+ArrowRight", "t")
    screen.dialog("Tags of 2 pictures")
    screen.page.keyboard.type("logo")
    screen.press("Enter", "Escape")
    screen.no_dialog()
    screen.all_saved()
    assert {row.item_id for row in events(site)} == {item_id(1), item_id(2)}
    assert {row.tags for row in events(site)} == {"\nlogo\n"}
    assert set(said(site).values()) == {"undecided"}
