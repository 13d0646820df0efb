"""One item: all that the page shows about it; and one cluster."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from sqlalchemy import Connection, select

from review_ui import views
from review_ui.desk import Desk
from review_ui.errors import NotFoundError
from review_ui.routes.common import PROBLEMS, DeskDep, SessionDep
from review_ui.routes.queues import MOST_MEMBERS
from review_ui.schemas import ClusterOut, ItemDetailOut, ItemId
from review_ui.store import history, queues
from review_ui.store.models import review_item

router = APIRouter(prefix="/api", tags=["items"], responses=PROBLEMS)

NEIGHBOURS = 12
# Beyond so many of 64 bits two hashes have nothing in common: random ones differ in 32.
FARTHEST = 24


@router.get("/items/{item}", response_model=ItemDetailOut)
def show(item: ItemId, desk: DeskDep, _session: SessionDep) -> dict[str, Any]:
    """Give an item with its history, and the items that look like it."""
    number = desk.build().number
    with desk.database.reading() as connection:
        row = queues.items_by_id(connection, number, [item]).get(item)
        if row is None:
            raise NotFoundError(f"the build under review has no item {item[:80]}")
        shown = views.item(row)
        events = history.events(connection, item=item)
        return {
            **shown,
            "history": [views.event(event, shown["thumb"]) for event in events],
            "neighbours": _neighbours(connection, desk, number, row),
        }


def _neighbours(connection: Connection, desk: Desk, number: int, row: Any) -> list[dict[str, Any]]:
    if row.phash is None:
        return []
    near = {
        at: bits
        for at, bits in desk.lookalikes.nearest(number, row.phash, NEIGHBOURS + 1)
        if at != row.id and bits <= FARTHEST
    }
    if not near:
        return []
    query = queues.item_rows().where(review_item.c.id.in_(list(near)))
    found = [{**views.item(other), "bits": near[other.id]} for other in connection.execute(query)]
    return sorted(found, key=lambda other: (other["bits"], other["id"]))[:NEIGHBOURS]


@router.get("/items/{item}/why")
def explain(item: ItemId, desk: DeskDep, _session: SessionDep) -> dict[str, Any]:
    """Tell everything that the catalog knows about an item. May take seconds."""
    number = desk.build().number
    here = select(review_item.c.id).where(
        review_item.c.build == number, review_item.c.item_id == item
    )
    with desk.database.reading() as connection:
        if connection.execute(here).first() is None:
            raise NotFoundError(f"the build under review has no item {item[:80]}")
    return desk.pipeline.explain(item)


@router.get("/clusters/{kind}/{key}", response_model=ClusterOut)
def show_cluster(
    kind: Annotated[Literal["duplicate", "colourway"], Path()],
    key: ItemId,
    desk: DeskDep,
    _session: SessionDep,
) -> dict[str, Any]:
    """Give a cluster, the item to keep first."""
    number = desk.build().number
    with desk.database.reading() as connection:
        rows = queues.members(connection, number, kind, key, MOST_MEMBERS)
        if not rows:
            raise NotFoundError(f"the build under review has no {kind} cluster {key[:80]}")
        size = queues.cluster_size(connection, number, kind, key)
    settled = all(row.decided for row in rows if row.relation or kind == "colourway")
    farthest = max((row.distance or 0.0 for row in rows), default=0.0)
    return views.cluster(queues.ClusterRows(kind, key, size, farthest, settled, rows))
