"""The review page itself: the shell in which everything happens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from review_ui.modules import needed_by
from review_ui.routes.common import DeskDep
from review_ui.routes.pages import page
from review_ui.security import cookie_of

router = APIRouter(include_in_schema=False)


@router.get("/")
def shell(request: Request, desk: DeskDep) -> Response:
    """Show the page, or the login."""
    if desk.sessions.find(cookie_of(request.headers)) is None:
        return RedirectResponse("/login", 303)
    return page(request, "shell.html.j2", dataset=desk.name, modules=_modules())


@cache
def _modules() -> Sequence[str]:
    """Name what the page and its first view are made of, so that none waits for another."""
    return needed_by("main.js", "single.js")
