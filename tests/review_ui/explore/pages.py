"""What people do in the explorer, in words."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import torch
from playwright.sync_api import Locator, Page, Request, Route, expect

from flows.explore.studio import ModelStudio
from review_ui.explore.app import create_explorer
from review_ui.explore.desk import open_explore_desk
from review_ui.serve import known_hosts
from review_ui.settings import ReviewConfig
from review_ui.store.database import open_database
from tests.review_ui.browser import Windows
from tests.review_ui.explore.conftest import Explorer, configured
from tests.review_ui.site import served_app

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
}
PICTURES = re.compile(r"/picture\?")
URGENT = re.compile(r"/picture\?.*rush=true")
"""What somebody waits for; not what is made ahead."""

_WAITS = 15.0  # seconds


@contextlib.contextmanager
def serving(models: Path, folder: Path, *runs: str) -> Iterator[Explorer]:
    """Serve copies of runs from a folder, for several tests that leave them as they are."""
    for run in runs:
        shutil.copytree(models / run, folder / "data" / "models" / run)
    config = ReviewConfig.model_validate({"port": 0})
    studio = ModelStudio(configured(folder), torch.device("cpu"))
    database = open_database(f"sqlite:///{folder}/review.sqlite")
    desk = open_explore_desk("boots", config, database, studio)
    with served_app(create_explorer(desk, known_hosts(config))) as address:
        yield Explorer(address, folder / "data" / "models", studio)


@dataclass
class Screen:
    """A window in which somebody explores."""

    page: Page
    explorer: Explorer

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def all_there(self) -> None:
        """Wait until there is no tile without its picture."""
        self.page.wait_for_function(
            "() => { const all = [...document.querySelectorAll('.tile')];"
            " return all.length > 0 && all.every((tile) => tile.dataset.shown); }"
        )

    def tile(self, seed: int) -> Locator:
        """Give the tile of a seed."""
        return self.page.locator(f".tile[data-seed='{seed}']")

    def opens(self, seed: int) -> None:
        """Open the editor at a seed."""
        self.tile(seed).locator(".tile-open").click()
        self.settled()

    def settled(self) -> None:
        """Wait until the picture of the address is shown."""
        self.page.wait_for_function(
            """() => {
              const look = new URLSearchParams(location.hash.split('?')[1]).get('look');
              const panes = [...document.querySelectorAll('.explore-pane')];
              const now = panes.at(-1)?.dataset.shown;
              return now && panes.every((pane) => pane.ariaBusy === 'false')
                && new URLSearchParams(now.split('?')[1]).get('look') === look;
            }"""
        )

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Do something that the address then says; wait until it is shown."""
        before = self.page.url
        yield
        expect(self.page).not_to_have_url(before)
        self.settled()

    @property
    def look(self) -> dict[str, Any]:
        """What the picture is made of, by the address of the page."""
        self.settled()
        text = parse_qs(urlsplit(self.page.url).fragment.partition("?")[2])["look"][0]
        whole: dict[str, Any] = json.loads(text)
        return whole

    def sees(self, selector: str = ".explore-pane:last-child canvas") -> str:
        """Give the pixels that are shown, as text."""
        found: str = self.page.locator(selector).first.evaluate("(node) => node.toDataURL()")
        return found

    def slide(self, name: str, *values: float, let_go: bool = True) -> None:
        """Move a slider, as a hand does: by many values, then it is let go."""
        self.page.locator(f"input[data-name='{name}']").evaluate(
            "(node, [values, letGo]) => { for (const value of values) { node.value = value;"
            " node.dispatchEvent(new Event('input')); }"
            " if (letGo) node.dispatchEvent(new Event('change')); }",
            [list(values), let_go],
        )

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that only this process knows of."""
        end = time.monotonic() + _WAITS
        while not condition():
            assert time.monotonic() < end, "it did not come"
            self.page.wait_for_timeout(10)  # events of the page arrive meanwhile

    def said(self, text: str | re.Pattern[str]) -> None:
        """Wait until a reader of screens has been told something."""
        expect(self.page.locator("#announcer")).to_have_text(text)


@dataclass
class Held:
    """Requests for pictures that wait for the test."""

    routes: list[Route] = field(default_factory=list)
    given_up: list[Request] = field(default_factory=list)
    most: int = 0
    is_over: bool = False

    @property
    def waiting(self) -> list[Route]:
        """Those that nobody has given up, or answered."""
        return [route for route in self.routes if route.request not in self.given_up]

    def let_go(self) -> None:
        """Have them answered."""
        routes, self.routes = self.waiting, []
        for route in routes:
            route.continue_()


@contextlib.contextmanager
def holding(page: Page, which: re.Pattern[str] = PICTURES) -> Iterator[Held]:
    """Hold requests for pictures until they are let go, or the body ends."""
    held = Held()

    def hold(route: Route) -> None:
        if held.is_over:
            return route.continue_()
        held.routes.append(route)
        held.most = max(held.most, len(held.waiting))
        return None

    def failed(request: Request) -> None:
        if which.search(request.url):
            held.given_up.append(request)

    page.on("requestfailed", failed)
    page.route(which, hold)
    try:
        yield held
    finally:
        held.is_over = True
        held.let_go()
        page.unroute(which)
        page.remove_listener("requestfailed", failed)


def place(view: str, run: str = "plain", snapshot: str = "", **params: Any) -> str:
    """Write the part of an address that says where one is."""
    said = {
        key: json.dumps(value) if isinstance(value, dict) else value
        for key, value in params.items()
    }
    return f"#/{view}/{run}/{snapshot}?{urlencode(said)}"


def enter(
    windows: Windows, explorer: Explorer, where: str = "", *, path: str = "", **how: Any
) -> Screen:
    """Open a window of somebody who has logged in; wait until something is shown."""
    cookie = explorer.client("ann").cookie
    page = windows.open(f"{explorer.address}{path}{where}", cookie=cookie, **how)
    screen = Screen(page, explorer)
    ready(screen)
    return screen


def ready(screen: Screen) -> None:
    """Wait until something is shown."""
    there = ".tile[data-shown], .explore-pane[data-shown], .drop, .empty h2"
    expect(screen.page.locator(there).first).to_be_visible()
