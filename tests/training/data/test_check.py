from __future__ import annotations

import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_catalog.catalog import Catalog
from data_catalog.versions import publish, read_members
from tests.data_catalog.conftest import MANIFEST, RECIPE, fill
from tests.training.data.making import (
    SHAPE,
    Files,
    encoded,
    make_version,
    pixels_of,
    sample,
    tar_of,
    write_version,
)
from training.data.check import check
from training.data.reader import PictureReader
from training.errors import ShardError
from training.shards import PublishedVersion


def shard(version: PublishedVersion, number: int = 0) -> Path:
    return version.shards[number]


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-700])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.fixture
def version(tmp_path: Path) -> PublishedVersion:
    return PublishedVersion(
        make_version(tmp_path / "1", 13, labels=["shoe", None], tags=[["pov"], []])
    )


def test_a_sound_version_gives_its_index(version: PublishedVersion) -> None:
    calls: list[tuple[int, int]] = []
    index = check(version, progress=lambda *done: calls.append(done), processes=1)
    samples = list(version.samples())
    assert [index.key(n) for n in range(len(index))] == [sample.key for sample in samples]
    assert [index.label_of(n) for n in range(len(index))] == [sample.label for sample in samples]
    assert [index.tags_of(n) for n in range(len(index))] == [sample.tags for sample in samples]
    total = sum(path.stat().st_size for path in version.shards)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (total, total) and len(calls) == 3


def test_a_version_of_publish_is_read_as_its_members_say(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "root")
    members = fill(catalog, range(20), crops=2)
    published = publish(
        catalog, members, recipe_id=RECIPE, manifest=MANIFEST, build="b", samples_per_shard=8
    )
    version = PublishedVersion(Path(published.path))
    assert (version.hash, version.items) == (published.hash, 21)
    index = check(version)
    rows = read_members(published.path).to_pylist()
    assert [index.key(n) for n in range(21)] == [row["key"] for row in rows]
    assert [index.label_of(n) for n in range(21)] == [row["label"] for row in rows]
    assert [index.shards[n] for n in index.shard] == [row["shard"] for row in rows]
    pixels = PictureReader(version, index).read(np.arange(21))
    assert np.array_equal(
        pixels.transpose(0, 2, 3, 1), [sample.pixels for sample in version.samples()]
    )


def test_processes_find_the_same(version: PublishedVersion) -> None:
    one, two = (check(version, processes=processes) for processes in (1, 2))
    for name, value in vars(one).items():
        assert np.array_equal(getattr(two, name), value), name


@pytest.mark.parametrize("processes", [1, 2])
def test_all_bad_shards_are_named_at_once(tmp_path: Path, processes: int) -> None:
    version = PublishedVersion(make_version(tmp_path / "1", 25))
    cut_off(shard(version, 1))
    flip_a_bit(shard(version, 2))
    shard(version, 4).unlink()
    with pytest.raises(ShardError) as caught:
        check(version, processes=processes)
    said = str(caught.value)
    assert "3 of 5 shards" in said and "copy them again" in said
    assert "00001.tar: has" in said and "bytes, must have" in said
    assert "00002.tar: its SHA-256 is not the one in the manifest" in said
    assert "00004.tar: is missing" in said
    assert "00000" not in said and "00003" not in said


def test_of_many_bad_shards_the_rest_is_named_shortly(tmp_path: Path) -> None:
    version = PublishedVersion(make_version(tmp_path / "1", 30, per_shard=1))
    for path in version.shards:
        cut_off(path)
    with pytest.raises(ShardError) as caught:
        check(version, processes=1)
    assert len(str(caught.value).splitlines()) == 22
    assert all(path.name in str(caught.value) for path in version.shards)


def test_damage_that_keeps_size_and_structure_is_found(version: PublishedVersion) -> None:
    # In the empty blocks after the last sample, where no reader looks.
    data = bytearray(shard(version).read_bytes())
    data[-1] = 1
    shard(version).write_bytes(data)
    with pytest.raises(ShardError, match=r"00000\.tar: its SHA-256"):
        check(version, processes=1)


def other(image: bytes) -> Files:
    return [*sample(0), *sample(1, image=image)]


def link() -> tarfile.TarInfo:
    member = tarfile.TarInfo("key-001.png")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (other(encoded(pixels_of(1, (12, 16)))), r"`key-001` is \(12, 16\), must be \(16, 12\)"),
        (other(encoded(Image.new("RGBA", SHAPE[::-1]))), "`key-001` has the mode RGBA"),
        (other(encoded(Image.new("LA", SHAPE[::-1]))), "`key-001` has the mode LA"),
        (other(b"no picture"), "`key-001` cannot be decoded"),
        (other(b""), "`key-001` cannot be decoded"),
        ([*sample(0), *sample(1)[:1], ("key-001.json", b"{")], r"`key-001\.json` is not valid"),
        ([*sample(0), *sample(1), ("../up.png", b"")], r"is no shard: `'\.\./up\.png'` must be"),
        ([*sample(0), *sample(1), ("notes.txt", b"")], "is no shard: .*notes"),
        ([*sample(0), link()], "is a symbolic link"),
        (sample(0), "has 1 samples, must have 2"),
        ([*sample(0), *sample(1), *sample(2)], "has 3 samples, must have 2"),
    ],
)
def test_a_shard_with_the_right_checksum_may_still_be_wrong(
    tmp_path: Path, files: list[tuple[str, bytes] | tarfile.TarInfo], said: str
) -> None:
    version = PublishedVersion(write_version(tmp_path / "1", [(tar_of(files), 2)]))
    with pytest.raises(ShardError, match=rf"00000\.tar: (the picture )?.*{said}"):
        check(version, processes=1)


def test_grey_pictures_can_be_trained_on(tmp_path: Path) -> None:
    grey = pixels_of(0)[..., 0]
    data = tar_of(sample(0, image=encoded(grey)))
    version = PublishedVersion(write_version(tmp_path / "1", [(data, 1)]))
    pixels = PictureReader(version, check(version, processes=1)).read([0])
    assert np.array_equal(pixels[0], np.stack([grey] * 3))


def test_a_giant_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    giant = bytearray(encoded(pixels_of(0)))  # a few bytes, which claim 120 GB
    giant[16:24] = struct.pack(">II", 200_000, 200_000)
    giant[29:33] = struct.pack(">I", zlib.crc32(giant[12:29]))
    data = tar_of(sample(0, image=bytes(giant)))
    version = PublishedVersion(write_version(tmp_path / "1", [(data, 1)]))
    with pytest.raises(ShardError, match=r"00000\.tar: the picture `key-000`"):
        check(version, processes=1)


def test_a_key_in_two_shards_is_refused(tmp_path: Path) -> None:
    shards = [(tar_of(sample(0)), 1), (tar_of(sample(0)), 1)]
    version = PublishedVersion(write_version(tmp_path / "1", shards))
    with pytest.raises(ShardError, match="`key-000` is in it twice"):
        check(version, processes=1)


# ---- The index that is kept. ----------------------------------------------------------------


def read_again(version: PublishedVersion, cache: Path) -> bool:
    """Whether a check reads the shards, rather than taking what was kept."""
    calls: list[tuple[int, int]] = []
    check(version, cache=cache, processes=1, progress=lambda *done: calls.append(done))
    return bool(calls)


def test_an_index_is_kept_while_nothing_changes(version: PublishedVersion, tmp_path: Path) -> None:
    cache = tmp_path / "run"
    assert read_again(version, cache)
    assert not read_again(version, cache)
    kept = check(version, cache=cache)
    assert np.array_equal(kept.offset, check(version, processes=1).offset)


def touch(version: PublishedVersion) -> None:
    os.utime(shard(version), ns=(0, shard(version).stat().st_mtime_ns + 1))


def damage_index(version: PublishedVersion) -> None:
    (version.folder.parent / "run" / "index.npz").write_bytes(b"PK\x03\x04 and nothing more")


@pytest.mark.parametrize("change", [touch, damage_index])
def test_an_index_is_made_again_when_something_changed(
    version: PublishedVersion, tmp_path: Path, change: Callable[[PublishedVersion], None]
) -> None:
    assert read_again(version, tmp_path / "run")
    change(version)
    assert read_again(version, tmp_path / "run")
    assert not read_again(version, tmp_path / "run")


def test_an_index_of_another_version_is_not_taken(
    version: PublishedVersion, tmp_path: Path
) -> None:
    assert read_again(version, tmp_path / "run")
    other = PublishedVersion(make_version(tmp_path / "2", 13, inverted=True))
    assert read_again(other, tmp_path / "run")


def test_damage_after_an_index_was_kept_is_found(version: PublishedVersion, tmp_path: Path) -> None:
    assert read_again(version, tmp_path / "run")
    cut_off(shard(version))
    with pytest.raises(ShardError, match=r"00000\.tar: has"):
        check(version, cache=tmp_path / "run", processes=1)
    shard(version).unlink()
    with pytest.raises(ShardError, match=r"00000\.tar: is missing"):
        check(version, cache=tmp_path / "run", processes=1)


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(
    version: PublishedVersion, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert len(check(version, cache=tmp_path / "file", processes=1)) == 13
