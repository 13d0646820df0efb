"""Queues: what there is to decide, by reason; pages of them; leases on what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from review_ui import views
from review_ui.desk import Desk
from review_ui.routes.common import (
    PROBLEMS,
    DeskDep,
    SessionDep,
    build_changed,
    from_cursor,
    to_cursor,
)
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
from review_ui.store.settling import ALL, current_build

T = TypeVar("T")

router = APIRouter(prefix="/api", tags=["queues"], responses=PROBLEMS)

# Members of a cluster that are shown; the others are counted.
MOST_MEMBERS = 60

_EVERYTHING = {
    "reason": ALL,
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
    everything = counts.items.get(ALL, {})
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
        "decisions": desk.events.get(),
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
    # The process that reads needs a moment before it can say how much there is.
    state = "reading" if desk.is_looking else "empty" if current is None else "ready"
    return {"state": state, "done": 0, "total": 0, "message": ""}


def _queue(info: dict[str, Any], counts: queues.Counts) -> dict[str, Any]:
    reason = info["reason"]
    items = counts.items.get(reason, {})
    clusters = counts.clusters.get(reason, {})
    # Of several measures, each in its own unit, there is no range.
    known = counts.ranges.get(reason, (None, None)) if info["measure"] else (None, None)
    low, high = queues.turned(info, *known)
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
    build = await run_in_threadpool(desk.build)
    request = _request(build, queue, body)
    until = clock.now() + desk.config.lease_seconds * clock.SECOND

    def find(connection: Connection) -> tuple[queues.Page, int]:
        page = queues.page(connection, build.number, request, session.name)
        return page, queues.held_by_others(connection, session.name)

    def take(connection: Connection) -> tuple[queues.Page, int]:
        page, held = find(connection)
        queues.hold(connection, [row.item_id for row in page.rows], session.name, until)
        return page, held

    if not body.lease:
        page, held = await run_in_threadpool(_read, desk, build, find)
    elif request.filters == queues.Filters():
        page, held = await _write(desk, build, take)
    else:
        # What passes a filter may be far to seek; nobody's decisions wait for that.
        page, held = await _found_then_taken(desk, build, find, body.standing, session.name, until)
    desk.pictures.remember(build.number, page.rows)
    return {
        "items": [views.item(row) for row in page.rows],
        "next": to_cursor(build.number, page.next),
        "leased_until": clock.to_text(until) if body.lease else None,
        "held_by_others": held,
    }


def _request(build: queues.Build, queue: str, body: PageIn) -> queues.PageRequest:
    info = _EVERYTHING if queue == ALL else build.queue(queue)
    wanted = body.filters.model_dump()
    wanted["low"], wanted["high"] = queues.turned(info, body.filters.low, body.filters.high)
    return queues.PageRequest(
        queue=queue,
        standing=body.standing,
        order=body.order,
        limit=body.limit,
        after=from_cursor(body.after, int, build.number),
        filters=queues.Filters(**wanted),
        skip=tuple(body.skip),
    )


async def _found_then_taken(
    desk: Desk,
    build: queues.Build,
    find: Callable[[Connection], tuple[queues.Page, int]],
    standing: queues.Standing,
    reviewer: str,
    until: int,
) -> tuple[queues.Page, int]:
    """Find a page beside the writer, then lease what nobody has taken meanwhile."""
    while True:
        page, held = await run_in_threadpool(_read, desk, build, find)
        if not page.rows:
            return page, held
        rows = page.rows

        def take(connection: Connection, rows: Any = rows) -> Any:
            return queues.hold_free(connection, rows, standing, reviewer, until)

        left = await _write(desk, build, take)
        # All gone: others were faster, and the next search leaves out what they hold.
        if left:
            return queues.Page(left, page.next), held


def _read(desk: Desk, build: queues.Build, find: Callable[[Connection], T]) -> T:
    """Look into a build; 409 where it is no longer the one under review."""
    with desk.database.reading() as connection:
        found = find(connection)
        # Afterwards: its rows are removed piece by piece once another build is there.
        is_current = current_build(connection) == build.number
    if not is_current:
        desk.builds.forget()
        raise build_changed()
    return found


async def _write(desk: Desk, build: queues.Build, take: Callable[[Connection], T]) -> T:
    """Look into a build as the only writer; 409 where it is no longer the one under review."""

    def work(connection: Connection) -> tuple[T] | None:
        # An error would make the writer do all again that it does together with this.
        return (take(connection),) if current_build(connection) == build.number else None

    found = await asyncio.wrap_future(desk.writer.write(work))
    if found is None:
        desk.builds.forget()
        raise build_changed()
    return found[0]


@router.post("/queues/{queue}/clusters", response_model=ClustersOut)
async def take_clusters(
    queue: str, body: ClustersIn, desk: DeskDep, session: SessionDep
) -> dict[str, Any]:
    """Give clusters of a queue; with `lease`, without those that others look at."""
    build = await run_in_threadpool(desk.build)
    queues.kind_of(queue)
    after = from_cursor(body.after, str, build.number)
    until = clock.now() + desk.config.lease_seconds * clock.SECOND

    def find(connection: Connection) -> queues.ClustersPage:
        return queues.clusters(
            connection,
            build.number,
            queue,
            settled=body.standing == "settled",
            limit=body.limit,
            after=after,
            most=MOST_MEMBERS,
        )

    def take(connection: Connection) -> tuple[queues.ClustersPage, int]:
        found, last = find(connection)
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
        return (mine, last), len(found) - len(mine)

    held = 0
    if body.lease:
        (found, last), held = await _write(desk, build, take)
    else:
        found, last = await run_in_threadpool(_read, desk, build, find)
    for cluster in found:
        desk.pictures.remember(build.number, cluster.rows)
    return {
        "clusters": [views.cluster(cluster) for cluster in found],
        "next": to_cursor(build.number, last),
        "held_by_others": held,
    }


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
