"""The loop in a browser: at a glance, over the course of a training, and started from there."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from review_ui.feed import Done, Tell
from review_ui.loop import Kind, LoopTold, Options
from tests.review_ui import loops
from tests.review_ui.browser import Windows, axe
from tests.review_ui.feeds import blurred
from tests.review_ui.pages import Screen, enter
from tests.review_ui.site import Site
from tests.review_ui.test_page_access import PHONE, overflow, too_small

Open = Callable[..., Site]
TOKEN, ADMIN = "reviewers-may-come-in", "admins-may-publish-too"


@pytest.fixture
def site(open_site: Open) -> Site:
    """A loop that has gone round."""
    site = open_site([blurred(n, n / 10) for n in range(1, 4)])
    site.pipeline.told = loops.loop()
    return site


def in_models(windows: Windows, site: Site, name: str = "ann", **how: object) -> Screen:
    return enter(windows, site, name, "models", **how)


def test_the_loop_is_seen_at_a_glance(windows: Windows, site: Site) -> None:
    screen = in_models(windows, site)
    page = screen.page
    expect(page.locator(".step .step-value")).to_have_text(
        ["30 pictures", "0 new", "Version 2", "v2-tiny", "v1-tiny"]
    )
    expect(page.locator(".step").nth(2).get_by_role("link")).to_have_attribute(
        "href", "/versions/2/report"
    )
    first, second = page.locator(".run").nth(0), page.locator(".run").nth(1)
    expect(first).to_contain_text("failed")
    expect(first).to_contain_text("losses were not finite")
    expect(first).to_contain_text("12 of 30 kimg")
    expect(second).to_contain_text("current model")
    # Its samples are a picture, its figures curves that say what they show.
    picture = second.locator(".run-grid img")
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("(image) => image.naturalWidth") > 0
    curves = second.get_by_role("img", name="from")
    expect(curves).to_have_count(3)
    expect(curves.first).to_have_attribute("aria-label", "FD-own: from 240 to 51.2 at 30 kimg")
    words = second.locator(".curve-words").first
    expect(words).to_contain_text("best 49.5 at 20 kimg")
    curves.first.hover(position={"x": 1, "y": 20})
    expect(words).to_have_text(re.compile(r"^240\s*at 0 kimg$"))
    assert axe(page) == []


def test_a_key_leads_there_and_back_and_the_list_is_as_it_was(windows: Windows, site: Site) -> None:
    screen = enter(windows, site, place="grid/blurred")
    screen.press("v")
    expect(screen.page.locator(".models .step")).to_have_count(5)
    assert screen.page.url.endswith("#/models")
    expect(screen.page.get_by_role("link", name="Models")).to_have_attribute("aria-current", "")
    screen.press("?")
    expect(screen.dialog("Keys")).to_contain_text("Enlarge the samples")
    screen.press("Escape", "v")
    expect(screen.page.locator(".grid .cell")).to_have_count(3)
    # From the history of decisions, a picture is opened as from anywhere else.
    screen.press("ArrowRight", " ", "Enter")
    screen.all_saved()
    screen.page.get_by_role("link", name="Models").click()
    screen.press("h")
    screen.dialog("History").locator(".thumb").first.click()
    expect(screen.page.locator(".side-title h3")).to_be_visible()


def test_samples_are_seen_over_the_course_of_a_training(windows: Windows, site: Site) -> None:
    screen = in_models(windows, site)
    screen.press("ArrowDown", "ArrowDown", "e")
    dialog = screen.dialog("Samples of v1-tiny")
    words = dialog.locator(".sheet-words")
    expect(words).to_have_text("Drawn at 30 kimg")
    expect(dialog.locator("img.picture")).to_be_visible()
    screen.press("ArrowLeft", "ArrowLeft")
    expect(words).to_have_text("Drawn at 10 kimg")
    screen.press("o")
    expect(words).to_have_text("Real pictures of the version")
    expect(dialog.locator("img.picture")).to_have_attribute("src", "/runs/v1-tiny/grids/reals?v=1")
    screen.press("End")
    expect(words).to_have_text("Drawn at 30 kimg")
    assert axe(screen.page) == []
    screen.press("Escape")
    screen.no_dialog()
    # The focus is where it was.
    expect(screen.page.locator(".run").nth(1)).to_be_focused()


def test_a_training_is_started_watched_and_ends_in_words(windows: Windows, site: Site) -> None:
    calls: list[tuple[Kind, Options]] = []
    go_on = threading.Event()

    def train(kind: Kind, options: Options, tell: Tell) -> Done:
        calls.append((kind, options))
        tell("training", 0, 0)
        assert go_on.wait(60)
        return Done("v2-tiny: finished at 30 of 30 kimg")

    site.pipeline.works = train
    ann, bob = in_models(windows, site), in_models(windows, site, "bob")
    ann.press("t")
    dialog = ann.dialog("Train")
    # What was begun and is not at its end goes on.
    expect(dialog).to_contain_text("v2-tiny goes on at 12 of 30 kimg")
    dialog.get_by_label("Version").select_option("1")
    expect(dialog).to_contain_text("v1-tiny is finished")
    dialog.get_by_label("Version").select_option("2")
    assert axe(ann.page) == []
    # Who is faster starts it, the other one is shown that.
    bob.press("t")
    expect(bob.dialog("Train").get_by_role("button", name="Train")).to_be_visible()
    dialog.get_by_role("button", name="Train").dblclick()
    expect(dialog.locator("progress")).to_be_visible()
    expect(bob.dialog("Train").locator("progress")).to_be_visible(timeout=15_000)
    alive = [loops.run("v2-tiny", "running", 24.0), loops.run("v1-tiny")]
    site.pipeline.told = site.pipeline.told.model_copy(update={"runs": alive})
    ann.press("Escape")
    training = ann.page.locator(".step").nth(3)
    expect(training).to_contain_text("by ann")
    expect(training).to_contain_text("1 min left")
    expect(training.locator("progress")).to_have_js_property("value", 24)
    expect(training.get_by_role("button")).to_have_count(0)
    ended = [loops.run("v2-tiny"), loops.run("v1-tiny")]
    site.pipeline.told = site.pipeline.told.model_copy(update={"runs": ended})
    go_on.set()
    expect(training).to_contain_text("v2-tiny: finished at 30 of 30 kimg")
    expect(ann.page.locator("#announcer")).to_have_text(
        "Training: v2-tiny: finished at 30 of 30 kimg"
    )
    assert calls == [("train", Options(version=2, preset="tiny"))]


def test_what_fails_or_cannot_be_says_why(windows: Windows, site: Site) -> None:
    def fail(*_: object) -> Done:
        raise RuntimeError("the catalog is in use: process 7 holds it for 'publish'")

    site.pipeline.works = fail
    site.pipeline.told = LoopTold(build=loops.build(), problems=["`train.folder` must be set"])
    screen = in_models(windows, site)
    expect(screen.page.locator(".loop-notes")).to_contain_text("`train.folder` must be set")
    screen.press("k")
    expect(screen.dialog("Rank")).to_contain_text("There is no model yet")
    screen.press("Escape", "t")
    expect(screen.dialog("Train")).to_contain_text("There is no version yet")
    screen.press("Escape", "b")
    dialog = screen.dialog("Rebuild")
    dialog.get_by_role("button", name="Rebuild").click()
    expect(dialog.get_by_role("alert")).to_contain_text("process 7 holds it")
    screen.press("Escape")
    expect(screen.page.locator(".step").first).to_contain_text("failed just now")
    expect(screen.page.locator(".loop-notes")).to_contain_text("process 7 holds it")


def test_where_nothing_is_yet_it_can_be_begun(windows: Windows, open_site: Open) -> None:
    site = open_site([])
    screen = in_models(windows, site)
    expect(screen.page.locator(".trainings")).to_contain_text("Nothing was trained yet")
    screen.press("b")
    dialog = screen.dialog("Rebuild")
    expect(dialog.get_by_role("button", name="Rebuild")).to_be_focused()
    screen.press("Enter")
    expect(dialog).to_contain_text("rebuild is done")
    # What is done once is done again by the same key only if it is asked for.
    expect(dialog.get_by_role("button", name="Rebuild")).not_to_be_focused()


def test_who_is_no_admin_looks_only(windows: Windows, open_site: Open) -> None:
    site = open_site([blurred(1, 0.1)], token=TOKEN, admin_token=ADMIN)
    site.pipeline.told = loops.loop()
    cookie = site.client("ann", TOKEN).cookie
    screen = Screen(windows.open(f"{site.address}#/models", cookie=cookie), site)
    screen.ready()
    expect(screen.page.locator(".step").get_by_role("button")).to_have_text(["Review"])
    screen.press("t")
    screen.no_dialog()


@pytest.mark.parametrize("how", [{"color_scheme": "dark"}, PHONE], ids=["dark", "360 px"])
def test_everybody_can_use_it(windows: Windows, site: Site, how: dict[str, object]) -> None:
    site.pipeline.told = site.pipeline.told.model_copy(
        update={"runs": [loops.run("v2-stylegan2-ada", "running", 3.25), loops.run("v1-tiny")]}
    )
    screen = in_models(windows, site, **how)
    # Curves are drawn when they come into sight.
    screen.page.locator(".run").first.scroll_into_view_if_needed()
    expect(screen.page.locator(".run").first.locator(".curve")).to_have_count(3)
    assert axe(screen.page) == []
    if how is PHONE:
        assert overflow(screen.page) <= 0
        assert too_small(screen.page) == []
    for key in ("t", "e"):
        screen.press(key)
        expect(screen.page.locator("dialog[open] h2").first).to_be_visible()
        assert axe(screen.page) == [], key
        assert overflow(screen.page) <= 0
        if how is PHONE:
            assert too_small(screen.page) == [], key
        screen.press("Escape")
        screen.no_dialog()
