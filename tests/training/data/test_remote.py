from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.training.data.making import make_version
from training.data.check import check
from training.data.remote import fetch
from training.errors import SetupError, ShardError
from training.shards import PublishedVersion

URL = "memory://bucket/versions/1"


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """An object storage with a version in it."""
    memory = fsspec.filesystem("memory")
    folder = make_version(tmp_path / "published", 13)
    memory.put(str(folder), "/bucket/versions/1", recursive=True)
    yield memory
    memory.rm("/bucket", recursive=True)


def test_a_local_folder_is_given_back(tmp_path: Path) -> None:
    assert fetch(str(tmp_path / "1"), tmp_path / "cache") == tmp_path / "1"
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("bucket")
def test_a_copy_is_whole_and_lies_below_its_hash(tmp_path: Path) -> None:
    folder = fetch(URL, tmp_path / "cache")
    version = PublishedVersion(folder)
    assert folder == tmp_path / "cache" / version.hash
    assert len(check(version, processes=1)) == 13
    for path in (tmp_path / "published" / "shards").iterdir():
        assert (folder / "shards" / path.name).read_bytes() == path.read_bytes()


def test_files_are_fetched_from_a_file_url(tmp_path: Path) -> None:
    folder = make_version(tmp_path / "1", 3)
    copy = fetch(f"file://{folder}/", tmp_path / "cache")
    assert copy != folder and PublishedVersion(copy).items == 3


@pytest.mark.usefixtures("bucket")
def test_what_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    total = sum(path.stat().st_size for path in (tmp_path / "published" / "shards").iterdir())
    folder = fetch(URL, cache)
    times = {path: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()}
    fetch(URL, cache)
    assert {path: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()} == times
    lost = folder / "shards" / "00001.tar"
    size = lost.stat().st_size
    lost.unlink()
    calls: list[tuple[int, int]] = []
    fetch(URL, cache, progress=lambda *done: calls.append(done))
    assert calls[0] == (total - size, total) and calls[-1] == (total, total)
    assert lost.stat().st_size == size


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("change", ["shorter", "other"])
def test_what_is_here_and_damaged_is_fetched_again(tmp_path: Path, change: str) -> None:
    folder = fetch(URL, tmp_path / "cache")
    path = folder / "shards" / "00002.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if change == "shorter" else b"x" + whole[1:])
    fetch(URL, tmp_path / "cache")
    assert path.read_bytes() == whole


@pytest.mark.usefixtures("bucket")
def test_leftovers_and_shards_of_before_are_removed(tmp_path: Path) -> None:
    shards = fetch(URL, tmp_path / "cache") / "shards"
    (shards / ".tmp-0123").write_bytes(b"half a shard")
    (shards / "00009.tar").write_bytes(b"of before pictures were forgotten")
    fetch(URL, tmp_path / "cache")
    assert sorted(path.name for path in shards.iterdir()) == ["00000.tar", "00001.tar", "00002.tar"]


def test_a_damaged_shard_is_refused_and_the_others_are_kept(
    tmp_path: Path, bucket: fsspec.AbstractFileSystem
) -> None:
    name = "/bucket/versions/1/shards/00002.tar"
    whole = bucket.cat(name)
    for damaged in (b"x" + whole[1:], whole[:-1], whole + b"x"):
        bucket.pipe(name, damaged)
        with pytest.raises(ShardError, match=r"00002\.tar has other bytes than the manifest says"):
            fetch(URL, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    assert sorted(path.name for path in (folder / "shards").iterdir()) == ["00000.tar", "00001.tar"]
    assert not (folder / "manifest.json").exists()
    bucket.pipe(name, whole)
    assert fetch(URL, tmp_path / "cache") == folder


def test_a_missing_shard_is_named(tmp_path: Path, bucket: fsspec.AbstractFileSystem) -> None:
    bucket.rm("/bucket/versions/1/shards/00001.tar")
    with pytest.raises(ShardError, match=r"memory://.*00001\.tar is missing"):
        fetch(URL, tmp_path / "cache")


def test_no_version_there(tmp_path: Path, bucket: fsspec.AbstractFileSystem) -> None:
    with pytest.raises(ShardError, match=r"memory://nowhere/manifest\.json is missing; give the"):
        fetch("memory://nowhere", tmp_path / "cache")
    bucket.pipe("/bucket/versions/1/manifest.json", b"{}")
    with pytest.raises(ShardError, match="the key `version` is missing"):
        fetch(URL, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_disk_that_is_too_small_says_how_much_is_needed(
    tmp_path: Path, bucket: fsspec.AbstractFileSystem
) -> None:
    name = "/bucket/versions/1/manifest.json"
    manifest = json.loads(bucket.cat(name))
    manifest["shards"][0]["bytes"] = 10**17
    bucket.pipe(name, json.dumps(manifest).encode())
    with pytest.raises(SetupError, match=r"must have 100,000,000\.\d\d GB free .* has .* GB"):
        fetch(URL, tmp_path / "cache")


@pytest.mark.usefixtures("bucket")
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"file/.* cannot be written: .*; give another folder"):
        fetch(URL, tmp_path / "file")


def test_a_location_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="nosuch://x is no location that fsspec knows"):
        fetch("nosuch://x", tmp_path)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)  # as where it is not installed
    with pytest.raises(SetupError, match=r"needs the package `fsspec`; install it"):
        fetch(URL, tmp_path)
