"""What benchmarks and screenshots of the review page share: its server, and windows on it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from benchmarks.common import REPOSITORY, Skipped
from tests.review_ui.browser import BrowserMissingError, launched
from tests.review_ui.pages import log_in

SHOWN = ".frame img.picture, .grid .cell, .members .member, .empty .buttons, .models .step"


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run Chromium.

    Raises
    ------
    Skipped
        If there is none.
    """
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(launched())
        except BrowserMissingError as missing:
            raise Skipped(str(missing)) from missing


def nonesuch(*arguments: str) -> dict[str, Any]:
    """Run a command with `--json`; give what it says.

    Raises
    ------
    RuntimeError
        If it failed.
    """
    command = [sys.executable, "-m", "flows.cli", *arguments, "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nonesuch {' '.join(arguments)}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextlib.contextmanager
def served(config: Path) -> Iterator[str]:
    """Run `nonesuch review`; give its address."""
    command = [sys.executable, "-m", "flows.cli", "review", "-c", str(config)]
    with subprocess.Popen(
        [*command, "--port", "0", "--json"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.send_signal(signal.SIGINT)


def entered(chromium: Browser, address: str, name: str, place: str = "", **how: Any) -> Page:
    """Open a window, log in, and wait until something is there to decide."""
    settings: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}, **how}
    context = chromium.new_context(**settings)
    page = context.new_page()
    page.goto(f"{address}login#/{place}")
    log_in(page, name)
    ready(page)
    return page


def ready(page: Page) -> None:
    """Wait until a build is there, and something of it to decide, or an end with a way on."""
    expect(page.locator(SHOWN).first).to_be_visible(timeout=120_000)


def go(page: Page, place: str) -> None:
    """Go to a view, e.g. ``grid/blurred``."""
    page.evaluate("place => { location.hash = `#/${place}`; }", place)
    page.wait_for_timeout(100)
    ready(page)


def queues(page: Page) -> list[dict[str, Any]]:
    """Give the queues as the page has them."""
    found: list[dict[str, Any]] = page.evaluate(
        "async () => (await (await fetch('/api/queues')).json()).queues"
    )
    return found


def press(page: Page, keys: Sequence[str]) -> None:
    """Press keys, one after the other."""
    for key in keys:
        page.keyboard.press(key)


def all_saved(page: Page) -> None:
    """Wait until nothing is left to send."""
    expect(page.locator(".unsent")).to_have_text("All saved", timeout=60_000)
