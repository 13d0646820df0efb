"""Puts the review page's application together: wiring only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from review_ui.desk import Desk
from review_ui.house import build
from review_ui.routes import (
    decisions,
    items,
    loop,
    pages,
    pictures,
    queues,
    reports,
    session,
    shell,
    statistics,
)

_ROUTES = (
    session,
    queues,
    items,
    decisions,
    statistics,
    loop,
    reports,
    pictures,
    shell,
    pages,
)


def create_app(desk: Desk, hosts: frozenset[str]) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    hosts
        Names that the page is reached by; requests for others are refused.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        desk.watch()
        yield
        desk.close()

    return build(
        desk,
        hosts,
        [module.router for module in _ROUTES],
        lifespan,
        title="Nonesuch review",
        summary="Decide about flagged pictures.",
    )
