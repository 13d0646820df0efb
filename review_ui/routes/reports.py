"""Reports of rebuilds and of published versions, and the comparison of runs."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from data_catalog.versions import REPORT
from review_ui.desk import Desk
from review_ui.errors import NotFoundError
from review_ui.routes.common import PROBLEMS, DeskDep, SessionDep
from review_ui.security import REPORT_POLICY

router = APIRouter(tags=["reports"], responses=PROBLEMS)


# Errors are JSON all the same.
_PAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "the report", "content": {"text/html": {"schema": {"type": "string"}}}}
}


@router.get("/report", response_model=None, responses=_PAGE)
def show_report(desk: DeskDep, _session: SessionDep) -> HTMLResponse:
    """Show the report of the last rebuild."""
    return _report(desk, REPORT)


@router.get("/models/compare", response_model=None, responses=_PAGE)
def show_comparison(desk: DeskDep, _session: SessionDep) -> HTMLResponse:
    """Show runs side by side, as they were compared last."""
    return _shown(desk.pipeline.comparison())


@router.get("/versions/{version}/report", response_model=None, responses=_PAGE)
def show_version_report(
    version: Annotated[int, Path(ge=1, lt=2**31)], desk: DeskDep, _session: SessionDep
) -> HTMLResponse:
    """Show the report of a published version."""
    return _report(desk, f"versions/{version}/{REPORT}")


def _report(desk: Desk, path: str) -> HTMLResponse:
    root = desk.catalog.root
    if not root.exists(path):
        raise NotFoundError(f"there is no {path}; run `nonesuch rebuild` or publish first")
    return _shown(root.read_bytes(path))


def _shown(page: bytes) -> HTMLResponse:
    return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})
