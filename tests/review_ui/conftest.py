"""Real databases, a real browser and a page that serves, for the tests of the review page."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from sqlalchemy import NullPool, create_engine, make_url, text

from review_ui.settings import ReviewConfig
from tests.review_ui import postgres
from tests.review_ui.browser import BrowserMissingError, Windows, launched
from tests.review_ui.feeds import Item
from tests.review_ui.site import Site, opened


def _do_without(missing: Exception) -> None:
    """Skip the test, or fail it where nothing may be left out, as in CI."""
    if os.environ.get("NONESUCH_REQUIRE_ALL"):
        pytest.fail(str(missing))
    pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of this process; gives the URL of its first database."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(postgres.running())
        except postgres.PostgresMissingError as missing:
            _do_without(missing)
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty PostgreSQL database of this test alone."""
    name = f"t{uuid.uuid4().hex}"
    # It keeps no connection, of which the collector could complain in another test.
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


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
    with contextlib.ExitStack() as stack:

        def begin(items: list[Item], **config: Any) -> Site:
            settings = ReviewConfig.model_validate({"port": 0, **config})
            url = f"sqlite:///{tmp_path}/review.sqlite"
            return stack.enter_context(opened(tmp_path, url, items, settings))

        yield begin


# Of a module, not of the session: tests of other modules may have event loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of one file."""
    with contextlib.ExitStack() as stack:
        try:
            chromium = stack.enter_context(launched())
        except BrowserMissingError as missing:
            _do_without(missing)
        yield chromium


@pytest.fixture
def windows(browser: Browser, open_site: Callable[..., Site]) -> Iterator[Windows]:
    """Open windows; the test fails if a page has errors, or asks any other host for anything.

    They close before the site does: a page without a server has errors.
    """
    windows = Windows(browser)
    yield windows
    windows.close()
    assert windows.problems == []
