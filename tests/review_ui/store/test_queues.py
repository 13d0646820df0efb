"""Queues: worst first, page after page, filtered, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select

from data_catalog.schema import Reason
from review_ui.errors import NotFoundError
from review_ui.store import clock, projection, queues
from review_ui.store.database import Database, open_database
from review_ui.store.models import lease
from review_ui.store.queues import Filters, PageRequest
from tests.review_ui.feeds import Item, blurred, copy_of, feed, found, item_id
from tests.review_ui.store.test_deciding import accept, reject, say

VALUES = [0.10, 0.20, 0.30, 0.30, 0.40, 0.50, 0.54]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    database.close()


def take(
    database: Database, queue: str = "blurred", reviewer: str = "ann", **request: Any
) -> list[str]:
    """Give the names of a page, as files."""
    with database.reading() as connection:
        page = queues.page(connection, 1, PageRequest(queue, **request), reviewer)
    return [row.locator.removesuffix(".jpg") for row in page.rows]


def walk(database: Database, queue: str, limit: int, **request: Any) -> list[str]:
    """Go through all pages."""
    names: list[str] = []
    after = None
    while True:
        with database.reading() as connection:
            page = queues.page(
                connection, 1, PageRequest(queue, limit=limit, after=after, **request), "ann"
            )
        names += [row.locator.removesuffix(".jpg") for row in page.rows]
        if page.next is None:
            return names
        after = page.next


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("queue", ["blurred", "all"])
def test_pages_give_everything_once(database: Database, queue: str, limit: int) -> None:
    projection.replace(database, feed([blurred(n, value) for n, value in enumerate(VALUES)]))
    names = walk(database, queue, limit)
    assert sorted(names) == sorted(map(str, range(len(VALUES))))


def test_the_worst_come_first_on_either_side(database: Database) -> None:
    projection.replace(
        database,
        feed(
            [
                *(blurred(n, value) for n, value in enumerate(VALUES)),
                Item("busy", (found(Reason.BUSY_BACKGROUND, 0.7, 0.6),)),
                Item("busier", (found(Reason.BUSY_BACKGROUND, 0.9, 0.6),)),
            ]
        ),
    )
    assert take(database)[:2] == ["0", "1"]
    assert take(database, order="borderline")[:2] == ["6", "5"]
    assert walk(database, "blurred", 2, order="borderline") == walk(database, "blurred", 2)[::-1]
    assert take(database, "busy_background") == ["busier", "busy"]


def test_what_is_decided_meanwhile_shifts_no_page(database: Database) -> None:
    projection.replace(database, feed([blurred(n, value) for n, value in enumerate(VALUES)]))
    with database.reading() as connection:
        first = queues.page(connection, 1, PageRequest("blurred", limit=2), "ann")
    say(database, *(reject(n) for n in range(2)))
    with database.reading() as connection:
        request = PageRequest("blurred", limit=2, after=first.next)
        second = queues.page(connection, 1, request, "ann")
    assert [row.locator for row in second.rows] == ["3.jpg", "2.jpg"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (Filters(source="b"), ["2", "3"]),
        (Filters(label="boot"), ["1"]),
        (Filters(brand="Acme"), ["0"]),
        (Filters(tag="red"), ["3"]),
        (Filters(tag="re"), []),
        (Filters(tag="%"), []),
        (Filters(since=date(2026, 3, 1)), ["3"]),
        (Filters(until=date(2026, 1, 31)), ["0", "1", "2"]),
        (Filters(low=-0.3, high=-0.15), ["1", "2"]),
        (Filters(high=-0.35), ["3"]),
        (Filters(low=-0.1), ["0"]),
        (Filters(source="b", low=-0.3), ["2"]),
        (Filters(source="'; DROP TABLE review_item; --"), []),
    ],
)
def test_filters(database: Database, filters: Filters, names: list[str]) -> None:
    march = datetime(2026, 3, 1, tzinfo=UTC)
    projection.replace(
        database,
        feed(
            [
                blurred(0, 0.1, source="a", brand="Acme"),
                blurred(1, 0.2, source="a", label="boot"),
                blurred(2, 0.3, source="b"),
                blurred(3, 0.4, source="b", tags=["red", "blue"], observed_at=march),
            ]
        ),
    )
    assert sorted(take(database, filters=filters)) == names


def test_tags_and_reviewers_of_people_can_be_filtered_by(database: Database) -> None:
    projection.replace(database, feed([blurred(n, 0.1) for n in range(4)]))
    say(database, accept(1, tags=("worn", "left")), reviewer="bob")
    say(database, accept(2), reviewer="ann")
    assert take(database, standing="accepted", filters=Filters(tag="worn")) == ["1"]
    assert take(database, standing="accepted", filters=Filters(reviewer="ann")) == ["2"]
    assert take(database, "all", standing="accepted", filters=Filters(reviewer="bob")) == ["1"]


def test_what_somebody_else_holds_is_not_shown_until_the_lease_ends(database: Database) -> None:
    projection.replace(database, feed([blurred(n, 0.1) for n in range(3)]))
    until = clock.now() + 60 * clock.SECOND
    with database.writing() as connection:
        queues.hold(connection, [item_id(0), item_id(1)], "ann", until)
    assert sorted(take(database, reviewer="ann")) == ["0", "1", "2"]
    assert take(database, reviewer="bob") == ["2"]
    with database.writing() as connection:
        assert queues.held_by_others(connection, "bob") == 2
        queues.give_back(connection, [item_id(0)], "bob")  # not his to give
        queues.give_back(connection, [item_id(1)], "ann")
    assert sorted(take(database, reviewer="bob")) == ["1", "2"]
    with database.writing() as connection:
        queues.hold(connection, [item_id(0)], "ann", clock.now() - 1)
    assert sorted(take(database, reviewer="bob")) == ["0", "1", "2"]


def test_leases_that_ended_long_ago_are_removed(database: Database) -> None:
    projection.replace(database, feed([blurred(n, 0.1) for n in range(4)]))

    def held() -> set[str]:
        with database.reading() as connection:
            return set(connection.execute(select(lease.c.item_id)).scalars())

    hour = 3_600 * clock.SECOND
    with database.writing() as connection:
        queues.hold(connection, [item_id(0)], "ann", clock.now() - 2 * hour)
        queues.hold(connection, [item_id(1)], "ann", clock.now() - clock.SECOND)
    # One that ended just now may still be renewed.
    assert held() == {item_id(1)}
    with database.writing() as connection:
        queues.hold(connection, [item_id(2)], "bob", clock.now() + hour)
    assert held() == {item_id(1), item_id(2)}


def test_of_a_page_that_was_found_only_what_is_still_free_is_taken(database: Database) -> None:
    projection.replace(database, feed([blurred(n, 0.1 * (n + 1)) for n in range(4)]))
    until = clock.now() + 60 * clock.SECOND
    with database.reading() as connection:
        rows = queues.page(connection, 1, PageRequest("blurred"), "ann").rows
    with database.writing() as connection:
        queues.hold(connection, [item_id(1)], "bob", until)
        queues.hold(connection, [item_id(2)], "ann", until)
    say(database, reject(3), reviewer="bob")
    with database.writing() as connection:
        left = queues.hold_free(connection, rows, "open", "ann", until)
        assert [row.locator for row in left] == ["0.jpg", "2.jpg"]
        assert queues.held_by_others(connection, "bob") == 2
        # Looking again at what is decided is no conflict with who works on what is open.
        rows = queues.page(connection, 1, PageRequest("blurred", "rejected"), "ann").rows
        assert len(queues.hold_free(connection, rows, "rejected", "ann", until)) == 1


def test_deciding_ends_a_lease(database: Database) -> None:
    projection.replace(database, feed([blurred(n, 0.1) for n in range(2)]))
    with database.writing() as connection:
        queues.hold(connection, [item_id(0)], "ann", clock.now() + 60 * clock.SECOND)
    say(database, reject(0))
    with database.reading() as connection:
        assert queues.held_by_others(connection, "bob") == 0


def test_clusters_show_the_one_to_keep_first_and_leave_when_settled(database: Database) -> None:
    projection.replace(
        database,
        feed(
            [
                Item("keep", columns={"duplicate": item_id("keep")}),
                copy_of("far", "keep", 0.4),
                copy_of("near", "keep", 0.1),
                Item("other", columns={"duplicate": item_id("other")}),
                copy_of("twin", "other", 0.2),
            ]
        ),
    )

    def clusters(settled: bool = False) -> list[list[str]]:
        with database.reading() as connection:
            shown, _ = queues.clusters(
                connection, 1, "near_duplicate", settled=settled, limit=9, after=None, most=60
            )
        return [[row.locator for row in cluster.rows] for cluster in shown]

    both = [["keep.jpg", "near.jpg", "far.jpg"], ["other.jpg", "twin.jpg"]]
    assert clusters() == both
    say(database, accept("keep"), reject("far"))
    assert clusters() == both
    [done] = say(database, reject("near"))
    assert clusters() == both[1:]
    assert clusters(settled=True) == both[:1]
    say(database, accept("near", base=done.state.head))
    assert clusters(settled=True) == both[:1]


@pytest.mark.parametrize("kind", ["duplicate", "colourway"])
def test_a_cluster_too_large_to_be_shown_comes_to_an_end(database: Database, kind: str) -> None:
    def member(n: int) -> Item:
        if kind == "duplicate":
            return copy_of(n, 0, n / 1_000) if n else Item(0, columns={"duplicate": item_id(0)})
        why = (found(Reason.COLOURWAY, n + 1, 12),) if n >= 12 else ()
        return Item(n, why, {"colourway": item_id(0), "colourway_rank": n})

    projection.replace(database, feed([member(n) for n in range(150)]))
    reason = "near_duplicate" if kind == "duplicate" else "colourway"
    rounds = 0
    while True:
        with database.reading() as connection:
            shown, _ = queues.clusters(
                connection, 1, reason, settled=False, limit=9, after=None, most=60
            )
        if not shown:
            break
        rounds += 1
        rows = shown[0].rows
        assert rows[0].item_id == item_id(0)
        assert len(rows) == 60
        say(database, *(reject(row.locator.removesuffix(".jpg")) for row in rows if not row.head))
    assert rounds == 3


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_of_clusters_give_each_once(database: Database, limit: int) -> None:
    items = []
    for n in range(5):
        items += [Item(n, columns={"duplicate": item_id(n)}), copy_of(f"{n}c", n, 0.1 * (n % 3))]
    projection.replace(database, feed(items))
    keys: list[str] = []
    after = None
    while True:
        with database.reading() as connection:
            shown, after = queues.clusters(
                connection, 1, "near_duplicate", settled=False, limit=limit, after=after, most=60
            )
        keys += [cluster.key for cluster in shown]
        if after is None:
            break
    assert sorted(keys) == sorted(map(item_id, range(5)))


def test_counts_ranges_and_unknown_queues(database: Database) -> None:
    projection.replace(
        database, feed([*(blurred(n, v) for n, v in enumerate(VALUES)), Item("fine")])
    )
    say(database, accept(0), reject(1))
    with database.reading() as connection:
        counts = queues.count(connection, 1)
        assert counts.items["blurred"] == {"open": 5, "accepted": 1, "rejected": 1}
        assert counts.items["all"] == {"open": 5, "accepted": 2, "rejected": 1}
        assert counts.ranges["blurred"] == (-0.54, -0.10)
        current, _ = queues.builds(connection)
        assert current is not None
        with pytest.raises(NotFoundError, match="no queue 'nope'"):
            current.queue("nope")
        with pytest.raises(NotFoundError, match="shows items"):
            queues.kind_of("blurred")
