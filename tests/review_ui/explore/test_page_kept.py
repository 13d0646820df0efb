"""What somebody keeps, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.explore.conftest import Explorer
from tests.review_ui.explore.pages import Screen, enter, place, serving

STORE = "nonesuch:kept:boots"


@pytest.fixture(scope="module")
def explorer(trained_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    with serving(trained_models, tmp_path_factory.mktemp("served"), "plain") as explorer:
        yield explorer


@pytest.fixture
def screen(windows: Windows, explorer: Explorer) -> Screen:
    """Somebody at the samples."""
    screen = enter(windows, explorer, place("grid", seed=0))
    screen.all_there()
    return screen


def keep(screen: Screen, seed: int) -> None:
    """Keep a picture, or put it away."""
    screen.tile(seed).hover()
    screen.tile(seed).locator(".tile-keep").click()


def seeds(screen: Screen) -> list[int]:
    """Give the seeds that are kept, the last one first."""
    text: str = screen.page.evaluate("(name) => localStorage.getItem(name)", STORE)
    return [json.loads(one["what"])["look"]["seed"] for one in json.loads(text)]


def test_what_is_taken_back_is_added_to_what_was_kept_since(screen: Screen) -> None:
    for seed in (1, 2):
        keep(screen, seed)
    screen.page.get_by_role("button", name="Put all away").click()
    assert seeds(screen) == []
    keep(screen, 3)
    screen.page.get_by_role("button", name="Take back").click()
    expect(screen.page.locator(".tray-entry")).to_have_count(3)
    assert seeds(screen) == [3, 2, 1]


def test_what_another_window_kept_is_not_lost(screen: Screen) -> None:
    other = screen.page.context.new_page()
    other.goto(screen.page.url)
    second = Screen(other, screen.explorer)
    second.all_there()
    keep(screen, 1)
    expect(other.locator(".tray-entry")).to_have_count(1)
    keep(second, 2)
    expect(screen.page.locator(".tray-entry")).to_have_count(2)
    assert seeds(screen) == [2, 1]


def test_the_oldest_of_the_run_alone_is_let_go_of_and_that_is_said(screen: Screen) -> None:
    snapshot = screen.page.get_by_label("Snapshot").input_value()
    mine = [
        {"run": "plain", "snapshot": snapshot, "what": json.dumps({"look": {"seed": seed}})}
        for seed in range(160, 100, -1)
    ]
    others = [{**mine[0], "run": "gone", "what": json.dumps({"look": {"seed": 7}})}]
    screen.page.evaluate(
        "([name, all]) => localStorage.setItem(name, JSON.stringify(all))", [STORE, mine + others]
    )
    keep(screen, 1)
    expect(screen.page.locator(".toast")).to_contain_text("At most 60")
    assert seeds(screen) == [1, *range(160, 101, -1), 7]
