"""The loop: where it stands, how trainings go, and starting what comes next."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Body, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel

from review_ui.errors import BusyError
from review_ui.jobs import Job
from review_ui.loop import KINDS, Kind, LoopTold, Options, RunDetails, Size
from review_ui.routes.common import PROBLEMS, AdminDep, DeskDep, SessionDep
from review_ui.schemas import JobOut, LoopOut
from review_ui.store import clock

router = APIRouter(tags=["loop"], responses=PROBLEMS)

# So many grids wait for their turn at most.
_WAITING: Final = 24
_FOR_GOOD: Final = "private, max-age=31536000, immutable"
# Kept by the browser, which asks whether it is still so: then nothing is sent.
_ASK_AGAIN: Final = "private, no-cache"
_PICTURE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "the grid", "content": {"image/jpeg": {}}}
}
_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "it is as it was when `If-None-Match` was given"}
}

RunName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
GridId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


@router.get("/api/loop", response_model=LoopOut, responses=_UNCHANGED)
def show(request: Request, desk: DeskDep, _session: SessionDep) -> Response:
    """Tell where the loop stands: the data, the versions, trainings, models, what runs."""
    told = desk.loop.get()
    jobs = [described(desk.jobs.state(kind)) for kind in KINDS]
    return _unless_known(
        request,
        LoopOut(**dict(told), decisions=desk.unpublished.get(), jobs=jobs),
    )


@router.get("/api/loop/runs/{run}", response_model=RunDetails, responses=_UNCHANGED)
def show_run(run: RunName, request: Request, desk: DeskDep, _session: SessionDep) -> Response:
    """Give the curves of a run, and the grids that there are of it."""
    return _unless_known(request, desk.pipeline.run_details(run))


@router.get("/runs/{run}/grids/{grid}", response_class=Response, responses=_PICTURE)
async def show_grid(
    run: RunName,
    grid: GridId,
    desk: DeskDep,
    _session: SessionDep,
    size: Size = "large",
    v: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Give a grid of a run, encoded by ourselves."""
    limiter = desk.pictures.limiter
    if limiter.statistics().tasks_waiting >= _WAITING:
        raise BusyError("too many pictures are asked for at once; try again in a moment")
    data = await to_thread.run_sync(desk.pipeline.grid, run, grid, size, limiter=limiter)
    kept = _FOR_GOOD if v else _ASK_AGAIN
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": kept})


@router.get("/api/jobs/{kind}", response_model=JobOut)
def show_job(kind: Kind, desk: DeskDep, _session: SessionDep) -> JobOut:
    """Tell how far work is that was started from the page."""
    return described(desk.jobs.state(kind))


@router.post("/api/jobs/{kind}", response_model=JobOut, status_code=202)
def start(
    kind: Kind,
    desk: DeskDep,
    admin: AdminDep,
    options: Annotated[Options, Body(default_factory=Options)],
) -> JobOut:
    """Begin to rebuild, publish, train or rank; what is under way is not begun again."""
    _check(desk.loop.get(), kind, options)
    return described(desk.jobs.start(kind, options, admin.name))


def _check(told: LoopTold, kind: Kind, options: Options) -> None:
    """Refuse what there is not, before anything is started."""
    if kind != "train":
        if options.model_fields_set:
            raise _wrong(f"`{next(iter(options.model_fields_set))}` is for `train` alone")
    elif options.preset is not None and options.preset not in told.presets:
        raise _wrong(f"`preset` must be one of {', '.join(told.presets)}, got {options.preset!r}")
    elif options.version is not None:
        there = [version.version for version in told.versions]
        if options.version not in there:
            listed = ", ".join(map(str, there)) or "none yet"
            raise _wrong(f"`version` must be published, got {options.version}; there are {listed}")


def _wrong(message: str) -> HTTPException:
    return HTTPException(422, {"error": "wrong_input", "message": message})


def described(job: Job) -> JobOut:
    """Give work as the API tells of it."""
    return JobOut(
        kind=job.kind,
        state=job.state,
        id=job.id,
        by=job.by,
        stage=job.stage,
        done=job.done,
        total=job.total,
        message=job.message,
        version=job.version,
        items=job.items,
        shards=job.shards,
        report=None if job.version is None else f"/versions/{job.version}/report",
        url=job.url,
        started_at=clock.to_text(job.started_at),
        ended_at=clock.to_text(job.ended_at),
    )


def _unless_known(request: Request, found: BaseModel) -> Response:
    """Answer with what was found, or that it is what the browser has already."""
    body = found.model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": _ASK_AGAIN}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
