"""A new build is read beside the old one, while people decide; then it takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as changed
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select, update

from data_catalog.schema import Reason
from review_ui.errors import StoreError
from review_ui.store import projection, queues
from review_ui.store.database import Database, open_database
from review_ui.store.deciding import Decision, Submission, decide
from review_ui.store.models import PROJECTION, build, cluster, queue_entry, review_item
from tests.review_ui.feeds import (
    QUEUES,
    Item,
    blurred,
    copy_of,
    feed,
    found,
    item_id,
    pixel_copy_of,
)
from tests.review_ui.store.test_deciding import accept, new, reject, say


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


@pytest.mark.parametrize("names", [("a", "twin"), ("twin", "a")])
def test_what_was_said_before_any_build_reaches_copies(
    database: Database, names: tuple[str, str]
) -> None:
    with database.writing() as connection:
        decide(connection, [Submission("ann", "import", [reject("a")], force=True)])
    twins = [blurred(name, 0.4, pixels="same") for name in names]
    projection.replace(database, feed([*twins, Item("other")]))
    assert standings(database) == {"a": "rejected", "twin": "rejected", "other": "accepted"}
    with database.reading() as connection:
        [row] = queues.items_by_id(connection, 1, [item_id("twin")]).values()
        counts = queues.count(connection, 1)
    assert row.follows == item_id("a")
    assert counts.items["blurred"] == {"rejected": 2}
    # From now on the store knows the pixels, also of a build without the item.
    projection.replace(database, feed([blurred("new", 0.4, pixels="same")], "2"))
    assert standings(database) == {"new": "rejected"}


@pytest.mark.parametrize("order", [1, -1])
def test_copies_follow_the_pixels_that_an_item_has_now(database: Database, order: int) -> None:
    def items(pixels: str) -> list[Item]:
        return [
            blurred("was", 0.4, pixels="old"),
            blurred("a", 0.4, pixels=pixels),
            blurred("is", 0.4, pixels="new"),
        ][::order]

    projection.replace(database, feed(items("old")))
    say(database, reject("a"))
    assert standings(database) == {"was": "rejected", "a": "rejected", "is": "open"}
    projection.replace(database, feed(items("new"), "2"))
    assert standings(database) == {"was": "open", "a": "rejected", "is": "rejected"}


def test_what_is_said_while_a_build_is_read_reaches_copies_in_it(database: Database) -> None:
    later = feed([blurred("twin", 0.4, pixels="same"), blurred("a", 0.4, pixels="same")], "2")

    def deciding() -> Iterator[pa.RecordBatch]:
        yield from later.items
        with database.writing() as connection:
            decide(connection, [Submission("ann", "import", [reject("a")], force=True)])

    projection.replace(database, changed(later, items=deciding()))
    assert standings(database) == {"a": "rejected", "twin": "rejected"}


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


def test_builds_that_cannot_be_read_leave_one_row(database: Database) -> None:
    projection.replace(database, feed([blurred("a", 0.4)]))

    def failing() -> Iterator[Any]:
        raise OSError("the disk went away")
        yield

    for number in range(3):
        with pytest.raises(OSError, match="went away"):
            projection.replace(database, changed(feed([], str(number)), items=failing()))
    with database.reading() as connection:
        states = connection.execute(select(build.c.state).order_by(build.c.number)).scalars().all()
    assert states == ["current", "failed"]
    projection.forget_failed(database)
    with database.reading() as connection:
        assert queues.builds(connection)[1] is None


def test_a_build_that_another_process_reads_is_left_to_it(database: Database) -> None:
    answers = []

    def read_twice() -> Iterator[Any]:
        yield from feed([blurred("a", 0.4)]).items
        answers.append(projection.replace(database, feed([blurred("b", 0.4)], "same")))
        yield from feed([blurred("c", 0.4)]).items

    number = projection.replace(database, changed(feed([], "same"), items=read_twice()))
    assert answers == [None]
    assert standings(database) == {"a": "open", "c": "open"}
    with database.reading() as connection:
        current, later = queues.builds(connection)
    assert current is not None
    assert (current.number, later) == (number, None)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_build_is_taken_over_from_who_stopped_or_reads_an_older_one(
    database: Database, stopped: bool
) -> None:
    def overtaken() -> Iterator[Any]:
        yield from feed([blurred("a", 0.4)]).items
        if stopped:
            with database.writing() as connection:
                connection.execute(update(build).values(progressed_at=1))
        projection.replace(database, feed([blurred("b", 0.4)], "2"))
        yield from feed([blurred("c", 0.4)]).items

    mine = "2" if stopped else "1"
    with pytest.raises(StoreError, match="another process"):
        projection.replace(database, changed(feed([], mine), items=overtaken()))
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


def test_values_of_several_measures_are_ordered_by_how_far_they_are_beyond(
    database: Database,
) -> None:
    def grey(name: str, value: float, limit: float) -> Item:
        why = {**found(Reason.BLURRED, value, limit), "reason": "monochrome", "action": "reject"}
        return Item(name, (why,))

    info = changed(
        QUEUES[0], reason=Reason.MONOCHROME, action="reject", measure=None, order="high", limit=None
    )
    items = [
        grey("few colours", 25.7, 257),
        grey("nearly enough colours", 250, 257),
        grey("grey", 0.0, 0.004),
        grey("nearly grey", 0.002, 0.004),
    ]
    projection.replace(database, changed(feed(items), queues=[info]))
    with database.reading() as connection:
        request = queues.PageRequest("monochrome", standing="rejected")
        page = queues.page(connection, 1, request, "ann")
        ranges = queues.count(connection, 1).ranges
    assert [row.locator.removesuffix(".jpg") for row in page.rows] == [
        "grey",
        "few colours",
        "nearly grey",
        "nearly enough colours",
    ]
    assert ranges["monochrome"] == pytest.approx((7 / 257, 1.0))


Said = st.lists(
    st.tuples(
        st.sampled_from(["keep", "near", "same", "a", "b", "twin"]),
        st.sampled_from(["accepted", "rejected", "undecided"]),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(early=Said, late=Said)
def test_counts_are_those_of_a_recount_whatever_is_said(
    early: list[tuple[str, str]],
    late: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    items = [
        Item("keep", columns={"duplicate": item_id("keep")}),
        copy_of("near", "keep"),
        pixel_copy_of("same", "keep"),
        blurred("a", 0.3),
        blurred("twin", 0.4, pixels=item_id("a")),
        Item("b", (found(Reason.BLURRED, 0.1, 0.55), found(Reason.BUSY_BACKGROUND, 0.7, 0.6))),
    ]
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('store')}/review.sqlite")
    for number, words in enumerate((early, late), 1):
        for name, verdict in words:
            decision = Decision(new(), item_id(name), verdict)  # type: ignore[arg-type]
            with database.writing() as connection:
                decide(connection, [Submission("ann", "import", [decision], force=True)])
        if number == 1:
            projection.replace(database, feed(items))
        with database.reading() as connection:
            assert queues.count(connection, 1) == recounted(connection)
    database.close()


def recounted(connection: Connection) -> queues.Counts:
    """Count everything that there is."""
    items: dict[str, dict[str, int]] = {}
    clusters: dict[str, dict[bool, int]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for row in connection.execute(select(review_item.c.standing)):
        counted = items.setdefault("all", {})
        counted[row.standing] = counted.get(row.standing, 0) + 1
    for row in connection.execute(select(queue_entry)):
        counted = items.setdefault(row.reason, {})
        counted[row.standing] = counted.get(row.standing, 0) + 1
        low, high = ranges.get(row.reason, (row.badness, row.badness))
        ranges[row.reason] = (min(low, row.badness), max(high, row.badness))
    waiting = (
        select(review_item.c.duplicate, queue_entry.c.reason)
        .join_from(review_item, queue_entry, queue_entry.c.item == review_item.c.id)
        .where(review_item.c.decided.is_(False))
    )
    open_ones = {tuple(row) for row in connection.execute(waiting)}
    for row in connection.execute(select(cluster)):
        done = (row.key, row.reason) not in open_ones
        assert row.settled == done
        found_ones = clusters.setdefault(row.reason, {})
        found_ones[done] = found_ones.get(done, 0) + 1
    return queues.Counts(items, clusters, ranges)


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
