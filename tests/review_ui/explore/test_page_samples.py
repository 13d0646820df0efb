"""Samples without end in a real browser."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.review_ui.browser import Windows
from tests.review_ui.explore.conftest import Explorer, Open
from tests.review_ui.explore.pages import (
    PICTURES,
    Screen,
    enter,
    holding,
    place,
    ready,
    serving,
)

LARGEST = 2**53 - 1 - 10**6
"""Seed that is taken."""


@pytest.fixture(scope="module")
def explorer(trained_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    with serving(trained_models, tmp_path_factory.mktemp("served"), "plain", "classes") as explorer:
        yield explorer


@pytest.fixture
def screen(windows: Windows, explorer: Explorer) -> Screen:
    """Somebody at the samples of the plain run."""
    screen = enter(windows, explorer, place("grid", seed=0))
    screen.all_there()
    return screen


def first_in_sight(screen: Screen) -> int:
    found: str = screen.page.evaluate(
        "() => { const top = document.querySelector('.tiles-scroll').getBoundingClientRect().top;"
        " return [...document.querySelectorAll('.tile')]"
        ".filter((tile) => tile.getBoundingClientRect().bottom > top)"
        ".map((tile) => Number(tile.dataset.seed)).sort((a, b) => a - b)[0]; }"
    )
    return int(found)


def scroll(screen: Screen, by: int) -> None:
    screen.page.locator(".tiles-scroll").evaluate("(node, by) => node.scrollBy(0, by)", by)


def test_samples_go_on_without_end_and_the_page_stays_small(screen: Screen) -> None:
    count = screen.page.locator(".tile").count()
    for _ in range(15):
        scroll(screen, 4_000)
        screen.page.evaluate("() => new Promise(requestAnimationFrame)")
    assert first_in_sight(screen) > 2_000
    screen.all_there()
    assert screen.page.locator(".tile").count() <= 2 * count


def test_what_has_left_the_screen_is_given_up(screen: Screen) -> None:
    with holding(screen.page) as held:
        scroll(screen, 20_000)
        screen.until(lambda: held.routes)
        passed = [route.request for route in held.routes]
        scroll(screen, 40_000)
        screen.until(lambda: all(request in held.given_up for request in passed))
    screen.all_there()


def test_a_link_shows_the_same_again(windows: Windows, screen: Screen) -> None:
    screen.slide("psi", 0.4)
    scroll(screen, 2_000)
    expect(screen.page).to_have_url(re.compile(r"at=\d+.*psi=0\.4"))
    screen.all_there()
    seed = first_in_sight(screen)
    other = enter(windows, screen.explorer, f"#{screen.page.url.partition('#')[2]}")
    other.all_there()
    assert first_in_sight(other) == seed
    tile = f".tile[data-seed='{seed}'] canvas"
    assert other.sees(tile) == screen.sees(tile)


def test_psi_changes_all_pictures_and_the_old_ones_stay_meanwhile(screen: Screen) -> None:
    before = screen.sees(".tile[data-seed='3'] canvas")
    with holding(screen.page) as held:
        screen.slide("psi", 0.5, 0.3, 0.2)
        screen.until(lambda: held.routes)
        assert screen.sees(".tile[data-seed='3'] canvas") == before
    expect(screen.tile(3)).to_have_attribute("data-shown", re.compile(r"psi%22%3A0\.2"))
    assert screen.sees(".tile[data-seed='3'] canvas") != before


def test_other_places_and_what_comes_before_them(screen: Screen) -> None:
    field = screen.page.get_by_label("From seed")
    field.fill("1000")
    field.press("Enter")
    expect(screen.tile(1_000)).to_be_visible()
    expect(screen.tile(0)).to_have_count(0)
    screen.page.get_by_role("button", name="Seeds before these").click()
    expect(screen.tile(1_000)).not_to_be_in_viewport()
    assert first_in_sight(screen) < 1_000
    field.fill("12.5")
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    screen.page.get_by_role("button", name="Another place").click()
    screen.said(re.compile(r"From seed \d+"))


@pytest.mark.parametrize("seed", [LARGEST + 1, 2**53 - 2, 2**53 - 1])
def test_seeds_too_large_to_count_on_from_are_refused(
    windows: Windows, screen: Screen, seed: int
) -> None:
    field = screen.page.get_by_label("From seed")
    field.fill(str(seed))
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(screen.page.locator(".toast")).to_contain_text(f"from 0 to {LARGEST}")
    expect(screen.tile(0)).to_be_visible()
    by_link = enter(windows, screen.explorer, place("grid", seed=seed))
    by_link.all_there()
    expect(by_link.tile(0)).to_be_visible()


def test_the_largest_seed_has_others_after_it(screen: Screen) -> None:
    field = screen.page.get_by_label("From seed")
    field.fill(str(LARGEST))
    field.press("Enter")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    expect(screen.tile(LARGEST + 1)).to_be_visible()
    screen.all_there()


def test_tiles_take_no_more_room_than_they_show(screen: Screen) -> None:
    out = io.BytesIO()
    Image.new("RGB", (240, 320)).save(out, "JPEG")
    body = out.getvalue()
    screen.page.route(PICTURES, lambda route: route.fulfill(body=body, content_type="image/jpeg"))
    screen.slide("psi", 0.31)
    expect(screen.tile(3)).to_have_attribute("data-shown", re.compile(r"psi%22%3A0\.31"))
    for size in ("Small", "Large"):
        screen.page.get_by_role("button", name=size).click()
        drawn, shown = (
            screen.tile(3)
            .locator("canvas")
            .evaluate("(node) => [node.width, node.clientWidth * devicePixelRatio]")
        )
        assert min(shown, 240) <= drawn + 1 <= shown + 2


def test_links_to_the_views_stay_where_they_are(screen: Screen) -> None:
    link = screen.page.get_by_role("link", name="Samples").element_handle()
    assert link is not None
    screen.slide("psi", 0.3)
    expect(screen.page.get_by_role("link", name="Samples")).to_have_attribute(
        "href", re.compile(r"psi=0\.3")
    )
    assert link.evaluate("(node) => node.isConnected && node.ariaCurrent === 'page'")


def test_classes_where_the_model_has_some(windows: Windows, explorer: Explorer) -> None:
    screen = enter(windows, explorer, place("grid", "classes", seed=0, psi=1))
    screen.all_there()
    menu = screen.page.get_by_label("Class", exact=True)
    expect(menu.locator("option").first).to_have_text("any")
    tiles = [f".tile[data-seed='{seed}'] canvas" for seed in range(2)]
    before = [screen.sees(tile) for tile in tiles]
    seen = set()
    for index in range(2):
        menu.select_option(str(index))
        expect(screen.page).to_have_url(re.compile(f"class={index}"))
        expect(screen.tile(1)).to_have_attribute("data-shown", re.compile(f"label%22%3A{index}"))
        screen.all_there()
        seen.add(screen.sees(tiles[1]))
    assert len(seen) == 2
    menu.select_option("")
    for seed in range(2):
        expect(screen.tile(seed)).not_to_have_attribute("data-shown", re.compile("label"))
    assert [screen.sees(tile) for tile in tiles] == before


def test_keys_move_and_open_and_come_back(screen: Screen) -> None:
    screen.press("Home", "ArrowRight", "ArrowRight", "ArrowDown")
    seed = screen.page.evaluate("() => document.activeElement.closest('.tile').dataset.seed")
    assert int(seed) > 2
    screen.press("Enter")
    expect(screen.page.get_by_label("Seed", exact=True)).to_have_value(seed)
    screen.settled()
    screen.press("ArrowRight", "Escape")
    expect(screen.tile(int(seed) + 1).locator(".tile-open")).to_be_focused()


def test_runs_and_snapshots_are_chosen_and_said_in_the_address(screen: Screen) -> None:
    before = screen.sees(".tile[data-seed='0'] canvas")
    snapshots = screen.page.get_by_label("Snapshot")
    older = snapshots.locator("option").nth(1).get_attribute("value")
    assert older is not None
    snapshots.select_option(older)
    expect(screen.page).to_have_url(re.compile(f"plain/{older}"))
    expect(screen.tile(0)).to_have_attribute("data-shown", re.compile(f"/plain/{older}/"))
    assert screen.sees(".tile[data-seed='0'] canvas") != before
    screen.page.get_by_label("Run", exact=True).select_option("classes")
    expect(screen.page).to_have_url(re.compile("grid/classes/kimg"))
    expect(screen.page.get_by_label("Class", exact=True)).to_be_visible()


def test_a_snapshot_that_is_gone_is_told_with_the_way_out(
    windows: Windows, explorer: Explorer
) -> None:
    windows.expected.append("404")
    screen = enter(windows, explorer, place("grid", "plain", "kimg-000099.000"))
    expect(screen.page.locator(".empty")).to_contain_text("kimg-000099.000")
    screen.page.get_by_role("button", name="Show the newest").click()
    screen.all_there()


def test_without_a_run_it_says_how_to_train_one(windows: Windows, open_explorer: Open) -> None:
    screen = enter(windows, open_explorer(runs=()))
    expect(screen.page.locator(".empty")).to_contain_text("nonesuch train")


def test_who_is_logged_out_logs_in_and_is_back(windows: Windows, explorer: Explorer) -> None:
    windows.expected.append("401")
    screen = enter(windows, explorer, place("grid", seed=70, psi=0.5))
    screen.all_there()
    screen.page.context.clear_cookies()
    screen.press("r")
    expect(screen.page).to_have_url(re.compile("/login#/grid/plain"))
    screen.page.fill("input[name=name]", "ann")
    screen.page.get_by_role("button", name="Start").click()
    ready(screen)
    expect(screen.page.get_by_label("Run", exact=True)).to_have_value("plain")
