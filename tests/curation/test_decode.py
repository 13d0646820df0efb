"""Every trap of decoding that scraped pictures are known for."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from curation.decode import decode
from curation.errors import DecodeError
from curation.recipe import Limits
from data_catalog.schema import Reason

Pixels = NDArray[np.uint8]
LIMITS = Limits()


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def reason_of(data: bytes, limits: Limits = LIMITS) -> Reason:
    with pytest.raises(DecodeError) as caught:
        decode(data, limits)
    assert caught.value.detail
    return caught.value.reason


def difference(left: Pixels, right: Pixels) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right.astype(int)).mean())


def without_segment(jpeg: bytes, marker: int) -> bytes:
    """Cut all segments with this marker out of a JPEG's header."""
    out, position = bytearray(jpeg[:2]), 2
    while jpeg[position + 1] != 0xDA:
        length = int.from_bytes(jpeg[position + 2 : position + 4], "big") + 2
        if jpeg[position + 1] != marker:
            out += jpeg[position : position + length]
        position += length
    return bytes(out) + jpeg[position:]


@pytest.mark.parametrize(
    "file_format", ["PNG", "BMP", "TIFF", "PPM", "TGA", "GIF", "WEBP", "JPEG2000"]
)
def test_reads_the_formats_that_pillow_reads(photograph: Pixels, file_format: str) -> None:
    image = Image.fromarray(photograph)
    options = {"lossless": True} if file_format == "WEBP" else {}
    if file_format == "GIF":
        image = image.quantize(64)
    decoded = decode(saved(image, file_format, **options), LIMITS)
    assert decoded.rgb.dtype == np.uint8
    assert decoded.rgb.flags.c_contiguous
    assert np.array_equal(decoded.rgb, np.asarray(image.convert("RGB")))
    assert (decoded.frames, decoded.orientation) == (1, 1)


def test_fast_jpeg_path_agrees_with_pillow(photograph: Pixels) -> None:
    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        data = saved(Image.fromarray(photograph), "JPEG", quality=90, **options)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert difference(decode(data, LIMITS).rgb, expected) < 0.1


def test_grey_jpeg_has_equal_channels(photograph: Pixels) -> None:
    decoded = decode(saved(Image.fromarray(photograph).convert("L"), "JPEG"), LIMITS)
    assert decoded.mode == "L"
    assert np.ptp(decoded.rgb, axis=2).max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_ends_upright(
    photograph: Pixels, orientation: int, file_format: str
) -> None:
    upright = Image.fromarray(photograph)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {}
    if file_format == "WEBP":
        options = {"lossless": True}
    decoded = decode(saved(stored, file_format, exif=exif, **options), LIMITS)
    assert decoded.orientation == orientation
    assert difference(decoded.rgb, photograph) < 3.0


def test_a_damaged_exif_block_costs_only_the_orientation(photograph: Pixels) -> None:
    data = saved(Image.fromarray(photograph), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(data, LIMITS).orientation == 1


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_sixteen_bit_grey_is_scaled_not_clipped(mode: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(32, axis=0)
    image = Image.fromarray(ramp) if mode == "I;16" else Image.fromarray(ramp.astype(np.int32))
    file_format = "PNG" if mode == "I;16" else "TIFF"
    decoded = decode(saved(image, file_format), LIMITS)
    assert np.abs(decoded.rgb[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_float_grey_between_zero_and_one() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(32, axis=0)
    decoded = decode(saved(Image.fromarray(ramp), "TIFF"), LIMITS)
    assert np.abs(decoded.rgb[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_cmyk_with_and_without_adobe_marker_mean_opposite_inks() -> None:
    red = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    with_marker = saved(red, "JPEG", quality=95)
    rgb = decode(with_marker, LIMITS).rgb
    assert rgb[16, 16, 0] > 200
    assert rgb[16, 16, 1] < 60
    # Without the marker a file holds its inks as they are: the same bytes are the complement.
    rgb = decode(without_segment(with_marker, 0xEE), LIMITS).rgb
    assert rgb[16, 16].max() < 60


def test_alpha_is_composited_on_the_matte() -> None:
    hidden = np.zeros((20, 20, 4), np.uint8)
    hidden[..., 0] = 255  # red that nobody is meant to see
    hidden[5:15, 5:15] = (0, 0, 255, 255)
    rgb = decode(saved(Image.fromarray(hidden), "PNG"), LIMITS).rgb
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[10, 10].tolist() == [0, 0, 255]
    rgb = decode(saved(Image.fromarray(hidden), "PNG"), LIMITS, matte=(10, 20, 30)).rgb
    assert rgb[0, 0].tolist() == [10, 20, 30]


def test_palette_with_transparency() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((4, 4), 1)
    rgb = decode(saved(image, "PNG", transparency=0), LIMITS).rgb
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[4, 4].tolist() == [0, 255, 0]


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_animations_give_the_first_frame_and_their_number(file_format: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = saved(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    decoded = decode(data, LIMITS)
    assert decoded.frames == 3
    assert decoded.rgb[8, 8].tolist() == [255, 0, 0]


def test_icc_profile_is_converted_and_a_broken_one_ignored(photograph: Pixels) -> None:
    image = Image.fromarray(photograph)
    plain = decode(saved(image, "PNG"), LIMITS).rgb
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(saved(image, "PNG", icc_profile=srgb), LIMITS).rgb, plain)
    # The same profile with red and blue primaries exchanged.
    entries = {srgb[132 + 12 * i : 136 + 12 * i]: 132 + 12 * i for i in range(srgb[131])}
    swapped = bytearray(srgb)
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    swapped[red + 4 : red + 12] = srgb[blue + 4 : blue + 12]
    swapped[blue + 4 : blue + 12] = srgb[red + 4 : red + 12]
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "xRGB".encode("utf-16-be"))
    for file_format in ("PNG", "JPEG"):
        options = {"quality": 100, "subsampling": 0} if file_format == "JPEG" else {}
        data = saved(image, file_format, icc_profile=bytes(swapped), **options)
        assert difference(decode(data, LIMITS).rgb, plain[..., ::-1]) < 3.0
    broken = saved(image, "PNG", icc_profile=b"not a profile at all")
    assert np.array_equal(decode(broken, LIMITS).rgb, plain)


def test_lab_and_ycbcr() -> None:
    white = Image.new("LAB", (8, 8), (255, 128, 128))
    assert decode(saved(white, "TIFF"), LIMITS).rgb.min() > 245


@pytest.mark.parametrize("cut", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_files_are_corrupt(photograph: Pixels, file_format: str, cut: float) -> None:
    data = saved(Image.fromarray(photograph), file_format)
    assert reason_of(data[: int(len(data) * cut)]) is Reason.CORRUPT


def test_a_jpeg_cut_in_the_middle_with_its_end_put_back_is_corrupt(photograph: Pixels) -> None:
    data = saved(Image.fromarray(photograph), "JPEG")
    assert reason_of(data[: len(data) // 2] + data[-2:]) is Reason.CORRUPT


def test_a_png_with_a_wrong_checksum_is_corrupt(photograph: Pixels) -> None:
    data = bytearray(saved(Image.fromarray(photograph), "PNG"))
    data[data.index(b"IDAT") + 20] ^= 0xFF
    assert reason_of(bytes(data)) is Reason.CORRUPT


def test_extraneous_bytes_in_a_jpeg_cost_nothing(photograph: Pixels) -> None:
    data = saved(Image.fromarray(photograph), "JPEG")
    whole = decode(data, LIMITS).rgb
    assert np.array_equal(decode(data[:-2] + b"\x00\x01\x02" + data[-2:], LIMITS).rgb, whole)
    assert np.array_equal(decode(data + b"trailing words", LIMITS).rgb, whole)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"<!DOCTYPE html><html><body>404</body></html>", Reason.NOT_AN_IMAGE),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', Reason.NOT_AN_IMAGE),
        (b"%PDF-1.7 ...", Reason.NOT_AN_IMAGE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", Reason.NOT_AN_IMAGE),
        (b"just words", Reason.NOT_AN_IMAGE),
        (b"\xff\xd8\xff", Reason.CORRUPT),
        (b"\x89PNG\r\n\x1a\n", Reason.CORRUPT),
    ],
)
def test_what_is_no_picture_says_so(data: bytes, reason: Reason) -> None:
    assert reason_of(data) is reason


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header promises width×height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_bombs_are_refused_by_their_header() -> None:
    for side in (10_001, 15_000, 40_000):
        assert reason_of(png_bomb(side, side)) is Reason.TOO_MANY_PIXELS
    assert reason_of(png_bomb(40, 40), Limits(max_pixels=1599)) is Reason.TOO_MANY_PIXELS


def test_too_many_bytes_are_refused(photograph: Pixels) -> None:
    data = saved(Image.fromarray(photograph), "PNG")
    assert reason_of(data, Limits(max_bytes=len(data) - 1)) is Reason.FILE_TOO_LARGE


@pytest.mark.parametrize("size", [(1, 1), (30_000, 1), (1, 30_000)])
def test_extreme_shapes_decode(size: tuple[int, int]) -> None:
    decoded = decode(saved(Image.new("RGB", size, "teal"), "PNG"), LIMITS)
    assert decoded.rgb.shape == (size[1], size[0], 3)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3))
def test_any_bytes_either_decode_or_give_a_reason(tail: bytes, kind: int) -> None:
    head = (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a")[kind]
    try:
        rgb = decode(head + tail, LIMITS).rgb
    except DecodeError as error:
        assert isinstance(error.reason, Reason)
    else:
        assert rgb.ndim == 3


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_flipped_bytes_never_escape(data: st.DataObject) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    file_format = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]))
    content = bytearray(saved(picture, file_format))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(content), Limits(max_pixels=1_000_000))
    except DecodeError as error:
        assert error.detail


def test_further_pictures_of_a_phone_are_no_animation(photograph: Pixels) -> None:
    image = Image.fromarray(photograph)
    data = saved(image, "MPO", save_all=True, append_images=[image.resize((40, 30))])
    decoded = decode(data, LIMITS)
    assert (decoded.format, decoded.frames) == ("MPO", 1)
    assert decoded.rgb.shape == photograph.shape
    assert reason_of(data[: len(data) // 3]) is Reason.CORRUPT
