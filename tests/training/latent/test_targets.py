"""Pictures from outside, good ones and hostile ones."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from training.errors import SetupError
from training.latent.targets import MAX_PIXELS, open_target, read_target

SIZE = (64, 48)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def flat(colour: Any, size: tuple[int, int] = (48, 64), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def png_that_says(width: int, height: int) -> bytes:
    """A header alone."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_a_picture_of_the_size_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)
    file = tmp_path / "a.png"
    Image.fromarray(pixels).save(file)
    assert np.array_equal(read_target(file, SIZE), pixels)
    assert np.array_equal(read_target(file.read_bytes(), SIZE), pixels)
    target = open_target(file, SIZE)
    assert target.source == "a.png"
    assert target.sha256 == open_target(file.read_bytes(), SIZE, "b.png").sha256


@pytest.mark.parametrize(
    ("size", "inside"),
    [((480, 320), (16, 48, 0, 48)), ((100, 1000), (0, 64, 21, 27)), ((6, 8), (0, 64, 0, 48))],
)
def test_it_is_whole_in_the_middle_on_white(
    size: tuple[int, int], inside: tuple[int, int, int, int]
) -> None:
    found = read_target(encoded(flat((200, 0, 0), size)), SIZE)
    top, bottom, left, right = inside
    assert (found[top:bottom, left:right] == (200, 0, 0)).all()
    outside = np.ones(SIZE, bool)
    outside[top:bottom, left:right] = False
    assert (found[outside] == 255).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats_are_read(form: str) -> None:
    found = read_target(encoded(flat((10, 120, 240)), form), SIZE)
    assert np.abs(found.astype(int) - (10, 120, 240)).max() <= 6


def test_it_is_turned_upright() -> None:
    lying = np.zeros((48, 64, 3), np.uint8)
    lying[:, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise
    found = read_target(encoded(Image.fromarray(lying), exif=exif), SIZE)
    assert (found[:32] == 255).all()
    assert (found[32:] == 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    whole = np.zeros((*SIZE, 4), np.uint8)
    whole[:32, :, 3] = 255
    image = Image.fromarray(whole)
    found = read_target(encoded(image if mode == "RGBA" else image.convert(mode)), SIZE)
    assert (found[:32] == 0).all()
    assert (found[32:] == 255).all()


def test_greys_of_8_and_16_bits_are_the_same() -> None:
    plain = read_target(encoded(flat(77, mode="L")), SIZE)
    deep = read_target(encoded(Image.fromarray(np.full(SIZE, 77 * 257, np.uint16))), SIZE)
    assert (plain == 77).all()
    assert (deep == 77).all()


def test_a_profile_is_applied_and_a_broken_one_passed_over() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for given in (profile, b"nonsense", profile[:100]):
        found = read_target(encoded(flat((90, 30, 200)), icc_profile=given), SIZE)
        assert np.abs(found.astype(int) - (90, 30, 200)).max() <= 1


def test_files_that_are_no_whole_pictures_are_refused_by_name(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8))
    cut = {f"cut.{form}": encoded(noise, form)[:-3000] for form in ("JPEG", "PNG", "BMP", "WEBP")}
    bad = cut | {"empty.png": b"", "text.jpg": b"no picture", "page.eps": b"%!PS-Adobe-3.0 EPSF"}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SetupError, match=name):
            read_target(tmp_path / name, SIZE)
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(SetupError, match="cannot be read"):
            read_target(missing, SIZE)


def test_formats_that_are_not_asked_for_are_refused() -> None:
    with pytest.raises(SetupError, match="JPEG, PNG, WEBP, GIF, BMP, TIFF"):
        read_target(encoded(flat((1, 2, 3)), "PPM"), SIZE)


@pytest.mark.parametrize("side", [7072, 12_000, 60_000])
def test_what_is_too_large_is_refused_by_its_header(side: int) -> None:
    assert side * side > MAX_PIXELS
    with pytest.raises(SetupError, match="at most 50,000,000 px"):
        read_target(png_that_says(side, side), SIZE)
