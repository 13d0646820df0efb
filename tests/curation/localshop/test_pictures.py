from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest
from PIL import Image

from curation.localshop.pictures import (
    DrawnPictures,
    FolderPictures,
    smaller,
    type_of,
    width_of,
)
from tests.curation.localshop.conftest import NAMES

BOMB = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)


def encoded(kind: str, size: tuple[int, int] = (90, 120)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 99, 199)).save(buffer, kind)
    return buffer.getvalue()


def test_a_folder_gives_its_files_as_they_are(folder: Path) -> None:
    pictures = FolderPictures(folder)
    extra = {"empty-00.jpg", "page-00.jpg", "corrupt-00.jpg", "inside.jpg"}
    assert set(pictures.names) == {*NAMES, *extra}
    assert list(pictures.names) == sorted(pictures.names)
    for name in pictures.names:
        assert pictures.read(name).data == (folder / name).read_bytes()


def test_links_out_of_the_folder_are_known_and_not_followed(folder: Path) -> None:
    pictures = FolderPictures(folder)
    assert pictures.outside == ("outside.jpg",)
    with pytest.raises(FileNotFoundError):
        pictures.read("outside.jpg")


@pytest.mark.parametrize("name", [".hidden.jpg", "../images/mug-00.jpg", "/etc/passwd", ""])
def test_only_what_was_listed_is_read(folder: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        FolderPictures(folder).read(name)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FolderPictures(tmp_path / "nowhere")


def test_the_entity_tag_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    pictures = FolderPictures(tmp_path)
    before = pictures.read("a.jpg")
    assert pictures.read("a.jpg") == before
    path.write_bytes(b"two")
    os.utime(path, (1_800_000_000, 1_800_000_000))
    after = pictures.read("a.jpg")
    assert after.etag != before.etag and after.modified == 1_800_000_000


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (encoded("JPEG"), 90),
        (encoded("PNG"), 90),
        (encoded("WEBP"), None),
        (encoded("JPEG")[:4], None),
        (encoded("PNG")[:20], None),
        (BOMB, None),
        (b"", None),
        (b"<html>", None),
    ],
)
def test_the_width_is_read_off_the_header(data: bytes, width: int | None) -> None:
    assert width_of(data) == width


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_get_smaller_and_keep_their_shape(kind: str) -> None:
    with Image.open(io.BytesIO(smaller(encoded(kind), 45))) as image:
        assert image.size == (45, 60) and image.format == kind


@pytest.mark.parametrize("data", [b"", b"<html>", encoded("JPEG", (200, 200))[:-50]])
def test_what_cannot_be_scaled_stays_as_it_is(data: bytes) -> None:
    assert smaller(data, 45) == data


def test_drawn_pictures_are_sound_and_all_different() -> None:
    pictures = DrawnPictures(50, side=6)
    data = [pictures.read(name).data for name in pictures.names]
    assert len(set(data)) == 50
    assert data == [DrawnPictures(50, side=6).read(name).data for name in pictures.names]
    with Image.open(io.BytesIO(data[0])) as image:
        image.load()
        assert image.size == (6, 6) and image.mode == "RGB"
    with pytest.raises(FileNotFoundError):
        pictures.read("item-000050.png")


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("a.JPG", "image/jpeg"),
        ("a.b.webp", "image/webp"),
        ("a.svg", "image/svg+xml"),
        ("jpg", "application/octet-stream"),
    ],
)
def test_the_type_follows_from_the_name(name: str, type: str) -> None:
    assert type_of(name) == type
