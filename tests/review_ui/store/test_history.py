"""Who decided what, how fast, and how far people agree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from review_ui.store import clock, history, projection
from review_ui.store.database import Database, open_database
from review_ui.store.deciding import Decision, Submission, decide
from tests.review_ui.feeds import blurred, feed, item_id
from tests.review_ui.store.test_deciding import accept, head, new, reject, say


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    projection.replace(database, feed([blurred(n, 0.4) for n in range(8)]))
    yield database
    database.close()


def test_events_come_newest_first_page_by_page_and_by_reviewer(database: Database) -> None:
    for n in range(6):
        say(database, reject(n), reviewer="ann" if n % 2 else "bob")
    with database.reading() as connection:
        first = history.events(connection, limit=4)
        rest = history.events(connection, before=first[-1].seq, limit=4)
        anns = history.events(connection, reviewer="ann")
    assert [row.item_id for row in [*first, *rest]] == [item_id(n) for n in range(5, -1, -1)]
    assert {row.reviewer for row in anns} == {"ann"}
    assert len(anns) == 3


def test_pace_leaves_pauses_out() -> None:
    second = clock.SECOND
    assert history.rate([]) == history.rate([5]) == 0.0
    assert history.rate([n * second for n in range(61)]) == pytest.approx(60)
    with_lunch = [*(n * second for n in range(31)), *((3_600 + n) * second for n in range(31))]
    assert history.rate(with_lunch) == pytest.approx(60)


def test_paces_by_reviewer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    start = clock.now()
    for n in range(3):
        at = start + n * clock.SECOND
        say(database, reject(n, decided_at=at, client_ms=100 * (n + 1)), reviewer="ann")
    say(database, accept(4), reviewer="bob")
    with database.reading() as connection:
        ann, bob = history.paces(connection)
        assert history.paces(connection, since=clock.now() + clock.SECOND * 60) == []
        assert history.paces(connection, reviewer="bob") == [bob]
        monkeypatch.setattr(history, "RECENT", 2)
        [recent, _] = history.paces(connection)
    assert (ann.reviewer, ann.decisions, ann.per_minute, ann.median_ms) == ("ann", 3, 60.0, 200)
    assert (bob.reviewer, bob.decisions, bob.median_ms) == ("bob", 1, None)
    # All are counted; the last ones tell the pace.
    assert (recent.decisions, recent.per_minute, recent.median_ms) == (3, 60.0, 250)
    assert recent.last_at == ann.last_at == start + 2 * clock.SECOND


def test_events_are_counted_whatever_their_numbers(database: Database) -> None:
    known = history.Events()
    for n in range(2):
        say(database, reject(n))
        with pytest.raises(RuntimeError, match="given up"), database.writing() as connection:
            decide(connection, [Submission("ann", "page", [reject(5)])])
            raise RuntimeError("given up")
        with database.reading() as connection:
            known = history.counted(connection, known)
        assert known.count == n + 1
    say(database, reject(6), accept(7))
    with database.reading() as connection:
        assert history.counted(connection, known).count == 4
        assert history.counted(connection, history.Events()).count == 4


def test_agreement_is_of_last_words_on_the_same_items(database: Database) -> None:
    # Both decide 0 to 3; they differ on 3. ann changes her mind about 0 before bob speaks.
    say(database, reject(0))
    for n, verdict in enumerate(["accepted", "accepted", "rejected", "rejected"]):
        say(database, Decision(new(), item_id(n), verdict, base=head(database, n)))  # type: ignore[arg-type]
    for n, verdict in enumerate(["accepted", "accepted", "rejected", "accepted"]):
        say(
            database,
            Decision(new(), item_id(n), verdict, base=head(database, n)),  # type: ignore[arg-type]
            reviewer="bob",
        )
    say(database, accept(5))
    with database.reading() as connection:
        words = history.last_words(connection)
    [found] = history.agreements(words)
    assert (found.first, found.second, found.items, found.agreed) == ("ann", "bob", 4, 3)
    # By hand: 3/4 the same; by chance 2/4·3/4 + 2/4·1/4 = 1/2; (3/4 - 1/2) / (1 - 1/2) = 1/2.
    assert (found.share, found.kappa) == (0.75, 0.5)
    assert history.disputed(words) == [(item_id(3), {"ann": "rejected", "bob": "accepted"})]


def test_kappa_is_left_open_where_chance_explains_all(database: Database) -> None:
    say(database, accept(0))
    say(database, accept(0, base=head(database, 0)), reviewer="bob")
    with database.reading() as connection:
        [found] = history.agreements(history.last_words(connection))
    assert (found.share, found.kappa) == (1.0, None)
