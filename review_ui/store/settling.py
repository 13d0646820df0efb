"""What follows from decisions for the projection: which items are still open, which clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, func, select, update

from data_catalog.schema import Reason
from review_ui.store.models import (
    build,
    cluster,
    item_state,
    queue_count,
    queue_entry,
    review_item,
)

# The queue that every item stands in.
ALL: Final = "all"
OPEN: Final = "open"
_CHUNK: Final = 500

DUPLICATES: Final = (
    Reason.PIXEL_DUPLICATE.value,
    Reason.NEAR_DUPLICATE.value,
    Reason.MIRRORED_COPY.value,
)
COLOURWAY: Final = Reason.COLOURWAY.value


def current_build(connection: Connection) -> int | None:
    """Give the number of the build under review."""
    query = select(func.max(build.c.number)).where(build.c.state == "current")
    number: int | None = connection.execute(query).scalar()
    return number


def settle(connection: Connection, number: int, items: Sequence[str]) -> None:
    """Bring the standing of items, of their pixel-identical copies and of clusters up to date.

    Parameters
    ----------
    number
        Of the build.
    items
        Ids of the items about which something was decided.
    """
    for some in _pieces(items):
        rows = _with_copies(connection, number, some)
        if rows:
            _set_standing(connection, number, rows)
            _settle_clusters(connection, number, rows)


def _pieces(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def standing_of(
    rule: str, is_pixel_copy: bool, own: str | None, copied: str | None
) -> tuple[str, bool]:
    """Tell where an item stands, and whether that is a person's word.

    Parameters
    ----------
    rule
        Verdict by the rules alone.
    is_pixel_copy
        Whether it is a copy of one that is kept. Who accepts a picture wants it in, once: an
        acceptance of the other leaves this one to the rules.
    own, copied
        Verdict of a person on it, and on a copy with the same pixels; None where there is none.

    Returns
    -------
    standing : str
        open, accepted or rejected.
    decided : bool
    """
    if own is not None:
        return own, True
    if copied is not None and not (is_pixel_copy and copied == "accepted"):
        return copied, True
    standing = OPEN if rule == "flagged" else rule
    return standing, copied is not None and standing != OPEN


def _with_copies(connection: Connection, number: int, items: Sequence[str]) -> list[Row[Any]]:
    columns = (
        review_item.c.id,
        review_item.c.item_id,
        review_item.c.rule,
        review_item.c.pixels,
        review_item.c.relation,
        review_item.c.duplicate,
        review_item.c.colourway,
        review_item.c.standing,
        review_item.c.decided,
        review_item.c.follows,
    )
    here = review_item.c.build == number
    mine = select(*columns).where(here, review_item.c.item_id.in_(items))
    rows: list[Any] = list(connection.execute(mine))
    pixels = {row.pixels for row in rows if row.pixels}
    # Also of those that are decided but not in this build.
    elsewhere = select(item_state.c.pixels).where(
        item_state.c.item_id.in_(items), item_state.c.pixels.is_not(None)
    )
    pixels |= set(connection.execute(elsewhere).scalars())
    if not pixels:
        return rows
    known = {row.id for row in rows}
    copies = connection.execute(select(*columns).where(here, review_item.c.pixels.in_(pixels)))
    return [*rows, *(row for row in copies if row.id not in known)]


def _set_standing(connection: Connection, number: int, rows: Sequence[Row[Any]]) -> None:
    own, by_pixels = _words(connection, rows)
    changes = []
    moves: dict[int, tuple[str, str]] = {}
    for row in rows:
        item, verdict = by_pixels.get(row.pixels, (None, None)) if row.pixels else (None, None)
        standing, decided = standing_of(
            row.rule,
            row.relation == Reason.PIXEL_DUPLICATE.value,
            own.get(row.item_id),
            verdict if item != row.item_id else None,
        )
        follows = item if decided and row.item_id not in own else None
        if (standing, decided, follows) == (row.standing, bool(row.decided), row.follows):
            continue
        changes.append({"at": row.id, "standing": standing, "decided": decided, "follows": follows})
        if standing != row.standing:
            moves[row.id] = (row.standing, standing)
    if changes:
        connection.execute(
            update(review_item)
            .where(review_item.c.id == bindparam("at"))
            .values(
                standing=bindparam("standing"),
                decided=bindparam("decided"),
                follows=bindparam("follows"),
            ),
            changes,
        )
    if moves:
        _move_entries(connection, number, moves)


def _move_entries(connection: Connection, number: int, moves: dict[int, tuple[str, str]]) -> None:
    """Bring entries of queues, and their counts, from one standing to another."""
    connection.execute(
        update(queue_entry)
        .where(queue_entry.c.item == bindparam("at"))
        .values(standing=bindparam("now")),
        [{"at": at, "now": after} for at, (_, after) in moves.items()],
    )
    by: Counter[tuple[str, str]] = Counter()
    for before, after in moves.values():
        by.update({(ALL, after): 1})
        by.subtract({(ALL, before): 1})
    for some in _pieces(list(moves)):
        entries = select(queue_entry.c.item, queue_entry.c.reason)
        for at, reason in connection.execute(entries.where(queue_entry.c.item.in_(some))):
            before, after = moves[at]
            by.update({(reason, after): 1})
            by.subtract({(reason, before): 1})
    _add_to_counts(connection, number, by)


def _add_to_counts(connection: Connection, number: int, by: Counter[tuple[str, str]]) -> None:
    """Add to counts of queues, by (reason, column)."""
    for reason in sorted({reason for reason, _ in by}):
        mine = {column: more for (of, column), more in by.items() if of == reason and more}
        if mine:
            connection.execute(
                update(queue_count)
                .where(queue_count.c.build == number, queue_count.c.reason == reason)
                .values({column: queue_count.c[column] + more for column, more in mine.items()})
            )


def _words(
    connection: Connection, rows: Sequence[Row[Any]]
) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Give verdicts by item, and the latest (item, verdict) by hash of the pixels."""
    wanted = (
        (item_state.c.item_id, [row.item_id for row in rows]),
        (item_state.c.pixels, list({row.pixels for row in rows if row.pixels})),
    )
    columns = (item_state.c.decided_at, item_state.c.item_id, item_state.c.verdict)
    found = {
        tuple(row)
        for key, values in wanted
        for some in _pieces(values)
        for row in connection.execute(
            select(*columns, item_state.c.pixels).where(
                key.in_(some), item_state.c.verdict != "undecided"
            )
        )
    }
    own: dict[str, str] = {}
    by_pixels: dict[str, tuple[str, str]] = {}
    for _, item, verdict, pixels in sorted(found, key=lambda row: row[:2]):
        own[item] = verdict
        if pixels:
            by_pixels[pixels] = (item, verdict)
    return own, by_pixels


def _settle_clusters(connection: Connection, number: int, rows: Sequence[Row[Any]]) -> None:
    """Mark clusters of which every copy, or every colourway over the cap, is decided."""
    duplicates = {row.duplicate for row in rows if row.duplicate}
    colourways = {row.colourway for row in rows if row.colourway}
    if duplicates:
        _mark(connection, number, DUPLICATES, review_item.c.duplicate, sorted(duplicates))
    if colourways:
        _mark(connection, number, (COLOURWAY,), review_item.c.colourway, sorted(colourways))


def _mark(
    connection: Connection, number: int, reasons: Sequence[str], key: Any, keys: Sequence[str]
) -> None:
    waiting = (
        select(queue_entry.c.reason, key.label("key"))
        .join_from(review_item, queue_entry, queue_entry.c.item == review_item.c.id)
        .where(
            review_item.c.build == number,
            key.in_(keys),
            queue_entry.c.reason.in_(reasons),
            review_item.c.decided.is_(False),
        )
        .distinct()
    )
    unsettled = {tuple(row) for row in connection.execute(waiting)}
    here = and_(cluster.c.build == number, cluster.c.reason.in_(reasons), cluster.c.key.in_(keys))
    known: Iterable[Any] = connection.execute(
        select(cluster.c.reason, cluster.c.key, cluster.c.settled).where(here)
    )
    changes = [
        {"in_reason": row.reason, "in_key": row.key, "now": (row.reason, row.key) not in unsettled}
        for row in known
        if row.settled == ((row.reason, row.key) in unsettled)
    ]
    if changes:
        connection.execute(
            update(cluster)
            .where(
                cluster.c.build == number,
                cluster.c.reason == bindparam("in_reason"),
                cluster.c.key == bindparam("in_key"),
            )
            .values(settled=bindparam("now")),
            changes,
        )
    by: Counter[tuple[str, str]] = Counter()
    for change in changes:
        gains, loses = ("settled", "unsettled")[:: 1 if change["now"] else -1]
        by.update({(change["in_reason"], gains): 1})
        by.subtract({(change["in_reason"], loses): 1})
    _add_to_counts(connection, number, by)
