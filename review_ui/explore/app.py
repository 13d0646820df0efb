"""Puts the explorer's application together: wiring only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from review_ui.explore import routes
from review_ui.explore.desk import ExploreDesk
from review_ui.house import build
from review_ui.routes import pages, session


def create_explorer(desk: ExploreDesk, hosts: frozenset[str]) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    hosts
        Names that the page is reached by; requests for others are refused.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    return build(
        desk,
        hosts,
        (session.router, routes.router, pages.router),
        lifespan,
        title="Nonesuch explorer",
        summary="Look into trained models.",
    )
