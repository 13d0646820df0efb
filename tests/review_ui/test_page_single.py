"""The single view in a real browser: every key, undo and redo, and what must not happen."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.review_ui.browser import Windows
from tests.review_ui.feeds import blurred, item_id
from tests.review_ui.pages import enter, events, holds, said
from tests.review_ui.site import Site

Open = Callable[..., Site]


@pytest.fixture
def site(open_site: Open) -> Site:
    """Nine blurred pictures; the lower the number, the worse."""
    return open_site([blurred(n, n / 20) for n in range(1, 10)], tag_keys={"m": "mirrored"})


def test_accept_reject_skip_and_go_back(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.shows(1)
    screen.press("a")
    screen.shows(2)
    screen.press("r")
    screen.shows(3)
    screen.press("s")
    screen.shows(4)
    screen.press("ArrowRight")
    screen.shows(5)
    screen.press("ArrowLeft", "ArrowLeft")
    screen.shows(3)
    screen.press("2")  # reject for another reason than its own
    screen.shows(4)
    screen.all_saved()
    assert holds(site, x1="accepted", x2="rejected", x3="rejected")
    by_item = {row.item_id: row for row in events(site)}
    assert by_item[item_id(2)].reasons == "\nblurred\n"
    assert by_item[item_id(3)].reasons not in ("", "\nblurred\n")
    assert by_item[item_id(1)].client_ms >= 0
    expect(screen.page.locator("#announcer")).to_contain_text("rejected")


def test_undo_and_redo_any_number_of_steps_also_after_a_reload(
    windows: Windows, site: Site
) -> None:
    screen = enter(windows, site)
    screen.press("a", "r", "a", "r")
    screen.shows(5)
    screen.all_saved()
    screen.press("z", "z")
    screen.shows(3)
    screen.all_saved()
    assert holds(site, x1="accepted", x2="rejected", x3="undecided", x4="undecided")
    screen.press("y")
    screen.all_saved()
    assert said(site)[item_id(3)] == "accepted"
    screen.page.reload()
    screen.ready()
    screen.press("z", "z", "z")
    screen.all_saved()
    page = screen.page
    page.wait_for_timeout(200)
    assert set(said(site).values()) == {"undecided"}
    for _ in range(4):
        screen.press("Shift+Z")
    screen.all_saved()
    page.wait_for_timeout(200)
    assert holds(site, x1="accepted", x2="rejected", x3="accepted", x4="rejected")
    # Nothing was overwritten: every step is in the history, and knows what it took back.
    history = events(site)
    assert len(history) == 4 + 2 + 1 + 3 + 4
    known = {row.uuid for row in history}
    assert all(row.undoes in known for row in history[4:])


def test_a_new_decision_ends_what_could_be_done_again(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a")
    screen.shows(2)
    screen.press("z")
    screen.shows(1)
    screen.press("r")
    screen.shows(2)
    screen.press("y")
    screen.toast("Nothing to redo")
    screen.all_saved()
    assert holds(site, x1="rejected")


def test_zoom_lets_no_key_through(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    frame = screen.page.locator(".frame")
    screen.press("+", "+")
    expect(frame).to_have_attribute("data-zoomed", "true")
    screen.press("a", "r", "s", "ArrowRight", "-")
    screen.shows(1)
    screen.press("Escape")
    expect(frame).to_have_attribute("data-zoomed", "false")
    frame.hover()
    screen.page.mouse.wheel(0, -400)
    expect(frame).to_have_attribute("data-zoomed", "true")
    screen.press("0")
    expect(frame).to_have_attribute("data-zoomed", "false")
    assert said(site) == {}


def test_the_original_stands_beside_on_a_key(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("o")
    expect(screen.page.locator(".frame img.picture:not(.picture-soon)")).to_have_count(2)
    sources = [i.get_attribute("src") or "" for i in screen.page.locator(".frame img").all()]
    assert "/original" in sources[0]
    assert "/standard" in sources[1]
    screen.press("o")
    expect(screen.page.locator(".frame img.picture")).to_have_count(1)


def test_tags_by_typing_by_completion_and_by_key(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("t")
    dialog = screen.dialog("Tags")
    # Letters are typed, and decide nothing.
    screen.page.keyboard.type("arrows")
    screen.press("Enter")
    expect(dialog.locator(".chip")).to_have_count(1)
    dialog.get_by_role("button", name="Done").click()
    screen.no_dialog()
    screen.press("m")
    expect(screen.page.locator(".facts .tag", has_text="mirrored")).to_be_visible()
    screen.press("a")
    screen.shows(2)
    screen.all_saved()
    assert holds(site, x1="accepted")
    assert events(site)[-1].tags == "\narrows\nmirrored\n"
    screen.press("t")
    screen.page.keyboard.type("arr")
    option = screen.dialog("Tags").get_by_role("option", name="arrows")
    expect(option).to_be_visible()
    screen.press("ArrowDown", "Enter", "Escape")
    screen.no_dialog()
    screen.all_saved()
    assert events(site)[-1].tags == "\narrows\n"
    screen.press("m", "m")
    screen.all_saved()
    assert events(site)[-1].tags == "\narrows\n"


def test_a_note(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("n")
    screen.dialog("Note")
    screen.page.keyboard.type("torn at the seam")
    screen.page.get_by_role("button", name="Keep").click()
    screen.no_dialog()
    screen.all_saved()
    assert events(site)[-1].note == "torn at the seam"
    expect(screen.page.locator(".note")).to_have_text("torn at the seam")


@pytest.mark.parametrize(
    ("key", "title"),
    [("?", "Keys"), ("h", "History"), ("i", "1.jpg"), ("f", "Filters"), ("c", "Compare")],
)
def test_dialogs_open_by_key_and_let_nothing_through(
    windows: Windows, site: Site, key: str, title: str
) -> None:
    screen = enter(windows, site)
    if key == "c":
        # Hashes of these are far apart; what looks like it is compared.
        site.desk.lookalikes.nearest = lambda *_: [(2, 3), (3, 5)]  # type: ignore[method-assign]
    screen.press(key)
    screen.dialog(title)
    screen.press("Escape")
    screen.no_dialog()
    screen.shows(1)
    assert said(site) == {}


def test_keys_typed_before_a_dialog_is_there_decide_nothing(windows: Windows, site: Site) -> None:
    windows.expected.append("ERR_FAILED")
    screen = enter(windows, site)
    held: list[Route] = []
    screen.page.route("**/api/facets", lambda route: held.append(route))
    screen.press("f")
    screen.press("a", "r", "s")
    screen.page.wait_for_timeout(300)
    screen.shows(1)
    held[0].continue_()
    screen.dialog("Filters")
    screen.press("Escape")
    screen.no_dialog()
    # One that does not come gives the keys back.
    screen.page.unroute("**/api/facets")
    screen.page.route("**/api/facets", lambda route: route.abort())
    screen.press("f")
    screen.toast("cannot be reached")
    screen.press("a")
    screen.shows(2)
    screen.all_saved()
    assert holds(site, x1="accepted")


def test_a_file_that_is_not_chosen_leaves_the_dialog_closed_to_keys(
    windows: Windows, site: Site
) -> None:
    screen = enter(windows, site)
    screen.page.click(".menu summary")
    screen.page.get_by_text("Download and import").click()
    dialog = screen.dialog("Decisions as files")
    dialog.locator("input[type=file]").dispatch_event("cancel", {"bubbles": True})
    dialog.locator("h3").first.click()
    screen.press("a")
    screen.page.wait_for_timeout(200)
    screen.press("Escape")
    screen.shows(1)
    assert said(site) == {}


def test_nothing_is_passed_over_while_pictures_are_loaded(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    held: list[Route] = []
    screen.page.route("**/api/queues/all/page", lambda route: held.append(route))
    screen.page.evaluate("() => { location.hash = '#/single/all'; }")
    expect(screen.page.locator(".empty")).to_have_text("Loading…")
    screen.press("ArrowRight", "s", "a", "ArrowRight")
    held[0].continue_()
    screen.shows(1)
    assert said(site) == {}


def test_undo_reaches_back_beyond_what_is_read_at_once(windows: Windows, open_site: Open) -> None:
    site = open_site([blurred(n, n / 1_000) for n in range(1, 601)])
    screen = enter(windows, site, place="grid/blurred")
    screen.page.get_by_role("button", name="S", exact=True).click()
    for page in range(10):
        expect(screen.page.locator(".cell img").first).to_have_attribute(
            "src", re.compile(item_id(60 * page + 1))
        )
        screen.press("Enter")
    screen.all_saved()
    assert len(said(site)) == 600
    screen.page.reload()
    screen.ready()
    for _ in range(10):
        screen.press("z")
        screen.toast("Taken back: 60 decisions")
        screen.page.locator(".toast-close").first.click()
    screen.all_saved()
    assert set(said(site).values()) == {"undecided"}
    assert len(events(site)) == 1_200
    screen.press("z")
    screen.toast("Nothing to undo")


def test_undo_and_redo_go_on_where_an_unsent_one_was_left(windows: Windows, site: Site) -> None:
    windows.expected.append("ERR_FAILED")
    screen = enter(windows, site, place="single/all?standing=open")
    screen.press("m", "a")
    screen.shows(2)
    screen.all_saved()
    # Loaded anew where the first is not shown: what held of it is known by the history alone.
    screen.page.goto("about:blank")
    screen.page.goto(f"{site.address}#/single/blurred?item={item_id(5)}")
    screen.shows(5)
    screen.page.wait_for_timeout(500)
    screen.page.route("**/api/decisions", lambda route: route.abort())
    screen.press("z")
    screen.unsaved(1)
    screen.page.reload()
    screen.unsaved(1)
    screen.page.wait_for_timeout(500)
    screen.press("y")
    screen.unsaved(2)
    screen.page.unroute("**/api/decisions")
    screen.all_saved()
    assert holds(site, x1="accepted")
    assert events(site)[-1].tags == "\nmirrored\n"
    screen.press("z", "z")
    screen.all_saved()
    assert holds(site, x1="undecided")
    assert events(site)[-1].tags == ""


def test_what_was_done_again_can_be_undone_though_it_is_read_in_pieces(
    windows: Windows, site: Site
) -> None:
    screen = enter(windows, site)
    screen.press(*"aaaaaa")
    screen.all_saved()
    screen.press(*"zzzzzz")
    screen.all_saved()
    screen.press(*"yyyyyy")
    screen.all_saved()
    assert len(said(site)) == 6
    screen.page.route(
        "**/api/history?*", lambda route: route.continue_(url=route.request.url.replace("500", "4"))
    )
    screen.page.reload()
    screen.ready()
    screen.page.wait_for_timeout(500)
    screen.press("y")
    screen.toast("Nothing to redo")
    screen.press(*"zzzzzz")
    screen.all_saved()
    assert set(said(site).values()) == {"undecided"}
    assert len(events(site)) == 24
    screen.press("z")
    screen.toast("Nothing to undo")


def test_an_undo_that_waits_takes_what_was_last_when_it_was_asked_for(
    windows: Windows, site: Site
) -> None:
    screen = enter(windows, site)
    screen.press("a")
    screen.all_saved()
    expect(screen.page).to_have_url(re.compile(f"item={item_id(2)}"))
    held: list[Route] = []
    screen.page.route("**/api/history?*", lambda route: held.append(route))
    screen.page.reload()
    screen.shows(2)
    screen.press("z", "r")
    screen.shows(3)
    screen.all_saved()
    held[0].continue_()
    screen.toast("Taken back")
    screen.all_saved()
    assert holds(site, x1="undecided", x2="rejected")


def test_an_undo_takes_what_was_last_when_it_was_asked_for(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a")
    screen.all_saved()
    expect(screen.page).to_have_url(re.compile(f"item={item_id(2)}"))
    held: list[Route] = []
    screen.page.route("**/api/history?*", lambda route: held.append(route))
    screen.page.reload()
    screen.shows(2)
    screen.press("r", "z")
    screen.shows(2)
    screen.press("a")
    screen.all_saved()
    held[0].continue_()
    screen.page.wait_for_timeout(300)
    assert holds(site, x1="accepted", x2="accepted")
    screen.press("z", "z")
    screen.all_saved()
    assert holds(site, x1="undecided", x2="undecided")


def test_help_names_every_key_that_works(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("?")
    caps = screen.dialog("Keys").locator("kbd").all_inner_texts()
    assert set("ARSZYGCTNOIHF?M") <= set(caps)
    screen.page.keyboard.type("undo")
    expect(screen.page.locator(".key-list li")).to_have_count(1)


def test_filters_narrow_the_queue_and_live_in_the_address(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("f")
    dialog = screen.dialog("Filters")
    dialog.locator("input[name=low]").fill("0.25")
    dialog.get_by_role("button", name="Show").click()
    screen.shows(5)
    assert "low=0.25" in screen.page.url
    screen.page.reload()
    screen.shows(5)
    screen.page.locator(".chip").first.click()
    screen.shows(1)
    screen.page.go_back()
    screen.shows(5)


def test_the_place_and_the_order_live_in_the_address(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("s", "s")
    screen.shows(3)
    expect(screen.page).to_have_url(re.compile(f"item={item_id(3)}"))
    screen.page.reload()
    screen.shows(3)
    screen.page.get_by_role("button", name="Worst first").click()
    screen.shows(9)


def test_the_end_says_so_and_offers_what_is_left(windows: Windows, open_site: Open) -> None:
    site = open_site([blurred(n, n / 20) for n in range(1, 4)])
    screen = enter(windows, site)
    screen.press("a", "s", "r")
    expect(screen.page.locator(".empty h2")).to_have_text("Done here")
    screen.page.get_by_role("button", name="skipped again").click()
    screen.shows(2)
    screen.press("a")
    expect(screen.page.locator(".empty h2")).to_be_visible()
    screen.all_saved()
    assert holds(site, x1="accepted", x2="accepted", x3="rejected")


def test_what_was_accepted_can_be_looked_at_again(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    screen.press("a", "a")
    screen.all_saved()
    screen.go("single/blurred?standing=accepted")
    screen.press("r")
    screen.all_saved()
    assert sorted(said(site).values()) == ["accepted", "rejected"]


def test_the_page_knows_how_fast_one_is(windows: Windows, site: Site) -> None:
    screen = enter(windows, site)
    for _ in range(6):
        screen.press("a")
        screen.page.wait_for_timeout(30)
    progress = screen.page.locator(".progress")
    expect(progress).to_contain_text("6 decided")
    expect(progress).to_contain_text("/min")
    expect(progress).to_contain_text("s each")
    expect(progress).to_contain_text("3 left")


def test_the_next_dozen_is_decoded_ahead(windows: Windows, open_site: Open) -> None:
    site = open_site([blurred(n, n / 100) for n in range(1, 31)])
    screen = enter(windows, site)
    screen.page.wait_for_timeout(1_000)
    loaded = screen.page.evaluate(
        "() => performance.getEntriesByType('resource')"
        ".filter(({ name }) => name.includes('/standard')).length"
    )
    assert 12 <= loaded <= 20


def test_hostile_words_are_shown_and_not_run(windows: Windows, open_site: Open) -> None:
    words = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    site = open_site(
        [
            blurred(
                1,
                0.1,
                title=words,
                brand=words,
                label=words,
                source=words,
                locator=words,
                tags=[words[:60]],
                page="javascript:document.title='owned'",
            )
        ]
    )
    screen = enter(windows, site)
    expect(screen.page.locator(".side-title h3")).to_have_text(words)
    for key in ("i", "h", "f", "t"):
        screen.press(key)
        expect(screen.page.locator("dialog[open]")).to_be_visible()
        screen.page.wait_for_timeout(150)
        screen.press("Escape")
        screen.no_dialog()
    screen.go("grid/blurred")
    assert screen.page.title() != "owned"
    assert screen.page.locator("a[href^='javascript']").count() == 0
    assert screen.page.locator("img[src=x]").count() == 0
