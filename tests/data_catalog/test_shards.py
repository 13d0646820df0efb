from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_catalog.errors import StorageError
from data_catalog.shards import Sample, ShardWriter, key_of, read_samples
from data_catalog.storage import Root

SAMPLES = [Sample(f"k{i}", "jpg", bytes([i]) * 1000, b'{"i":%d}' % i) for i in range(7)]


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    root = Root(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")
    root.makedirs()
    return root


def test_shards_end_at_their_count_and_are_described(folder: Root) -> None:
    with ShardWriter(folder, samples_per_shard=3) as writer:
        names = [writer.add(sample) for sample in SAMPLES]
    assert names == ["00000.tar"] * 3 + ["00001.tar"] * 3 + ["00002.tar"]
    assert [shard.samples for shard in writer.shards] == [3, 3, 1]
    for shard in writer.shards:
        data = folder.read_bytes(shard.name)
        assert (shard.bytes, shard.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    described = [(shard.name, shard.samples) for shard in writer.shards]
    assert list(read_samples(folder, described)) == SAMPLES


def test_shards_end_at_their_bytes(folder: Root) -> None:
    with ShardWriter(folder, max_bytes=7000) as writer:
        for sample in SAMPLES:
            writer.add(sample)
    assert [shard.samples for shard in writer.shards] == [2, 2, 2, 1]
    assert all(shard.bytes <= 7000 for shard in writer.shards)


def test_one_large_sample_has_a_shard_of_its_own(folder: Root) -> None:
    with ShardWriter(folder, max_bytes=10) as writer:
        for sample in SAMPLES:
            writer.add(sample)
    assert [shard.samples for shard in writer.shards] == [1] * 7


def test_samples_of_all_sizes_around_the_buffer(folder: Root) -> None:
    sizes = [0, 5, (1 << 20) - 2048, 1 << 20, 3 << 20, 400_000, 400_000, 400_000, 1]
    samples = [Sample(f"k{i}", "png", os.urandom(size), b"{}") for i, size in enumerate(sizes)]
    with ShardWriter(folder, samples_per_shard=6) as writer:
        for sample in samples:
            writer.add(sample)
    assert [shard.samples for shard in writer.shards] == [6, 3]
    assert list(read_samples(folder, [("00000.tar", 6), ("00001.tar", 3)])) == samples
    for shard in writer.shards:
        data = folder.read_bytes(shard.name)
        assert (shard.bytes, shard.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_no_samples_no_shards(folder: Root) -> None:
    with ShardWriter(folder) as writer:
        pass
    assert (writer.shards, folder.ls()) == ([], [])


def test_members_are_plain_tar(tmp_path: Path) -> None:
    with ShardWriter(Root(tmp_path)) as writer:
        writer.add(SAMPLES[1])
    with tarfile.open(tmp_path / "00000.tar") as tar:
        assert tar.getnames() == ["k1.jpg", "k1.json"]
        content = tar.extractfile("k1.json")
        assert content is not None
        assert json.loads(content.read()) == {"i": 1}


@pytest.mark.parametrize("cut", [1200, 2300, 3000, 5120, 15360])
def test_a_damaged_shard_is_named(tmp_path: Path, cut: int) -> None:
    with ShardWriter(Root(tmp_path)) as writer:
        for sample in SAMPLES:
            writer.add(sample)
    path = tmp_path / "00000.tar"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StorageError, match=r"00000\.tar is damaged"):
        list(read_samples(Root(tmp_path), [("00000.tar", 7)]))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"00007\.tar.*missing"):
        list(read_samples(Root(tmp_path), [("00007.tar", 1)]))


def test_keys_of_items() -> None:
    assert key_of("abc") == "abc"
    assert key_of("abc#1,22,3,4") == "abc_1-22-3-4"
    for odd in ("a.b", "a/b", "a#b", "\u00e9", "", "a" * 81, "a_1-2-3-4"):
        assert key_of(odd) == hashlib.sha256(odd.encode()).hexdigest()


@given(st.lists(st.text("ab1#,-_./", max_size=12), unique=True))
def test_keys_are_unique_and_safe(items: list[str]) -> None:
    keys = [key_of(item) for item in items]
    assert len(set(keys)) == len(items)
    assert all(key.replace("_", "").replace("-", "").isalnum() for key in keys)
