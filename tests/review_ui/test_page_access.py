"""The page for everybody: small windows, fingers, the dark, readers of screens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.review_ui.browser import Windows, axe
from tests.review_ui.feeds import Item, blurred, copy_of, item_id
from tests.review_ui.pages import Screen, enter, holds
from tests.review_ui.site import Site

PLACES = ("single/blurred", "grid/blurred", "clusters/near_duplicate", "single/all")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """Blurred pictures and copies."""
    return open_site(
        [
            *(
                blurred(n, n / 100, title=f"A shoe, number {n}", tags=["worn"])
                for n in range(1, 31)
            ),
            Item("a0", columns={"duplicate": item_id("a0")}),
            copy_of("a1", "a0"),
        ]
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing_serious_in_any_view(
    windows: Windows, site: Site, place: str, scheme: str
) -> None:
    screen = enter(windows, site, place=place, color_scheme=scheme)
    screen.page.wait_for_timeout(700)
    assert axe(screen.page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_dialog(windows: Windows, site: Site, scheme: str) -> None:
    screen = enter(windows, site, color_scheme=scheme)
    screen.press("a", "r")
    screen.all_saved()
    for key in ("?", "h", "i", "f", "t", "n"):
        screen.press(key)
        expect(screen.page.locator("dialog[open] h2").first).to_be_visible()
        screen.page.wait_for_timeout(400)
        assert axe(screen.page) == [], key
        screen.press("Escape")
        screen.no_dialog()
    for entry in ("Statistics", "Download and import", "Publish…"):
        screen.page.click(".menu summary")
        screen.page.get_by_text(entry).click()
        expect(screen.page.locator("dialog[open] h2").first).to_be_visible()
        screen.page.wait_for_timeout(400)
        assert axe(screen.page) == [], entry
        screen.press("Escape")
        screen.no_dialog()


@pytest.mark.parametrize("path", ["login", "api"])
def test_axe_finds_nothing_serious_on_other_pages(windows: Windows, site: Site, path: str) -> None:
    page = windows.open(f"{site.address}{path}")
    expect(page.locator("h1").first).to_be_visible()
    assert axe(page) == []


def overflow(page: Page) -> int:
    """Give by how many pixels the page is wider than its window."""
    found: int = page.evaluate(
        "() => document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    )
    return found


@pytest.mark.parametrize("place", PLACES)
def test_it_works_360_pixels_wide(windows: Windows, site: Site, place: str) -> None:
    screen = enter(windows, site, place=place, **PHONE)
    screen.page.wait_for_timeout(300)
    assert overflow(screen.page) <= 0
    assert axe(screen.page) == []
    screen.page.get_by_role("button", name="Queues").tap()
    link = screen.page.locator(".rail a", has_text="Blurred")
    expect(link).to_be_visible()
    link.tap()
    screen.ready()
    if place.startswith("grid"):
        screen.page.get_by_role("button", name="One").tap()
        screen.ready()
    for name in ("accept", "reject"):
        box = screen.page.locator(f".act-{name}").bounding_box()
        assert box is not None
        assert box["height"] >= 40  # a thumb
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_dialogs_fit_360_pixels(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, **PHONE)
    for key in ("?", "h", "i", "f", "t"):
        screen.press(key)
        box = screen.page.locator("dialog[open]").bounding_box()
        assert box is not None
        assert box["width"] <= 360
        assert box["x"] >= 0
        screen.press("Escape")
        screen.no_dialog()
        assert overflow(screen.page) <= 0


def swipe(screen: Screen, by: int) -> None:
    """Push the picture aside with one finger."""
    box = screen.page.locator(".frame").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = screen.page.context.new_cdp_session(screen.page)

    def touch(kind: str, points: list[dict[str, float]]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", [{"x": x, "y": y}])
    for step in range(1, 9):
        touch("touchMove", [{"x": x + by * step / 8, "y": y}])
    touch("touchEnd", [])


def test_a_finger_accepts_and_rejects(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, **PHONE)
    title = screen.page.locator(".side-title h3")
    expect(title).to_have_text("A shoe, number 1")
    swipe(screen, 150)
    expect(title).to_have_text("A shoe, number 2")
    swipe(screen, -150)
    expect(title).to_have_text("A shoe, number 3")
    swipe(screen, 30)  # not far enough
    screen.page.wait_for_timeout(200)
    expect(title).to_have_text("A shoe, number 3")
    screen.page.locator(".act-accept").tap()
    expect(title).to_have_text("A shoe, number 4")
    screen.page.wait_for_timeout(500)
    assert holds(site, x1="accepted", x2="rejected", x3="accepted")


def test_taps_mark_in_the_grid(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, place="grid/blurred", **PHONE)
    screen.page.locator(".cell").nth(1).tap()
    expect(screen.page.locator(".sum")).to_contain_text("29 accept · 1 reject")
    screen.page.get_by_role("button", name="Commit").tap()
    expect(screen.page.locator(".empty h2")).to_be_visible()


def test_dark_and_light_by_the_system_and_by_choice(windows: Windows, site: Site) -> None:
    def ground(screen: Screen) -> int:
        colour: str = screen.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        if colour == "rgba(0, 0, 0, 0)":
            colour = screen.page.evaluate(
                "() => getComputedStyle(document.documentElement).backgroundColor"
            )
        return sum(int(part) for part in colour[4:-1].split(",")[:3])

    dark = enter(windows, site, "ann", color_scheme="dark")
    light = enter(windows, site, "bob", color_scheme="light")
    assert ground(dark) < 200 < 600 < ground(light)
    dark.page.click(".menu summary")
    dark.page.get_by_text("Dark or light").click()
    assert ground(dark) > 600
    dark.page.reload()
    dark.ready()
    assert ground(dark) > 600


def test_everything_can_be_reached_by_tab_and_is_seen_there(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    seen = set()
    for _ in range(45):
        screen.press("Tab")
        name, width = screen.page.evaluate(
            "() => { const node = document.activeElement; const style = getComputedStyle(node);"
            " return [node.innerText || node.ariaLabel || node.tagName,"
            " parseFloat(style.outlineWidth)]; }"
        )
        seen.add(name.split("\n")[0].strip())
        assert width >= 1 or name == "BODY", f"{name} shows no focus"
    assert any(name.startswith("Accept") for name in seen)
    assert any(name.startswith("Blurred") for name in seen)


def test_decisions_are_said_to_readers_of_screens(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    announcer = screen.page.locator("[role=status]").first
    screen.press("r")
    expect(announcer).to_contain_text("rejected")
    picture = screen.page.locator(".frame img").first
    expect(picture).to_have_attribute("alt", "A shoe, number 2 – to do")


def test_less_motion_where_that_is_wanted(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, reduced_motion="reduce")
    longest = screen.page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('*')].map((node) =>"
        " parseFloat(getComputedStyle(node).transitionDuration) || 0))"
    )
    assert longest <= 0.01
