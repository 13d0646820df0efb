"""The explorer's addresses: its pages, what there is to see, and pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from review_ui.explore.desk import ExploreDesk
from review_ui.explore.studio import Form, Which
from review_ui.explore.told import ModelsTold, ModelTold, NearestTold, ProjectionTold
from review_ui.modules import needed_by
from review_ui.routes.common import PROBLEMS, SessionDep
from review_ui.routes.pages import page
from review_ui.security import cookie_of

router = APIRouter(tags=["explore"], responses=PROBLEMS)

_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_FOR_GOOD: Final = "private, max-age=31536000, immutable"
_GONE: Final = 499  # what servers say to nobody
_PICTURE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "the picture", "content": {"image/jpeg": {}, "image/png": {}}}
}

RunName = Annotated[str, Path(pattern=_NAME, max_length=200)]
SnapshotName = Annotated[str, Path(pattern=_NAME, max_length=80)]
ProjectionName = Annotated[str, Path(pattern=_NAME, max_length=120)]
LookQuery = Annotated[
    str, Query(max_length=8_000, description="what it is made of, in JSON: docs/explorer.md")
]


async def desk_of(request: Request) -> ExploreDesk:
    """Give the desk of the application."""
    desk: ExploreDesk = request.app.state.desk
    return desk


DeskDep = Annotated[ExploreDesk, Depends(desk_of)]


@router.get("/", include_in_schema=False)
def shell(request: Request, desk: DeskDep) -> Response:
    """Show the page, or the login."""
    return _shell(request, desk, "explore.html.j2", "explore/main.js")


@router.get("/random", include_in_schema=False)
def random(request: Request, desk: DeskDep) -> Response:
    """Show one picture after another, none of which exists."""
    return _shell(request, desk, "random.html.j2", "explore/random.js")


@router.get("/api/explore/models", response_model=ModelsTold)
def models(desk: DeskDep, _session: SessionDep) -> ModelsTold:
    """Tell which runs and snapshots can be looked into."""
    return desk.studio.models()


@router.get("/api/explore/models/{run}/{snapshot}", response_model=ModelTold)
def model(run: RunName, snapshot: SnapshotName, desk: DeskDep, _session: SessionDep) -> ModelTold:
    """Tell what can be done with a snapshot: layers, classes, directions."""
    return desk.studio.model(run, snapshot)


@router.get("/explore/{run}/{snapshot}/picture", response_class=Response, responses=_PICTURE)
async def picture(
    run: RunName,
    snapshot: SnapshotName,
    look: LookQuery,
    request: Request,
    desk: DeskDep,
    session: SessionDep,
    form: Form = "show",
    rush: bool = False,
    v: Annotated[str, Query(max_length=64, description="the snapshot's key")] = "",
) -> Response:
    """Make a picture; who goes away before its turn is not worked for."""
    with desk.one_more(session.name):
        asked = await run_in_threadpool(desk.studio.picture, run, snapshot, look, form, rush=rush)
        coming = asyncio.wrap_future(asked)
        left = asyncio.ensure_future(_disconnected(request))
        either: set[asyncio.Future[Any]] = {coming, left}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                return Response(status_code=_GONE)
            data = coming.result()
        finally:
            coming.cancel()
            left.cancel()
    # Directions may have been found anew since the page was told of them.
    is_of_now = v and v == await run_in_threadpool(desk.studio.key, run, snapshot)
    headers = {"Cache-Control": _FOR_GOOD if is_of_now else "private, no-cache"}
    if form == "png":
        headers["Content-Disposition"] = f'attachment; filename="{run}-{snapshot}.png"'
    kind = "image/png" if form == "png" else "image/jpeg"
    return Response(data, media_type=kind, headers=headers)


@router.get("/api/explore/nearest/{run}/{snapshot}", response_model=NearestTold)
def nearest(
    run: RunName, snapshot: SnapshotName, look: LookQuery, desk: DeskDep, _session: SessionDep
) -> NearestTold:
    """Find the real pictures nearest to a look; ask again while it is working."""
    return desk.studio.nearest(run, snapshot, look)


@router.get("/explore/{run}/real/{number}", response_class=Response, responses=_PICTURE)
def real(
    run: RunName,
    number: Annotated[int, Path(ge=0, lt=2**31)],
    desk: DeskDep,
    _session: SessionDep,
) -> Response:
    """Give a real picture."""
    return Response(
        desk.studio.real(run, number),
        media_type="image/jpeg",
        headers={"Cache-Control": "private, max-age=3600"},
    )


@router.get("/api/explore/projections/{run}", response_model=list[ProjectionTold])
def projections(run: RunName, desk: DeskDep, _session: SessionDep) -> Sequence[ProjectionTold]:
    """Tell which pictures were projected into a run's latent space, or are being."""
    return desk.studio.projections(run)


@router.post(
    "/api/explore/projections/{run}/{snapshot}",
    response_model=ProjectionTold,
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def project(
    run: RunName,
    snapshot: SnapshotName,
    request: Request,
    desk: DeskDep,
    _session: SessionDep,
    name: Annotated[str, Query(max_length=200, description="of the file")] = "picture",
) -> ProjectionTold:
    """Begin to project a picture; its bytes are the body."""
    data = await request.body()
    return await run_in_threadpool(desk.studio.project, run, snapshot, name, data)


@router.delete("/api/explore/projections/{run}/{name}", status_code=204)
def stop_projecting(
    run: RunName, name: ProjectionName, desk: DeskDep, _session: SessionDep
) -> Response:
    """End a projection that is under way."""
    desk.studio.stop_projecting(run, name)
    return Response(status_code=204)


@router.get(
    "/explore/{run}/projections/{name}/{which}", response_class=Response, responses=_PICTURE
)
def projection_picture(
    run: RunName, name: ProjectionName, which: Which, desk: DeskDep, _session: SessionDep
) -> Response:
    """Give a picture of a projection: what was asked for, where it began, what was found."""
    return Response(desk.studio.projection_picture(run, name, which), media_type="image/png")


async def _disconnected(request: Request) -> None:
    """Wait until whoever asked has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _shell(request: Request, desk: ExploreDesk, template: str, module: str) -> Response:
    if desk.sessions.find(cookie_of(request.headers)) is None:
        return RedirectResponse("/login", 303)
    return page(request, template, dataset=desk.name, modules=_modules(module))


@cache
def _modules(name: str) -> Sequence[str]:
    return needed_by(name)
