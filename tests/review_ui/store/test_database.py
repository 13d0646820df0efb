"""The store opens, migrates, refuses with a remedy, and copies itself."""

from __future__ import annotations

import errno
import resource
import sqlite3
import threading
from contextlib import ExitStack, closing
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


def test_a_second_writer_is_told_that_the_store_is_busy(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUSY_MS", 50)
    first, second = open_database(database_url), open_database(database_url)
    with first.writing(), pytest.raises(StoreBusyError, match="try again"), second.writing():
        pass
    say(second, reject("a"))
    for database in (first, second):
        database.close()


def test_a_reader_sees_one_state_while_others_write(database_url: str) -> None:
    database = open_database(database_url)
    projection.replace(database, feed([blurred(name, 0.4) for name in "ab"]))
    say(database, reject("a"))
    count = text("SELECT count(*) FROM decision_event")
    with database.reading() as connection:
        assert connection.execute(count).scalar_one() == 1
        say(database, reject("b"))
        assert connection.execute(count).scalar_one() == 1
    assert events(database) == 2
    database.close()


def test_every_thread_of_the_server_has_a_connection(database_url: str) -> None:
    database = open_database(database_url)
    with ExitStack() as stack:
        for _ in range(45):
            connection = stack.enter_context(database.reading())
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
    database.close()


def test_when_all_connections_are_in_use_the_store_is_busy(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
    monkeypatch.setattr(module, "_CONNECTIONS", few)
    database = open_database(database_url)
    with database.reading() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(StoreBusyError, match="in use; try again"), database.reading():
            pass
    database.close()


def test_a_disk_that_fails_is_not_called_full(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    projection.replace(database, feed([blurred(n, 0.4) for n in range(500)]))
    say(database, reject(0))
    # SQLite takes a write that is refused for any other reason than room for a failing disk.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    longest = max(file.stat().st_size for file in tmp_path.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, before[1]))
    try:
        with pytest.raises(StoreError, match="disk fails or is gone, nothing") as caught:
            say(database, *(reject(n, note="x" * 1_000) for n in range(1, 500)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not isinstance(caught.value, DiskFullError)
    assert events(database) == 1
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


def test_a_backup_goes_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(target))

    monkeypatch.setattr("os.link", refuse)  # as FAT and many network shares do
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    say(database, reject("a"))
    size = back_up(database, tmp_path / "copy.sqlite")
    assert size == (tmp_path / "copy.sqlite").stat().st_size
    copy = open_database(f"sqlite:///{tmp_path}/copy.sqlite")
    assert events(copy) == 1
    copy.close()
    with pytest.raises(StoreError, match="exists already"):
        back_up(database, tmp_path / "copy.sqlite")
    assert list(tmp_path.glob("*.part")) == []
    database.close()
