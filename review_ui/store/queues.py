"""Pages of queues: what is to be decided, worst first, and nobody else's.

Pages go on from a key, not from an offset: the hundredth costs as much as the first, and what is
decided in the meantime shifts nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Literal

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from review_ui.errors import NotFoundError
from review_ui.store import clock
from review_ui.store.deciding import chunks, upsert
from review_ui.store.models import (
    build,
    cluster,
    facet,
    item_state,
    lease,
    queue_count,
    queue_entry,
    review_item,
    tag,
)
from review_ui.store.settling import ALL, COLOURWAY, DUPLICATES

# Leases that ended are removed as others are taken, so many at a time; not at once: who comes back
# from a pause may still renew them.
_SWEPT: Final = 500
_ENDED: Final = 3_600 * clock.SECOND
Standing = Literal["open", "accepted", "rejected"]
Order = Literal["worst", "borderline"]


@dataclass(frozen=True, slots=True)
class Filters:
    """What of a queue is wanted; None lets everything pass."""

    source: str | None = None
    label: str | None = None
    brand: str | None = None
    tag: str | None = None
    reviewer: str | None = None
    since: date | None = None
    until: date | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of which queue.

    Attributes
    ----------
    after : tuple of (badness, id) or None
        The last item of the page before.
    skip : sequence of str
        Items that the page has already.
    """

    queue: str
    standing: Standing = "open"
    order: Order = "worst"
    limit: int = 60
    after: tuple[float, int] | None = None
    filters: Filters = field(default_factory=Filters)  # low and high are of badness
    skip: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Items of a page, and the key that the next one goes on from."""

    rows: Sequence[Row[Any]]
    next: tuple[float, int] | None


@dataclass(frozen=True, slots=True)
class Build:
    """The build under review, or the one that is being read."""

    number: int
    build_id: str
    built_at: int
    state: str
    size: int
    total: int
    queues: Sequence[dict[str, Any]]
    message: str
    progressed_at: int

    def queue(self, reason: str) -> dict[str, Any]:
        """Give the rule behind a queue.

        Raises
        ------
        NotFoundError
            If the build has no such queue.
        """
        for info in self.queues:
            if info["reason"] == reason:
                return info
        raise NotFoundError(f"there is no queue {reason!r}; GET /api/queues lists them")


def builds(connection: Connection) -> tuple[Build | None, Build | None]:
    """Give the build under review, and a later one that is being read or failed."""
    current = later = None
    for row in connection.execute(select(build).order_by(build.c.number)):
        found = Build(**{**row._asdict(), "queues": json.loads(row.queues)})
        if row.state == "current":
            current, later = found, None
        elif row.state in ("reading", "failed"):
            later = found
    return current, later


def item_rows() -> Select[Any]:
    """Select items with what people said about them."""
    return select(
        review_item,
        item_state.c.head,
        item_state.c.verdict,
        item_state.c.reasons,
        item_state.c.tags,
        item_state.c.note,
        item_state.c.reviewer,
        item_state.c.decided_at,
        lease.c.reviewer.label("leased_by"),
        lease.c.until.label("leased_until"),
    ).select_from(
        review_item.outerjoin(item_state, item_state.c.item_id == review_item.c.item_id).outerjoin(
            lease, lease.c.item_id == review_item.c.item_id
        )
    )


def page(connection: Connection, number: int, request: PageRequest, reviewer: str) -> Page:
    """Give a page; what others hold is left out of those that are open."""
    query = item_rows()
    if request.queue == ALL:
        key: ColumnElement[Any] = review_item.c.id
        rank: ColumnElement[Any] = literal(0.0)
        query = query.where(
            review_item.c.build == number, review_item.c.standing == request.standing
        )
    else:
        key, rank = queue_entry.c.item, queue_entry.c.badness
        query = query.join(queue_entry, queue_entry.c.item == review_item.c.id).where(
            queue_entry.c.build == number,
            queue_entry.c.reason == request.queue,
            queue_entry.c.standing == request.standing,
        )
    query = _narrowed(query, request)
    if request.standing == "open":
        query = query.where(_free(reviewer))
    if request.skip:
        query = query.where(review_item.c.item_id.not_in(request.skip))
    query = _from(query, key, rank, request).add_columns(rank.label("badness"))
    rows = connection.execute(query.limit(request.limit + 1)).all()
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    last = (float(rows[-1].badness), int(rows[-1].id)) if more and rows else None
    return Page(rows, last)


def _from(
    query: Select[Any], key: ColumnElement[Any], rank: ColumnElement[Any], request: PageRequest
) -> Select[Any]:
    """Order by badness, and go on after the last item of the page before."""
    if request.queue == ALL:
        if request.after is not None:
            query = query.where(key > request.after[1])
        return query.order_by(key)
    place = tuple_(rank, key)
    if request.after is not None:
        after = tuple_(literal(request.after[0]), literal(request.after[1]))
        query = query.where(place < after if request.order == "worst" else place > after)
    if request.order == "worst":
        return query.order_by(rank.desc(), key.desc())
    return query.order_by(rank, key)


def _free(reviewer: str) -> ColumnElement[bool]:
    return or_(
        lease.c.item_id.is_(None), lease.c.until <= clock.now(), lease.c.reviewer == reviewer
    )


def _narrowed(query: Select[Any], request: PageRequest) -> Select[Any]:
    wanted = request.filters
    for name in ("source", "label", "brand"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(review_item.c[name] == value)
    if wanted.tag is not None:
        line = f"\n{wanted.tag}\n"
        query = query.where(
            or_(
                review_item.c.given_tags.contains(line, autoescape=True),
                item_state.c.tags.contains(line, autoescape=True),
            )
        )
    if wanted.reviewer is not None:
        query = query.where(item_state.c.reviewer == wanted.reviewer)
    if wanted.since is not None:
        query = query.where(review_item.c.observed_at >= _midnight(wanted.since))
    if wanted.until is not None:
        query = query.where(review_item.c.observed_at < _midnight(wanted.until, days=1))
    if request.queue != ALL and wanted.low is not None:
        query = query.where(queue_entry.c.badness >= wanted.low)
    if request.queue != ALL and wanted.high is not None:
        query = query.where(queue_entry.c.badness <= wanted.high)
    return query


def _midnight(day: date, days: int = 0) -> int:
    return clock.to_micros(datetime.combine(day, time()) + timedelta(days=days))


def turned(
    info: Mapping[str, Any], low: float | None, high: float | None
) -> tuple[float | None, float | None]:
    """Turn a range of what a queue measures into one of badness, or back."""
    if info["order"] == "high":
        return low, high
    return None if high is None else -high, None if low is None else -low


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items of each queue stand where; of clusters, how many are settled.

    Attributes
    ----------
    ranges : dict of str to (float, float)
        Least and greatest badness of queues that have any items.
    """

    items: dict[str, dict[str, int]]
    clusters: dict[str, dict[bool, int]]
    ranges: dict[str, tuple[float, float]]


def count(connection: Connection, number: int) -> Counts:
    """Give the counts of all queues."""
    found = Counts({}, {}, {})
    for row in connection.execute(select(queue_count).where(queue_count.c.build == number)):
        standings = {"open": row.open, "accepted": row.accepted, "rejected": row.rejected}
        found.items[row.reason] = {word: items for word, items in standings.items() if items}
        clusters = {False: row.unsettled, True: row.settled}
        if any(clusters.values()):
            found.clusters[row.reason] = {done: size for done, size in clusters.items() if size}
        if row.low is not None:
            found.ranges[row.reason] = (row.low, row.high)
    return found


def given_tags(connection: Connection, prefix: str, limit: int) -> list[tuple[str, int]]:
    """Give tags that people use, (value, items), the most used first."""
    query = (
        select(tag.c.value, tag.c.uses)
        .where(tag.c.uses > 0, tag.c.value.istartswith(prefix, autoescape=True))
        .order_by(tag.c.uses.desc(), tag.c.value)
        .limit(limit)
    )
    return [(row.value, row.uses) for row in connection.execute(query)]


def facets(connection: Connection, number: int) -> dict[str, list[tuple[str, int]]]:
    """Give what can be filtered by: (value, items) by kind, the commonest first."""
    found: dict[str, list[tuple[str, int]]] = {}
    query = select(facet.c.kind, facet.c.value, facet.c.size).where(facet.c.build == number)
    for kind, value, items in connection.execute(query.order_by(facet.c.size.desc())):
        found.setdefault(kind, []).append((value, items))
    return found


def items_by_id(connection: Connection, number: int, items: Sequence[str]) -> dict[str, Row[Any]]:
    """Give rows of items of the build, by item id."""
    found: dict[str, Row[Any]] = {}
    for chunk in chunks(items):
        query = item_rows().where(review_item.c.build == number, review_item.c.item_id.in_(chunk))
        found.update({row.item_id: row for row in connection.execute(query)})
    return found


@dataclass(frozen=True, slots=True)
class ClusterRows:
    """A cluster: its members, the one to keep first."""

    kind: Literal["duplicate", "colourway"]
    key: str
    size: int
    badness: float
    settled: bool
    rows: Sequence[Row[Any]]


# Clusters of a page, and the key that the next one goes on from.
ClustersPage = tuple[list[ClusterRows], tuple[float, str] | None]


def clusters(
    connection: Connection,
    number: int,
    reason: str,
    *,
    settled: bool,
    limit: int,
    after: tuple[float, str] | None,
    most: int,
) -> ClustersPage:
    """Give clusters of a queue, the least certain first, with at most `most` members of each."""
    query = select(cluster).where(
        cluster.c.build == number, cluster.c.reason == reason, cluster.c.settled.is_(settled)
    )
    if after is not None:
        place = tuple_(cluster.c.badness, cluster.c.key)
        query = query.where(place < tuple_(literal(after[0]), literal(after[1])))
    query = query.order_by(cluster.c.badness.desc(), cluster.c.key.desc()).limit(limit + 1)
    found = connection.execute(query).all()
    last = (found[limit - 1].badness, found[limit - 1].key) if len(found) > limit else None
    kind = kind_of(reason)
    return [
        ClusterRows(
            kind,
            row.key,
            row.size,
            row.badness,
            row.settled,
            members(connection, number, kind, row.key, most),
        )
        for row in found[:limit]
    ], last


def kind_of(reason: str) -> Literal["duplicate", "colourway"]:
    """Tell which clusters a queue shows.

    Raises
    ------
    NotFoundError
        If it shows single items.
    """
    if reason in DUPLICATES:
        return "duplicate"
    if reason == COLOURWAY:
        return "colourway"
    raise NotFoundError(f"the queue {reason!r} shows items, not clusters; ask for its page")


def members(
    connection: Connection, number: int, kind: str, key: str, most: int
) -> Sequence[Row[Any]]:
    """Give the members of a cluster: the one to keep, then those that nobody has decided.

    Of a cluster that is too large to be shown whole, the others come as those are decided.
    """
    column = review_item.c.duplicate if kind == "duplicate" else review_item.c.colourway
    query = item_rows().where(review_item.c.build == number, column == key)
    if kind == "duplicate":
        keeper_first = review_item.c.relation.is_not(None)
        order = [
            keeper_first,
            review_item.c.decided,
            review_item.c.distance,
            review_item.c.item_id,
        ]
    else:
        # Those over the cap have a rank too; copies of colourways have none and come last.
        order = [
            func.coalesce(review_item.c.colourway_rank, 1) != 0,
            review_item.c.decided,
            review_item.c.colourway_rank.is_(None),
            review_item.c.colourway_rank,
            review_item.c.item_id,
        ]
    return connection.execute(query.order_by(*order).limit(most)).all()


def cluster_size(connection: Connection, number: int, kind: str, key: str) -> int:
    """Count the members of a cluster."""
    column = review_item.c.duplicate if kind == "duplicate" else review_item.c.colourway
    here = and_(review_item.c.build == number, column == key)
    return int(connection.execute(select(func.count()).where(here)).scalar_one())


def hold(connection: Connection, items: Sequence[str], reviewer: str, until: int) -> None:
    """Lease items to a reviewer: others are not shown them before `until`."""
    ended = select(lease.c.item_id).where(lease.c.until < clock.now() - _ENDED).limit(_SWEPT)
    connection.execute(delete(lease).where(lease.c.item_id.in_(ended)))
    rows = [{"item_id": item, "reviewer": reviewer, "until": until} for item in sorted(items)]
    if rows:
        connection.execute(upsert(connection, lease, ["item_id"]), rows)


def hold_free(
    connection: Connection, rows: Sequence[Row[Any]], standing: Standing, reviewer: str, until: int
) -> list[Row[Any]]:
    """Lease those of a page that are still as they were found: there, and held by nobody else.

    Parameters
    ----------
    rows
        Of `page`; at most 500.
    """
    ids = [row.id for row in rows]
    query = (
        select(review_item.c.id)
        .outerjoin(lease, lease.c.item_id == review_item.c.item_id)
        .where(review_item.c.id.in_(ids), review_item.c.standing == standing)
    )
    if standing == "open":
        query = query.where(_free(reviewer))
    free = set(connection.execute(query).scalars())
    left = [row for row in rows if row.id in free]
    hold(connection, [row.item_id for row in left], reviewer, until)
    return left


def renew(connection: Connection, items: Sequence[str], reviewer: str, until: int) -> None:
    """Lengthen leases that the reviewer holds still."""
    for chunk in chunks(items):
        mine = update(lease).where(lease.c.item_id.in_(chunk), lease.c.reviewer == reviewer)
        connection.execute(mine.values(until=until))


def give_back(connection: Connection, items: Sequence[str], reviewer: str) -> None:
    """End leases of a reviewer."""
    for chunk in chunks(items):
        connection.execute(
            delete(lease).where(lease.c.item_id.in_(chunk), lease.c.reviewer == reviewer)
        )


def held_by_others(connection: Connection, reviewer: str) -> int:
    """Count the items that others hold."""
    query = select(func.count()).where(lease.c.until > clock.now(), lease.c.reviewer != reviewer)
    return int(connection.execute(query).scalar_one())
