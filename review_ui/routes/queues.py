"""Queues: what there is to decide, by reason; pages of them; leases on what is shown."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from review_ui import views
from review_ui.desk import Desk
from review_ui.routes.common import PROBLEMS, DeskDep, SessionDep, from_cursor, to_cursor
from review_ui.schemas import (
    ClustersIn,
    ClustersOut,
    FacetsOut,
    LeasesIn,
    LeasesOut,
    PageIn,
    PageOut,
    QueuesOut,
)
from review_ui.store import clock, queues

router = APIRouter(prefix="/api", tags=["queues"], responses=PROBLEMS)

# Members of a cluster that are shown; the others are counted.
MOST_MEMBERS = 60

_EVERYTHING = {
    "reason": queues.ALL,
    "title": "Everything",
    "meaning": "All pictures of the build; those accepted so far deserve a second look.",
    "kind": "items",
    "action": None,
    "measure": None,
    "unit": "",
    "order": "high",
    "limit": None,
}


@router.get("/queues", response_model=QueuesOut)
def list_queues(desk: DeskDep, _session: SessionDep) -> dict[str, Any]:
    """List the queues with their counts, and how far the catalog has been read."""
    current, later = desk.builds.get()
    counts = desk.counts.get()
    infos = [_EVERYTHING, *(current.queues if current else [])]
    everything = counts.items.get(queues.ALL, {})
    return {
        "build": None
        if current is None
        else {
            "id": current.build_id,
            "built_at": clock.to_text(current.built_at),
            "items": current.size,
        },
        "sync": _sync(desk, current, later),
        "queues": [_queue(info, counts) for info in infos],
        "todo": everything.get("open", 0),
        "decisions": counts.decisions,
        "online": [
            {"name": name, "seconds_ago": round(ago, 1)} for name, ago in desk.sessions.online()
        ],
    }


def _sync(desk: Desk, current: queues.Build | None, later: queues.Build | None) -> dict[str, Any]:
    if later is not None and later.state == "reading":
        return {"state": "reading", "done": later.size, "total": later.total, "message": ""}
    message = desk.trouble or (later.message if later is not None else "")
    if message:
        return {"state": "failed", "done": 0, "total": 0, "message": message}
    state = "empty" if current is None else "ready"
    return {"state": state, "done": 0, "total": 0, "message": ""}


def _queue(info: dict[str, Any], counts: queues.Counts) -> dict[str, Any]:
    reason = info["reason"]
    items = counts.items.get(reason, {})
    clusters = counts.clusters.get(reason, {})
    low, high = counts.ranges.get(reason, (None, None))
    if info["order"] == "low" and low is not None and high is not None:
        low, high = -high, -low
    of_clusters = info["kind"] == "clusters"
    return {
        **{key: value for key, value in info.items() if key != "reason"},
        "id": reason,
        "open": clusters.get(False, 0) if of_clusters else items.get("open", 0),
        "accepted": items.get("accepted", 0),
        "rejected": items.get("rejected", 0),
        "settled": clusters.get(True, 0) if of_clusters else None,
        "low": low,
        "high": high,
    }


@router.get("/facets", response_model=FacetsOut)
def list_facets(desk: DeskDep, _session: SessionDep) -> dict[str, Any]:
    """List what queues can be filtered by."""
    with desk.database.reading() as connection:
        found = queues.facets(connection, desk.build().number)
        given = queues.given_tags(connection, "", 500)
    out: dict[str, Any] = {
        kind: [{"value": value, "count": items} for value, items in found.get(kind, [])]
        for kind in ("source", "label", "brand", "tag")
    }
    known = {entry["value"] for entry in out["tag"]}
    out["tag"] += [{"value": v, "count": n} for v, n in given if v not in known]
    for kind in ("first", "last"):
        out[kind] = clock.to_text(int(found[kind][0][0])) if kind in found else None
    return out


@router.post("/queues/{queue}/page", response_model=PageOut)
async def take_page(queue: str, body: PageIn, desk: DeskDep, session: SessionDep) -> dict[str, Any]:
    """Give a page of a queue; with `lease`, others are not shown it for a while."""
    number = (await run_in_threadpool(desk.build)).number
    request = queues.PageRequest(
        queue=queue,
        standing=body.standing,
        order=body.order,
        limit=body.limit,
        after=from_cursor(body.after, int),
        filters=queues.Filters(**body.filters.model_dump()),
        skip=tuple(body.skip),
    )
    until = clock.now() + desk.config.lease_seconds * clock.SECOND

    def take(connection: Connection) -> tuple[queues.Page, int]:
        if queue != queues.ALL:
            queues.queue_info(connection, number, queue)
        page = queues.page(connection, number, request, session.name)
        if body.lease:
            queues.hold(connection, [row.item_id for row in page.rows], session.name, until)
        return page, queues.held_by_others(connection, session.name)

    if body.lease:
        page, held = await asyncio.wrap_future(desk.writer.write(take))
    else:
        page, held = await run_in_threadpool(_read, desk, take)
    desk.pictures.remember(number, page.rows)
    return {
        "items": [views.item(row) for row in page.rows],
        "next": to_cursor(page.next),
        "leased_until": clock.to_text(until) if body.lease else None,
        "held_by_others": held,
    }


def _read(desk: Desk, take: Any) -> Any:
    with desk.database.reading() as connection:
        return take(connection)


@router.post("/queues/{queue}/clusters", response_model=ClustersOut)
async def take_clusters(
    queue: str, body: ClustersIn, desk: DeskDep, session: SessionDep
) -> dict[str, Any]:
    """Give clusters of a queue; with `lease`, without those that others look at."""
    number = (await run_in_threadpool(desk.build)).number
    until = clock.now() + desk.config.lease_seconds * clock.SECOND

    def take(connection: Connection) -> Any:
        found, last = queues.clusters(
            connection,
            number,
            queue,
            settled=body.standing == "settled",
            limit=body.limit,
            after=from_cursor(body.after, str),
            most=MOST_MEMBERS,
        )
        if not body.lease:
            return found, last
        now = clock.now()
        mine = [
            cluster
            for cluster in found
            if not any(
                row.leased_by not in (None, session.name) and row.leased_until > now
                for row in cluster.rows
            )
        ]
        for cluster in mine:
            queues.hold(connection, [row.item_id for row in cluster.rows], session.name, until)
        return mine, last

    if body.lease:
        found, last = await asyncio.wrap_future(desk.writer.write(take))
    else:
        found, last = await run_in_threadpool(_read, desk, take)
    for cluster in found:
        desk.pictures.remember(number, cluster.rows)
    return {"clusters": [views.cluster(cluster) for cluster in found], "next": to_cursor(last)}


@router.post("/leases", response_model=LeasesOut)
async def keep_or_give_back(body: LeasesIn, desk: DeskDep, session: SessionDep) -> dict[str, Any]:
    """Keep items for longer, or let others have them."""
    until = clock.now() + desk.config.lease_seconds * clock.SECOND

    def work(connection: Connection) -> None:
        if body.release:
            queues.give_back(connection, body.items, session.name)
        else:
            queues.renew(connection, body.items, session.name, until)

    await asyncio.wrap_future(desk.writer.write(work))
    return {"leased_until": None if body.release else clock.to_text(until)}
