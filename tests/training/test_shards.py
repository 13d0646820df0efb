from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training.errors
from tests.training.data.making import (
    make_version,
    pixels_of,
    sample,
    tar_of,
    write_version,
)
from training.shards import PublishedVersion, ShardError


def rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in manifest.items() if v is not ...}))


@pytest.mark.parametrize("inverted", [False, True])
def test_pictures_are_inverted_as_the_manifest_says(tmp_path: Path, *, inverted: bool) -> None:
    folder = make_version(tmp_path / "1", 1, inverted=inverted, labels=["shoe"], tags=[["pov"]])
    (found,) = PublishedVersion(folder).samples()
    picture = pixels_of(0)
    assert np.array_equal(found.pixels, 255 - picture if inverted else picture)
    assert (found.key, found.label, found.tags) == ("key-000", "shoe", ("pov",))


def test_a_version_says_what_it_is(tmp_path: Path) -> None:
    folder = make_version(tmp_path / "1", 7)
    rewrite(folder, labels={"shoe": 3}, version=4)
    version = PublishedVersion(folder)
    assert (version.version, version.items, version.labels) == (4, 7, {"shoe": 3})
    assert (version.shape, version.inverted) == ((16, 12), False)
    assert version.hash == version.manifest["hash"]
    assert [path.name for path in version.shards] == ["00000.tar", "00001.tar"]
    assert [found.key for found in version.samples()] == [f"key-{n:03}" for n in range(7)]


def test_a_missing_manifest_or_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"manifest\.json; give the folder"):
        PublishedVersion(tmp_path)
    folder = make_version(tmp_path / "1", 12)
    for number in (0, 2):
        (folder / "shards" / f"0000{number}.tar").unlink()
    with pytest.raises(ShardError, match=r"00000\.tar, .*00002\.tar are missing"):
        PublishedVersion(folder)


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    folder = make_version(tmp_path / "1", 2)
    rewrite(folder, height=17)
    with pytest.raises(ShardError, match=r"key-000 is \(16, 12\), must be \(17, 12\)"):
        list(PublishedVersion(folder).samples())


def test_a_shard_that_is_cut_off_is_named(tmp_path: Path) -> None:
    folder = make_version(tmp_path / "1", 2)
    path = folder / "shards" / "00000.tar"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ShardError, match=r"00000\.tar is damaged: it is cut off"):
        list(PublishedVersion(folder).samples())


KEYS = ["version", "hash", "items", "labels", "inverted", "height", "width", "shards"]


@pytest.mark.parametrize("key", KEYS)
def test_a_manifest_without_a_key_is_an_error_that_names_it(tmp_path: Path, key: str) -> None:
    folder = make_version(tmp_path / "1", 1)
    rewrite(folder, **{key: ...})
    with pytest.raises(ShardError, match=f"the key `{key}` is missing"):
        PublishedVersion(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("inverted", "no"),
        ("height", 0),
        ("width", "12"),
        ("items", -1),
        ("hash", "../../etc"),
        ("labels", {"shoe": "many"}),
        ("shards", None),
    ],
)
def test_a_wrong_key_is_named_with_its_value(tmp_path: Path, key: str, value: object) -> None:
    folder = make_version(tmp_path / "1", 1)
    rewrite(folder, **{key: value})
    with pytest.raises(ShardError, match=f"`{key}.*` is wrong: .*, got "):
        PublishedVersion(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("name", "../00000.tar"), ("sha256", "ab"), ("bytes", "many")]
)
def test_a_wrong_entry_of_a_shard_is_named(tmp_path: Path, key: str, value: object) -> None:
    folder = make_version(tmp_path / "1", 6)
    (first, second) = json.loads((folder / "manifest.json").read_text())["shards"]
    rewrite(folder, shards=[first, second | {key: value}])
    with pytest.raises(ShardError, match=rf"`shards\.1\.{key}` is wrong"):
        PublishedVersion(folder)
    rewrite(folder, shards=[first, {k: v for k, v in second.items() if k != key}])
    with pytest.raises(ShardError, match=rf"the key `shards\.1\.{key}` is missing"):
        PublishedVersion(folder)


def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    folder = make_version(tmp_path / "1", 6)
    rewrite(folder, items=7)
    with pytest.raises(ShardError, match="`items` is 7, but its shards have 6"):
        PublishedVersion(folder)
    shards = json.loads((folder / "manifest.json").read_text())["shards"]
    rewrite(folder, items=10, shards=[shards[0], shards[0]])
    with pytest.raises(ShardError, match="names one file twice"):
        PublishedVersion(folder)


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 100_000, '{"a": \xff}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ShardError, match=r"manifest\.json(:| is)"):
        PublishedVersion(tmp_path)


def test_an_empty_version_says_what_to_do(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "1", [])
    with pytest.raises(ShardError, match=r"names no pictures .* run `nonesuch publish`"):
        PublishedVersion(folder)


@pytest.mark.parametrize(
    "meta", [b"{", b"[]", b'{"label": 3}', b'{"label": null, "tags": "pov"}', b"[" * 100_000]
)
def test_a_json_file_that_is_none_is_named(tmp_path: Path, meta: bytes) -> None:
    picture, _ = sample(0)
    folder = write_version(tmp_path / "1", [(tar_of([picture, ("key-000.json", meta)]), 1)])
    with pytest.raises(ShardError, match=r"key-000\.json (is not valid|must be|`label`|`tags`)"):
        list(PublishedVersion(folder).samples())


def test_there_is_one_shard_error() -> None:
    assert ShardError is training.errors.ShardError
