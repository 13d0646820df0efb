"""Style mixing in the editor, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.explore.conftest import Explorer
from tests.review_ui.explore.pages import Screen, enter, place, serving

LOOK = {"look": {"seed": 5, "psi": 0.7}}


@pytest.fixture(scope="module")
def explorer(trained_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    with serving(trained_models, tmp_path_factory.mktemp("served"), "plain") as explorer:
        yield explorer


@pytest.fixture
def screen(windows: Windows, explorer: Explorer) -> Screen:
    """Somebody who edits seed 5."""
    screen = enter(windows, explorer, place("edit", look=LOOK))
    screen.settled()
    return screen


def test_styles_of_a_second_seed(screen: Screen) -> None:
    before = screen.sees()
    field = screen.page.get_by_label("Second seed")
    field.fill("8")
    field.press("Enter")
    expect(screen.page).to_have_url(re.compile("mix"))
    mix = screen.look["look"]["mix"]
    assert (mix["seed"], mix["first"]) == (8, 0)
    assert screen.sees() != before
    screen.page.get_by_label("Its layers").select_option("own")
    screen.page.get_by_label("To", exact=True).select_option("0")
    expect(screen.page).to_have_url(re.compile("last%22%3A1"))
    screen.page.get_by_role("button", name="Off").click()
    expect(screen.page).not_to_have_url(re.compile("mix"))
    screen.settled()
    assert screen.sees() == before


def test_an_own_range_is_chosen_before_the_second_seed(screen: Screen) -> None:
    screen.page.get_by_label("Its layers").select_option("own")
    screen.page.get_by_label("From", exact=True).select_option("3")
    screen.page.get_by_label("To", exact=True).select_option("1")
    field = screen.page.get_by_label("Second seed")
    field.fill("8")
    field.press("Enter")
    expect(screen.page).to_have_url(re.compile("mix"))
    assert screen.look["look"]["mix"] == {"seed": 8, "first": 1, "last": 4}
    expect(screen.page.get_by_label("Its layers")).to_have_value("own")


def test_kept_pictures_lend_their_seed_to_style_mixing(screen: Screen) -> None:
    screen.press("k", "ArrowRight")
    expect(screen.page).to_have_url(re.compile("seed%22%3A6"))
    menu = screen.page.get_by_label("Kept picture", exact=True)
    expect(menu.locator("option")).to_have_text(["choose one…", "seed 5"])
    menu.select_option("5")
    expect(screen.page.get_by_label("Second seed")).to_have_value("5")
