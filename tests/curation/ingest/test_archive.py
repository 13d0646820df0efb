from __future__ import annotations

import contextlib
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.errors import SourceError
from curation.ingest.offers import Known, Offer, ReadFailure
from curation.ingest.sources import ArchiveConfig, open_source
from curation.recipe import Limits

Picture = Callable[[int], bytes]


def _tar(path: Path, members: dict[str, bytes], mode: str = "w", **options: Any) -> Path:
    with tarfile.open(path, mode, **options) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def _zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tars_of_all_kinds(
    tmp_path: Path, run: Any, picture: Picture, mode: str, style: int
) -> None:
    long = "d/" * 80 + "long.png"
    names = ["./a.png", "sub/b.v2.png", long, "caf\udce9.png", "new\nline.png"]
    # The name says nothing of the kind: content does.
    path = _tar(
        tmp_path / "set.dat", {n: picture(i) for i, n in enumerate(names)}, mode, format=style
    )
    config = ArchiveConfig(path=str(path))
    assert run(config).new == 5
    assert not run.failures()
    assert sorted(run.by_locator()) == sorted(
        f"set.dat!/{n}" for n in ["a.png", "sub/b.v2.png", long, r"caf\xe9.png", r"new\x0aline.png"]
    )
    again = run(config)
    assert (again.seen, again.known, again.new) == (5, 5, 0)


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
)
def test_zips_of_all_methods(tmp_path: Path, run: Any, picture: Picture, method: int) -> None:
    path = _zip(tmp_path / "s.zip", {"a.png": picture(1), "d/": b"", "d/b.png": picture(2)}, method)
    assert run(ArchiveConfig(path=str(path))).new == 2
    assert sorted(run.by_locator()) == ["s.zip!/a.png", "s.zip!/d/b.png"]


def test_unchanged_archive_is_not_opened(tmp_path: Path, run: Any, picture: Picture) -> None:
    path = _tar(tmp_path / "s.tar", {"a.png": picture(1), "b.png": picture(2)})
    config = ArchiveConfig(path=str(path))
    run(config)
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)  # would fail if it were opened
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(config).known == 2
    os.utime(path)
    assert run(config).known == 0


def test_touched_zip_is_opened_but_its_members_are_not_read(
    tmp_path: Path, run: Any, picture: Picture
) -> None:
    path = _zip(tmp_path / "s.zip", {"a.png": picture(1)})
    config = ArchiveConfig(path=str(path))
    run(config)
    _zip(path, {"a.png": picture(1), "b.png": picture(2)})
    counts = run(config)
    assert (counts.known, counts.new) == (1, 1)


def test_unsafe_and_hidden_names(tmp_path: Path, run: Any, picture: Picture) -> None:
    bad = ["/abs.png", "../up.png", "a/../../b.png", "C:/x.png", "back\\slash.png"]
    hidden = ["__MACOSX/._a.png", ".DS_Store", "d/Thumbs.db"]
    members = {name: picture(i) for i, name in enumerate([*bad, *hidden, "fine.png"])}
    for path in (_zip(tmp_path / "s.zip", members), _tar(tmp_path / "s.tar", members)):
        run(ArchiveConfig(path=str(path)))
        failures = {k: v for k, v in run.failures().items() if k.startswith(path.name)}
        assert set(failures.values()) == {"unsafe_name"}
        assert len(failures) == len(bad)
    assert len(run.images()) == 1
    assert not list(tmp_path.parent.glob("*.png"))


def test_nested_archives_by_content(tmp_path: Path, run: Any, picture: Picture) -> None:
    inner = {
        "zip.jpg": _zip(tmp_path / "i.zip", {"a": b"x"}).read_bytes(),
        "tar.jpg": _tar(tmp_path / "i.tar", {"a": b"x"}).read_bytes(),
        "gz.jpg": _tar(tmp_path / "i.tgz", {"a": b"x"}, "w:gz").read_bytes(),
        "xz.jpg": _tar(tmp_path / "i.txz", {"a": b"x"}, "w:xz").read_bytes(),
        "7z.jpg": b"7z\xbc\xaf\x27\x1c" + b"x" * 100,
        "rar.jpg": b"Rar!\x1a\x07" + b"x" * 100,
        "real.zip": picture(1),
    }
    for path in (_zip(tmp_path / "s.zip", inner), _tar(tmp_path / "s.tar", inner)):
        run(ArchiveConfig(path=str(path)))
        failures = {k: v for k, v in run.failures().items() if k.startswith(path.name)}
        assert failures == {f"{path.name}!/{n}": "nested_archive" for n in list(inner)[:-1]}
    assert len(run.images()) == 1


def test_nested_archive_that_is_too_large_is_still_told(tmp_path: Path, run: Any) -> None:
    inner = b"PK\x03\x04" + bytes(range(256)) * 20
    run.limits = Limits(max_bytes=1000)
    for path in (_zip(tmp_path / "s.zip", {"x": inner}), _tar(tmp_path / "s.tar", {"x": inner})):
        run(ArchiveConfig(path=str(path)))
    assert set(run.failures().values()) == {"nested_archive"}


def test_bombs(tmp_path: Path, run: Any, picture: Picture) -> None:
    zeros = bytes(12 << 20)
    members = {"a.png": picture(1), "bomb.png": zeros, "z.png": picture(2)}
    run(ArchiveConfig(path=str(_zip(tmp_path / "b.zip", members))))
    assert run.failures() == {"b.zip!/bomb.png": "archive_bomb"}
    assert len(run.images()) == 2
    packed = _tar(tmp_path / "b.tgz", members, "w:gz")
    run(ArchiveConfig(path=str(packed)))
    assert run.failures()["b.tgz"] == "archive_bomb"
    assert run.by_locator()["b.tgz!/a.png"]["image_id"]
    # The same in a plain tar is only large.
    plain = _tar(tmp_path / "b.tar", members)
    run(ArchiveConfig(path=str(plain)))
    assert not any(k.startswith("b.tar") for k in run.failures())


def test_zip_that_lies_about_sizes(tmp_path: Path, run: Any) -> None:
    path = _zip(tmp_path / "s.zip", {"x.png": bytes(range(256)) * 400})
    data = bytearray(path.read_bytes())
    directory = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, directory + 24, 100)  # unpacked size, far too small
    path.write_bytes(data)
    run(ArchiveConfig(path=str(path)))
    assert run.failures() == {"s.zip!/x.png": "unreadable"}
    struct.pack_into("<I", data, directory + 24, 1 << 31)  # far too large
    path.write_bytes(data)
    run(ArchiveConfig(path=str(path)))
    assert run.failures()["s.zip!/x.png"] == "archive_bomb"


def test_overlapping_members(tmp_path: Path, run: Any, picture: Picture) -> None:
    path = _zip(tmp_path / "s.zip", {"a.png": picture(1), "b.png": picture(2)})
    with zipfile.ZipFile(path) as archive:
        first, _ = archive.infolist()
    data = bytearray(path.read_bytes())
    directory = data.find(b"PK\x01\x02")
    struct.pack_into("<I", data, directory + 20, first.compress_size + 5000)
    path.write_bytes(data)
    run(ArchiveConfig(path=str(path)))
    assert run.failures() == {"s.zip!/a.png": "archive_bomb"}


def test_total_of_an_archive_is_bounded(tmp_path: Path, run: Any, picture: Picture) -> None:
    members = {f"{i}.png": picture(i) for i in range(10)}
    run.limits = Limits(max_archive_bytes=5000)
    for path in (_zip(tmp_path / "s.zip", members), _tar(tmp_path / "s.tar", members)):
        run(ArchiveConfig(path=str(path)))
        assert run.failures()[path.name] == "archive_bomb"
    assert 0 < len(run.images()) < 10
    run.limits = Limits()
    run(ArchiveConfig(path=str(tmp_path / "s.zip")))
    assert len(run.images()) == 10


def test_encrypted_damaged_and_unknown_methods(tmp_path: Path, run: Any, picture: Picture) -> None:
    path = _zip(
        tmp_path / "s.zip", {n: picture(i) for i, n in enumerate("abcd")}, zipfile.ZIP_STORED
    )
    with zipfile.ZipFile(path) as archive:
        infos = {i.filename: i for i in archive.infolist()}
    data = bytearray(path.read_bytes())

    entry_bytes = 46 + 1  # of the directory: fixed part and a name of one letter
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1  # "a" is encrypted
    data[infos["b"].header_offset + 200] ^= 0xFF
    struct.pack_into("<H", data, directory + 2 * entry_bytes + 10, 99)  # method of "c"
    path.write_bytes(data)
    run(ArchiveConfig(path=str(path)))
    assert run.failures() == {f"s.zip!/{n}": "unreadable" for n in "abc"}
    details = [r["detail"] for r in run.rows() if r["failure"]]
    assert "encrypted" in details[0] and "CRC" in details[1] and "99" in details[2]
    assert len(run.images()) == 1


def test_duplicate_names_are_all_kept(tmp_path: Path, run: Any, picture: Picture) -> None:
    with (
        zipfile.ZipFile(tmp_path / "s.zip", "w") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("a.png", picture(1))
        archive.writestr("a.png", picture(2))
    assert run(ArchiveConfig(path=str(tmp_path / "s.zip"))).new == 2
    assert sorted(run.by_locator()) == ["s.zip!/a.png", r"s.zip!/a.png\#2"]


def test_links_and_devices_in_tars(tmp_path: Path, run: Any, picture: Picture) -> None:
    path = tmp_path / "s.tar"
    kinds = {
        "inside": (tarfile.SYMTYPE, "a.png"),
        "outside": (tarfile.SYMTYPE, "../../etc/passwd"),
        "absolute": (tarfile.SYMTYPE, "/etc/passwd"),
        "hard": (tarfile.LNKTYPE, "a.png"),
        "device": (tarfile.CHRTYPE, ""),
        "fifo": (tarfile.FIFOTYPE, ""),
    }
    with tarfile.open(path, "w") as tar:
        for name, (kind, target) in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
        info = tarfile.TarInfo("a.png")
        info.size = len(picture(1))
        tar.addfile(info, io.BytesIO(picture(1)))
    run(ArchiveConfig(path=str(path)))
    assert run.failures() == {
        f"s.tar!/{name}": "link_outside" if name in ("outside", "absolute") else "unreadable"
        for name in kinds
    }
    assert len(run.images()) == 1


@pytest.mark.parametrize("kind", ["tar", "tgz", "txz", "zip", "zip-streamed"])
def test_truncated_archive_keeps_what_came_before(
    tmp_path: Path, run: Any, picture: Picture, kind: str
) -> None:
    members = {f"{i}.png": picture(i) for i in range(20)}
    path = tmp_path / "s"
    if kind == "zip":
        _zip(path, members)
    elif kind == "zip-streamed":  # sizes follow the data, as when a server makes it on the fly

        class Pipe(io.RawIOBase):
            def __init__(self) -> None:
                self.data = bytearray()

            def writable(self) -> bool:
                return True

            def write(self, data: Any) -> int:
                self.data += data
                return len(data)

        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        path.write_bytes(pipe.data)
    else:
        _tar(path, members, {"tar": "w", "tgz": "w:gz", "txz": "w:xz"}[kind])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    run(ArchiveConfig(path=str(path)))
    failures = run.failures()
    assert failures.pop("s") == "unreadable"
    assert len(failures) <= 1  # the member that was cut
    assert len(run.images()) >= (0 if kind == "txz" else 8)
    path.write_bytes(whole)
    assert run(ArchiveConfig(path=str(path))).failed == {}
    assert len(run.images()) == 20
    assert all(r["failure"] is None for r in run.current(ArchiveConfig(path=str(path))))


def test_damage_in_the_middle_of_a_tar_is_told(tmp_path: Path, run: Any, picture: Picture) -> None:
    path = _tar(tmp_path / "s.tar", {f"{i}.png": picture(i) for i in range(5)})
    data = bytearray(path.read_bytes())
    header = data.index(b"3.png")
    data[header : header + 300] = b"\xaa" * 300
    path.write_bytes(data)
    run(ArchiveConfig(path=str(path)))
    assert run.failures() == {"s.tar": "unreadable"}
    assert len(run.images()) == 3


def test_endless_header_is_refused(tmp_path: Path, run: Any) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 33
    (tmp_path / "s.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    run(ArchiveConfig(path=str(tmp_path / "s.tar")))
    assert run.failures() == {"s.tar": "unreadable"}


def test_many_archives_by_pattern(tmp_path: Path, run: Any, picture: Picture) -> None:
    for number in range(3):
        (tmp_path / f"d{number}").mkdir()
        _zip(tmp_path / f"d{number}" / "s.zip", {"a.png": picture(number)})
    (tmp_path / "d1" / "s.zip").write_bytes(b"no archive at all")
    config = ArchiveConfig(path=f"{tmp_path}/d*/s.zip")
    assert run(config).new == 2
    assert run.failures() == {"d1/s.zip": "unreadable"}
    assert run(config).known == 3


def test_missing_archive_is_a_clear_error(tmp_path: Path, run: Any) -> None:
    with pytest.raises(SourceError, match="matches no file"):
        run(ArchiveConfig(path=str(tmp_path / "x.zip")))
    with pytest.raises(SourceError, match="is a folder"):
        run(ArchiveConfig(path=str(tmp_path)))


def test_metadata_joins_members(tmp_path: Path, run: Any, picture: Picture) -> None:
    path = _zip(tmp_path / "s.zip", {"d/a.png": picture(1), "d/b.png": picture(2)})
    (tmp_path / "t.csv").write_text("image,label,tags\nd/a.png,Hat,x\nb,Shoe,y\n")
    config = ArchiveConfig(path=str(path), metadata=str(tmp_path / "t.csv"), exclude_tags=("y",))
    run(config)
    assert {k: v["label"] for k, v in run.by_locator().items()} == {"s.zip!/d/a.png": "Hat"}


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_archives_never_raise(tmp_path: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["zip", "tar", "tgz", "txz"]))
    members = {"a.png": b"abc" * 300, "d/b.png": bytes(700)}
    path = tmp_path / f"fuzz.{kind}"
    if kind == "zip":
        _zip(path, members)
    else:
        _tar(path, members, {"tar": "w", "tgz": "w:gz", "txz": "w:xz"}[kind])
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(len(whole), 4000) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    for event in open_source(ArchiveConfig(path=str(path))).offers(Known(), Limits()):
        if isinstance(event, Offer) and event.read is not None:
            with contextlib.suppress(ReadFailure):
                assert len(event.read()) <= Limits().max_bytes
