"""Requests of a window that wait, as on a slow line, until a test lets them go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import APIResponse, Page, Route


@contextlib.contextmanager
def holding(page: Page, pattern: str, *, is_answer: bool = False) -> Iterator[None]:
    """Hold requests until the body ends; with `is_answer` the server has them, and has answered."""
    held: list[tuple[Route, APIResponse | None]] = []
    page.route(pattern, lambda route: held.append((route, route.fetch() if is_answer else None)))
    yield
    while is_answer and not held:
        page.wait_for_timeout(20)
    for route, answer in held:
        if answer is None:
            route.continue_()
        else:
            route.fulfill(response=answer)
    page.unroute(pattern)
