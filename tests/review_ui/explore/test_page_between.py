"""The way from one picture to another, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.explore.conftest import Explorer
from tests.review_ui.explore.pages import URGENT, Screen, enter, holding, place, serving

ENDS = {"look": {"seed": 1, "psi": 0.7}, "other": {"seed": 2, "psi": 0.7}}


@pytest.fixture(scope="module")
def explorer(trained_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    with serving(trained_models, tmp_path_factory.mktemp("served"), "plain") as explorer:
        yield explorer


@pytest.fixture
def screen(windows: Windows, explorer: Explorer) -> Screen:
    screen = enter(windows, explorer, place("between", look={**ENDS, "share": 0.5}))
    screen.settled()
    return screen


def test_the_ends_are_the_two_pictures_and_between_is_another(
    windows: Windows, screen: Screen
) -> None:
    between = screen.sees()
    seen = []
    for share in (0, 1):
        screen.slide("share", share)
        expect(screen.page).to_have_url(re.compile(f"share%22%3A{share}%7D"))
        screen.settled()
        seen.append(screen.sees())
    assert len({between, *seen}) == 3
    other = enter(windows, screen.explorer, place("between", look={**ENDS, "share": 0}))
    other.settled()
    assert other.sees() == seen[0]


def test_playing_asks_for_the_next_picture_when_the_last_has_come(screen: Screen) -> None:
    with holding(screen.page, URGENT) as held:
        screen.press(" ")
        for _ in range(4):
            screen.until(lambda: held.routes)
            assert len(held.waiting) == 1
            held.let_go()
        screen.press(" ")
        expect(screen.page.get_by_role("button", name="Play")).to_be_visible()
        assert held.most == 1
    screen.settled()
    assert 0 <= screen.look["share"] <= 1


def test_a_picture_that_fails_stops_playing_and_it_begins_anew(
    windows: Windows, screen: Screen
) -> None:
    windows.expected.append("500")
    said = '{"error": "broken", "message": "no memory"}'
    screen.page.route(URGENT, lambda route: route.fulfill(status=500, body=said), times=1)
    screen.press(" ")
    expect(screen.page.locator(".pane-problem")).to_contain_text("no memory")
    expect(screen.page.get_by_role("button", name="Play")).to_be_visible()
    shown = screen.page.locator(".explore-pane").get_attribute("data-shown")
    screen.press(" ")
    expect(screen.page.locator(".explore-pane")).not_to_have_attribute("data-shown", str(shown))
    expect(screen.page.locator(".pane-problem")).to_be_empty()


def test_space_plays_while_a_slider_has_the_focus(screen: Screen) -> None:
    screen.page.locator("input[data-name=share]").focus()
    screen.press(" ")
    expect(screen.page.get_by_role("button", name="Stop")).to_be_visible()
    screen.press(" ")
    expect(screen.page.get_by_role("button", name="Play")).to_be_visible()


def test_what_was_kept_of_another_snapshot_is_said_to_be(windows: Windows, screen: Screen) -> None:
    menu = screen.page.get_by_label("Snapshot")
    older = menu.locator("option").nth(1).get_attribute("value")
    newest = menu.input_value()
    assert older is not None
    edit = place("edit", snapshot=older, look={"look": {"seed": 30}})
    screen.page.evaluate("(to) => { location.hash = to; }", edit)
    expect(screen.page.get_by_label("Seed", exact=True)).to_have_value("30")
    screen.settled()
    screen.press("k")
    screen.page.evaluate("(to) => { location.hash = to; }", place("between", snapshot=newest))
    screen.settled()
    ends = screen.page.locator(".way-slot h3")
    expect(ends).to_have_count(2)
    assert not any("seed 30" in text for text in ends.all_inner_texts())
    screen.page.get_by_role("button", name=f"seed 30, ψ 1, of {older}", exact=True).click()
    expect(screen.page.locator(".toast")).to_contain_text("another snapshot")
    expect(ends.last).to_have_text("Second: seed 30")


def test_what_was_kept_becomes_an_end(screen: Screen) -> None:
    for seed in (30, 40):
        screen.page.evaluate(
            "(to) => { location.hash = to; }", place("edit", look={"look": {"seed": seed}})
        )
        expect(screen.page.get_by_label("Seed", exact=True)).to_have_value(str(seed))
        screen.settled()
        screen.press("k")
    screen.press("i")
    expect(screen.page.locator(".way-slot h3").first).to_have_text("First: seed 40")
    expect(screen.page.locator(".way-slot h3").last).to_have_text("Second: seed 30")
    screen.page.locator(".way-end").first.click()
    screen.page.get_by_role("button", name="seed 30, ψ 1", exact=True).click()
    screen.page.get_by_role("button", name="seed 40, ψ 1", exact=True).click()
    expect(screen.page).to_have_url(re.compile("seed%22%3A30%7D.*seed%22%3A40%7D"))
    screen.settled()
    screen.press("s")
    expect(screen.page).to_have_url(re.compile("seed%22%3A40%7D.*seed%22%3A30%7D"))
