"""A real browser for the tests: windows that tell of everything a page should not do."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

# The headless shell first: for each window, the others start all that is around a page as well.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_OFFLINE = "net::ERR_INTERNET_DISCONNECTED"
_WAITS_MS = 15_000  # on a machine that does other things, too


class BrowserMissingError(Exception):
    """There is no browser to test with."""


def find_chromium() -> str | None:
    """Find the system's browser; None leaves it to Playwright's own."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """Run Chromium, of the system where it has one, until the body ends.

    Until then the thread seems to have a running event loop, so that no `asyncio.run` works in it.

    Raises
    ------
    BrowserMissingError
        If there is none; says how to get one.
    """
    arguments = [
        # No name leads anywhere: what a page should not ask for, it cannot get either.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
        # In a container without user namespaces there is no sandbox to be had.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    expect.set_options(timeout=_WAITS_MS)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        except Error as error:
            if "Executable doesn't exist" not in error.message:
                raise
            raise BrowserMissingError(
                "no Chromium: `make browser` gets one, or `apt-get install chromium-headless-shell`"
            ) from None
        with browser:
            yield browser


class Windows:
    """Windows of a browser, and what went wrong in them.

    Attributes
    ----------
    problems : list of str
        Errors of pages and on their consoles, and requests to other hosts than that of the page.
    expected : list of str
        Words by which a console error is known to be meant; add them before it comes.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []
        self.expected: list[str] = []

    def open(self, address: str, *, cookie: str = "", **options: Any) -> Page:
        """Open a window with cookies of its own, as another reviewer has it."""
        settings = {"viewport": {"width": 1280, "height": 800}, **options}
        context = self._browser.new_context(**settings)
        context.set_default_timeout(_WAITS_MS)
        self._contexts.append(context)
        host = urlsplit(address).netloc
        context.on("weberror", lambda failed: self.problems.append(f"error: {failed.error}"))
        context.on("console", lambda said: self._said(said.type, said.text))
        context.on("request", lambda request: self._asked(request.url, host))
        if cookie:
            name, _, value = cookie.partition("=")
            context.add_cookies([{"name": name, "value": value, "url": address}])
        page = context.new_page()
        page.on("websocket", lambda socket: self._asked(socket.url, host))
        page.goto(address)
        return page

    @contextlib.contextmanager
    def offline(self, page: Page) -> Iterator[None]:
        """Cut the window off from the network until the body ends."""
        self.expected.append(_OFFLINE)
        page.context.set_offline(True)
        try:
            yield
        finally:
            page.context.set_offline(False)

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and not any(words in text for words in self.expected):
            self.problems.append(f"console: {text}")

    def _asked(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("about", "blob", "data") and parts.netloc != host:
            self.problems.append(f"a request left the host: {url}")


def axe(page: Page) -> list[str]:
    """Give what makes the page hard or impossible to use for some, as axe-core finds it."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{violation['impact']}: {violation['help']} ({violation['id']}) at {node['target']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
