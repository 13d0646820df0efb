"""Pages that are alike for all: the login, the documentation of the API."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, PackageLoader, StrictUndefined

from review_ui.routes.common import HouseDep
from review_ui.schemas import HealthOut

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


@router.get("/login")
def login(request: Request, house: HouseDep) -> Response:
    """Ask for a name, and for the token where one is needed."""
    return page(
        request,
        "login.html.j2",
        dataset=house.name,
        needs_token=house.sessions.needs_token,
        purpose=house.purpose,
        promise=house.promise,
    )


@router.get("/api")
def document(request: Request) -> Response:
    """Show the API."""
    return page(request, "api.html.j2", api=request.app.openapi())


@router.get("/api/health", response_model=HealthOut)
def health() -> dict[str, Any]:
    """Tell that the server answers."""
    return {"ok": True, "version": metadata.version("nonesuch")}


def page(request: Request, template: str, **values: Any) -> Response:
    """Fill a template."""
    return _templates.TemplateResponse(request, template, values)
