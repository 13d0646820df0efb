from __future__ import annotations

import gc
import io
import json
import os
import resource
import signal
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from PIL import Image

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, ConflictError, StorageError, VersionNotFoundError
from data_catalog.packs import PackRef
from data_catalog.schema import TABLES
from data_catalog.storage import Root
from data_catalog.tables import Table
from data_catalog.versions import (
    Version,
    content_hash,
    list_versions,
    load_version,
    publish,
    read_members,
    verify,
)
from tests.data_catalog.conftest import MANIFEST, PROCESSES, RECIPE, files_below, fill


def freeze(catalog: Catalog, members: pa.Table, **options: Any) -> Version:
    options = {"manifest": MANIFEST, "build": "b1", "samples_per_shard": 8} | options
    return publish(catalog, members, recipe_id=RECIPE, **options)


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    return table.take(np.random.default_rng(seed).permutation(table.num_rows))


def shard_bytes(version: Version) -> dict[str, bytes]:
    return files_below(Path(version.path) / "shards")


def test_a_version_is_complete_and_says_what_it_is(catalog: Catalog) -> None:
    members = fill(catalog, range(20))
    calls: list[tuple[int, int]] = []
    page = "<p>Report</p>"
    version = freeze(catalog, members, progress=lambda *done: calls.append(done), report_html=page)
    assert (version.version, version.items, version.shards, version.parent) == (1, 20, 3, None)
    folder = Path(version.path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "members.parquet",
        "report.html",
        "shards",
    ]
    assert (folder / "report.html").read_text() == page
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == version.manifest
    assert manifest["labels"] == {"dress": 7, "shirt": 7}
    assert {name: manifest[name] for name in MANIFEST} == MANIFEST
    assert [shard["samples"] for shard in manifest["shards"]] == [8, 8, 4]
    assert (manifest["build"], manifest["version"], manifest["hash"]) == ("b1", 1, version.hash)
    assert calls == [(20, 20)]
    assert verify(folder) == []
    assert load_version(catalog) == version
    row = catalog.table("versions").read().to_pylist()[0]
    assert (row["version"], row["hash"], row["items"], row["shards"]) == (1, version.hash, 20, 3)


def test_members_say_where_each_item_is(catalog: Catalog) -> None:
    members = fill(catalog, range(20), crops=3)
    version = freeze(catalog, members)
    listed = pq.read_table(Path(version.path) / "members.parquet").to_pylist()
    assert sorted(row["item_id"] for row in listed) == sorted(members["item_id"].to_pylist())
    assert listed == read_members(version.path).to_pylist()
    shards = shard_bytes(version)
    for row in listed:
        assert row["key"].encode() in shards[row["shard"]]
        assert "." not in row["key"]


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_webdataset_reads_what_was_published(catalog: Catalog, image_format: str) -> None:
    members = fill(catalog, range(20), image_format, crops=2)
    version = freeze(catalog, members, manifest=MANIFEST | {"format": image_format})
    urls = sorted(str(path) for path in (Path(version.path) / "shards").iterdir())
    extension = {"jpeg": "jpg"}.get(image_format, image_format)
    found = {}
    with warnings.catch_warnings():  # it leaves closing its files to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        for sample in wds.WebDataset(urls, shardshuffle=False, empty_check=False):
            meta = json.loads(sample["json"])
            found[meta["item_id"]] = (sample[extension], meta)
        gc.collect()
    store = catalog.standard(RECIPE)
    rows = members.to_pylist()
    assert sorted(found) == sorted(row["item_id"] for row in rows)
    for row in rows:
        image, meta = found[row["item_id"]]
        assert image == store.read(PackRef(row["pack"], row["offset"], row["length"]))
        assert Image.open(io.BytesIO(image)).size == (32, 48)
        assert meta["label"] == row["label"]
        assert meta["tags"] == ["a", "b"]
        assert meta["fields"] == json.loads(row["fields"])
        assert meta["image_id"] == row["image_id"]


def test_the_same_content_is_one_version(catalog: Catalog) -> None:
    members = fill(catalog, range(20))
    first = freeze(catalog, members)
    before = files_below(Path(catalog.root.path))
    again = freeze(catalog, shuffled(members, 1), build="b2")
    assert again == first
    assert files_below(Path(catalog.root.path)) == before


def test_the_same_content_elsewhere_is_the_same_bytes(tmp_path: Path) -> None:
    here, there = Catalog(tmp_path / "here"), Catalog(tmp_path / "there")
    one = freeze(here, fill(here, range(20)))
    # other packs, other order, other process of making
    parts = [fill(there, range(10, 20)), fill(there, range(10))]
    two = freeze(there, shuffled(pa.concat_tables(parts), 2))
    assert one.hash == two.hash
    assert shard_bytes(one) == shard_bytes(two)


def test_samples_are_shuffled(catalog: Catalog) -> None:
    members = fill(catalog, range(40))
    order = read_members(freeze(catalog, members).path)["item_id"].to_pylist()
    assert order != sorted(order)
    assert order != members["item_id"].to_pylist()


def test_other_content_is_the_next_version(catalog: Catalog) -> None:
    members = fill(catalog, range(20))
    first = freeze(catalog, members)
    second = freeze(catalog, members.slice(1))
    third = freeze(catalog, members.slice(1), manifest=MANIFEST | {"inverted": True})
    assert [v.version for v in list_versions(catalog)] == [1, 2, 3]
    assert [first.parent, second.parent, third.parent] == [None, 1, 2]
    assert load_version(catalog).version == 3
    assert load_version(catalog, 2) == second
    assert freeze(catalog, members) == first


def _changed(members: pa.Table, name: str, value: object) -> pa.Table:
    rows = members.to_pylist()
    rows[0][name] = value
    return pa.Table.from_pylist(rows, schema=members.schema)


def test_what_the_hash_covers(catalog: Catalog) -> None:
    members = fill(catalog, range(6))
    base = content_hash(members, MANIFEST)
    assert content_hash(shuffled(members, 3), MANIFEST) == base
    for name, value in (("tags", ["a", "b"]), ("pack", "other"), ("offset", 7)):
        assert content_hash(_changed(members, name, value), MANIFEST) == base
    assert content_hash(members, MANIFEST | {"counts": 1, "width": 9}) == base
    others = [
        content_hash(_changed(members, name, value), MANIFEST)
        for name, value in (
            ("item_id", "x"),
            ("label", "hat"),
            ("label", None),
            ("tags", ["a"]),
            ("standard_hash", "0"),
        )
    ]
    others += [
        content_hash(members, MANIFEST | {"inverted": True}),
        content_hash(members, MANIFEST | {"recipe": {}}),
        content_hash(members.slice(1), MANIFEST),
        base,
    ]
    assert len(set(others)) == len(others) - (members["label"][0].as_py() in ("hat", None))


def test_no_members_make_an_empty_version(catalog: Catalog) -> None:
    version = freeze(catalog, fill(catalog, range(3)).slice(0, 0))
    assert (version.items, version.shards, verify(version.path)) == (0, 0, [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.drop_columns(["label"]), r"must have the columns \['label'\]"),
        (lambda m: pa.concat_tables([m, m]), "`members.item_id` must be unique"),
        (lambda m: _changed(m, "standard_hash", None), "`members.standard_hash` must not be null"),
        (lambda m: _changed(m, "fields", "{no"), r"`members.fields` of item .* must be JSON"),
    ],
)
def test_bad_members_are_refused(
    catalog: Catalog, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    members = fill(catalog, range(3))
    with pytest.raises(CatalogError, match=said):
        freeze(catalog, change(members))
    assert list_versions(catalog) == []
    assert catalog.root.ls("versions") == []


def test_a_bad_manifest_is_refused(catalog: Catalog) -> None:
    members = fill(catalog, range(3))
    with pytest.raises(CatalogError, match=r"must have \['recipe', 'inverted'\]"):
        freeze(catalog, members, manifest={"format": "png"})
    with pytest.raises(CatalogError, match="must be one of jpeg, png, webp, got 'gif'"):
        freeze(catalog, members, manifest=MANIFEST | {"format": "gif"})


def test_bytes_that_are_not_those_measured_are_refused(catalog: Catalog) -> None:
    members = fill(catalog, range(3))
    pack = Path(catalog.standard(RECIPE).path) / members["pack"][0].as_py()
    data = bytearray(pack.read_bytes())
    data[members["offset"][1].as_py() + 50] ^= 1
    pack.write_bytes(data)
    with pytest.raises(StorageError, match="holds other bytes than were measured"):
        freeze(catalog, members)
    assert list_versions(catalog) == []
    assert catalog.root.ls("versions") == []


def test_an_unknown_version_is_named(catalog: Catalog) -> None:
    with pytest.raises(VersionNotFoundError, match="run `nonesuch publish`"):
        load_version(catalog)
    freeze(catalog, fill(catalog, range(3)))
    with pytest.raises(VersionNotFoundError, match=r"no version 7; there are 1"):
        load_version(catalog, 7)


def test_verify_names_what_is_wrong(catalog: Catalog) -> None:
    folder = Path(freeze(catalog, fill(catalog, range(20))).path)
    shard = folder / "shards" / "00001.tar"
    good = shard.read_bytes()
    shard.write_bytes(good[:-1] + b"!")
    assert verify(folder) == ["shards/00001.tar: its SHA-256 is not the one in manifest.json"]
    shard.write_bytes(good[:-1])
    assert verify(Root(folder)) == [
        f"shards/00001.tar: {len(good) - 1} bytes, manifest.json says {len(good)}"
    ]
    shard.unlink()
    (folder / "shards" / "00009.tar").touch()
    (folder / "members.parquet").write_bytes(b"")
    assert [problem.split(":")[0] for problem in verify(folder)] == [
        "members.parquet",
        "shards/00001.tar",
        "shards/00009.tar",
    ]
    (folder / "manifest.json").unlink()
    assert "is not a published version" in verify(folder)[0]


def _die(*_: object, **__: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _publish_and_die(root: str, point: str) -> None:
    """Publish in this process and kill it with -9 at one point of the way."""
    catalog = Catalog(root)
    move, write, append = Root.move, Root.write_bytes, Table.append

    def dying_write(self: Root, path: str, data: bytes) -> None:
        if point == f"before {path}":
            _die()
        write(self, path, data)

    def dying_move(self: Root, source: str, target: str) -> None:
        if point == "before the rename":
            _die()
        move(self, source, target)
        if point == "after the rename":
            _die()

    def dying_append(self: Table, rows: pa.Table, *, if_version: int | None = None) -> int:
        found = append(self, rows, if_version=if_version)
        if point == "after the row":
            _die()
        return found

    Root.write_bytes = dying_write  # type: ignore[method-assign]
    Root.move = dying_move  # type: ignore[method-assign]
    Table.append = dying_append  # type: ignore[method-assign]
    members = pq.read_table(Path(root) / "members-in.parquet")
    freeze(catalog, members, progress=_die if point == "between samples" else None)


POINTS = [
    "between samples",
    "before members.parquet",
    "before manifest.json",
    "before the rename",
    "after the rename",
    "after the row",
]


@pytest.mark.parametrize("point", POINTS)
def test_killed_then_published_again_is_one_clean_version(tmp_path: Path, point: str) -> None:
    undisturbed = Catalog(tmp_path / "undisturbed")
    wanted = freeze(undisturbed, fill(undisturbed, range(20)))
    catalog = Catalog(tmp_path / "root")
    members = fill(catalog, range(20))
    pq.write_table(members, tmp_path / "root" / "members-in.parquet")
    process = PROCESSES.Process(target=_publish_and_die, args=(str(tmp_path / "root"), point))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    version = freeze(catalog, members)
    assert (version.version, version.hash) == (1, wanted.hash)
    assert list_versions(catalog) == [version]
    assert verify(version.path) == []
    assert shard_bytes(version) == shard_bytes(wanted)
    assert catalog.root.ls("versions") == ["1"]


def test_a_leftover_of_other_content_is_replaced(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "root")
    members = fill(catalog, range(20))
    pq.write_table(members.slice(3), tmp_path / "root" / "members-in.parquet")
    process = PROCESSES.Process(
        target=_publish_and_die, args=(str(tmp_path / "root"), "after the rename")
    )
    process.start()
    process.join()
    assert catalog.root.ls("versions") == ["1"]
    version = freeze(catalog, members)
    assert (version.version, version.items, verify(version.path)) == (1, 20, [])


def _publish_slowly(root: str, pipe: Connection) -> None:
    def wait(*_: int) -> None:
        pipe.send("writing")
        pipe.recv()

    members = pq.read_table(Path(root) / "members-in.parquet")
    freeze(Catalog(root), members, progress=wait)


def test_of_two_publishers_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    members = fill(catalog, range(20))
    pq.write_table(members, tmp_path / "members-in.parquet")
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_publish_slowly, args=(str(tmp_path), theirs))
    process.start()
    assert ours.recv() == "writing"
    with pytest.raises(ConflictError, match=f"process {process.pid} holds it for 'publish'"):
        freeze(catalog, members.slice(1))
    ours.send("go on")
    process.join()
    assert process.exitcode == 0
    assert [v.items for v in list_versions(catalog)] == [20]
    assert catalog.root.ls("versions") == ["1"]
    assert verify(load_version(catalog).path) == []


def _publish_on_a_full_disk(root: str, out: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    members = pq.read_table(Path(root) / "members-in.parquet")
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    try:
        freeze(Catalog(root), members, samples_per_shard=1000)
        said = "no error"
    except StorageError as error:
        said = str(error)
    Path(out).write_text(said)


def test_a_full_disk_is_named_and_the_catalog_is_as_it_was(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "root")
    members = fill(catalog, range(40))
    pq.write_table(members, tmp_path / "root" / "members-in.parquet")
    out = tmp_path / "said"
    process = PROCESSES.Process(
        target=_publish_on_a_full_disk, args=(str(tmp_path / "root"), str(out))
    )
    process.start()
    process.join()
    assert "00000.tar: File too large" in out.read_text()
    assert catalog.root.ls("versions") == []
    assert list_versions(catalog) == []
    assert verify(freeze(catalog, members).path) == []


def test_packs_and_shards_on_an_object_store(tmp_path: Path) -> None:
    """Tables of fsspec's memory are out of delta-rs' reach, so they lie on the disk here."""
    catalog = Catalog(f"memory://{tmp_path.name}")

    def table(name: str) -> Table:
        return Table(name, TABLES[name], str(tmp_path / name))

    catalog.table = table  # type: ignore[method-assign]
    members = fill(catalog, range(20))
    version = freeze(catalog, members)
    assert verify(catalog.root.child("versions", "1")) == []
    local = Catalog(tmp_path / "local")
    assert freeze(local, fill(local, range(20))).hash == version.hash


# ---- Splits. -------------------------------------------------------------------------------------


def test_each_split_has_its_own_line_of_versions(catalog: Catalog) -> None:
    members = fill(catalog, range(20))
    pov, rest = MANIFEST | {"split": "pov"}, MANIFEST | {"split": "rest"}
    whole = freeze(catalog, members)
    first = freeze(catalog, members.slice(0, 8), manifest=pov)
    other = freeze(catalog, members.slice(8), manifest=rest)
    second = freeze(catalog, members.slice(0, 9), manifest=pov)
    assert [v.version for v in (whole, first, other, second)] == [1, 2, 3, 4]
    assert [v.parent for v in (whole, first, other, second)] == [None, None, None, 2]
    assert [v.split for v in list_versions(catalog)] == [None, "pov", "rest", "pov"]
    rows = catalog.table("versions").read(["version", "split"]).sort_by("version").to_pylist()
    assert [row["split"] for row in rows] == [None, "pov", "rest", "pov"]
    # Equal content is one version of a split, and of each split another.
    assert freeze(catalog, members.slice(0, 8), manifest=pov) == first
    everything = freeze(catalog, members, manifest=pov)
    assert (everything.version, everything.parent) == (5, 4)
    assert everything.hash == whole.hash
    assert freeze(catalog, members) == whole
    # The newest is that of the whole set, or of the split that is named.
    assert load_version(catalog) == whole
    assert load_version(catalog, split="pov") == everything
    assert load_version(catalog, 2) == load_version(catalog, 2, split="pov") == first
    with pytest.raises(VersionNotFoundError, match=r"version 3 of .* is of the split 'rest', not"):
        load_version(catalog, 3, split="pov")
    with pytest.raises(
        VersionNotFoundError,
        match="no version of the split 'odd'; there are those of the whole set: 1; "
        "the split 'pov': 2, 4, 5; the split 'rest': 3",
    ):
        load_version(catalog, split="odd")


def test_where_only_splits_exist_they_are_named(catalog: Catalog) -> None:
    freeze(catalog, fill(catalog, range(3)), manifest=MANIFEST | {"split": "pov"})
    with pytest.raises(
        VersionNotFoundError,
        match=r"no version of the whole set, only of splits \(the split 'pov': 1\); name a split",
    ):
        load_version(catalog)


def test_what_a_killed_publish_left_is_not_taken_for_another_split(catalog: Catalog) -> None:
    members = fill(catalog, range(6))
    table = catalog.table("versions")
    left = freeze(catalog, members, manifest=MANIFEST | {"split": "pov"})
    table.replace(table.read().slice(0, 0))  # as if killed before its row was there
    other = freeze(catalog, members, manifest=MANIFEST | {"split": "rest"})
    assert (other.version, other.split, other.hash) == (1, "rest", left.hash)
    assert json.loads((Path(other.path) / "manifest.json").read_text())["split"] == "rest"
