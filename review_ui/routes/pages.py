"""The pages: the shell in which everything happens, the login, the documentation of the API."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, PackageLoader, StrictUndefined

from review_ui.modules import needed_by
from review_ui.routes.common import DeskDep
from review_ui.schemas import HealthOut
from review_ui.security import cookie_of

router = APIRouter(include_in_schema=False)

_templates = Jinja2Templates(
    env=Environment(
        loader=PackageLoader("review_ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
)


@router.get("/")
def shell(request: Request, desk: DeskDep) -> Response:
    """Show the page, or the login."""
    if desk.sessions.find(cookie_of(request.headers)) is None:
        return RedirectResponse("/login", 303)
    return _page(request, "shell.html.j2", dataset=desk.name, modules=_modules())


@router.get("/login")
def login(request: Request, desk: DeskDep) -> Response:
    """Ask for a name, and for the token where one is needed."""
    return _page(request, "login.html.j2", dataset=desk.name, needs_token=desk.sessions.needs_token)


@router.get("/api")
def document(request: Request) -> Response:
    """Show the API."""
    return _page(request, "api.html.j2", api=request.app.openapi())


@router.get("/api/health", response_model=HealthOut)
def health() -> dict[str, Any]:
    """Tell that the server answers."""
    return {"ok": True, "version": metadata.version("nonesuch")}


@cache
def _modules() -> Sequence[str]:
    """Name what the page and its first view are made of, so that none waits for another."""
    return needed_by("main.js", "single.js")


def _page(request: Request, template: str, **values: Any) -> Response:
    return _templates.TemplateResponse(request, template, values)
