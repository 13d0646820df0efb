"""Decisions: taken once, only on what still holds, and never lost from the history."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from review_ui.store import history, projection, queues
from review_ui.store.database import Database, open_database
from review_ui.store.deciding import Decision, Outcome, Result, Submission, decide, states_of
from review_ui.store.models import decision_event, item_state, tag
from tests.review_ui.feeds import blurred, feed, item_id, pixel_copy_of


def new() -> str:
    return str(uuid.uuid4())


def say(database: Database, *decisions: Decision, reviewer: str = "ann") -> list[Result]:
    with database.writing() as connection:
        return decide(connection, [Submission(reviewer, "page", decisions)])[0]


def accept(name: object, base: str | None = None, **more: object) -> Decision:
    return Decision(new(), item_id(name), "accepted", base=base, **more)  # type: ignore[arg-type]


def reject(name: object, base: str | None = None, **more: object) -> Decision:
    return Decision(new(), item_id(name), "rejected", base=base, **more)  # type: ignore[arg-type]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    projection.replace(database, feed([blurred(name, 0.4) for name in "abcd"]))
    yield database
    database.close()


def events(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(decision_event)).scalar_one()


def head(database: Database, name: object) -> str | None:
    with database.reading() as connection:
        state = states_of(connection, [item_id(name)]).get(item_id(name))
    return state.head if state else None


def test_a_decision_holds_and_its_item_leaves_the_queue(database: Database) -> None:
    [result] = say(database, reject("a"))
    assert result.outcome is Outcome.SAVED
    with database.reading() as connection:
        page = queues.page(connection, 1, queues.PageRequest("blurred"), "ann")
        gone = queues.page(connection, 1, queues.PageRequest("blurred", "rejected"), "ann")
    assert item_id("a") not in {row.item_id for row in page.rows}
    assert [row.item_id for row in gone.rows] == [item_id("a")]


def test_sent_twice_it_is_saved_once(database: Database) -> None:
    decision = reject("a")
    outcomes = [say(database, decision)[0].outcome for _ in range(3)]
    assert outcomes == [Outcome.SAVED, Outcome.REPLAYED, Outcome.REPLAYED]
    assert events(database) == 1


def test_twice_in_one_request_it_is_saved_once(database: Database) -> None:
    decision = reject("a")
    assert [r.outcome for r in say(database, decision, decision)] == [
        Outcome.SAVED,
        Outcome.REPLAYED,
    ]


def test_of_two_on_one_item_the_first_wins_and_the_other_sees_it(database: Database) -> None:
    [first] = say(database, reject("a"), reviewer="ann")
    [second] = say(database, accept("a"), reviewer="bob")
    assert second.outcome is Outcome.CONFLICT
    assert (second.state.verdict, second.state.reviewer) == ("rejected", "ann")
    [mine] = say(database, accept("a", base=first.state.head), reviewer="bob")
    assert mine.outcome is Outcome.SAVED
    assert events(database) == 2


def test_decisions_queued_offline_build_on_one_another(database: Database) -> None:
    first = reject("a")
    second = Decision(new(), item_id("a"), "undecided", base=first.uuid, undoes=first.uuid)
    third = accept("a", base=second.uuid)
    assert [r.outcome for r in say(database, first, second, third)] == [Outcome.SAVED] * 3
    assert head(database, "a") == third.uuid
    with database.reading() as connection:
        shown = history.events(connection, item=item_id("a"))
    assert [(row.verdict, row.before_verdict, bool(row.undone)) for row in shown] == [
        ("accepted", "undecided", False),
        ("undecided", "rejected", False),
        ("rejected", None, True),
    ]


def test_what_builds_on_a_conflict_is_one_too(database: Database) -> None:
    say(database, reject("a"), reviewer="ann")
    first = accept("a")
    second = reject("a", base=first.uuid)
    assert [r.outcome for r in say(database, first, second, reviewer="bob")] == [
        Outcome.CONFLICT,
        Outcome.CONFLICT,
    ]


def test_a_uuid_of_another_item_is_refused(database: Database) -> None:
    first = reject("a")
    say(database, first)
    stolen = Decision(first.uuid, item_id("b"), "accepted")
    assert say(database, stolen)[0].outcome is Outcome.CONFLICT
    assert head(database, "b") is None


def test_a_decision_that_comes_after_its_item_has_left_holds_when_that_comes_back(
    database: Database,
) -> None:
    [first] = say(database, reject("a"))
    projection.replace(database, feed([blurred("d", 0.4)], "build-2"))
    [second, other] = say(database, accept("a", base=first.state.head), reject("b"))
    assert (second.outcome, other.outcome) == (Outcome.SAVED, Outcome.SAVED)
    number = projection.replace(database, feed([blurred(n, 0.4) for n in "abd"], "build-3"))
    with database.reading() as connection:
        rows = queues.items_by_id(connection, number, [item_id(name) for name in "abd"])
    standing = {row.locator: row.standing for row in rows.values()}
    assert standing == {"a.jpg": "accepted", "b.jpg": "rejected", "d.jpg": "open"}


def test_what_a_decision_does_not_say_is_as_before(database: Database) -> None:
    [first] = say(database, reject("a", reasons=("blurred",), tags=("worn",), note="torn"))
    [same] = say(database, reject("a", base=first.state.head))
    assert (same.state.reasons, same.state.tags, same.state.note) == (
        ("blurred",),
        ("worn",),
        "torn",
    )
    # Why it was rejected says nothing of what is accepted.
    [other] = say(database, accept("a", base=same.state.head))
    assert (other.state.reasons, other.state.tags, other.state.note) == ((), ("worn",), "torn")
    [empty] = say(database, accept("a", base=other.state.head, tags=(), note=""))
    assert (empty.state.tags, empty.state.note) == ((), "")
    with database.reading() as connection:
        said = history.events(connection, item=item_id("a"))
        assert queues.given_tags(connection, "", 9) == []
    assert [(row.reasons, row.tags, row.note) for row in reversed(said)] == [
        ("\nblurred\n", "\nworn\n", "torn"),
        ("\nblurred\n", "\nworn\n", "torn"),
        ("", "\nworn\n", "torn"),
        ("", "", ""),
    ]


def test_times_of_one_item_rise_whatever_the_clock_says(database: Database) -> None:
    late = 2**52
    [first] = say(database, reject("a", decided_at=late))
    [second] = say(database, accept("a", base=first.state.head))
    assert first.state.decided_at == late
    assert second.state.decided_at == late + 1


def test_tags_are_counted_while_they_hold(database: Database) -> None:
    [first] = say(database, accept("a", tags=("mirrored", "worn")), accept("b", tags=("worn",)))[:1]
    with database.reading() as connection:
        assert queues.given_tags(connection, "", 9) == [("worn", 2), ("mirrored", 1)]
        assert queues.given_tags(connection, "MIR", 9) == [("mirrored", 1)]
        assert queues.given_tags(connection, "%", 9) == []
    say(database, accept("a", base=first.state.head, tags=("mirrored",)))
    with database.reading() as connection:
        assert dict(queues.given_tags(connection, "", 9)) == {"mirrored": 1, "worn": 1}


def test_pixel_identical_copies_follow(database_url: str) -> None:
    database = open_database(database_url)
    projection.replace(
        database,
        feed(
            [blurred("a", 0.4), blurred("twin", 0.4, pixels=item_id("a")), pixel_copy_of("b", "a")]
        ),
    )
    [first] = say(database, accept("a"))

    def standings() -> dict[str, tuple[str, str | None]]:
        with database.reading() as connection:
            rows = queues.items_by_id(connection, 1, [item_id(n) for n in ("a", "twin", "b")])
        return {row.locator: (row.standing, row.follows) for row in rows.values()}

    assert standings() == {
        "a.jpg": ("accepted", None),
        "twin.jpg": ("accepted", item_id("a")),
        # Left out as a copy of one that is kept: it does not come in a second time.
        "b.jpg": ("rejected", item_id("a")),
    }
    say(database, Decision(new(), item_id("a"), "undecided", base=first.state.head))
    assert standings() == {
        "a.jpg": ("open", None),
        "twin.jpg": ("open", None),
        "b.jpg": ("rejected", None),
    }
    database.close()


def test_a_thousand_at_once_in_one_request(database_url: str) -> None:
    database = open_database(database_url)
    projection.replace(database, feed([blurred(n, 0.4) for n in range(1_200)]))
    results = say(database, *(reject(n) for n in range(1_200)))
    assert {r.outcome for r in results} == {Outcome.SAVED}
    with database.reading() as connection:
        assert queues.count(connection, 1).items["blurred"]["rejected"] == 1_200
    database.close()


Words = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["accepted", "rejected", "undecided"]),
        st.sampled_from(["ann", "bob"]),
        st.booleans(),  # knows what holds
        st.sampled_from([(), ("x",), ("x", "y")]),
        st.booleans(),  # is sent twice
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(words=Words)
def test_the_state_is_always_what_a_replay_of_the_events_gives(
    words: list[tuple[str, str, str, bool, tuple[str, ...], bool]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder: Path = tmp_path_factory.mktemp("store")
    database = open_database(f"sqlite:///{folder}/review.sqlite")
    projection.replace(database, feed([blurred(name, 0.4) for name in "abc"]))
    expected: dict[str, tuple[str, tuple[str, ...]]] = {}
    saved = 0
    for name, verdict, reviewer, knows, tags, twice in words:
        base = head(database, name) if knows else new()
        decision = Decision(new(), item_id(name), verdict, tags=tags, base=base)  # type: ignore[arg-type]
        [result] = say(database, decision, reviewer=reviewer)
        if twice:
            assert say(database, decision, reviewer=reviewer)[0].outcome in (
                Outcome.REPLAYED,
                Outcome.CONFLICT,
            )
        if result.outcome is Outcome.SAVED:
            saved += 1
            expected[item_id(name)] = (verdict, tags)
    with database.reading() as connection:
        states = states_of(connection, [item_id(name) for name in "abc"])
        replayed = {row.item_id: row for row in connection.execute(select(decision_event))}
        counted = dict(map(tuple, connection.execute(select(tag.c.value, tag.c.uses))))
        standing = {
            row.item_id: row.standing
            for row in queues.items_by_id(connection, 1, list(expected)).values()
        }
        rows = connection.execute(select(func.count()).select_from(item_state)).scalar_one()
    assert {item: (s.verdict, s.tags) for item, s in states.items()} == expected
    assert {item: row.uuid for item, row in replayed.items()} == {
        item: s.head for item, s in states.items()
    }
    assert events(database) == saved
    assert rows == len(expected)
    for value in ("x", "y"):
        assert counted.get(value, 0) == sum(value in tags for _, tags in expected.values())
    for item, (verdict, _) in expected.items():
        assert standing[item] == ("open" if verdict == "undecided" else verdict)
    database.close()
