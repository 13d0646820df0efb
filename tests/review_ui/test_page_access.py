"""The page for everybody: small windows, fingers, the dark, readers of screens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from review_ui.feed import Done, Tell
from review_ui.loop import Kind, Options
from tests.review_ui.browser import Windows, axe
from tests.review_ui.feeds import Item, blurred, copy_of, item_id
from tests.review_ui.pages import Screen, enter, holds, said
from tests.review_ui.site import Site

PLACES = ("single/blurred", "grid/blurred", "clusters/near_duplicate", "single/all")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FADES_MS = 300  # longer than anything on the page takes to rise
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


def serious(screen: Screen) -> list[str]:
    """Give what axe finds of what is shown, in the light and in the dark."""
    screen.page.wait_for_timeout(FADES_MS)
    found = []
    for scheme in SCHEMES:
        screen.page.emulate_media(color_scheme=scheme)
        expect(screen.page.locator("html")).to_have_attribute("data-theme", scheme)
        found += [f"{scheme}: {problem}" for problem in axe(screen.page)]
    return found


def luminance(screen: Screen) -> int:
    """Give how light the ground of the page is, up to 765."""
    colour: str = screen.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    if colour == "rgba(0, 0, 0, 0)":
        colour = screen.page.evaluate(
            "() => getComputedStyle(document.documentElement).backgroundColor"
        )
    return sum(int(part) for part in colour[4:-1].split(",")[:3])


@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing_serious_in_any_view(windows: Windows, site: Site, place: str) -> None:
    screen = enter(windows, site, place=place)
    screen.page.wait_for_timeout(300)  # pictures come
    assert serious(screen) == []


def test_axe_finds_nothing_serious_in_any_dialog(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a", "r")
    screen.all_saved()
    for key in ("?", "h", "i", "f", "t", "n"):
        screen.press(key)
        expect(screen.page.locator("dialog[open] h2").first).to_be_visible()
        assert serious(screen) == [], key
        screen.press("Escape")
        screen.no_dialog()
    for entry in ("Statistics", "Download and import", "Publish…"):
        screen.page.click(".menu summary")
        screen.page.get_by_text(entry).click()
        expect(screen.page.locator("dialog[open] h2").first).to_be_visible()
        assert serious(screen) == [], entry
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
    # What was there before may still be seen for a moment.
    expect(screen.page.locator(".toolbar-title h2")).to_have_text("Blurred")
    if place.startswith("grid"):
        screen.page.get_by_role("button", name="One").tap()
    expect(screen.page.locator(".side-title h3")).to_have_text("A shoe, number 1")
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


# Controls that a finger must hit, where they are shown.
TOUCHED = (
    "button, .button, summary, .queue, .menu-entry, .options li, .check,"
    " input:not([type=checkbox]), select"
)


def too_small(page: Page) -> list[str]:
    """Give the controls that are in sight and below 40 pixels."""
    found: list[str] = page.evaluate(
        """(touched) => [...document.querySelectorAll(touched)]
          .filter((node) => node.checkVisibility({ visibilityProperty: true }))
          .map((node) => [node, node.getBoundingClientRect()])
          .filter(([, { width, height }]) => Math.min(width, height) < 40)
          .map(([node, { width, height }]) => `${node.outerHTML.slice(0, 80)} ${width} × ${height}`)
        """,
        TOUCHED,
    )
    return found


@pytest.mark.parametrize("place", PLACES)
def test_everything_is_large_enough_for_a_finger(windows: Windows, site: Site, place: str) -> None:
    screen = enter(windows, site, place=place, **PHONE)
    screen.page.wait_for_timeout(700)
    assert too_small(screen.page) == []
    screen.page.get_by_role("button", name="Queues").tap()
    assert too_small(screen.page) == []
    screen.page.get_by_role("button", name="Close the list").tap()
    for key in ("h", "t"):
        screen.press(key)
        expect(screen.page.locator("dialog[open] h2").first).to_be_visible()
        screen.page.keyboard.type("worn")
        screen.press("Enter")
        assert too_small(screen.page) == [], key
        screen.press("Escape")
        screen.no_dialog()


def test_reasons_are_apart_for_a_finger(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, **PHONE)
    screen.page.locator(".reason").first.scroll_into_view_if_needed()
    first, second = (box(screen.page.locator(".reason").nth(n)) for n in range(2))
    right, below = first["x"] + first["width"] + 8, first["y"] + first["height"] + 8
    assert second["x"] >= right or second["y"] >= below


def box(node: Locator) -> FloatRect:
    """Give where something is."""
    found = node.bounding_box()
    assert found is not None
    return found


def test_a_tap_beside_the_list_of_queues_closes_it(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, **PHONE)
    screen.page.get_by_role("button", name="Queues").tap()
    expect(screen.page.locator(".rail")).to_be_visible()
    screen.page.touchscreen.tap(345, 400)
    expect(screen.page.locator(".rail")).not_to_be_visible()
    expect(screen.page.locator(".side-title h3")).to_have_text("A shoe, number 1")


def refresh(screen: Screen) -> None:
    """Ask for the queues anew, as the page does by itself every few seconds."""
    screen.page.evaluate("async () => (await import('/static/main.js')).app.refreshQueues()")


def test_the_focus_stays_where_it_is_in_the_list_of_queues(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, viewport={"width": 700, "height": 700})
    screen.page.get_by_role("button", name="Queues").click()
    summary = screen.page.locator(".rail summary")
    for node in (screen.page.locator(".rail-close"), summary, screen.page.locator(".queue").first):
        node.focus()
        refresh(screen)
        expect(node).to_be_focused()


def test_the_focus_comes_back_from_dialogs(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    menu = screen.page.locator(".menu summary")
    menu.focus()
    screen.press("Enter", "Tab", "Tab", "Enter")
    screen.dialog("Statistics")
    screen.press("Escape")
    expect(menu).to_be_focused()
    edit = screen.page.locator(".facts [data-name=tags]")
    edit.focus()
    screen.press("Enter")
    screen.dialog("Tags")
    screen.page.keyboard.type("arrows")
    screen.press("Enter", "Escape")
    screen.no_dialog()
    expect(screen.page.locator(".facts .tag", has_text="arrows")).to_be_visible()
    expect(edit).to_be_focused()


def test_buttons_say_whether_something_can_be_taken_back(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    undo, redo = (screen.page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    expect(undo).to_have_attribute("aria-disabled", "true")
    screen.press("a")
    expect(undo).to_have_attribute("aria-disabled", "false")
    expect(redo).to_have_attribute("aria-disabled", "true")
    undo.click()
    expect(undo).to_have_attribute("aria-disabled", "true")
    expect(redo).to_have_attribute("aria-disabled", "false")
    redo.click()
    screen.all_saved()
    assert holds(site, x1="accepted")


def test_of_publishing_only_the_stages_are_said(windows: Windows, site: Site) -> None:
    def slowly(_kind: Kind, _options: Options, tell: Tell) -> Done:
        for stage in ("images", "shards"):
            for done in range(3):
                tell(stage, done, 3)
                time.sleep(0.8)
        return Done("Version 1: 3 items in 1 shard", version=1, items=3, shards=1)

    site.pipeline.works = slowly
    screen = enter(windows, site)
    screen.page.click(".menu summary")
    screen.page.get_by_text("Publish…").click()
    dialog = screen.dialog("Publish")
    dialog.locator("[role=status]").evaluate(
        "(node) => { window.heard = []; new MutationObserver(() =>"
        " window.heard.push(node.textContent)).observe(node, { childList: true }); }"
    )
    dialog.get_by_role("button", name="Publish").click()
    expect(dialog.locator("progress")).to_be_visible()
    assert dialog.locator("[aria-live] progress, [role=status] progress").count() == 0
    expect(dialog.get_by_text("Version 1", exact=True)).to_be_visible(timeout=15_000)
    heard = screen.page.evaluate("() => window.heard")
    assert heard == ["Publishing: images", "Publishing: shards", "Version 1: 3 items in 1 shard"]


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
    # What was not in sight is shown before it is decided.
    commit = screen.page.locator(".commit")
    while "Show the rest" in commit.inner_text():
        assert said(site) == {}
        commit.tap()
        screen.page.wait_for_timeout(100)
    assert screen.page.locator(".cell").last.bounding_box()["y"] < 740  # type: ignore[index]
    commit.tap()
    expect(screen.page.locator(".empty h2")).to_be_visible()
    screen.page.wait_for_timeout(300)
    assert len(said(site)) == 30


def test_dark_and_light_by_the_system_and_by_choice(windows: Windows, site: Site) -> None:
    dark = enter(windows, site, "ann", color_scheme="dark")
    light = enter(windows, site, "bob", color_scheme="light")
    assert luminance(dark) < 200 < 600 < luminance(light)
    dark.page.click(".menu summary")
    dark.page.get_by_text("Dark or light").click()
    assert luminance(dark) > 600
    dark.page.reload()
    dark.ready()
    assert luminance(dark) > 600


def test_everything_can_be_reached_by_tab_and_is_seen_there(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    seen = set()
    for _ in range(45):
        screen.press("Tab")
        name, tag, width = screen.page.evaluate(
            "() => { const node = document.activeElement; const style = getComputedStyle(node);"
            " return [node.innerText || node.ariaLabel || node.tagName, node.tagName,"
            " style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth)]; }"
        )
        seen.add(name.split("\n")[0].strip())
        assert width >= 1 or tag == "BODY", f"{name} shows no focus"
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
