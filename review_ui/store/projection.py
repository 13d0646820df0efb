"""Takes a build of the catalog into the store, beside the one under review, then changes over.

A kill in between leaves rows of a build that is not current; the next call removes them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from review_ui.errors import StoreError
from review_ui.feed import Feed
from review_ui.store import clock
from review_ui.store.database import Database
from review_ui.store.deciding import chunks
from review_ui.store.models import (
    PROJECTION,
    build,
    cluster,
    decision_event,
    facet,
    item_state,
    pack_list,
    queue_count,
    queue_entry,
    review_item,
)
from review_ui.store.settling import ALL, COLOURWAY, DUPLICATES, settle, standing_of

# Rows of one commit: the writer of decisions waits for as long as that takes.
_ROWS: Final = 2_000
_FACET_VALUES: Final = 500
# A reader that has made no progress for so long was killed. Of a large catalog, a minute goes by
# before the first rows come.
STALE: Final = 120 * clock.SECOND
_SHARED: Final = frozenset(column.name for column in review_item.columns)


def replace(
    database: Database, feed: Feed, tell: Callable[[int], None] = lambda done: None
) -> int | None:
    """Make `feed` the build under review; give its number.

    Decisions are taken all the while; the page shows the earlier build until this one is whole.

    Parameters
    ----------
    tell
        Told how many items are in.

    Returns
    -------
    int or None
        None where another process reads the same build: it is left to that one.
    """
    with database.writing() as connection:
        seen = connection.execute(select(func.max(decision_event.c.seq))).scalar() or 0
        number = _begin(connection, feed)
        last_id = connection.execute(select(func.max(review_item.c.id))).scalar() or 0
    if number is None:
        return None
    try:
        _sweep(database, number)
        taken = _Taken(number, feed.recipe, last_id, _words(database), _relative(feed))
        for batch in feed.items:
            for rows in _pieces(batch):
                _add(database, taken, rows)
                tell(taken.items)
        with database.writing() as connection:
            _add_summary(connection, taken)
        _follow_pixels(database, number, sorted(taken.words.by_item))
        with database.writing() as connection:
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


def forget_failed(database: Database) -> None:
    """Remove builds that could not be read: there is nothing to be read any more."""
    with database.writing() as connection:
        connection.execute(delete(build).where(build.c.state == "failed"))


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
    relative: frozenset[str]  # queues in the order of how far beyond their limit
    items: int = 0
    sizes: Counter[tuple[str, str]] = field(default_factory=Counter)
    clusters: dict[tuple[str, str], _Cluster] = field(default_factory=dict)
    facets: Counter[tuple[str, str]] = field(default_factory=Counter)
    standings: Counter[tuple[str, str]] = field(default_factory=Counter)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None


def _begin(connection: Connection, feed: Feed) -> int | None:
    """Enter a build that is being read; None where another process is at the same one."""
    now = clock.now()
    elsewhere = select(build.c.number).where(
        build.c.state == "reading",
        build.c.build_id == feed.build,
        build.c.progressed_at > now - STALE,
    )
    if connection.execute(elsewhere).first() is not None:
        return None
    # What was cut off, what failed, and what another process reads that is no longer the last.
    connection.execute(delete(build).where(build.c.state.in_(("reading", "failed"))))
    row = connection.execute(
        insert(build).values(
            build_id=feed.build,
            built_at=clock.to_micros(feed.built_at),
            state="reading",
            size=0,
            total=feed.total,
            queues=json.dumps([asdict(info) for info in feed.queues]),
            message="",
            progressed_at=now,
        )
    )
    assert row.inserted_primary_key is not None
    return int(row.inserted_primary_key[0])


def _relative(feed: Feed) -> frozenset[str]:
    """Name the queues of rules that measure several things, each in its own unit."""
    return frozenset(info.reason.value for info in feed.queues if info.measure is None)


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
        mine = list(_entries(taken, row, items[-1]))
        entries += mine
        _count(taken, row, items[-1], mine)
    taken.items += len(rows)
    with database.writing() as connection:
        _still_reading(connection, taken.number, size=taken.items)
        connection.execute(insert(review_item), items)
        if entries:
            connection.execute(insert(queue_entry), entries)


def _still_reading(connection: Connection, number: int, **values: Any) -> None:
    """Note how far it is, and when; refuse where another reader has begun since."""
    mine = update(build).where(build.c.number == number, build.c.state == "reading")
    if not connection.execute(mine.values(progressed_at=clock.now(), **values)).rowcount:
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
            "badness": badness(found, relative=found["reason"] in taken.relative),
        }


def badness(found: Mapping[str, Any], *, relative: bool = False) -> float:
    """Turn the measured value of evidence so that more is worse.

    Of some rules, low values are the bad ones. With `relative`, it is how far the value is beyond
    its limit, as a share of that: values of several measures can then be compared.
    """
    value, limit = found["value"], found["limit"]
    if value is None or value != value:
        return 0.0
    if relative and limit is not None:
        return float(abs(value - limit) / (abs(limit) or 1.0))
    return float(-value if found["breaks"] == "<" else value)


def _count(
    taken: _Taken,
    row: Mapping[str, Any],
    item: Mapping[str, Any],
    entries: Iterable[Mapping[str, Any]],
) -> None:
    """Add an item to its queues, to its clusters and to what can be filtered by."""
    for kind in ("duplicate", "colourway"):
        if row[kind]:
            taken.sizes[kind, row[kind]] += 1
    taken.standings[ALL, item["standing"]] += 1
    for entry in entries:
        reason, worst = entry["reason"], entry["badness"]
        taken.standings[reason, item["standing"]] += 1
        low, high = taken.ranges.get(reason, (worst, worst))
        taken.ranges[reason] = (min(low, worst), max(high, worst))
        key = row["duplicate"] if reason in DUPLICATES else row["colourway"]
        if key is None or (reason not in DUPLICATES and reason != COLOURWAY):
            continue
        known = taken.clusters.setdefault((reason, key), _Cluster())
        known.size += 1
        known.waiting += not item["decided"]
        known.badness = max(known.badness, worst)
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
    connection.execute(insert(queue_count), list(_counts(taken)))


def _counts(taken: _Taken) -> Iterator[dict[str, Any]]:
    settled = Counter((reason, found.waiting == 0) for (reason, _), found in taken.clusters.items())
    for reason in sorted({ALL, *taken.ranges}):
        low, high = taken.ranges.get(reason, (None, None))
        yield {
            "build": taken.number,
            "reason": reason,
            **{word: taken.standings[reason, word] for word in ("open", "accepted", "rejected")},
            "unsettled": settled[reason, False],
            "settled": settled[reason, True],
            "low": low,
            "high": high,
        }


def _facets(taken: _Taken) -> Iterator[dict[str, Any]]:
    shown: Counter[str] = Counter()
    for (kind, value), items in taken.facets.most_common():
        shown[kind] += 1
        if shown[kind] <= _FACET_VALUES:
            yield {"build": taken.number, "kind": kind, "value": value, "size": items}
    for kind, at in (("first", taken.first), ("last", taken.last)):
        if at is not None:
            yield {"build": taken.number, "kind": kind, "value": str(at), "size": taken.items}


def _follow_pixels(database: Database, number: int, decided: Sequence[str]) -> None:
    """Let copies in the new build follow where the pixels of decided items are news to the store.

    They are where something was decided before its item was in any build, and where other code
    reads other pixels.
    """
    for start in range(0, len(decided), _ROWS):
        with database.writing() as connection:
            _still_reading(connection, number)
            settle(connection, number, _moved(connection, number, decided[start : start + _ROWS]))


def _moved(connection: Connection, number: int, items: Sequence[str]) -> list[str]:
    """Note the pixels that items have in a build; give all whose standing may change with that."""
    moved: dict[str, str] = {}
    before: set[str] = set()
    for some in chunks(items):
        news = (
            select(item_state.c.item_id, item_state.c.pixels, review_item.c.pixels.label("now"))
            .join_from(item_state, review_item, review_item.c.item_id == item_state.c.item_id)
            .where(
                review_item.c.build == number,
                item_state.c.item_id.in_(some),
                review_item.c.pixels.is_distinct_from(item_state.c.pixels),
                review_item.c.pixels.is_not(None),
            )
        )
        for row in connection.execute(news):
            moved[row.item_id] = row.now
            before |= {row.pixels} - {None}
    if moved:
        connection.execute(
            update(item_state)
            .where(item_state.c.item_id == bindparam("at"))
            .values(pixels=bindparam("now")),
            [{"at": item, "now": pixels} for item, pixels in moved.items()],
        )
    # Copies of what an item was before follow it no longer.
    left: set[str] = set()
    for pixels in chunks(sorted(before)):
        copies = select(review_item.c.item_id).where(
            review_item.c.build == number, review_item.c.pixels.in_(pixels)
        )
        left |= set(connection.execute(copies).scalars())
    return sorted(left | set(moved))


def _finish(connection: Connection, number: int, items: int, seen: int) -> None:
    """Change over; what was decided in the meantime is settled in the new build."""
    newer = select(decision_event.c.item_id).where(decision_event.c.seq > seen).distinct()
    late = sorted(connection.execute(newer).scalars())
    settle(connection, number, sorted({*late, *_moved(connection, number, late)}))
    connection.execute(update(build).where(build.c.state == "current").values(state="old"))
    _still_reading(connection, number, state="current", size=items, total=items)


def _sweep(database: Database, reading: int | None = None) -> None:
    """Remove rows of builds that are neither current nor being read, a piece at a time.

    Parameters
    ----------
    reading
        The build that this process reads.
    """
    with database.reading() as connection:
        kept = select(build.c.number).where(build.c.state.in_(("current", "reading")))
        keep = list(connection.execute(kept).scalars())
    for table in PROJECTION:
        gone = table.c.build.not_in(keep)
        removed = True
        while removed:
            with database.writing() as connection:
                removed = _remove_some(connection, table, gone)
                if reading is not None:
                    _still_reading(connection, reading)
    with database.writing() as connection:
        connection.execute(delete(build).where(build.c.state == "old"))


def _remove_some(connection: Connection, table: Table, gone: ColumnElement[bool]) -> bool:
    """Delete rows; tell whether there may be more of them."""
    if table not in (review_item, queue_entry):
        connection.execute(delete(table).where(gone))
        return False
    key = next(iter(table.primary_key.columns))
    some = select(key).where(gone).limit(10 * _ROWS)
    return bool(connection.execute(delete(table).where(key.in_(some))).rowcount)
