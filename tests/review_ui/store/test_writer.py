"""One thread writes for all; whoever is told "saved" is on the disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text

from review_ui.errors import DiskFullError, StoreBusyError, StoreError
from review_ui.store import database as module
from review_ui.store import projection
from review_ui.store.database import Database, open_database
from review_ui.store.deciding import Decision, Outcome, Submission
from review_ui.store.models import tag
from review_ui.store.writer import Writer
from tests.review_ui.feeds import blurred, feed, item_id
from tests.review_ui.store.test_deciding import accept, events, reject


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    projection.replace(database, feed([blurred(n, 0.4) for n in range(200)]))
    yield database
    database.close()


def one(reviewer: str, decision: Decision) -> Submission:
    return Submission(reviewer, "page", [decision])


def test_everyone_gets_their_own_answer_in_their_own_order(database: Database) -> None:
    with closing(Writer(database)) as writer:
        futures = [writer.decide(one("ann", reject(n))) for n in range(200)]
        outcomes = [(f.result()[0].outcome, f.result()[0].state.item) for f in futures]
    assert outcomes == [(Outcome.SAVED, item_id(n)) for n in range(200)]
    assert events(database) == 200


def test_of_two_in_one_transaction_one_wins(database: Database) -> None:
    with closing(Writer(database)) as writer:
        both = [writer.decide(one(who, accept(0))) for who in ("ann", "bob")]
        assert [f.result()[0].outcome for f in both] == [Outcome.SAVED, Outcome.CONFLICT]


def test_one_that_spoils_the_transaction_spoils_no_other(database: Database) -> None:
    def spoil(connection: Connection) -> None:
        connection.execute(insert(tag).values(value="same", uses=1))
        connection.execute(insert(tag).values(value="same", uses=1))

    with closing(Writer(database)) as writer:
        futures: list[Future[Any]] = []
        for n in range(10):
            futures.append(writer.decide(one("ann", reject(n))))
            futures.append(writer.write(spoil))
        for n, future in enumerate(futures):
            if n % 2:
                with pytest.raises(StoreError):
                    future.result()
            else:
                assert future.result()[0].outcome is Outcome.SAVED
    assert events(database) == 10


def test_what_fails_beside_other_work_does_not_make_that_run_again(database: Database) -> None:
    may_begin = threading.Event()
    runs: list[str] = []

    def note(name: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            connection.execute(insert(tag).values(value=name, uses=len(runs)))
            runs.append(name)

        return work

    def fail(connection: Connection) -> None:
        connection.execute(insert(tag).values(value="half", uses=1))
        raise ValueError("no")

    with closing(Writer(database)) as writer:
        # All that comes while this one runs shares the next transaction.
        first = writer.write(lambda _: may_begin.wait())
        before, failing, after = (writer.write(w) for w in (note("before"), fail, note("after")))
        may_begin.set()
        with pytest.raises(ValueError, match="no"):
            failing.result()
        for future in (first, before, after):
            future.result()
    assert runs == ["before", "after"]
    with database.reading() as connection:
        assert dict(map(tuple, connection.execute(select(tag.c.value, tag.c.uses)))) == {
            "before": 0,
            "after": 1,
        }


def test_work_that_fills_the_disk_is_told_and_decisions_beside_it_are_kept(
    tmp_path: Path,
) -> None:
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    database.engine.dispose()

    def limit(plain: sqlite3.Connection, _record: object) -> None:
        plain.execute(f"PRAGMA max_page_count = {pages + 8}")

    def fill(connection: Connection) -> None:
        rows = [{"value": f"{n} {'x' * 1_000}", "uses": 1} for n in range(1_000)]
        connection.execute(insert(tag), rows)

    module.event.listen(database.engine, "connect", limit)
    may_begin = threading.Event()
    with closing(Writer(database)) as writer:
        first = writer.write(lambda _: may_begin.wait())
        filling, decided = writer.write(fill), writer.decide(one("ann", reject(0)))
        may_begin.set()
        first.result()
        with pytest.raises(DiskFullError, match="free some room"):
            filling.result()
        assert decided.result()[0].outcome is Outcome.SAVED
    assert events(database) == 1
    database.close()


def test_a_connection_that_is_lost_is_said_and_the_next_work_is_done(postgres_url: str) -> None:
    database = open_database(postgres_url)

    def cut(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with closing(Writer(database)) as writer:
        with pytest.raises(StoreBusyError, match="cannot be reached"):
            writer.write(cut).result(20)
        assert writer.write(lambda connection: connection.scalar(select(1))).result(20) == 1
    database.close()


def test_closing_writes_what_waits(database: Database) -> None:
    writer = Writer(database)
    futures = [writer.decide(one("ann", reject(n))) for n in range(50)]
    writer.close()
    assert all(f.done() for f in futures)
    assert events(database) == 50
    with pytest.raises(StoreError, match="stopping"):
        writer.decide(one("ann", reject(60)))


def test_what_is_acknowledged_is_committed_durably(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    with database.reading() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2  # FULL
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    database.close()
