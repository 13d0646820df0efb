"""How fast people decide, and how far they agree."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from fastapi import APIRouter

from review_ui import views
from review_ui.routes.common import PROBLEMS, DeskDep, SessionDep
from review_ui.schemas import StatisticsOut
from review_ui.store import clock, history, queues
from review_ui.store.settling import ALL

router = APIRouter(prefix="/api", tags=["statistics"], responses=PROBLEMS)


@router.get("/statistics", response_model=StatisticsOut)
def show(desk: DeskDep, session: SessionDep) -> dict[str, Any]:
    """Give the pace of today (UTC) and of all time, and the agreement between reviewers."""
    current = desk.builds.get()[0]
    today = clock.to_micros(datetime.combine(datetime.now(UTC).date(), time()))
    with desk.database.reading() as connection:
        mine = history.paces(connection, since=today, reviewer=session.name)
        paces = history.paces(connection)
        words = history.last_words(connection)
        differing = history.disputed(words)
        items = [item for item, _ in differing]
        known = queues.items_by_id(connection, current.number, items) if current else {}
    return {
        "today": _pace(mine[0]) if mine else {"decisions": 0, "per_minute": 0.0, "median_ms": None},
        "reviewers": [
            {"name": pace.reviewer, "last_at": clock.to_text(pace.last_at), **_pace(pace)}
            for pace in paces
        ],
        "left": desk.counts.get().items.get(ALL, {}).get("open", 0),
        "agreement": [
            {
                "first": found.first,
                "second": found.second,
                "items": found.items,
                "agreed": found.agreed,
                "share": found.share,
                "kappa": found.kappa,
            }
            for found in history.agreements(words)
        ],
        "disputed": [
            {
                "item": item,
                "thumb": views.picture_urls(item, known[item].standard_hash)["thumb"]
                if item in known
                else None,
                "said": [{"reviewer": name, "verdict": said} for name, said in sorted(by.items())],
            }
            for item, by in differing
        ],
    }


def _pace(pace: history.Pace) -> dict[str, Any]:
    return {
        "decisions": pace.decisions,
        "per_minute": pace.per_minute,
        "median_ms": pace.median_ms,
    }
