"""What was decided, by whom, in which order; how fast, and how far people agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, select

from review_ui.store import clock
from review_ui.store.models import decision_event, item_state

# A longer pause than this ends a spell of work, so that lunch does not count as slow deciding.
_PAUSE: Final = 120 * clock.SECOND
_DISPUTED: Final = 60
# Decisions of each reviewer that tell the pace: to read a million of them takes seconds.
RECENT: Final = 5_000


def events(
    connection: Connection,
    *,
    reviewer: str | None = None,
    item: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Row[Any]]:
    """Give events, newest first, each with what held before it and whether it was undone."""
    earlier = aliased_event("earlier")
    later = aliased_event("later")
    query = (
        select(
            decision_event,
            earlier.c.verdict.label("before_verdict"),
            earlier.c.reasons.label("before_reasons"),
            earlier.c.tags.label("before_tags"),
            earlier.c.note.label("before_note"),
            select(later.c.seq)
            .where(later.c.item_id == decision_event.c.item_id)
            .where(later.c.undoes == decision_event.c.uuid)
            .exists()
            .label("undone"),
        )
        .outerjoin(earlier, earlier.c.uuid == decision_event.c.base)
        .order_by(decision_event.c.seq.desc())
        .limit(limit)
    )
    if reviewer is not None:
        query = query.where(decision_event.c.reviewer == reviewer)
    if item is not None:
        query = query.where(decision_event.c.item_id == item)
    if before is not None:
        query = query.where(decision_event.c.seq < before)
    return list(connection.execute(query).all())


@dataclass(frozen=True, slots=True)
class Events:
    """How many events there are, and the number of the last one that was counted."""

    count: int = 0
    last: int = 0


def counted(connection: Connection, known: Events) -> Events:
    """Count the events that came since. Numbers may be left out, so that the last is no count."""
    query = select(func.count(), func.max(decision_event.c.seq))
    more, last = connection.execute(query.where(decision_event.c.seq > known.last)).one()
    return Events(known.count + more, last or known.last)


def decided_since(connection: Connection, since: int) -> int:
    """Count the items about which the word that holds is younger than a time."""
    query = select(func.count()).select_from(item_state).where(item_state.c.decided_at > since)
    return int(connection.execute(query).scalar_one())


def aliased_event(name: str) -> Any:
    """Give the table of events under another name, to join it with itself."""
    return decision_event.alias(name)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast somebody decides.

    Attributes
    ----------
    per_minute : float
        Over the time spent deciding; longer pauses are left out. Of the last `RECENT` decisions.
    median_ms : float or None
        From shown to decided, of the last `RECENT` decisions.
    """

    reviewer: str
    decisions: int
    per_minute: float
    median_ms: float | None
    last_at: int


def paces(connection: Connection, since: int = 0, reviewer: str | None = None) -> list[Pace]:
    """Tell how fast each reviewer decided since a time, the most diligent first."""
    on_page = and_(decision_event.c.origin == "page", decision_event.c.decided_at >= since)
    totals = select(
        decision_event.c.reviewer, func.count(), func.max(decision_event.c.decided_at)
    ).where(on_page)
    if reviewer is not None:
        totals = totals.where(decision_event.c.reviewer == reviewer)
    found = []
    for name, decisions, last_at in connection.execute(totals.group_by(decision_event.c.reviewer)):
        recent = (
            select(decision_event.c.decided_at, decision_event.c.client_ms)
            .where(on_page, decision_event.c.reviewer == name)
            .order_by(decision_event.c.seq.desc())
            .limit(min(decisions, RECENT))
        )
        rows = connection.execute(recent).all()[::-1]
        spent = [row.client_ms for row in rows if row.client_ms is not None]
        pace = round(rate([row.decided_at for row in rows]), 1)
        found.append(Pace(name, decisions, pace, median(spent) if spent else None, last_at))
    return sorted(found, key=lambda pace: (-pace.decisions, pace.reviewer))


def rate(times: Sequence[int]) -> float:
    """Count decisions a minute of work; 0 for fewer than two, or for one stroke."""
    steps = [later - earlier for earlier, later in pairwise(times)]
    worked = sum(step for step in steps if 0 < step <= _PAUSE)
    counted = sum(1 for step in steps if step <= _PAUSE)
    return 60 * clock.SECOND * counted / worked if worked else 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two people agree on what both decided.

    Attributes
    ----------
    share : float
        Of items on which they said the same.
    kappa : float or None
        Cohen's kappa (doi:10.1177/001316446002000104): 1 is full agreement, 0 no more than by
        chance; None where chance alone gives full agreement.
    """

    first: str
    second: str
    items: int
    agreed: int
    share: float
    kappa: float | None


def last_words(connection: Connection) -> dict[str, dict[str, str]]:
    """Give the last verdict of each person on each item that more than one decided."""
    several = (
        select(decision_event.c.item_id)
        .group_by(decision_event.c.item_id)
        .having(func.min(decision_event.c.reviewer) != func.max(decision_event.c.reviewer))
    )
    query = (
        select(decision_event.c.item_id, decision_event.c.reviewer, decision_event.c.verdict)
        .where(decision_event.c.item_id.in_(several))
        .order_by(decision_event.c.seq)
    )
    words: dict[str, dict[str, str]] = defaultdict(dict)
    for item, reviewer, verdict in connection.execute(query):
        words[item][reviewer] = verdict
    said = {
        item: {name: verdict for name, verdict in by.items() if verdict != "undecided"}
        for item, by in words.items()
    }
    return {item: by for item, by in said.items() if len(by) > 1}


def agreements(words: dict[str, dict[str, str]]) -> list[Agreement]:
    """Hold people's last words against each other, pair by pair."""
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for by in words.values():
        for first, second in combinations(sorted(by), 2):
            pairs[first, second].append((by[first], by[second]))
    return [_agreement(*names, said) for names, said in sorted(pairs.items())]


def _agreement(first: str, second: str, said: Sequence[tuple[str, str]]) -> Agreement:
    items = len(said)
    agreed = sum(a == b for a, b in said)
    share = agreed / items
    accepts = [sum(pair[side] == "accepted" for pair in said) / items for side in (0, 1)]
    chance = accepts[0] * accepts[1] + (1 - accepts[0]) * (1 - accepts[1])
    kappa = None if chance >= 1 else round((share - chance) / (1 - chance), 3)
    return Agreement(first, second, items, agreed, round(share, 3), kappa)


def disputed(words: dict[str, dict[str, str]]) -> list[tuple[str, dict[str, str]]]:
    """Give items on which people differ."""
    differing = [(item, by) for item, by in sorted(words.items()) if len(set(by.values())) > 1]
    return differing[:_DISPUTED]
