"""Pictures, by the id of their item and nothing else."""

from __future__ import annotations

from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Query, Response

from review_ui.desk import Desk
from review_ui.errors import BusyError
from review_ui.pictures import Kind
from review_ui.routes.common import PROBLEMS, DeskDep, SessionDep
from review_ui.schemas import ItemId

router = APIRouter(tags=["pictures"], responses=PROBLEMS)

# So many originals wait for their turn at most: a dozen reviewers who compare.
_WAITING: Final = 24
# The address holds a hash of the picture: it may be kept for good, but by its viewer only.
_FOR_GOOD: Final = "private, max-age=31536000, immutable"


@router.get("/images/{item}/{kind}", response_class=Response)
async def show(
    item: ItemId,
    kind: Kind,
    desk: DeskDep,
    _session: SessionDep,
    v: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Give a picture of an item, encoded by ourselves: thumb, standard or original."""
    # Nearly always its place is known from the page that it is on, and it costs one short read.
    found = _at_hand(desk, item, kind)
    if found is None:
        limiter = desk.pictures.limiter if kind == "original" else None
        if limiter is not None and limiter.statistics().tasks_waiting >= _WAITING:
            raise BusyError("too many originals are asked for at once; try again in a moment")
        found = await to_thread.run_sync(_find, desk, item, kind, limiter=limiter)
    data, media_type = found
    return Response(
        data,
        media_type=media_type,
        headers={"Cache-Control": _FOR_GOOD if v else "private, no-cache"},
    )


def _at_hand(desk: Desk, item: str, kind: Kind) -> tuple[bytes, str] | None:
    current, _ = desk.builds.at_hand() or (None, None)
    return None if current is None else desk.pictures.at_hand(current.number, item, kind)


def _find(desk: Desk, item: str, kind: Kind) -> tuple[bytes, str]:
    return desk.pictures.find(desk.database, desk.build().number, item, kind)
