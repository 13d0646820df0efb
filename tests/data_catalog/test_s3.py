"""The catalog on an object store: commits, packs, versions, garbage, and what goes wrong there."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from data_catalog.catalog import Catalog
from data_catalog.errors import ConflictError, StorageError
from data_catalog.garbage import collect
from data_catalog.storage import Root
from data_catalog.versions import load_version, publish, verify
from tests.data_catalog.conftest import MANIFEST, RECIPE, fill
from tests.data_catalog.test_tables import ids, images
from tests.object_store import ObjectStore

WRITERS = 4


@pytest.fixture
def catalog(s3: ObjectStore, request: pytest.FixtureRequest) -> Catalog:
    return Catalog(s3.url(f"catalogs/{request.node.name}"), s3.options)


def test_of_two_writers_of_one_version_of_a_table_one_is_refused(
    s3: ObjectStore, catalog: Catalog
) -> None:
    tables = [Catalog(catalog.root.url, s3.options).table("images") for _ in range(WRITERS)]
    for at in range(-1, 5):
        barrier = Barrier(WRITERS)

        def write(number: int, at: int = at, barrier: Barrier = barrier) -> bool:
            barrier.wait()
            try:
                tables[number].append(images(f"{at}-{number}"), if_version=at)
            except ConflictError as error:
                assert "another writer committed first" in str(error)
                return False
            return True

        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(write, range(WRITERS)))
        assert won.count(True) == 1
        kept = [name for name in ids(tables[0]) if name.startswith(f"{at}-")]
        assert kept == [f"{at}-{won.index(True)}"]


def test_plain_appends_of_several_writers_all_stay(s3: ObjectStore, catalog: Catalog) -> None:
    tables = [Catalog(catalog.root.url, s3.options).table("images") for _ in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda n: [tables[n].append(images(f"{n}{k}")) for k in "abc"], range(4)))
    assert len(ids(tables[0])) == 12


def test_what_another_process_wrote_is_seen(s3: ObjectStore, catalog: Catalog) -> None:
    root = catalog.root
    root.write_bytes("x/a", b"1")
    assert root.ls("x") == ["a"]
    code = (
        "from data_catalog.storage import Root\n"
        f"Root({root.url!r}, {s3.options!r}).write_bytes('x/b', b'22')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert root.exists("x/b")
    assert (root.size("x/b"), root.read_bytes("x/b"), root.ls("x")) == (2, b"22", ["a", "b"])
    assert abs(time.time() - root.modified("x/b")) < 60


def test_a_version_is_published_read_and_checked(catalog: Catalog) -> None:
    members = fill(catalog, range(7))
    version = publish(
        catalog, members, recipe_id=RECIPE, manifest=MANIFEST, build="b", samples_per_shard=3
    )
    folder = Root(version.path, catalog.root.storage_options)
    assert verify(folder) == []
    assert (version.items, version.shards) == (7, 3)
    files = list(catalog.root.walk("versions"))
    assert len(files) == 3 + 2
    assert all(name.startswith("versions/1/") for name in files)  # nothing temporary is left
    again = publish(catalog, members, recipe_id=RECIPE, manifest=MANIFEST, build="b")
    assert (again.version, again.hash) == (1, version.hash)
    assert load_version(catalog).hash == version.hash


def test_orphans_are_garbage_once_they_are_old(catalog: Catalog) -> None:
    fill(catalog, range(3))
    with catalog.raw.writer() as writer:
        writer.add("x", b"no row refers to this")
    orphan = f"raw/{writer.pack}"
    catalog.root.write_bytes("versions/.tmp-1/shards/1.tar", b"killed")
    assert collect(catalog).bytes == 0  # their writers may be about to commit
    assert catalog.root.exists("versions/.tmp-1/shards/1.tar")
    time.sleep(1.1)  # the store counts whole seconds
    found = collect(catalog, grace_seconds=0.0)
    assert found.packs == (orphan,)
    assert found.temporary == ("versions/.tmp-1",)
    assert not catalog.root.exists("versions/.tmp-1/shards/1.tar")
    assert catalog.table("images").read().num_rows == 3


def test_what_the_store_refuses_is_named_with_a_remedy(
    s3: ObjectStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match=r"nowhere/a: No such file.*it is missing"):
        catalog.root.read_bytes("nowhere/a")
    wrong = Root(catalog.root.url, {**s3.options, "secret": "wrong"})
    with pytest.raises(StorageError, match=r"give this user the right"):
        wrong.write_bytes("a", b"1")
    away = Root(catalog.root.url, {**s3.options, "endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StorageError, match=r"Could not connect .*check `dataset.root`"):
        away.read_bytes("a")
    table = Catalog(catalog.root.url, {**s3.options, "secret": "wrong"}).table("images")
    with pytest.raises(StorageError, match=r"^table `images` at s3://[^\x1b]*check `dataset.root`"):
        table.version()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    nobody = {"endpoint_url": s3.endpoint}
    with pytest.raises(StorageError, match=r"credentials.*check `dataset.root`"):
        Root(catalog.root.url, nobody).read_bytes("a")
