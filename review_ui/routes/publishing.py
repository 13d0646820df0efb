"""Publishing from the page, and the reports that come of it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from data_catalog.versions import REPORT
from review_ui.desk import Desk
from review_ui.errors import NotFoundError
from review_ui.publishing import PublishState
from review_ui.routes.common import PROBLEMS, AdminDep, DeskDep, SessionDep
from review_ui.schemas import PublishingOut
from review_ui.security import REPORT_POLICY
from review_ui.store import clock

router = APIRouter(tags=["publishing"], responses=PROBLEMS)


# Errors are JSON all the same.
_PAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "the report", "content": {"text/html": {"schema": {"type": "string"}}}}
}


@router.post("/api/publish", response_model=PublishingOut, status_code=202)
def begin(desk: DeskDep, _admin: AdminDep) -> dict[str, Any]:
    """Begin to publish what is accepted; where that is under way, nothing more happens."""
    return _described(desk.publishing.start())


@router.get("/api/publish", response_model=PublishingOut)
def show(desk: DeskDep, _session: SessionDep) -> dict[str, Any]:
    """Tell how far publishing is."""
    return _described(desk.publishing.state())


def _described(state: PublishState) -> dict[str, Any]:
    return {
        "state": state.state,
        "id": state.id,
        "stage": state.stage,
        "done": state.done,
        "total": state.total,
        "message": state.message,
        "version": state.version,
        "items": state.items,
        "shards": state.shards,
        "report": None if state.version is None else f"/versions/{state.version}/report",
        "started_at": clock.to_text(state.started_at),
        "ended_at": clock.to_text(state.ended_at),
    }


@router.get("/report", response_model=None, responses=_PAGE)
def show_report(desk: DeskDep, _session: SessionDep) -> HTMLResponse:
    """Show the report of the last rebuild."""
    return _report(desk, REPORT)


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
    return HTMLResponse(root.read_bytes(path), headers={"Content-Security-Policy": REPORT_POLICY})
