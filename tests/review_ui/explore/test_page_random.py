"""One picture after another, in a real browser."""

from __future__ import annotations

import re
from typing import Literal

from playwright.sync_api import expect

from tests.review_ui.browser import Windows, axe
from tests.review_ui.explore.conftest import Open
from tests.review_ui.explore.pages import PHONE, Screen, enter

SHOWN = ".explore-pane"


def another(screen: Screen, by: str) -> str:
    """Ask for another picture; give the address that it came from."""
    before = screen.page.locator(SHOWN).get_attribute("data-shown")
    screen.press(by)
    expect(screen.page.locator(SHOWN)).not_to_have_attribute("data-shown", str(before))
    return str(screen.page.locator(SHOWN).get_attribute("data-shown"))


def test_each_is_another_one_and_can_be_looked_into(windows: Windows, open_explorer: Open) -> None:
    screen = enter(windows, open_explorer(runs=("plain",)), path="random")
    expect(screen.page).to_have_title("This boots does not exist")
    first = screen.page.locator(SHOWN).get_attribute("data-shown")
    second = another(screen, " ")
    third = another(screen, " ")
    assert len({first, second, third}) == 3
    back = another(screen, "ArrowLeft")
    assert back.replace("&rush=true", "") == second.replace("&rush=true", "")
    picture = screen.sees()
    screen.page.get_by_role("link", name="Look into it").click()
    expect(screen.page).to_have_url(re.compile("/#/edit/plain/"))
    screen.settled()
    screen.page.go_back()
    expect(screen.page.locator(f"{SHOWN}[data-shown]")).to_be_visible()
    assert screen.sees() == picture


def test_before_the_first_there_is_none(windows: Windows, open_explorer: Open) -> None:
    screen = enter(windows, open_explorer(runs=("plain",)), path="random")
    screen.press("ArrowLeft")
    expect(screen.page.locator(".toast")).to_contain_text("This is the first")
    screen.press(" ", "ArrowLeft")
    screen.press("ArrowLeft")
    expect(screen.page).to_have_url(re.compile("/random#"))


def test_it_works_360_pixels_wide_and_axe_finds_nothing(
    windows: Windows, open_explorer: Open
) -> None:
    screen = enter(windows, open_explorer(runs=("plain",)), path="random", **PHONE)
    wide: int = screen.page.evaluate(
        "() => document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        screen.page.emulate_media(color_scheme=scheme)
        assert axe(screen.page) == []


def test_without_a_run_it_says_how_to_train_one(windows: Windows, open_explorer: Open) -> None:
    screen = enter(windows, open_explorer(runs=()), path="random")
    expect(screen.page.locator(".empty")).to_contain_text("nonesuch train")
