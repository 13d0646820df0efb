"""A new build is read beside the old one, while people decide; then it takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as changed
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import func, select

from review_ui.errors import StoreError
from review_ui.store import projection, queues
from review_ui.store.database import Database, open_database
from review_ui.store.models import PROJECTION, build, review_item
from tests.review_ui.feeds import Item, blurred, copy_of, feed, item_id, pixel_copy_of
from tests.review_ui.store.test_deciding import accept, reject, say


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    yield database
    database.close()


def standings(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        current, _ = queues.builds(connection)
        assert current is not None
        rows = connection.execute(
            select(review_item.c.locator, review_item.c.standing).where(
                review_item.c.build == current.number
            )
        )
        return {row.locator.removesuffix(".jpg"): row.standing for row in rows}


def test_decisions_hold_in_the_next_build_and_rules_say_the_rest(database: Database) -> None:
    projection.replace(database, feed([blurred(n, 0.4) for n in "abc"]))
    say(database, accept("a"), reject("b"))
    # Other thresholds: c is fine now, a and b are kept out or in whatever the rules say.
    projection.replace(database, feed([blurred("a", 0.4), Item("b"), Item("c"), Item("d")], "2"))
    assert standings(database) == {
        "a": "accepted",
        "b": "rejected",
        "c": "accepted",
        "d": "accepted",
    }


def test_a_pixel_identical_newcomer_follows_what_was_decided(database: Database) -> None:
    projection.replace(database, feed([blurred("a", 0.4)]))
    say(database, reject("a"))
    projection.replace(database, feed([blurred("new", 0.4, pixels=item_id("a"))], "2"))
    assert standings(database) == {"new": "rejected"}
    with database.reading() as connection:
        [row] = queues.items_by_id(connection, 2, [item_id("new")]).values()
    assert row.follows == item_id("a")


def test_only_the_current_build_is_kept(database: Database) -> None:
    for number in range(3):
        projection.replace(database, feed([blurred(n, 0.4) for n in "abc"], str(number)))
    with database.reading() as connection:
        for table in PROJECTION:
            builds = set(connection.execute(select(table.c.build).distinct()).scalars())
            assert builds <= {3}, table.name
        assert connection.execute(select(build.c.build_id)).scalars().all() == ["2"]


def test_what_is_decided_while_a_build_is_read_counts_in_it(database: Database) -> None:
    projection.replace(database, feed([blurred(n, 0.4) for n in range(5)]))
    later = feed([blurred(n, 0.4) for n in range(5)], "2", batch=1)

    def deciding() -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(later.items):
            if number == 3:
                say(database, reject(0), accept(4))
                with database.reading() as connection:
                    current, reading = queues.builds(connection)
                assert current is not None
                assert reading is not None
                # The page shows the earlier build until the new one is whole.
                assert (current.build_id, reading.build_id) == ("build-1", "2")
                assert (reading.size, reading.total) == (3, 5)
            yield batch

    projection.replace(database, changed(later, items=deciding()))
    found = standings(database)
    assert (found["0"], found["4"], found["1"]) == ("rejected", "accepted", "open")
    with database.reading() as connection:
        assert queues.count(connection, 2).items["blurred"] == {
            "open": 3,
            "accepted": 1,
            "rejected": 1,
        }


def test_a_reading_that_fails_leaves_the_earlier_build(database: Database) -> None:
    projection.replace(database, feed([blurred("a", 0.4)]))

    def failing() -> Iterator[Any]:
        yield from feed([blurred("b", 0.4)]).items
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        projection.replace(database, changed(feed([], "2"), items=failing()))
    assert standings(database) == {"a": "open"}
    with database.reading() as connection:
        _, later = queues.builds(connection)
        assert later is not None
        assert (later.state, later.message) == ("failed", "the disk went away")
    projection.replace(database, feed([blurred("c", 0.4)], "3"))
    assert standings(database) == {"c": "open"}


def test_of_two_readers_the_later_wins(database: Database) -> None:
    def overtaken() -> Iterator[Any]:
        yield from feed([blurred("a", 0.4)]).items
        projection.replace(database, feed([blurred("b", 0.4)], "later"))
        yield from feed([blurred("c", 0.4)]).items

    with pytest.raises(StoreError, match="another process"):
        projection.replace(database, changed(feed([], "earlier"), items=overtaken()))
    assert standings(database) == {"b": "open"}
    projection.replace(database, feed([blurred("b", 0.4)], "last"))
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(review_item)).scalar() == 1


def test_clusters_know_at_once_what_was_decided_before(database: Database) -> None:
    items = [
        Item("keep", columns={"duplicate": item_id("keep")}),
        copy_of("near", "keep"),
        pixel_copy_of("same", "keep"),
    ]
    projection.replace(database, feed(items))
    say(database, accept("keep"), reject("near"))
    projection.replace(database, feed(items, "2"))
    with database.reading() as connection:
        counts = queues.count(connection, 2)
    assert counts.clusters == {"near_duplicate": {True: 1}, "pixel_duplicate": {True: 1}}


def test_facets_are_counted(database: Database) -> None:
    projection.replace(
        database,
        feed(
            [
                blurred(0, 0.4, brand="A", tags=["x", "y"]),
                blurred(1, 0.4, brand="A", tags=["x"], source="s"),
                blurred(2, 0.4, label="boot"),
            ]
        ),
    )
    with database.reading() as connection:
        facets = queues.facets(connection, 1)
    assert facets["brand"] == [("A", 2)]
    assert facets["tag"] == [("x", 2), ("y", 1)]
    assert facets["source"] == [("shop", 2), ("s", 1)]
    assert facets["label"] == [("boot", 1)]
