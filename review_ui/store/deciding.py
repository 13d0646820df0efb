"""What happens when people decide: compare, append, and settle what follows from it.

An event carries the whole new state of an item and the uuid of the event that its maker believed
to hold. It is taken only if that one still holds, so that of two people who decide at once one wins
and the other is told; and only once, so that it may be sent again without harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from sqlalchemy import Connection, Table, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from review_ui.store import clock
from review_ui.store.models import (
    decision_event,
    item_state,
    lease,
    pack_list,
    review_item,
    tag,
    unpack_list,
)
from review_ui.store.settling import current_build, settle

Spoken = Literal["accepted", "rejected", "undecided"]
Origin = Literal["page", "import", "catalog"]

UNDECIDED: Final = "undecided"
# As many values as one statement is handed at most.
CHUNK: Final = 500


class Outcome(StrEnum):
    """What became of a decision that was sent."""

    SAVED = "saved"
    REPLAYED = "replayed"  # was saved before
    CONFLICT = "conflict"  # another one holds for the item


@dataclass(frozen=True, slots=True)
class Decision:
    """One event to be: the whole new state of an item.

    Attributes
    ----------
    reasons : tuple of str or None
        None is as before where the verdict is as before, and else none.
    tags : tuple of str or None
        None is as before.
    note : str or None
        None is as before.
    reviewer : str or None
        Who said it, where that is not who sends it.
    base : str or None
        uuid of the event that its maker believes to hold; None where there is none.
    undoes : str or None
        uuid of the event that this one takes back.
    client_ms : int or None
        Time from shown to decided.
    decided_at : int or None
        Where it was made elsewhere, when; microseconds.
    """

    uuid: str
    item: str
    verdict: Spoken
    reasons: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    note: str | None = None
    reviewer: str | None = None
    base: str | None = None
    undoes: str | None = None
    batch: str = ""
    client_ms: int | None = None
    decided_at: int | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """Decisions sent together by one person.

    Attributes
    ----------
    force : bool
        Take them whatever holds: what was decided elsewhere comes in.
    """

    reviewer: str
    origin: Origin
    decisions: Sequence[Decision]
    force: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What holds for an item."""

    item: str
    head: str | None = None
    verdict: str = UNDECIDED
    reasons: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    note: str = ""
    reviewer: str | None = None
    decided_at: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one decision, and what holds for its item now."""

    uuid: str
    outcome: Outcome
    state: State


@dataclass(slots=True)
class _Books:
    """What is known before, and what is to be written after."""

    states: dict[str, State]
    pixels: Mapping[str, str | None]  # item -> hash of its pixels
    seen: dict[str, str]  # uuid -> item, of events that are written already
    events: list[dict[str, Any]] = field(default_factory=list)
    changed: dict[str, State] = field(default_factory=dict)
    tags: Counter[str] = field(default_factory=Counter)


def decide(connection: Connection, submissions: Sequence[Submission]) -> list[list[Result]]:
    """Take what was sent, in order; one list of results for each submission.

    An item need not be in the build: it may have left since it was shown, and may come back.
    The connection must be the only writer.
    """
    wanted = [decision for sent in submissions for decision in sent.decisions]
    build = current_build(connection)
    items = sorted({decision.item for decision in wanted})
    books = _Books(
        states=states_of(connection, items),
        pixels=_pixels_of(connection, build, items),
        seen=events_by_uuid(connection, [decision.uuid for decision in wanted]),
    )
    results = [
        [_take(books, sent, decision) for decision in sent.decisions] for sent in submissions
    ]
    _write(connection, books)
    if build is not None and books.changed:
        settle(connection, build, list(books.changed))
    return results


def states_of(connection: Connection, items: Sequence[str]) -> dict[str, State]:
    """Give what holds for items; those without any decision are left out."""
    found = {}
    for chunk in chunks(items):
        query = select(item_state).where(item_state.c.item_id.in_(chunk))
        for row in connection.execute(query):
            found[row.item_id] = State(
                item=row.item_id,
                head=row.head,
                verdict=row.verdict,
                reasons=tuple(unpack_list(row.reasons)),
                tags=tuple(unpack_list(row.tags)),
                note=row.note,
                reviewer=row.reviewer,
                decided_at=row.decided_at,
            )
    return found


def chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    """Cut into pieces that one statement can be handed."""
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def _pixels_of(
    connection: Connection, build: int | None, items: Sequence[str]
) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for chunk in chunks(items):
        held = select(item_state.c.item_id, item_state.c.pixels)
        found.update(map(tuple, connection.execute(held.where(item_state.c.item_id.in_(chunk)))))
        if build is None:
            continue
        query = select(review_item.c.item_id, review_item.c.pixels).where(
            review_item.c.build == build, review_item.c.item_id.in_(chunk)
        )
        found.update(map(tuple, connection.execute(query)))
    return found


def events_by_uuid(connection: Connection, uuids: Sequence[str]) -> dict[str, str]:
    """Give the items of events that are written already."""
    found: dict[str, str] = {}
    for chunk in chunks(uuids):
        query = select(decision_event.c.uuid, decision_event.c.item_id)
        found.update(map(tuple, connection.execute(query.where(decision_event.c.uuid.in_(chunk)))))
    return found


def _take(books: _Books, sent: Submission, decision: Decision) -> Result:
    state = books.states.get(decision.item, State(decision.item))
    if decision.uuid in books.seen:
        same = books.seen[decision.uuid] == decision.item
        return Result(decision.uuid, Outcome.REPLAYED if same else Outcome.CONFLICT, state)
    if decision.base != state.head and not sent.force:
        return Result(decision.uuid, Outcome.CONFLICT, state)
    after = _after(state, sent, decision)
    books.events.append(_event(sent.origin, decision, state, after))
    books.seen[decision.uuid] = decision.item
    books.states[decision.item] = books.changed[decision.item] = after
    books.tags.update(set(after.tags) - set(state.tags))
    books.tags.subtract(set(state.tags) - set(after.tags))
    return Result(decision.uuid, Outcome.SAVED, after)


def _after(state: State, sent: Submission, decision: Decision) -> State:
    at = clock.now() if decision.decided_at is None else decision.decided_at
    # The catalog takes the latest word of an item by its time, so that times must rise.
    if state.decided_at is not None:
        at = max(at, state.decided_at + 1)
    reasons = state.reasons if decision.verdict == state.verdict else ()
    tags = state.tags if decision.tags is None else tuple(dict.fromkeys(decision.tags))
    return State(
        item=decision.item,
        head=decision.uuid,
        verdict=decision.verdict,
        reasons=reasons if decision.reasons is None else decision.reasons,
        tags=tags,
        note=state.note if decision.note is None else decision.note,
        reviewer=decision.reviewer or sent.reviewer,
        decided_at=at,
    )


def _event(origin: Origin, decision: Decision, before: State, after: State) -> dict[str, Any]:
    return {
        "uuid": decision.uuid,
        "batch": decision.batch or decision.uuid,
        "item_id": decision.item,
        "verdict": decision.verdict,
        "reasons": pack_list(after.reasons),
        "tags": pack_list(after.tags),
        "note": after.note,
        "reviewer": after.reviewer,
        "origin": origin,
        "base": before.head,
        "undoes": decision.undoes,
        "client_ms": decision.client_ms,
        "decided_at": after.decided_at,
    }


def _write(connection: Connection, books: _Books) -> None:
    if not books.events:
        return
    connection.execute(insert(decision_event), books.events)
    rows = [
        {
            "item_id": state.item,
            "head": state.head,
            "verdict": state.verdict,
            "reasons": pack_list(state.reasons),
            "tags": pack_list(state.tags),
            "note": state.note,
            "reviewer": state.reviewer,
            "decided_at": state.decided_at,
            "pixels": books.pixels.get(state.item),
        }
        for state in books.changed.values()
    ]
    connection.execute(upsert(connection, item_state, ["item_id"]), rows)
    for chunk in chunks(sorted(books.changed)):
        connection.execute(delete(lease).where(lease.c.item_id.in_(chunk)))
    _count_tags(connection, books.tags)


def _count_tags(connection: Connection, tags: Counter[str]) -> None:
    moved = {value: by for value, by in tags.items() if by}
    for value, by in sorted(moved.items()):
        changed = connection.execute(
            update(tag).where(tag.c.value == value).values(uses=tag.c.uses + by)
        )
        if not changed.rowcount and by > 0:
            connection.execute(insert(tag).values(value=value, uses=by))


def upsert(connection: Connection, table: Table, key: Sequence[str]) -> Any:
    """Make an INSERT that overwrites the row with the same key."""
    make = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    statement = make(table)
    others = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in key
    }
    return statement.on_conflict_do_update(index_elements=list(key), set_=others)
