from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.errors import SourceError
from curation.ingest.files import read_bounded
from curation.ingest.names import unescape
from curation.ingest.offers import ReadFailure
from curation.ingest.sources import FolderConfig
from curation.recipe import Limits

Picture = Callable[[int], bytes]


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    folder = tmp_path / "pictures"
    (folder / "shoes").mkdir(parents=True)
    (folder / "a.png").write_bytes(picture(1))
    (folder / "shoes" / "b.v2.png").write_bytes(picture(2))
    (folder / "copy.png").write_bytes(picture(1))
    return folder


def test_stores_each_content_once_and_never_reads_it_again(folder: Path, run: Any) -> None:
    config = FolderConfig(path=str(folder))
    first = run(config)
    assert (first.seen, first.new, first.repeated, first.known) == (3, 2, 1, 0)
    assert [r["locator"] for r in run.rows()] == ["a.png", "copy.png", "shoes/b.v2.png"]
    versions = [run.catalog.table(t).version() for t in ("observations", "images")]
    second = run(config)
    assert (second.seen, second.new, second.known) == (3, 0, 3)
    assert [run.catalog.table(t).version() for t in ("observations", "images")] == versions
    assert len(run.catalog.raw.packs()) == 1


def test_changed_file_is_read_again(folder: Path, run: Any, picture: Picture) -> None:
    config = FolderConfig(path=str(folder))
    run(config)
    (folder / "a.png").write_bytes(picture(9))
    counts = run(config)
    assert (counts.new, counts.known) == (1, 2)
    assert len(run.images()) == 3
    assert len(run.current(config)) == 3


def test_hostile_entries_each_get_their_reason(
    folder: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(b"secret")
    (folder / "out.png").symlink_to(outside)
    (folder / "out_dir").symlink_to(tmp_path)
    (folder / "gone_out").symlink_to("/nonexistent/x")
    (folder / "dangling.png").symlink_to("nothing.png")
    (folder / "loop").symlink_to("loop")
    (folder / "empty.png").touch()
    (folder / "big.png").write_bytes(b"x" * 5000)
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(folder)  # paths of sockets must be short
        server.bind("sock.png")
        run.limits = Limits(max_bytes=4000)
        counts = run(FolderConfig(path=str(folder)))
    assert run.failures() == {
        "out.png": "link_outside",
        "out_dir": "link_outside",
        "gone_out": "link_outside",
        "dangling.png": "unreadable",
        "loop": "unreadable",
        "empty.png": "empty_file",
        "big.png": "file_too_large",
        "pipe.png": "unreadable",
        "sock.png": "unreadable",
    }
    details = {r["locator"]: r["detail"] for r in run.rows()}
    assert "named pipe" in details["pipe.png"]
    assert "socket" in details["sock.png"]
    assert "5,000" in details["big.png"] and "max_bytes" in details["big.png"]
    assert counts.seen == 12 and sum(counts.failed.values()) == 9
    again = run(FolderConfig(path=str(folder)))
    assert (again.seen, again.known, again.failed) == (12, 12, {})
    run.limits = Limits()
    assert run(FolderConfig(path=str(folder))).new == 1  # the big one


def test_links_within_are_followed_once(folder: Path, run: Any, picture: Picture) -> None:
    (folder / ".store").mkdir()
    (folder / ".store" / "x.png").write_bytes(picture(5))
    (folder / "c.png").symlink_to("shoes/b.v2.png")
    (folder / "linked").symlink_to(".store")
    (folder / "shoes" / "up").symlink_to("..")
    (folder / "again").symlink_to("shoes")
    run(FolderConfig(path=str(folder)))
    assert sorted(run.by_locator()) == [
        "a.png",
        "c.png",
        "copy.png",
        "linked/x.png",
        "shoes/b.v2.png",
    ]
    assert not run.failures()


def test_names_of_all_kinds(folder: Path, run: Any, picture: Picture) -> None:
    names = [b"new\nline.png", b"caf\xe9.png", b"a.b.c.d", b"back\\slash.png", b"n" * 255]
    for number, name in enumerate(names):
        (folder / os.fsdecode(name)).write_bytes(picture(100 + number))
    assert run(FolderConfig(path=str(folder))).new == 7
    locators = {os.fsencode(unescape(locator)) for locator in run.by_locator()}
    assert set(names) <= locators
    assert run(FolderConfig(path=str(folder))).known == 8


def test_litter_is_skipped_and_stray_files_are_not(folder: Path, run: Any) -> None:
    for name in (".DS_Store", "Thumbs.db", ".hidden/x.png", "__MACOSX/._a.png", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "readme.txt").write_bytes(b"hello")
    run(FolderConfig(path=str(folder)))
    assert sorted(run.by_locator()) == ["a.png", "copy.png", "readme.txt", "shoes/b.v2.png"]


def test_file_that_vanishes_or_becomes_a_link(folder: Path, run: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "swapped").symlink_to(tmp_path / "secret")
    for name in ("gone.png", "swapped"):
        with pytest.raises(ReadFailure) as caught:
            read_bounded(str(folder / name), 100)
        assert caught.value.reason == "unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_forbidden_files_and_folders(folder: Path, run: Any) -> None:
    (folder / "a.png").chmod(0)
    (folder / "shoes").chmod(0)
    try:
        run(FolderConfig(path=str(folder)))
    finally:
        (folder / "shoes").chmod(0o755)
    assert run.failures() == {"a.png": "unreadable", "shoes": "unreadable"}


def test_metadata_is_joined_and_its_change_reads_no_image(folder: Path, run: Any) -> None:
    table = folder / "images.csv"
    table.write_text("image,label,tags,n\na,Shirt,red cotton,1\nb.v2,Shoes,,2\nodd\n")
    config = FolderConfig(path=str(folder), metadata=str(table), label="unknown")
    run(config)
    rows = run.by_locator()
    assert "images.csv" not in rows
    assert (rows["a.png"]["label"], rows["a.png"]["tags"]) == ("Shirt", ["red", "cotton"])
    assert rows["shoes/b.v2.png"]["fields"] == '{"n": 2}'
    assert rows["copy.png"]["label"] == "unknown"
    assert rows["images.csv:4"]["failure"] == "unreadable"
    images = run.catalog.table("images").version()
    table.write_text("image,label,tags,n\na,Dress,red cotton,1\nb.v2,Shoes,,2\n")
    (folder / "a.png").rename(folder / "keep")  # were it read again, it would fail
    (folder / "keep").rename(folder / "a.png")
    counts = run(config)
    assert (counts.known, counts.repeated, counts.new) == (2, 1, 0)
    assert run.by_locator()["a.png"]["label"] == "Dress"
    assert run.catalog.table("images").version() == images


def test_filters_at_ingest_and_when_tightened(folder: Path, run: Any) -> None:
    table = folder / "t.jsonl"
    table.write_text(
        '{"id": "a", "tags": ["x"], "score": 5}\n{"id": "b.v2", "tags": ["x", "y"], "score": 50}\n'
    )
    base = {"path": str(folder), "metadata": str(table), "stem_column": "id"}
    loose = FolderConfig.model_validate({**base, "include_tags": ["x"]})
    counts = run(loose)
    assert (counts.new, counts.filtered, counts.seen) == (2, 1, 2)
    tight = FolderConfig.model_validate({**base, "where": {"score": {"min": 10}}})
    assert [r["locator"] for r in run.current(tight)] == ["shoes/b.v2.png"]
    assert len(run.current(loose)) == 2
    globbed = FolderConfig.model_validate({**base, "exclude": ["shoes/*"]})
    assert [r["locator"] for r in run.current(globbed)] == ["a.png"]


def test_label_from_parent(folder: Path, run: Any) -> None:
    run(FolderConfig(path=str(folder), label_from="parent"))
    rows = run.by_locator()
    assert (rows["shoes/b.v2.png"]["label"], rows["a.png"]["label"]) == ("shoes", None)


def test_taken_down_images_do_not_come_back(folder: Path, run: Any) -> None:
    config = FolderConfig(path=str(folder))
    run(config)
    gone = run.by_locator()["a.png"]["image_id"]
    run.tombstones = frozenset({gone})
    (folder / "new.png").write_bytes((folder / "a.png").read_bytes())
    counts = run(config)
    assert counts.failed == {"forgotten": 1}
    assert run.by_locator()["new.png"]["image_id"] is None
    assert run(config).known == 4


@pytest.mark.parametrize("make", ["missing", "file"])
def test_wrong_path_is_a_clear_error(tmp_path: Path, run: Any, make: str) -> None:
    path = tmp_path / "x.zip"
    if make == "file":
        path.touch()
    with pytest.raises(SourceError, match=r"`path` (does not exist|is a file).*x\.zip"):
        run(FolderConfig(path=str(path)))


def test_missing_metadata_or_column_is_a_clear_error(folder: Path, run: Any) -> None:
    with pytest.raises(SourceError, match="`metadata` matches no file"):
        run(FolderConfig(path=str(folder), metadata="nowhere.csv"))
    table = folder / "t.csv"
    table.write_text("file,label\na,b\n")
    with pytest.raises(SourceError, match=r"no column `image`.*`file`, `label`.*`stem_column`"):
        run(FolderConfig(path=str(folder), metadata=str(table)))
