"""Takes a build of the catalog into the store, beside the one under review, then changes over.

A kill in between leaves rows of a build that is not current; the next call removes them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Connection, delete, func, insert, select, update

from review_ui.errors import StoreError
from review_ui.feed import Feed
from review_ui.store import clock
from review_ui.store.database import Database
from review_ui.store.models import (
    PROJECTION,
    build,
    cluster,
    decision_event,
    facet,
    item_state,
    pack_list,
    queue_entry,
    review_item,
)
from review_ui.store.settling import COLOURWAY, DUPLICATES, settle, standing_of

# Rows of one commit: the writer of decisions waits for as long as that takes.
_ROWS: Final = 2_000
_FACET_VALUES: Final = 500
_SHARED: Final = frozenset(column.name for column in review_item.columns)


def replace(database: Database, feed: Feed, tell: Callable[[int], None] = lambda done: None) -> int:
    """Make `feed` the build under review; give its number.

    Decisions are taken all the while; the page shows the earlier build until this one is whole.

    Parameters
    ----------
    tell
        Told how many items are in.
    """
    with database.writing() as connection:
        seen = connection.execute(select(func.max(decision_event.c.seq))).scalar() or 0
        number = _begin(connection, feed)
        last_id = connection.execute(select(func.max(review_item.c.id))).scalar() or 0
    _sweep(database)
    taken = _Taken(number, feed.recipe, last_id, _words(database))
    try:
        for batch in feed.items:
            for rows in _pieces(batch):
                _add(database, taken, rows)
                tell(taken.items)
        with database.writing() as connection:
            _add_summary(connection, taken)
            _finish(connection, number, taken.items, seen)
    except BaseException as error:
        with database.writing() as connection:
            connection.execute(
                update(build)
                .where(build.c.number == number, build.c.state == "reading")
                .values(state="failed", message=str(error)[:500])
            )
        raise
    _sweep(database)
    return number


@dataclass(slots=True)
class _Words:
    """People's verdicts, by item and by hash of the pixels."""

    by_item: dict[str, str] = field(default_factory=dict)
    by_pixels: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Cluster:
    size: int = 0
    waiting: int = 0
    badness: float = 0.0


@dataclass(slots=True)
class _Taken:
    """What has been taken in so far."""

    number: int
    recipe: str
    last_id: int
    words: _Words
    items: int = 0
    sizes: Counter[tuple[str, str]] = field(default_factory=Counter)
    clusters: dict[tuple[str, str], _Cluster] = field(default_factory=dict)
    facets: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: int | None = None
    last: int | None = None


def _begin(connection: Connection, feed: Feed) -> int:
    connection.execute(
        update(build)
        .where(build.c.state == "reading")
        .values(state="failed", message="was cut off")
    )
    row = connection.execute(
        insert(build).values(
            build_id=feed.build,
            built_at=clock.to_micros(feed.built_at),
            state="reading",
            size=0,
            total=feed.total,
            queues=json.dumps([asdict(info) for info in feed.queues]),
            message="",
        )
    )
    assert row.inserted_primary_key is not None
    return int(row.inserted_primary_key[0])


def _words(database: Database) -> _Words:
    words = _Words()
    with database.reading() as connection:
        query = (
            select(item_state.c.item_id, item_state.c.verdict, item_state.c.pixels)
            .where(item_state.c.verdict != "undecided")
            .order_by(item_state.c.decided_at, item_state.c.item_id)
        )
        for row in connection.execute(query):
            words.by_item[row.item_id] = row.verdict
            if row.pixels:
                words.by_pixels[row.pixels] = (row.item_id, row.verdict)
    return words


def _pieces(batch: pa.RecordBatch) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, batch.num_rows, _ROWS):
        yield batch.slice(start, _ROWS).to_pylist()


def _add(database: Database, taken: _Taken, rows: list[dict[str, Any]]) -> None:
    items: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for row in rows:
        taken.last_id += 1
        items.append(_item(taken, row))
        entries += _entries(taken, row, items[-1])
        _count(taken, row, decided=items[-1]["decided"])
    taken.items += len(rows)
    with database.writing() as connection:
        _still_reading(connection, taken.number, size=taken.items)
        connection.execute(insert(review_item), items)
        if entries:
            connection.execute(insert(queue_entry), entries)


def _still_reading(connection: Connection, number: int, **values: Any) -> None:
    """Note how far it is; refuse where another reader has begun since."""
    mine = update(build).where(build.c.number == number, build.c.state == "reading")
    if not connection.execute(mine.values(**values)).rowcount:
        raise StoreError("the catalog is being read by another process; this one gave up")


def _item(taken: _Taken, row: Mapping[str, Any]) -> dict[str, Any]:
    item, pixels = row["item_id"], row["pixels"]
    follows, copied = taken.words.by_pixels.get(pixels, (None, None)) if pixels else (None, None)
    own = taken.words.by_item.get(item)
    if follows == item:
        follows, copied = None, None
    standing, decided = standing_of(row["rule"], row["relation"] == DUPLICATES[0], own, copied)
    out = {name: value for name, value in row.items() if name in _SHARED}
    observed = row["observed_at"]
    out.update(
        id=taken.last_id,
        build=taken.number,
        recipe=taken.recipe,
        standing=standing,
        decided=decided,
        follows=follows if decided and own is None else None,
        evidence=json.dumps(row["evidence"] or []),
        given_tags=pack_list(row["tags"] or []),
        observed_at=None if observed is None else clock.to_micros(observed),
        ratio=row["standard_ratio"],
    )
    return out


def _entries(
    taken: _Taken, row: Mapping[str, Any], item: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    for found in {found["reason"]: found for found in row["evidence"] or []}.values():
        yield {
            "item": item["id"],
            "reason": found["reason"],
            "build": taken.number,
            "standing": item["standing"],
            "badness": badness(found["value"], found["breaks"]),
        }


def badness(value: float | None, breaks: str | None) -> float:
    """Turn a measured value so that more is worse: of some rules, low values are the bad ones."""
    if value is None or value != value:
        return 0.0
    return -value if breaks == "<" else value


def _count(taken: _Taken, row: Mapping[str, Any], *, decided: bool) -> None:
    """Add an item to its clusters and to what can be filtered by."""
    for kind in ("duplicate", "colourway"):
        if row[kind]:
            taken.sizes[kind, row[kind]] += 1
    for found in row["evidence"] or []:
        reason = found["reason"]
        key = row["duplicate"] if reason in DUPLICATES else row["colourway"]
        if key is None or (reason not in DUPLICATES and reason != COLOURWAY):
            continue
        known = taken.clusters.setdefault((reason, key), _Cluster())
        known.size += 1
        known.waiting += not decided
        known.badness = max(known.badness, badness(found["value"], found["breaks"]))
    for kind in ("source", "label", "brand"):
        if row[kind]:
            taken.facets[kind, row[kind]] += 1
    taken.facets.update(("tag", name) for name in row["tags"] or [])
    if row["observed_at"] is not None:
        at = clock.to_micros(row["observed_at"])
        taken.first = at if taken.first is None else min(at, taken.first)
        taken.last = at if taken.last is None else max(at, taken.last)


def _add_summary(connection: Connection, taken: _Taken) -> None:
    clusters = [
        {
            "build": taken.number,
            "reason": reason,
            "key": key,
            "size": taken.sizes["colourway" if reason == COLOURWAY else "duplicate", key],
            "badness": found.badness,
            "settled": found.waiting == 0,
        }
        for (reason, key), found in taken.clusters.items()
    ]
    if clusters:
        connection.execute(insert(cluster), clusters)
    facets = list(_facets(taken))
    if facets:
        connection.execute(insert(facet), facets)


def _facets(taken: _Taken) -> Iterator[dict[str, Any]]:
    shown: Counter[str] = Counter()
    for (kind, value), items in taken.facets.most_common():
        shown[kind] += 1
        if shown[kind] <= _FACET_VALUES:
            yield {"build": taken.number, "kind": kind, "value": value, "size": items}
    for kind, at in (("first", taken.first), ("last", taken.last)):
        if at is not None:
            yield {"build": taken.number, "kind": kind, "value": str(at), "size": taken.items}


def _finish(connection: Connection, number: int, items: int, seen: int) -> None:
    """Change over; what was decided in the meantime is settled in the new build."""
    late = select(decision_event.c.item_id).where(decision_event.c.seq > seen).distinct()
    settle(connection, number, sorted(connection.execute(late).scalars()))
    connection.execute(update(build).where(build.c.state == "current").values(state="old"))
    _still_reading(connection, number, state="current", size=items, total=items)


def _sweep(database: Database) -> None:
    """Remove rows of builds that are neither current nor being read, a piece at a time."""
    with database.reading() as connection:
        kept = select(build.c.number).where(build.c.state.in_(("current", "reading")))
        keep = list(connection.execute(kept).scalars())
    for table in PROJECTION:
        gone = table.c.build.not_in(keep)
        key = next(iter(table.primary_key.columns)) if table is not facet else table.c.build
        while True:
            with database.writing() as connection:
                if table in (review_item, queue_entry):
                    some = select(key).where(gone).limit(10 * _ROWS)
                    removed = connection.execute(delete(table).where(key.in_(some))).rowcount
                else:
                    connection.execute(delete(table).where(gone))
                    removed = 0
            if not removed:
                break
    with database.writing() as connection:
        connection.execute(delete(build).where(build.c.state == "old"))
