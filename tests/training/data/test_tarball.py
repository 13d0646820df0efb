from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import webdataset as wds
from hypothesis import given
from hypothesis import strategies as st

from data_catalog.tarball import END, header, padding
from tests.training.data.making import make_version, sample, tar_of
from training.data.tarball import RawSample, TarballError, read_samples


def read(data: bytes) -> list[RawSample]:
    return list(read_samples(io.BytesIO(data), len(data)))


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def test_samples_are_where_it_says_they_are() -> None:
    data = tar_of([*sample(0), *sample(1, label="shoe")])
    found = read(data)
    assert [raw.key for raw in found] == ["key-000", "key-001"]
    for number, raw in enumerate(found):
        assert raw.image == data[raw.offset : raw.offset + len(raw.image)]
        assert (raw.image, raw.meta) == tuple(
            content for _, content in sample(number, label=[None, "shoe"][number])
        )


# webdataset leaves closing its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_the_same(tmp_path: Path) -> None:
    path = make_version(tmp_path / "1", 4) / "shards" / "00000.tar"
    found = {
        raw["__key__"]: (raw["png"], raw["json"])
        for raw in wds.WebDataset([str(path)], shardshuffle=False)
    }
    assert found == {raw.key: (raw.image, raw.meta) for raw in read(path.read_bytes())}


@pytest.mark.parametrize("key", ["a" * 64, "a" * 80 + "_1000-2000-3000-4000", "ключ", "0"])
def test_keys_that_publish_writes_are_read(key: str) -> None:
    data = b"".join(
        header(f"{key}.{suffix}", 5) + b"12345" + padding(5) for suffix in ("jpg", "json")
    )
    assert [(raw.key, raw.image) for raw in read(data + END)] == [(key, b"12345")]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("../a.jpg", b""), ("../a.json", b"{}")], r"`'../a\.jpg'` must be <key>"),
        ([("/etc/a.jpg", b""), ("/etc/a.json", b"{}")], "in no folder"),
        ([(".jpg", b""), (".json", b"{}")], "must be <key>"),
        ([("a.txt", b""), ("a.json", b"{}")], r"a\.txt.* must be <key>"),
        ([*sample(0), ("notes.txt", b"extra")], r"notes\.txt"),
        ([*sample(0), ("a.json", b"{}")], "`a` must be a picture and a JSON file"),
        ([("a.jpg", b""), ("b.json", b"{}")], "`a` must be a picture and a JSON file"),
        ([("a.jpg", b""), ("a.png", b"")], "`a` must be one picture"),
        ([("a.json", b""), ("a.json", b"")], "`a` must be one picture"),
        ([link("a.jpg", tarfile.SYMTYPE)], "is a symbolic link"),
        ([link("a.jpg", tarfile.LNKTYPE)], "is a hard link"),
        ([link("a", tarfile.DIRTYPE)], "is a folder"),
        ([link("a.jpg", tarfile.CHRTYPE)], "is no plain file"),
    ],
)
def test_what_is_no_shard_is_refused(
    files: list[tuple[str, bytes] | tarfile.TarInfo], said: str
) -> None:
    with pytest.raises(TarballError, match=said):
        read(tar_of(files))


def test_a_size_that_cannot_be_is_refused_before_anything_is_read() -> None:
    asked: list[int] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(-1 if size is None else size)
            return super().read(size)

    data = header("a.jpg", 8**11 - 1) + bytes(1024)
    with pytest.raises(TarballError, match=r"`'a\.jpg'` claims 8,589,934,591 bytes"):
        list(read_samples(Watched(data), len(data)))
    assert asked == [512]


def test_an_extended_header_cannot_make_a_member_longer() -> None:
    member = tarfile.TarInfo("a.jpg")
    member.pax_headers = {"size": str(1 << 40)}
    with pytest.raises(TarballError, match="another size"):
        read(member.tobuf(tarfile.PAX_FORMAT) + bytes(2048))


@pytest.mark.parametrize("keep", [0, 100, 512, 700, 1536])
def test_a_shard_that_is_cut_off_is_refused(keep: int) -> None:
    with pytest.raises(TarballError, match="cut off"):
        read(tar_of(sample(0))[:keep])


@given(st.integers(0, 2047), st.integers(1, 255))
def test_no_damage_leads_to_another_error(place: int, change: int) -> None:
    data = bytearray(tar_of([("a.jpg", b"12"), ("a.json", b"{}")]))
    data[place] ^= change
    try:
        found = read(bytes(data))
    except TarballError:
        return
    # Only what headers do not sum over may have changed: contents, and what fills their blocks.
    assert [raw.key for raw in found] == ["a"]
    assert 512 <= place < 1024 or place >= 1536


@given(st.binary(max_size=3000))
def test_no_bytes_lead_to_another_error(data: bytes) -> None:
    with pytest.raises(TarballError):
        read(data or b"x")
