from __future__ import annotations

import cv2
import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from curation.fingerprints import (
    VARIANTS,
    Fingerprint,
    border_box,
    fingerprint,
    hash_picture,
    pixel_hash,
    plain_subject,
    silhouette,
    to_int64,
)

Picture = NDArray[np.uint8]


def scene(seed: int = 0, height: int = 192, width: int = 144) -> Picture:
    """Smooth coloured noise: structure at many scales."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24):
        noise = rng.normal(0, 1, (cells, cells, 3)) * 6 / cells**0.5
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 14 * total, 0, 255).astype(np.uint8)


def product(colour: tuple[int, int, int] = (200, 30, 40)) -> Picture:
    picture = np.full((192, 144, 3), 250, np.uint8)
    cv2.ellipse(picture, (72, 96), (40, 70), 0, 0, 360, colour, -1)
    return picture


def distance(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def nearest(a: Fingerprint, b: Fingerprint) -> int:
    return min(distance(int(word), b.phash) for word in a.variants)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 192), st.integers(20, 192))
def test_hashes_equal_those_of_imagehash(seed: int, height: int, width: int) -> None:
    small = scene(seed, height, width)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    reference = Image.fromarray(hash_picture(grey))
    mirrored = reference.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    found = fingerprint(small)
    assert f"{found.phash:016x}" == str(imagehash.phash(reference))
    assert found.phash256.hex() == str(imagehash.phash(reference, hash_size=16))
    assert distance(found.phash_mirrored, int(str(imagehash.phash(mirrored)), 16)) <= 2


@pytest.mark.parametrize("cut", [(8, 0, 6, 0), (0, 8, 0, 6), (8, 8, 6, 6), (4, 4, 3, 3)])
def test_a_window_is_near_what_a_crop_left(cut: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = cut
    whole = scene(3)
    cropped = np.ascontiguousarray(whole[top : 192 - bottom, left : 144 - right])
    assert nearest(fingerprint(whole), fingerprint(cropped)) <= 6


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (10, 160, 60)])
def test_the_last_variant_sees_no_border(colour: tuple[int, int, int]) -> None:
    whole = scene(4)
    framed = cv2.copyMakeBorder(whole, 9, 12, 7, 5, cv2.BORDER_CONSTANT, value=colour)
    framed = np.asarray(framed, np.uint8)
    assert border_box(framed) == (7, 9, 151, 201)
    assert distance(int(fingerprint(framed).variants[-1]), fingerprint(whole).phash) <= 2


def test_a_wide_uniform_side_is_background_not_border() -> None:
    assert border_box(product()) == (0, 0, 144, 192)


def test_a_mirrored_copy_has_the_mirrored_hash() -> None:
    whole = scene(5)
    flipped = np.ascontiguousarray(whole[:, ::-1])
    assert distance(fingerprint(whole).phash_mirrored, fingerprint(flipped).phash) <= 2


def test_a_picture_without_contrast_has_no_variants() -> None:
    assert len(fingerprint(np.full((100, 80, 3), 240, np.uint8)).variants) == 0
    assert len(fingerprint(scene()).variants) == VARIANTS


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 192, 3), (192, 1, 3), (2, 3, 3)])
def test_tiny_pictures_have_fingerprints_too(shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    row = fingerprint(noise).to_row()
    assert len(row["phash256"]) == 32  # type: ignore[arg-type]


def test_a_row_fits_the_columns() -> None:
    found = fingerprint(product())
    row = found.to_row()
    words = np.frombuffer(row["phash_variants"], "<u8")  # type: ignore[arg-type]
    assert words.tolist() == found.variants.tolist()
    assert np.array([row["phash"]], np.int64).view(np.uint64)[0] == found.phash
    assert len(row["colour_signature"]) == 48  # type: ignore[arg-type]


@given(st.integers(0, (1 << 64) - 1))
def test_int64_keeps_the_bits(value: int) -> None:
    assert int(np.array([to_int64(value)], np.int64).view(np.uint64)[0]) == value


def test_a_silhouette_does_not_know_colour_place_or_size() -> None:
    red, blue = fingerprint(product()), fingerprint(product((20, 40, 200)))
    assert red.silhouette == blue.silhouette and len(red.silhouette) == 32
    moved = np.full_like(product(), 250)
    moved[20:, 10:] = product()[:-20, :-10]
    assert fingerprint(moved).silhouette == red.silhouette
    assert red.colour_signature != blue.colour_signature


def test_no_plain_background_no_silhouette() -> None:
    assert not plain_subject(scene()).any()
    assert fingerprint(scene()).silhouette == b""
    assert silhouette(np.zeros((50, 50), np.bool_)) == b""
    assert fingerprint(product(), np.zeros((192, 144), np.bool_)).silhouette == b""


def test_the_pixel_hash_knows_the_shape() -> None:
    white = np.full((100, 200, 3), 255, np.uint8)
    assert pixel_hash(white) != pixel_hash(white.reshape(200, 100, 3))
    assert pixel_hash(white) == pixel_hash(white.copy())
    other = white.copy()
    other[50, 50, 0] = 254
    assert pixel_hash(white) != pixel_hash(other)
    view = scene()[:, ::-1]
    assert pixel_hash(view) == pixel_hash(np.ascontiguousarray(view))


def test_refuses_what_is_no_picture() -> None:
    with pytest.raises(ValueError, match="uint8"):
        fingerprint(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="subject"):
        fingerprint(scene(), np.zeros((3, 3), np.bool_))
