"""What both pages have: who is let in, what every answer carries, and how errors are told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from importlib import metadata
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp

from data_catalog.errors import CatalogError
from review_ui.errors import (
    AccessError,
    BusyError,
    DiskFullError,
    ExchangeError,
    NotFoundError,
    ReviewError,
    StoreBusyError,
    WrongInputError,
)
from review_ui.modules import STATIC
from review_ui.security import OUR_MISTAKE, Guard
from review_ui.sessions import Sessions
from review_ui.settings import ReviewConfig

# Error -> status, code, whether it may work in a moment.
_MEANINGS: tuple[tuple[type[Exception], int, str, bool], ...] = (
    (StoreBusyError, 503, "store_busy", True),
    (BusyError, 503, "busy", True),
    (DiskFullError, 507, "disk_full", True),
    (NotFoundError, 404, "not_found", False),
    (WrongInputError, 422, "wrong_input", False),
    (ExchangeError, 422, "wrong_file", False),
    (AccessError, 403, "refused", False),
    (CatalogError, 503, "catalog", False),
    (ReviewError, 503, "store", True),
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class House(Protocol):
    """What routes share, whichever page they are of."""

    @property
    def name(self) -> str:
        """Of the dataset."""

    @property
    def config(self) -> ReviewConfig:
        """How pages are served."""

    @property
    def sessions(self) -> Sessions:
        """Who is logged in."""

    @property
    def purpose(self) -> str:
        """What people do here, in a word: for the login."""

    @property
    def promise(self) -> str:
        """What they should know before they do."""


def build(
    house: House,
    hosts: frozenset[str],
    routers: Iterable[APIRouter],
    lifespan: Lifespan,
    *,
    title: str,
    summary: str,
) -> FastAPI:
    """Make an application.

    Parameters
    ----------
    house
        Kept as `app.state.desk`.
    hosts
        Names that it is reached by; requests for others are refused.
    routers, lifespan, title, summary
        See FastAPI.
    """
    app = _Guarded(
        hosts,
        title=title,
        version=metadata.version("nonesuch"),
        summary=summary,
        openapi_url="/api/openapi.json",
        # Their pages would load scripts from elsewhere; /api is ours.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.desk = house
    for router in routers:
        app.include_router(router)
    app.mount("/static", _Assets(directory=STATIC), name="static")
    for kind, status, code, again in _MEANINGS:
        app.add_exception_handler(kind, _answering(status, code, again=again))
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _wrong_input)
    app.add_exception_handler(Exception, _unforeseen)
    return app


class _Guarded(FastAPI):
    """The application with `Guard` around all of it, what answers unforeseen errors too."""

    def __init__(self, hosts: frozenset[str], **settings: Any) -> None:
        super().__init__(**settings)
        self._hosts = hosts

    def build_middleware_stack(self) -> ASGIApp:
        house: House = self.state.desk
        whole = super().build_middleware_stack()
        return Guard(whole, self._hosts, house.sessions, behind_proxy=house.config.behind_proxy)


class _Assets(StaticFiles):
    """Files of the page: kept by browsers, and asked for again, so that an update is seen."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def _answering(status: int, code: str, *, again: bool) -> Callable[[Request, Any], JSONResponse]:
    def answer(_request: Request, error: Exception) -> JSONResponse:
        headers = {"Retry-After": "2"} if again else None
        return JSONResponse({"error": code, "message": str(error)}, status, headers)

    return answer


def _refused(_request: Request, error: Any) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException | HTTPException)
    detail: Any = error.detail
    if not isinstance(detail, dict):
        detail = {"error": f"http_{error.status_code}", "message": str(detail)}
    return JSONResponse(detail, error.status_code, error.headers)


def _unforeseen(_request: Request, _error: Exception) -> JSONResponse:
    """Say that much; the server logs what it was."""
    status, code, message = OUR_MISTAKE
    return JSONResponse({"error": code, "message": message}, status)


def _wrong_input(_request: Request, error: Any) -> JSONResponse:
    """Name key, rule and value of what does not fit, in a sentence each."""
    assert isinstance(error, RequestValidationError)
    lines = []
    for found in error.errors()[:5]:
        place = ".".join(str(part) for part in found["loc"] if part != "body")
        lines.append(f"`{place}`: {found['msg']}, got {_short(found.get('input'))}")
    return JSONResponse({"error": "wrong_input", "message": "; ".join(lines)}, 422)


def _short(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
