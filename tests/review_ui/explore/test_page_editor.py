"""The editor in a real browser: one picture, and what is done to it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.review_ui.browser import Windows
from tests.review_ui.explore.conftest import Explorer, Open
from tests.review_ui.explore.pages import PICTURES, URGENT, Screen, enter, holding, place, serving
from training.latent.directions import save_set
from training.latent.sampler import Sampler
from training.latent.sefa import sefa
from training.models import load_snapshot

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


def name_of(page: Page, index: int = 0) -> str:
    """Give the name of a slider for a direction."""
    found = page.locator(".explore-directions input").nth(index).get_attribute("data-name")
    assert found is not None
    return found


def test_a_slider_gives_another_picture(screen: Screen) -> None:
    before, name = screen.sees(), name_of(screen.page)
    screen.slide(name, 1, 2, 3)
    expect(screen.page).to_have_url(re.compile("edits"))
    directions, index = name.split("/")
    edits = screen.look["look"]["edits"]
    assert edits == [{"set": directions, "index": int(index), "amount": 3}]
    assert screen.sees() != before
    screen.page.locator(f"input[data-name='{name}']").press("Delete")
    expect(screen.page).not_to_have_url(re.compile("edits"))
    screen.settled()
    assert screen.sees() == before


def test_one_picture_is_under_way_and_stale_ones_are_given_up(screen: Screen) -> None:
    before = screen.sees()
    with holding(screen.page, URGENT) as held:
        screen.slide("psi", *(n / 100 for n in range(20, 60)), let_go=False)
        screen.until(lambda: held.routes)
        assert len(held.waiting) == 1
        assert screen.sees() == before  # the old one stays
        screen.slide("psi", 0.1)
        screen.until(lambda: len(held.given_up) == 1 and len(held.routes) == 2)
        assert "psi%22%3A0.1" in held.waiting[0].request.url
    expect(screen.page).to_have_url(re.compile(r"psi%22%3A0\.1"))
    screen.settled()
    assert screen.sees() != before


def test_what_was_done_is_taken_back_and_done_again(screen: Screen) -> None:
    looks, pictures = [screen.look], [screen.sees()]
    for act in (
        lambda: screen.slide("psi", 0.8, 0.9, 1),  # one step
        lambda: screen.page.get_by_label("Noise").select_option("random"),
        lambda: screen.slide(name_of(screen.page), 2),
    ):
        with screen.changing():
            act()
        looks.append(screen.look)
        pictures.append(screen.sees())
    for n in (2, 1, 0):
        with screen.changing():
            screen.press("Control+z")
        assert (screen.look, screen.sees()) == (looks[n], pictures[n])
    expect(screen.page.get_by_role("button", name="Take back")).to_have_attribute(
        "aria-disabled", "true"
    )
    with screen.changing():
        screen.press("Control+Shift+z")
    assert (screen.look, screen.sees()) == (looks[1], pictures[1])
    with screen.changing():
        screen.press("0")
    assert screen.look == looks[0]


def test_the_start_is_seen_as_long_as_a_key_is_held_and_beside_it(screen: Screen) -> None:
    start = screen.sees()
    screen.slide("psi", 0)
    expect(screen.page).to_have_url(re.compile("psi%22%3A0%7D"))
    screen.settled()
    now = screen.sees()
    assert now != start
    compare = screen.page.get_by_role("button", name="Compare")
    screen.page.keyboard.down("c")
    expect(compare).to_have_attribute("aria-pressed", "true")
    screen.page.wait_for_function(
        "(now) => document.querySelector('.explore-pane canvas').toDataURL() !== now", arg=now
    )
    assert screen.sees() == start
    screen.page.keyboard.up("c")
    expect(compare).to_have_attribute("aria-pressed", "false")
    assert screen.sees() == now
    screen.press("b")
    expect(screen.page.locator(".explore-pane[data-shown]")).to_have_count(2)
    screen.settled()
    captions = screen.page.locator(".pane-caption")
    assert captions.all_inner_texts() == ["Start", "Now"]
    expect(screen.page).to_have_url(re.compile("beside=start"))


def test_two_snapshots_of_the_same_look(screen: Screen) -> None:
    menu = screen.page.get_by_label("Beside it")
    older = menu.locator("option").nth(2).get_attribute("value")
    assert older is not None
    menu.select_option(older)
    expect(screen.page.locator(".explore-pane[data-shown]")).to_have_count(2)
    shown = [
        screen.page.locator(".explore-pane").nth(n).get_attribute("data-shown") for n in range(2)
    ]
    looks = [str(address).partition("look=")[2].partition("&")[0] for address in shown]
    assert looks[0] == looks[1]
    assert f"/{older}/" in str(shown[0])


def test_what_is_kept_survives_a_reload(screen: Screen) -> None:
    screen.slide("psi", 0.3)
    expect(screen.page).to_have_url(re.compile(r"psi%22%3A0\.3"))
    look, picture = screen.look, screen.sees()
    screen.press("k")
    expect(screen.page.get_by_role("button", name="★ Kept")).to_be_visible()
    screen.press("Escape")
    screen.all_there()
    screen.page.reload()
    screen.all_there()
    screen.page.get_by_role("button", name="seed 5, ψ 0.3", exact=True).click()
    assert screen.look == look
    assert screen.sees() == picture
    screen.page.get_by_role("button", name="Put away: seed 5").focus()
    screen.press("Enter")
    expect(screen.page.locator("#tray")).to_be_hidden()


def test_a_link_holds_the_whole_look(windows: Windows, screen: Screen) -> None:
    look = {
        "look": {
            "seed": 9,
            "psi": 0.9,
            "cutoff": 2,
            "noise": "none",
            "mix": {"seed": 4, "first": 0, "last": 2},
            "edits": [{"set": name_of(screen.page).split("/")[0], "index": 1, "amount": -2}],
        }
    }
    other = enter(windows, screen.explorer, place("edit", look=look))
    assert other.look == look
    expect(other.page.get_by_label("Second seed")).to_have_value("4")
    expect(other.page.get_by_label("Noise")).to_have_value("none")
    expect(other.page.get_by_label("ψ acts on")).to_have_value("2")
    again = enter(windows, screen.explorer, f"#{other.page.url.partition('#')[2]}")
    assert again.look == look
    assert again.sees() == other.sees() != screen.sees()


def test_what_is_no_seed_is_told_until_another_is_shown(screen: Screen) -> None:
    field = screen.page.get_by_label("Seed", exact=True)
    field.fill("five")
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(screen.page.locator(".toast")).to_contain_text("whole number from 0 to")
    screen.page.get_by_role("button", name="Next seed").click()
    expect(field).to_have_value("6")
    expect(field).not_to_have_attribute("aria-invalid", "true")


def test_directions_that_are_found_meanwhile_come_without_a_reload(
    windows: Windows, open_explorer: Open
) -> None:
    explorer = open_explorer(runs=("plain",))
    screen = enter(windows, explorer, place("edit", look=LOOK))
    look, shown = screen.look, screen.page.locator(".explore-pane").get_attribute("data-shown")
    run = explorer.models / "plain"
    sampler = Sampler(load_snapshot(run))
    save_set(run, sefa(sampler, count=1, samples=50, name="mine"))
    come_back = "() => document.dispatchEvent(new Event('visibilitychange'))"
    screen.page.evaluate(come_back)
    sets = screen.page.get_by_label("Set of directions")
    expect(sets.locator("option[value=mine]")).to_have_count(1)
    assert screen.look == look
    expect(screen.page.locator(".explore-pane")).not_to_have_attribute("data-shown", str(shown))
    sets.select_option("mine")
    with screen.changing():
        screen.slide("mine/0", 0.5)
    assert screen.look["look"]["edits"][0]["set"] == "mine"


def test_arrows_go_to_other_seeds_and_keep_what_was_done(screen: Screen) -> None:
    screen.slide(name_of(screen.page), 2)
    expect(screen.page).to_have_url(re.compile("edits"))
    edits = screen.look["look"]["edits"]
    screen.page.locator("body").click(position={"x": 1, "y": 1})
    screen.press("ArrowRight", "ArrowRight", "ArrowLeft")
    expect(screen.page).to_have_url(re.compile("seed%22%3A6"))
    assert screen.look["look"] == {"seed": 6, "psi": 0.7, "edits": edits}


def test_the_nearest_real_pictures_and_what_that_means(screen: Screen) -> None:
    screen.press("n")
    words = screen.page.locator(".nearest-words")
    expect(words).to_contain_text("of the usual distance between real ones")
    pictures = screen.page.locator(".nearest-strip img")
    assert pictures.count() > 1
    screen.page.wait_for_function(
        "() => [...document.querySelectorAll('.nearest-strip img')]"
        ".every((image) => image.complete && image.naturalWidth > 0)"
    )
    distances = [
        float(text.split()[0])
        for text in screen.page.locator(".nearest-strip li span").all_inner_texts()
    ]
    assert distances == sorted(distances)


def test_that_the_nearest_are_not_found_is_told_aloud(screen: Screen, windows: Windows) -> None:
    windows.expected.append("500")
    screen.press("n")
    expect(screen.page.locator(".nearest-words")).to_be_visible()
    said = '{"error": "broken", "message": "no disk"}'
    screen.page.route("**/nearest/**", lambda route: route.fulfill(status=500, body=said))
    screen.press("ArrowRight")
    body = screen.page.locator(".nearest-body")
    expect(body.locator(".problem")).to_have_text("no disk")
    expect(body).to_have_css("opacity", "1")


def test_a_picture_is_taken_along_as_png(screen: Screen) -> None:
    with screen.page.expect_download() as begun:
        screen.page.get_by_role("link", name="PNG").click()
    with Image.open(io.BytesIO(begun.value.path().read_bytes())) as image:
        assert (image.format, image.size) == ("PNG", (12, 16))


def test_where_too_much_is_asked_for_it_asks_again(screen: Screen, windows: Windows) -> None:
    windows.expected.append("503")
    answers = []

    def busy(route: Route) -> None:
        answers.append(route)
        if len(answers) > 1:
            return route.continue_()
        said = '{"error": "busy", "message": "too much waits"}'
        return route.fulfill(status=503, body=said, headers={"Retry-After": "2"})

    screen.page.route(PICTURES, busy)
    screen.slide("psi", 0.1)
    expect(screen.page).to_have_url(re.compile(r"psi%22%3A0\.1"))
    screen.settled()
    assert len(answers) > 1
    expect(screen.page.locator(".pane-problem")).to_be_empty()


def test_what_cannot_be_made_is_told_where_it_happens(windows: Windows, explorer: Explorer) -> None:
    windows.expected.append("422")
    cookie = explorer.client("ann").cookie
    look = {"look": {"seed": 1, "edits": [{"set": "nowhere", "index": 0, "amount": 1}]}}
    page = windows.open(f"{explorer.address}{place('edit', look=look)}", cookie=cookie)
    expect(page.locator(".pane-problem")).to_contain_text("nowhere")
    page.get_by_role("button", name="Put all back").click()
    expect(page.locator(".explore-pane")).to_have_attribute("data-shown", re.compile("seed"))
    expect(page.locator(".pane-problem")).to_be_empty()


def test_a_link_that_was_cut_off_is_told(windows: Windows, explorer: Explorer) -> None:
    screen = enter(windows, explorer, '#/edit/plain/?look={"look":{"seed":1')
    expect(screen.page.locator(".toast")).to_contain_text("cut off")
