from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data_catalog.catalog import Catalog
from data_catalog.errors import ConflictError
from data_catalog.garbage import collect
from data_catalog.versions import publish, verify
from tests.data_catalog.conftest import MANIFEST, PROCESSES, RECIPE, files_below, fill


def litter(catalog: Catalog) -> set[str]:
    """Leave what killed runs leave; give the paths."""
    root = Path(catalog.root.path)
    with catalog.raw.writer() as raw:
        raw.add("a", b"orphan")
    with catalog.standard(RECIPE).writer() as standard:
        standard.add("a", b"orphan")
    with catalog.standard("64x64-other").writer() as other:
        other.add("a", b"orphan")
    for name in ("raw/.tmp-1.tar", "versions/.tmp-2/shards/00000.tar", ".tmp-3"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"part")
    stale = root / "catalog" / "images" / "part-killed.parquet"
    stale.write_bytes(b"part")
    return {
        f"raw/{raw.pack}",
        f"standard/{RECIPE}/{standard.pack}",
        f"standard/64x64-other/{other.pack}",
        "raw/.tmp-1.tar",
        "versions/.tmp-2/shards/00000.tar",
        ".tmp-3",
        "catalog/images/part-killed.parquet",
    }


def test_orphans_go_and_nothing_else(catalog: Catalog) -> None:
    members = fill(catalog, range(10))
    version = publish(catalog, members, recipe_id=RECIPE, manifest=MANIFEST, build="b")
    root = Path(catalog.root.path)
    foreign = ["raw/notes.txt", "report.html", "models/run/.tmp-not-ours", "versions/7/x"]
    for name in foreign:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine")
    before = files_below(root)
    lost = litter(catalog)
    planned = collect(catalog, dry_run=True, grace_seconds=0)
    assert set(files_below(root)) == set(before) | lost
    done = collect(catalog, grace_seconds=0)
    assert files_below(root) == before
    assert (planned.packs, planned.temporary, planned.table_files, planned.bytes) == (
        done.packs,
        done.temporary,
        done.table_files,
        done.bytes,
    )
    assert (planned.dry_run, done.dry_run) == (True, False)
    assert (len(done.packs), len(done.temporary), len(done.table_files)) == (3, 3, 1)
    assert done.bytes > 0
    assert verify(version.path) == []
    assert collect(catalog, grace_seconds=0).bytes == 0


def test_young_table_files_are_left_to_their_readers(catalog: Catalog) -> None:
    fill(catalog, range(5))
    table = catalog.table("images")
    old = next(iter(table.files()))
    table.replace(table.read(where=pc.field("image_id") != ""))
    assert collect(catalog).table_files == ()
    path = Path(catalog.root.path) / "catalog" / "images" / old
    os.utime(path, (time.time() - 7200,) * 2)
    assert collect(catalog).table_files == (f"catalog/images/{old}",)
    assert table.read().num_rows == 5


def test_a_writer_at_work_keeps_its_packs(catalog: Catalog) -> None:
    """A pack that is sealed but not committed yet looks like an orphan; the lock says otherwise."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_seal_then_commit, args=(catalog.root.path, theirs))
    process.start()
    assert ours.recv() == "sealed"
    with pytest.raises(ConflictError, match="'rebuild'"):
        collect(catalog, grace_seconds=0)
    ours.send("commit")
    process.join()
    assert collect(catalog, grace_seconds=0).packs == ()
    assert catalog.table("images").read().num_rows == 1


def _seal_then_commit(root: str, pipe: Connection) -> None:
    catalog = Catalog(root)
    with catalog.lock("rebuild"):
        with catalog.raw.writer() as writer:
            ref = writer.add("x", b"1")
        pipe.send("sealed")
        pipe.recv()
        row = {"image_id": "x", "bytes": 1, "pack": ref.pack, "offset": ref.offset, "length": 1}
        catalog.table("images").append(pa.Table.from_pylist([row]))


def _write(root: Path, names: list[str], age: float) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for name in names:
        for path in (root / name, (root / name).parent):
            os.utime(path, (time.time() - age,) * 2)


def test_what_old_rankings_leave_goes_and_the_present_one_stays(catalog: Catalog) -> None:
    root = Path(catalog.root.path)
    scored = [{"item_id": "a", "model": "density-own-2", "mean": 1.0}]
    catalog.table("scores").append(pa.Table.from_pylist(scored))
    old = [
        "rank/density/other.npz",
        "rank/density/other.parts/0.npz",
        "rank/density-own-1/lowest.png",
    ]
    kept = [
        f"rank/density/{RECIPE}.npz",
        f"rank/density/{RECIPE}.parts/0.npz",
        "rank/density-own-2/lowest.png",
        "rank/run@kimg-1/lowest.png",
        "rank/notes.txt",
    ]
    _write(root, [*old, *kept], age=7200)
    assert collect(catalog).rankings == ("rank/density-own-1",)
    _write(root, old, age=60)
    assert collect(catalog, recipe=RECIPE).rankings == ()
    _write(root, old, age=7200)
    assert set(collect(catalog, recipe=RECIPE).rankings) == {
        "rank/density/other.npz",
        "rank/density/other.parts",
        "rank/density-own-1",
    }
    assert [name for name in kept if not (root / name).exists()] == []
    _write(root, [kept[1]], age=2 * 86_400)
    assert collect(catalog, recipe=RECIPE).rankings == (f"rank/density/{RECIPE}.parts",)


def test_what_killed_rankings_and_the_loop_leave_goes(catalog: Catalog) -> None:
    root = Path(catalog.root.path)
    names = [
        "rank/.tmp-1",
        "rank/density/.tmp-2",
        f"rank/density/{RECIPE}.parts/.tmp-3",
        "rank/density-own-1/.tmp-4",
        "loop/trainings/.tmp-5",
    ]
    _write(root, names, age=60)
    assert set(collect(catalog, dry_run=True).temporary) == set(names[:4])
    _write(root, names, age=7200)
    _write(root, ["loop/trainings/v1-tiny.json"], age=7200)
    assert set(collect(catalog).temporary) == set(names)
    assert (root / "loop/trainings/v1-tiny.json").exists()


def test_an_empty_root_has_no_garbage(catalog: Catalog) -> None:
    assert collect(catalog).bytes == 0
