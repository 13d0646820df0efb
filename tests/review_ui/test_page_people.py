"""Several people, a network that goes away, a server that refuses: nothing is lost."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import expect

from review_ui.store import database as store
from tests.review_ui.browser import Windows, axe
from tests.review_ui.feeds import blurred, item_id
from tests.review_ui.pages import enter, events, holds, log_in, said
from tests.review_ui.site import Site

Open = Callable[..., Site]
ADMIN = "admins-may-publish-too"
TOKEN = "reviewers-may-come-in"


@pytest.fixture
def site(open_site: Open) -> Site:
    """Thirty blurred pictures; the lower the number, the worse."""
    return open_site([blurred(n, n / 100) for n in range(1, 31)])


def test_two_do_not_see_the_same_pictures(windows: Windows, open_site: Open) -> None:
    site = open_site([blurred(n, n / 1_000) for n in range(1, 200)])
    enter(windows, site, "ann").shows(1)
    second = enter(windows, site, "bob")
    number = int(second.page.locator(".side-title h3").inner_text().removesuffix(".jpg"))
    assert number > 24


def test_what_is_left_comes_back_when_a_window_closes(windows: Windows, site: Site) -> None:
    first = enter(windows, site, "ann")
    first.press("a")
    first.all_saved()
    first.page.goto("about:blank")
    second = enter(windows, site, "bob")
    second.shows(2)


def test_of_two_on_one_item_one_wins_and_the_other_sees_it(windows: Windows, site: Site) -> None:
    place = f"single/blurred?item={item_id(7)}"
    ann, bob = enter(windows, site, "ann", place), enter(windows, site, "bob", place)
    ann.shows(7)
    bob.shows(7)
    ann.press("a")
    ann.all_saved()
    bob.press("r")
    message = bob.toast("Theirs holds")
    expect(message).to_contain_text("ann: accepted")
    bob.all_saved()
    assert holds(site, x7="accepted")
    message.get_by_role("button", name="Use mine").click()
    bob.all_saved()
    bob.page.wait_for_timeout(300)
    assert holds(site, x7="rejected")
    assert [row.reviewer for row in events(site)] == ["ann", "bob"]


def test_several_conflicts_are_shown_and_resolved_one_by_one(windows: Windows, site: Site) -> None:
    bob = enter(windows, site, "bob", "grid/blurred")
    bob.page.get_by_role("button", name="L", exact=True).click()
    expect(bob.page.locator(".cell")).to_have_count(20)
    ann = site.client("ann")
    sent = [
        {"uuid": str(UUID(int=n)), "item": item_id(n), "verdict": "accepted"} for n in (1, 2, 3)
    ]
    assert ann.post("/api/decisions", {"decisions": sent}).status == 200
    bob.press("x", "Enter")
    bob.toast("3 decisions of yours").get_by_role("button", name="Look at them").click()
    dialog = bob.dialog("Decided by others before you")
    entry = dialog.locator(".conflicts li")
    expect(entry).to_have_count(3)
    expect(entry.first).to_contain_text("1.jpg ann: accepted")
    entry.first.get_by_role("button", name="Use mine").click()
    expect(entry).to_have_count(2)
    assert axe(bob.page) == []
    dialog.get_by_role("button", name="Keep all of theirs").click()
    bob.no_dialog()
    expect(bob.page.locator(".toast[data-key=conflicts]")).to_have_count(0)
    bob.all_saved()
    assert said(site)[item_id(1)] == "rejected"
    assert {said(site)[item_id(n)] for n in (2, 3)} == {"accepted"}


def test_what_others_changed_since_is_not_undone(windows: Windows, site: Site) -> None:
    place = f"single/blurred?item={item_id(7)}"
    ann = enter(windows, site, "ann", place)
    ann.press("a")
    ann.all_saved()
    bob = enter(windows, site, "bob", place)
    bob.shows(7)
    bob.press("r")
    bob.all_saved()
    ann.press("z")
    ann.toast(re.compile("Theirs holds|somebody else decided since"))
    ann.all_saved()
    assert holds(site, x7="rejected")


def test_offline_everything_is_kept_and_arrives_once(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a")
    screen.all_saved()
    screen.page.wait_for_timeout(800)  # what comes next is loaded
    with windows.offline(screen.page):
        screen.press("r", "r", "a", "z", "a")
        screen.unsaved(5)
        banner = screen.page.locator("#banner")
        expect(banner).to_contain_text("cannot be reached")
        expect(banner).to_contain_text("kept here")
        assert holds(site, x1="accepted")
    screen.all_saved()
    expect(banner).to_be_empty()
    assert holds(site, x1="accepted", x2="rejected", x3="rejected", x4="accepted")
    assert len(events(site)) == 6
    assert len({row.uuid for row in events(site)}) == 6


def test_what_was_not_sent_survives_the_window(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.page.wait_for_timeout(800)
    windows.expected += ["503", "ERR_FAILED"]
    screen.page.route("**/api/decisions", lambda route: route.abort())
    screen.press("a", "r")
    screen.unsaved(2)
    expect(screen.page.locator("#banner")).not_to_be_empty()
    another = screen.page.context.new_page()
    screen.page.close()
    another.goto(f"{site.address}#/single/blurred")
    expect(another.locator(".unsent")).to_have_text("All saved")
    expect(another.locator(".frame img.picture").first).to_be_visible()
    another.wait_for_timeout(500)
    assert holds(site, x1="accepted", x2="rejected")


def test_a_browser_that_takes_its_database_away_loses_nothing(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a")
    screen.all_saved()
    screen.page.wait_for_timeout(800)
    with windows.offline(screen.page):
        screen.press("r")
        screen.unsaved(1)
        screen.page.evaluate("() => { IDBDatabase.prototype.transaction = () => { throw 1; }; }")
        screen.press("a")
        screen.unsaved(2)
        expect(screen.page.locator("#banner")).to_contain_text("cannot be reached")
    screen.all_saved()
    assert holds(site, x1="accepted", x2="rejected", x3="accepted")


def test_an_error_that_is_not_of_the_decision_keeps_it(windows: Windows, site: Site) -> None:
    windows.expected.append("400")
    screen = enter(windows, site)
    refusal = {"error": "host_refused", "message": "the page is not known as shoes"}
    screen.page.route("**/api/decisions", lambda route: route.fulfill(status=400, json=refusal))
    screen.press("a")
    expect(screen.page.locator("#banner")).to_contain_text("not known as shoes")
    screen.unsaved(1)
    screen.page.unroute("**/api/decisions")
    screen.page.get_by_role("button", name="Try now").click()
    screen.all_saved()
    assert holds(site, x1="accepted")


def test_a_decision_that_cannot_be_taken_is_named(windows: Windows, site: Site) -> None:
    windows.expected.append("422")
    screen = enter(windows, site)
    refusal = {"error": "wrong_input", "message": "`decisions.0.note`: no such text"}
    screen.page.route("**/api/decisions", lambda route: route.fulfill(status=422, json=refusal))
    screen.press("a", "r")
    screen.toast("2 decisions were refused (`decisions.0.note`: no such text): 1.jpg, 2.jpg")
    screen.all_saved()
    screen.page.unroute("**/api/decisions")
    screen.press("z")
    screen.toast("Nothing to undo")
    assert said(site) == {}


def test_who_logs_out_leaves_the_rest_to_others_and_hears_of_what_is_unsaved(
    windows: Windows, site: Site
) -> None:
    windows.expected.append("ERR_FAILED")
    ann = enter(windows, site, "ann")
    ann.page.route("**/api/decisions", lambda route: route.abort())
    ann.press("a")
    ann.unsaved(1)
    # What gives back the rest is on its way for long, and arrives before the end of the session.
    ann.page.route("**/api/leases", lambda route: (time.sleep(0.5), route.continue_()))
    ann.page.click(".menu summary")
    ann.page.get_by_text("Log out").click()
    question = ann.dialog("Log out")
    expect(question).to_contain_text("1 decision of yours")
    question.get_by_role("button", name="Log out all the same").click()
    expect(ann.page.locator("input[name=name]")).to_be_visible()
    bob = enter(windows, site, "bob")
    bob.shows(2)
    # Who logs in again sends what was kept.
    ann.page.unroute("**/api/decisions")
    log_in(ann.page, "ann")
    ann.ready()
    ann.all_saved()
    assert holds(site, x1="accepted")


def test_an_answer_that_got_lost_doubles_nothing(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    windows.expected.append("ERR_FAILED")
    lost: list[int] = []

    def lose(route: object) -> None:
        # The server has taken it; the answer never comes back.
        if not lost:
            route.fetch()  # type: ignore[attr-defined]
            lost.append(1)
            route.abort()  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    screen.page.route("**/api/decisions", lose)
    screen.press("r")
    screen.all_saved()
    expect(screen.page.locator(".toast[data-kind=bad]")).to_have_count(0)
    assert holds(site, x1="rejected")
    assert len(events(site)) == 1


def test_a_locked_store_is_said_and_nothing_is_lost(
    windows: Windows, open_site: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_BUSY_MS", 100)
    site = open_site([blurred(n, n / 100) for n in range(1, 31)])
    screen = enter(windows, site)
    screen.page.wait_for_timeout(800)
    windows.expected.append("503")
    assert site.desk.database.path is not None
    with closing(sqlite3.connect(site.desk.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        screen.press("a", "r")
        expect(screen.page.locator("#banner")).to_contain_text("locked by another program")
        screen.unsaved(2)
        other.execute("ROLLBACK")
    screen.all_saved()
    assert holds(site, x1="accepted", x2="rejected")


def test_a_full_disk_is_said_and_nothing_is_lost(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    windows.expected.append("507")
    engine = site.desk.database.engine

    def limit(plain: sqlite3.Connection, *_: object) -> None:
        pages = plain.execute("PRAGMA page_count").fetchone()[0]
        plain.execute(f"PRAGMA max_page_count = {pages}")

    store.event.listen(engine, "checkout", limit)
    # One decision may find room in a page that is there; a long note does not.
    screen.press("n")
    screen.page.locator("dialog textarea").fill("x" * 2_000)
    screen.page.get_by_role("button", name="Keep").click()
    for _ in range(8):
        screen.press("n")
        screen.page.locator("dialog textarea").fill("y" * 2_000)
        screen.page.get_by_role("button", name="Keep").click()
        screen.press("s")
    expect(screen.page.locator("#banner")).to_contain_text("free some room")
    store.event.remove(engine, "checkout", limit)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")
    engine.dispose()
    screen.all_saved()
    assert len(events(site)) == 9


def test_logging_in_again_sends_what_waits(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    windows.expected += ["401", "403"]
    screen.page.wait_for_timeout(500)
    screen.page.context.clear_cookies()
    site.desk.sessions._cache.clear()
    screen.press("a")
    expect(screen.page.locator("#banner")).to_contain_text("log in")
    screen.page.get_by_role("link", name="Log in again").click()
    log_in(screen.page, "ann")
    screen.ready()
    screen.all_saved()
    screen.page.wait_for_timeout(300)
    assert holds(site, x1="accepted")


def test_a_token_in_the_link_logs_in_and_leaves_the_address(
    windows: Windows, open_site: Open
) -> None:
    site = open_site([blurred(1, 0.1)], token=TOKEN, admin_token=ADMIN)
    page = windows.open(f"{site.address}login#token={ADMIN}")
    assert ADMIN not in page.url
    log_in(page, "eve")
    page.locator(".frame img").first.wait_for()
    page.click(".menu summary")
    expect(page.get_by_text("Publish…")).to_be_visible()
    windows.expected.append("401")
    other = windows.open(f"{site.address}login")
    other.fill("input[name=name]", "bob")
    other.fill("input[name=token]", "wrong")
    other.keyboard.press("Enter")
    expect(other.locator("#problem")).to_contain_text("the token is wrong")
    other.fill("input[name=token]", TOKEN)
    other.keyboard.press("Enter")
    other.locator(".frame img, .empty h2").first.wait_for()
    other.click(".menu summary")
    expect(other.get_by_text("Publish…")).to_have_count(0)


def test_publish_from_the_page_and_watch_it(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a")
    screen.page.click(".menu summary")
    screen.page.get_by_text("Publish…").click()
    dialog = screen.dialog("Publish")
    dialog.get_by_role("button", name="Publish").click()
    expect(dialog.get_by_text("Version 1", exact=True)).to_be_visible()
    expect(dialog.get_by_role("link", name="Report of this version")).to_have_attribute(
        "href", "/versions/1/report"
    )


def test_a_publish_that_fails_says_why(windows: Windows, site: Site) -> None:
    def fail(*_: object) -> object:
        raise RuntimeError("there is nothing to publish: no item is accepted")

    site.pipeline.works = fail  # type: ignore[assignment]
    screen = enter(windows, site)
    screen.page.click(".menu summary")
    screen.page.get_by_text("Publish…").click()
    dialog = screen.dialog("Publish")
    dialog.get_by_role("button", name="Publish").click()
    expect(dialog.get_by_role("alert")).to_contain_text("no item is accepted")


def test_the_history_opens_restores_and_goes_back(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a", "r", "a", "r")
    screen.shows(5)
    screen.all_saved()
    screen.press("h")
    dialog = screen.dialog("History")
    expect(dialog.locator("li > p")).to_have_count(4)
    expect(dialog.locator("li > p").first).to_contain_text("ann rejected")
    dialog.get_by_role("button", name="Go back to here").nth(2).click()
    screen.page.get_by_role("button", name="Go back", exact=True).click()
    screen.no_dialog()
    screen.all_saved()
    assert holds(site, x1="accepted", x2="rejected", x3="undecided", x4="undecided")
    screen.press("h")
    dialog = screen.dialog("History")
    # Oldest of all: the first acceptance; then what the fourth said.
    dialog.locator("li", has_text="rejected").locator("text=Restore this").first.click()
    screen.page.get_by_role("button", name="Restore", exact=True).click()
    screen.no_dialog()
    screen.all_saved()
    assert said(site)[item_id(4)] == "rejected"
    screen.press("h")
    screen.dialog("History").locator(".thumb").last.click()
    screen.no_dialog()
    screen.shows(1)


def test_statistics_show_pace_and_agreement(windows: Windows, site: Site) -> None:
    place = f"single/blurred?item={item_id(7)}"
    ann, bob = enter(windows, site, "ann", place), enter(windows, site, "bob", place)
    ann.press("a")
    ann.all_saved()
    bob.press("r")
    bob.toast("Theirs holds").get_by_role("button", name="Use mine").click()
    bob.all_saved()
    bob.page.wait_for_timeout(300)
    bob.page.click(".menu summary")
    bob.page.get_by_text("Statistics").click()
    dialog = bob.dialog("Statistics")
    expect(dialog.get_by_text("ann and bob")).to_be_visible()
    expect(dialog.locator("h3", has_text="Disputed")).to_be_visible()


def test_decisions_out_and_in_by_the_page(windows: Windows, site: Site, tmp_path: Path) -> None:
    screen = enter(windows, site)
    screen.press("a")
    screen.all_saved()
    screen.page.click(".menu summary")
    screen.page.get_by_text("Download and import").click()
    dialog = screen.dialog("Decisions as files")
    with screen.page.expect_download() as download:
        dialog.get_by_role("link", name="CSV", exact=True).click()
    text = Path(download.value.path()).read_text()
    assert f"{item_id(1)},accepted" in text
    file = tmp_path / "in.csv"
    file.write_text(f"item,verdict\n{item_id(2)},reject\nnonsense,reject\n")
    dialog.locator("input[type=file]").set_input_files(file)
    dialog.get_by_role("button", name="Import").click()
    expect(dialog.get_by_text("1 saved")).to_be_visible()
    expect(dialog.get_by_text("line 3")).to_be_visible()
    assert holds(site, x1="accepted", x2="rejected")


def test_a_new_build_is_seen_without_a_reload(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a")
    screen.all_saved()
    windows.expected.append("404")  # some were on their way, and are not in the new build
    site.pipeline.build, site.pipeline.items = "2", site.pipeline.items[:10]
    site.desk.look()
    screen.press("r")  # decided in the old build; the page hears of the new one after it
    screen.all_saved()
    expect(screen.page.locator(".rail")).to_contain_text("10 pictures")
    offer = screen.toast("The data set was rebuilt")
    offer.get_by_role("button", name="Show the new build").click()
    screen.shows(3)
    screen.press(*"aaaaaaaa")
    expect(screen.page.locator(".empty h2")).to_have_text("Done here")
    screen.all_saved()
    assert len(said(site)) == 10


def test_the_old_build_ends_where_the_new_one_begins(windows: Windows, open_site: Open) -> None:
    site = open_site([blurred(n, n / 1_000) for n in range(1, 201)])
    screen = enter(windows, site, place="grid/blurred")
    windows.expected += ["404", "409"]
    site.pipeline.build = "2"
    site.desk.look()
    # On and on, without ever taking up the offer.
    for _ in range(6):
        if screen.page.locator(".grid .cell").count() == 0:
            break
        screen.press("Enter")
        screen.page.wait_for_timeout(600)
        again = screen.page.get_by_role("button", name="Try again")
        if again.count():
            again.click()
            screen.ready()
    screen.all_saved()
    assert len(said(site)) == 200


def test_before_the_first_build_the_page_says_what_to_do(windows: Windows, open_site: Open) -> None:
    site = open_site([])
    page = windows.open(f"{site.address}login")
    log_in(page, "ann")
    expect(page.get_by_text("nonesuch rebuild")).to_be_visible()
