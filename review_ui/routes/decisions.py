"""Decisions: taking them, their history, tags, files of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from review_ui import views
from review_ui.desk import Desk
from review_ui.routes.common import PROBLEMS, AdminDep, DeskDep, SessionDep
from review_ui.schemas import (
    DecisionsIn,
    DecisionsOut,
    Facet,
    HistoryOut,
    ImportIn,
    ImportOut,
    ItemId,
    Name,
    TagsOut,
)
from review_ui.store import exchange, history, queues
from review_ui.store.deciding import Decision, Submission

router = APIRouter(prefix="/api", tags=["decisions"], responses=PROBLEMS)

MOST_TAGS_SHOWN = 50


@router.post("/decisions", response_model=DecisionsOut)
async def decide(body: DecisionsIn, desk: DeskDep, session: SessionDep) -> JSONResponse:
    """Take decisions, in order; what is acknowledged is on disk. Sent again, nothing changes."""
    decisions = [
        Decision(
            uuid=sent.uuid,
            item=sent.item,
            verdict=sent.verdict,
            reasons=tuple(sent.reasons),
            tags=tuple(sent.tags),
            note=sent.note,
            base=sent.base,
            undoes=sent.undoes,
            batch=sent.batch or sent.uuid,
            client_ms=sent.ms,
        )
        for sent in body.decisions
    ]
    results = await asyncio.wrap_future(
        desk.writer.decide(Submission(session.name, "page", decisions))
    )
    # Not checked against the model once more: this is what the server does most.
    return JSONResponse({"outcomes": [views.outcome(result) for result in results]})


@router.get("/history", response_model=HistoryOut)
def show_history(
    desk: DeskDep,
    _session: SessionDep,
    reviewer: Annotated[Name | None, Query()] = None,
    item: Annotated[ItemId | None, Query()] = None,
    before: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """Give decisions, newest first."""
    current = desk.builds.get()[0]
    with desk.database.reading() as connection:
        rows = history.events(
            connection, reviewer=reviewer, item=item, before=before, limit=limit + 1
        )
        shown = rows[:limit]
        items = sorted({row.item_id for row in shown})
        known = queues.items_by_id(connection, current.number, items) if current else {}
    thumbs = {
        found: views.picture_urls(found, row.standard_hash)["thumb"] for found, row in known.items()
    }
    return {
        "events": [views.event(row, thumbs.get(row.item_id)) for row in shown],
        "next": shown[-1].seq if len(rows) > limit else None,
    }


@router.get("/tags", response_model=TagsOut)
def list_tags(
    desk: DeskDep,
    _session: SessionDep,
    prefix: Annotated[Facet, Query(max_length=exchange.LONGEST_TAG)] = "",
) -> dict[str, Any]:
    """Give tags that begin like this, the most used first; those that came with pictures last."""
    current = desk.builds.get()[0]
    with desk.database.reading() as connection:
        found = queues.given_tags(connection, prefix, MOST_TAGS_SHOWN)
        came = queues.facets(connection, current.number).get("tag", []) if current else []
    known = {value for value, _ in found}
    start = prefix.casefold()
    found += [
        (value, items)
        for value, items in came
        if value not in known and value.casefold().startswith(start)
    ]
    return {"tags": [{"value": v, "count": n} for v, n in found[:MOST_TAGS_SHOWN]]}


@router.get("/decisions.{form}", response_class=StreamingResponse)
def export(
    form: Literal["csv", "jsonl"],
    desk: DeskDep,
    _session: SessionDep,
    history: bool = False,
) -> StreamingResponse:
    """Download the decisions that hold, or with `history` all there ever were."""
    kind = "text/csv" if form == "csv" else "application/x-ndjson"
    return StreamingResponse(
        _exported(desk, form, history),
        media_type=f"{kind}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="decisions.{form}"'},
    )


def _exported(desk: Desk, form: Literal["csv", "jsonl"], whole_history: bool) -> Iterator[str]:
    with desk.database.reading() as connection:
        yield from exchange.export(connection, form, whole_history=whole_history)


@router.post("/decisions/import", response_model=ImportOut)
async def take_in(body: ImportIn, desk: DeskDep, admin: AdminDep) -> dict[str, Any]:
    """Take in a file of decisions; a line that cannot be read keeps nothing else out.

    It is written in pieces, between which others are served. Where one cannot be, those before it
    stay: sent again, the file goes on there.
    """
    decisions, report = await run_in_threadpool(exchange.parse, body.text, body.format)
    try:
        for piece in exchange.pieces(decisions):
            work = partial(exchange.take_in, decisions=piece, reviewer=admin.name)
            report.add(await asyncio.wrap_future(desk.writer.write(work)))
    finally:
        desk.counts.forget()
    return asdict(report)
