from __future__ import annotations

import os
import resource
import signal
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, ConflictError, StorageError
from data_catalog.schema import TABLES
from data_catalog.tables import Table
from tests.data_catalog.conftest import PROCESSES


def images(*names: str) -> pa.Table:
    return pa.table(
        {
            "image_id": list(names),
            "bytes": [1] * len(names),
            "pack": ["p"] * len(names),
            "offset": [0] * len(names),
            "length": [1] * len(names),
        }
    )


def ids(table: Table) -> list[str]:
    return sorted(table.read(["image_id"])["image_id"].to_pylist())


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Catalog(tmp_path / "root").table("images")


def test_an_absent_table_is_empty_and_leaves_no_trace(tmp_path: Path) -> None:
    table = Catalog(tmp_path / "root").table("images")
    assert table.version() == -1
    assert table.read().schema == TABLES["images"]
    assert table.read().num_rows == 0
    assert list(table.scan()) == []
    assert table.append(images()) == -1
    table.compact()
    assert not (tmp_path / "root").exists()


def test_append_replace_read(table: Table) -> None:
    assert table.append(images("a", "b")) == 0
    assert table.append(images("c")) == 1
    assert ids(table) == ["a", "b", "c"]
    assert table.read(["pack", "image_id"], pc.field("image_id") == "b").to_pylist() == [
        {"pack": "p", "image_id": "b"}
    ]
    assert table.replace(images("z")) == 2
    assert ids(table) == ["z"]
    assert table.replace(images()) == 3
    assert ids(table) == []


@pytest.mark.parametrize("name", TABLES)
def test_every_schema_survives_a_round_trip(tmp_path: Path, name: str) -> None:
    table = Catalog(tmp_path).table(name)
    examples: dict[pa.DataType, object] = {
        pa.string(): "täg",
        pa.int64(): -(2**63),
        pa.int32(): -1,
        pa.float32(): 0.5,
        pa.float64(): 0.1,
        pa.bool_(): True,
        pa.binary(): b"\0\xff",
        pa.list_(pa.string()): ["a", "b"],
        pa.timestamp("us", tz="UTC"): datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    }
    full = {field.name: examples[field.type] for field in table.schema}
    bare = {k: v if not table.schema.field(k).nullable else None for k, v in full.items()}
    rows = pa.Table.from_pylist([full, bare], schema=table.schema)
    table.append(rows)
    table.replace(rows)
    found = table.read()
    assert found.schema == table.schema
    assert found.to_pylist() == [full, bare]


def test_scan_gives_bounded_batches(table: Table) -> None:
    table.append(images(*(f"{i:05}" for i in range(1000))))
    batches = list(table.scan(["image_id"], batch_rows=300))
    assert max(batch.num_rows for batch in batches) <= 300
    assert sum(batch.num_rows for batch in batches) == 1000


def test_compact_keeps_rows_and_merges_files(table: Table) -> None:
    for name in "abcdef":
        table.append(images(name))
    assert len(table.files()) == 6
    table.compact()
    assert len(table.files()) == 1
    assert ids(table) == list("abcdef")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pa.table({"image_id": ["a"]}), "needs column `bytes`"),
        (images("a").append_column("colour", pa.array(["red"])), r"has no column \['colour'\]"),
        (
            images("a").set_column(0, "image_id", pa.nulls(1, pa.string())),
            "`images.image_id` must not be null",
        ),
        (images("a").set_column(1, "bytes", pa.array(["x"])), "`images.bytes` must be int64"),
    ],
)
def test_rows_that_do_not_fit_are_refused(table: Table, rows: pa.Table, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        table.append(rows)
    assert table.version() == -1


def test_an_unknown_table_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no table 'pictures'; there are observations"):
        Catalog(tmp_path).table("pictures")
    with pytest.raises(CatalogError, match=r"has no column \['colour'\]"):
        Catalog(tmp_path).table("images").read(["colour"])


def test_a_column_added_later_reads_as_null_and_can_be_written(tmp_path: Path) -> None:
    now = TABLES["images"]
    before = Table("images", pa.schema([*now]), str(tmp_path))
    before.append(images("a"))
    later = Table("images", now.append(pa.field("note", pa.string())), str(tmp_path))
    assert later.read()["note"].to_pylist() == [None]
    later.append(images("b").append_column("note", pa.array(["new"])))
    assert sorted(later.read()["note"].to_pylist(), key=str) == [None, "new"]


@pytest.mark.parametrize("write", ["append", "replace"])
def test_if_version_refuses_a_table_that_moved_on(table: Table, write: str) -> None:
    table.append(images("a"), if_version=-1)
    with pytest.raises(ConflictError, match="`images` must be at version -1, is at 0"):
        getattr(table, write)(images("b"), if_version=-1)
    table.append(images("b"), if_version=0)
    with pytest.raises(ConflictError):
        getattr(table, write)(images("c"), if_version=0)
    with pytest.raises(ConflictError):
        table.append(images(), if_version=0)
    assert ids(table) == ["a", "b"]


def _write_at_once(
    root: str, name: str, write: str, base: int | None, start: Barrier, out: str
) -> None:
    table = Catalog(root).table("images")
    start.wait()
    rows = images(*(f"{name}{i}" for i in range(3)))
    try:
        getattr(table, write)(rows, if_version=base)
        said = "won"
    except ConflictError:
        said = "lost"
    (Path(out) / f"{name}-{base}").write_text(said)


def _race(root: Path, write: str, bases: list[int | None]) -> None:
    for base in bases:
        start = PROCESSES.Barrier(2)
        both = [
            PROCESSES.Process(
                target=_write_at_once, args=(str(root), name, write, base, start, str(root))
            )
            for name in ("x", "y")
        ]
        for process in both:
            process.start()
        for process in both:
            process.join()


@pytest.mark.parametrize("write", ["append", "replace"])
def test_of_two_processes_from_one_version_exactly_one_wins(tmp_path: Path, write: str) -> None:
    table = Catalog(tmp_path).table("images")
    kept: list[str] = []
    for base in (-1, 0):
        _race(tmp_path, write, [base])
        said = {name: (tmp_path / f"{name}-{base}").read_text() for name in ("x", "y")}
        assert sorted(said.values()) == ["lost", "won"]
        winner = min(said, key=lambda name: said[name] != "won")
        mine = [f"{winner}{i}" for i in range(3)]
        kept = mine if write == "replace" else sorted(kept + mine)
        assert ids(table) == kept


def test_appends_without_a_version_both_arrive(tmp_path: Path) -> None:
    _race(tmp_path, "append", [None])
    assert ids(Catalog(tmp_path).table("images")) == ["x0", "x1", "x2", "y0", "y1", "y2"]


def test_a_race_in_one_process_between_look_and_commit(tmp_path: Path) -> None:
    """Both writers have opened the table at version 0; only the log's file can decide."""
    catalog = Catalog(tmp_path)
    catalog.table("images").append(images("a"))
    slow, fast = catalog.table("images"), catalog.table("images")
    fitted = slow.fit

    def late(rows: pa.Table) -> pa.Table:
        fast.append(images("fast"))
        return fitted(rows)

    slow.fit = late  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        slow.append(images("slow"), if_version=0)
    assert ids(slow) == ["a", "fast"]


def _append_on_a_full_disk(root: str, out: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    table = Catalog(root).table("images")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    try:
        table.append(images(*(os.urandom(32).hex() for _ in range(5000))))
        said = "no error"
    except StorageError as error:
        said = str(error)
    Path(out).write_text(said[:1900])


def test_a_full_disk_is_named_and_the_table_is_as_it_was(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "said"
    table = Catalog(root).table("images")
    table.append(images("a"))
    process = PROCESSES.Process(target=_append_on_a_full_disk, args=(str(root), str(out)))
    process.start()
    process.join()
    assert str(root / "catalog" / "images") in out.read_text()
    assert "raise the limit on the size of files" in out.read_text()
    assert (table.version(), ids(table)) == (0, ["a"])
    table.append(images("b"))
    assert ids(table) == ["a", "b"]


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"file/root/catalog/images.*a file, not a folder"):
        Catalog(tmp_path / "file" / "root").table("images").append(images("a"))


def test_a_root_may_have_spaces_and_marks_but_no_percent_sign(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "da ta#y?z")
    rows = pa.table({"image_id": ["a"], "why": ["w"], "forgotten_at": [datetime.now(UTC)]})
    catalog.table("tombstones").append(rows)
    assert catalog.table("tombstones").read(["image_id"])["image_id"].to_pylist() == ["a"]
    with pytest.raises(CatalogError, match="must not contain `%`"):
        Catalog(tmp_path / "da%20ta")
