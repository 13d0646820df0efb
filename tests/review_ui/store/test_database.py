"""The store opens, migrates, refuses with a remedy, and copies itself."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from review_ui.errors import DiskFullError, StoreBusyError, StoreError
from review_ui.store import database as module
from review_ui.store import projection
from review_ui.store.backup import back_up
from review_ui.store.database import open_database
from review_ui.store.models import metadata
from tests.review_ui.feeds import blurred, feed
from tests.review_ui.store.test_deciding import events, reject, say


def test_the_migrations_make_the_tables_that_the_code_knows(database_url: str) -> None:
    database = open_database(database_url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    database.close()


def test_opening_again_keeps_everything(database_url: str) -> None:
    database = open_database(database_url)
    projection.replace(database, feed([blurred("a", 0.4)]))
    say(database, reject("a"))
    database.close()
    database = open_database(database_url)
    assert events(database) == 1
    database.close()


def test_many_open_a_new_store_at_once(database_url: str) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            open_database(database_url).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "must be an SQLAlchemy URL"),
        ("mysql://host/name", "mysql"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("postgresql://ann:secret@127.0.0.1:1/none", "cannot be reached"),
    ],
)
def test_a_wrong_url_is_refused_with_the_remedy(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "review.sqlite"
    file.write_bytes(b"these are not the rows you are looking for" * 100)
    with pytest.raises(StoreError, match="restore it from a backup"):
        open_database(f"sqlite:///{file}")


def test_a_locked_store_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_MS", 50)
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    with closing(sqlite3.connect(tmp_path / "review.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="locked by another program"), database.writing():
            pass
        other.execute("ROLLBACK")
    with database.writing() as connection:
        connection.execute(text("SELECT 1"))
    database.close()


def test_a_full_disk_says_so_and_nothing_is_half_written(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    projection.replace(database, feed([blurred(n, 0.4) for n in range(500)]))
    say(database, reject(0))
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    # What SQLite answers when it may not grow is what it answers when the disk is full.
    database.engine.dispose()

    def limit(plain: sqlite3.Connection, _record: object) -> None:
        plain.execute(f"PRAGMA max_page_count = {pages}")

    module.event.listen(database.engine, "connect", limit)
    with pytest.raises(DiskFullError, match="free some room, nothing was written"):
        say(database, *(reject(n, note="x" * 1_000) for n in range(1, 500)))
    assert events(database) == 1
    module.event.remove(database.engine, "connect", limit)
    database.engine.dispose()
    say(database, *(reject(n) for n in range(1, 500)))
    assert events(database) == 500
    database.close()


def test_a_place_where_no_folder_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="choose another place"):
        open_database(f"sqlite:///{tmp_path}/file/review.sqlite")


def test_a_backup_is_whole_while_people_decide(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    projection.replace(database, feed([blurred(n, 0.4) for n in range(300)]))
    stop = threading.Event()
    done = []

    def decide() -> None:
        for n in range(300):
            say(database, reject(n))
            done.append(n)
            if stop.is_set():
                return

    thread = threading.Thread(target=decide)
    thread.start()
    while not done:
        pass
    before = len(done)
    size = back_up(database, tmp_path / "copy.sqlite")
    stop.set()
    thread.join()
    assert size == (tmp_path / "copy.sqlite").stat().st_size
    copy = open_database(f"sqlite:///{tmp_path}/copy.sqlite")
    assert before <= events(copy) <= events(database)
    copy.close()
    assert sorted(p.name for p in tmp_path.glob("*.part")) == []
    database.close()


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    (tmp_path / "copy").write_text("precious")
    with pytest.raises(StoreError, match="exists already"):
        back_up(database, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "precious"
    with pytest.raises(StoreError, match="nowhere"):
        back_up(database, tmp_path / "nowhere" / "copy")
    database.close()
