"""Pictures, by the id of their item and nothing else."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from review_ui.pictures import Kind
from review_ui.routes.common import PROBLEMS, DeskDep, SessionDep
from review_ui.schemas import ItemId

router = APIRouter(tags=["pictures"], responses=PROBLEMS)

# The address holds a hash of the picture: it may be kept for good, but by its viewer only.
_FOR_GOOD: Final = "private, max-age=31536000, immutable"


@router.get("/images/{item}/{kind}", response_class=Response)
def show(
    item: ItemId,
    kind: Kind,
    desk: DeskDep,
    _session: SessionDep,
    v: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Give a picture of an item, encoded by ourselves: thumb, standard or original."""
    data, media_type = desk.pictures.find(desk.database, desk.build().number, item, kind)
    return Response(
        data,
        media_type=media_type,
        headers={"Cache-Control": _FOR_GOOD if v else "private, no-cache"},
    )
