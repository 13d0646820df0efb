"""What the page asks for at once."""

from __future__ import annotations

from collections.abc import Callable

from review_ui.modules import STATIC, needed_by
from tests.review_ui.browser import Windows
from tests.review_ui.feeds import blurred
from tests.review_ui.pages import enter
from tests.review_ui.site import Site

Open = Callable[..., Site]


def test_a_module_comes_with_all_that_it_imports_and_no_more() -> None:
    assert needed_by("dom.js") == ["dom.js"]
    found = needed_by("main.js", "single.js")
    assert found[:2] == ["main.js", "single.js"]
    assert len(set(found)) == len(found)
    assert all((STATIC / name).is_file() for name in found)
    assert "journal.js" in found  # by way of outbox.js
    assert "grid.js" not in found  # which is loaded when it is wanted


def test_modules_in_folders_find_those_above() -> None:
    found = needed_by("explore/main.js")
    assert found[0] == "explore/main.js"
    assert "dom.js" in found
    assert all((STATIC / name).is_file() for name in found)


def test_a_window_loads_nothing_late_before_there_is_something_to_decide(
    windows: Windows, open_site: Open
) -> None:
    screen = enter(windows, open_site([blurred(1, 0.1)]))
    began: dict[str, float] = screen.page.evaluate(
        "() => Object.fromEntries(performance.getEntriesByType('resource')"
        ".map((one) => [new URL(one.name).pathname, one.startTime]))"
    )
    # Once modules run, they ask who is at work.
    late = [
        name
        for name in needed_by("main.js", "single.js")
        if began[f"/static/{name}"] > began["/api/session"]
    ]
    assert late == []
