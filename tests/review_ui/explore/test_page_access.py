"""The explorer for everybody: small windows, fingers, the dark, readers of screens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows, axe
from tests.review_ui.explore.conftest import Explorer
from tests.review_ui.explore.pages import PHONE, Screen, enter, place, serving

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PLACES = {
    "samples": place("grid", "classes", seed=0),
    "editor": place(
        "edit",
        "classes",
        look={"look": {"seed": 3, "mix": {"seed": 4, "first": 0, "last": 1}}},
        beside="start",
    ),
    "between": place("between", "classes", look={"look": {"seed": 1}, "other": {"seed": 2}}),
    "project": place("project", "classes"),
}


@pytest.fixture(scope="module")
def explorer(trained_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    with serving(trained_models, tmp_path_factory.mktemp("served"), "plain", "classes") as explorer:
        yield explorer


def serious(screen: Screen) -> list[str]:
    """Give what axe finds, in the light and in the dark."""
    found = []
    screen.page.emulate_media(reduced_motion="reduce")
    for scheme in SCHEMES:
        screen.page.emulate_media(color_scheme=scheme)
        expect(screen.page.locator("html")).to_have_attribute("data-theme", scheme)
        found += [f"{scheme}: {problem}" for problem in axe(screen.page)]
    return found


def overflow(screen: Screen) -> int:
    """Give by how many pixels the page is wider than its window."""
    found: int = screen.page.evaluate(
        "() => Math.max(...document.querySelectorAll('html, .view, .view > *').values()"
        ".map((node) => node.scrollWidth - node.clientWidth))"
    )
    return found


@pytest.mark.parametrize("name", PLACES)
def test_axe_finds_nothing_serious_and_phones_need_not_scroll_sideways(
    windows: Windows, explorer: Explorer, name: str
) -> None:
    screen = enter(windows, explorer, PLACES[name])
    if name in ("editor", "between"):
        screen.press("k")
        expect(screen.page.locator("#tray")).to_be_visible()
    assert serious(screen) == []
    screen.page.set_viewport_size({"width": 360, "height": 740})
    screen.until(lambda: overflow(screen) <= 0)
    assert axe(screen.page) == []


@pytest.mark.parametrize("name", PLACES)
def test_everything_is_large_enough_for_a_finger(
    windows: Windows, explorer: Explorer, name: str
) -> None:
    screen = enter(windows, explorer, PLACES[name], **PHONE)
    screen.press("k")
    if name != "project":
        screen.page.get_by_role("button", name="1 picture kept").tap()
        expect(screen.page.locator(".tray-entry")).to_be_visible()
    if name == "editor":
        screen.press("n")
        expect(screen.page.locator(".nearest-words")).to_be_visible()
    assert too_small(screen) == []


def test_another_picture_is_large_enough_for_a_finger(windows: Windows, explorer: Explorer) -> None:
    screen = enter(windows, explorer, path="random", **PHONE)
    assert too_small(screen) == []


def too_small(screen: Screen) -> list[str]:
    """Give what a finger would miss."""
    found: list[str] = screen.page.evaluate(
        """() => [...document.querySelectorAll('button, .button, a, summary, select, input')]
          .filter((node) => node.checkVisibility(
            { visibilityProperty: true, opacityProperty: true }))
          .filter((node) => !node.matches('.unseen, .skip-link, [type=range]'))
          .map((node) => [node, node.getBoundingClientRect()])
          .filter(([, { width, height }]) => Math.min(width, height) < 39.5)
          .map(([node, { width, height }]) => `${node.outerHTML.slice(0, 90)} ${width}×${height}`)
        """
    )
    return found


def test_the_help_names_the_keys_of_the_view(windows: Windows, explorer: Explorer) -> None:
    screen = enter(windows, explorer, PLACES["editor"])
    screen.press("?")
    dialog = screen.page.locator("dialog[open]")
    expect(dialog).to_contain_text("Next seed")
    expect(dialog).to_contain_text("Everywhere")
    assert serious(screen) == []
    screen.press("Escape")
    expect(dialog).to_have_count(0)
    expect(screen.page.locator(".explore-edit")).to_be_visible()


def test_everything_can_be_reached_by_tab_and_is_seen_there(
    windows: Windows, explorer: Explorer
) -> None:
    screen = enter(windows, explorer, PLACES["samples"])
    seen = set()
    for _ in range(20):
        screen.press("Tab")
        name, tag, width = screen.page.evaluate(
            "() => { const node = document.activeElement; const style = getComputedStyle(node);"
            " return [node.ariaLabel || node.dataset.name || node.innerText || node.tagName,"
            " node.tagName, style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth)]; }"
        )
        seen.add(name.strip())
        assert width >= 1 or tag == "BODY", f"{name} shows no focus"
    assert {"Samples", "Run", "psi", "Class", "From seed", "Seed 0"} <= seen


def test_the_link_over_the_menu_leads_to_the_pictures(windows: Windows, explorer: Explorer) -> None:
    screen = enter(windows, explorer, PLACES["samples"])
    screen.page.locator(".skip-link").focus()
    screen.press("Enter")
    expect(screen.page.locator("#view")).to_be_focused()
    expect(screen.page.locator(".tile[data-shown]").first).to_be_visible()
