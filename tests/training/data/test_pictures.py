from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.training.data.making import SHAPE, encoded, pixels_of
from training.data.pictures import PictureError, check_picture, decode_into


def decoded(data: bytes, *, inverted: bool = False, mirrored: bool = False) -> NDArray[np.uint8]:
    out = np.zeros((3, *SHAPE), np.uint8)
    decode_into(data, out, inverted=inverted, mirrored=mirrored)
    return out.transpose(1, 2, 0)


def test_planes_are_the_picture() -> None:
    picture = pixels_of(1)
    data = encoded(picture)
    check_picture(data, SHAPE)
    assert np.array_equal(decoded(data), picture)
    assert np.array_equal(decoded(data, inverted=True), 255 - picture)
    assert np.array_equal(decoded(data, mirrored=True), picture[:, ::-1])
    assert np.array_equal(decoded(data, inverted=True, mirrored=True), 255 - picture[:, ::-1])


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_formats_decode_as_pillow_does(kind: str) -> None:
    data = encoded(pixels_of(2), kind)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decoded(data), np.asarray(image.convert("RGB")))


def test_grey_is_taken_for_all_three() -> None:
    grey = pixels_of(3)[..., 0]
    data = encoded(grey)
    check_picture(data, SHAPE)
    assert np.array_equal(decoded(data), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "I;16"])
def test_other_modes_are_refused_by_name(mode: str) -> None:
    data = encoded(Image.new(mode, SHAPE[::-1]))
    with pytest.raises(PictureError, match=f"has the mode {mode}, must be RGB"):
        check_picture(data, SHAPE)
    with pytest.raises(PictureError, match=f"has the mode {mode}, must be RGB"):
        decoded(data)


def test_cmyk_is_refused() -> None:
    with pytest.raises(PictureError, match="CMYK"):
        check_picture(encoded(Image.new("CMYK", SHAPE[::-1]), "JPEG"), SHAPE)


def test_another_size_is_refused_in_height_and_width() -> None:
    data = encoded(pixels_of(4, (12, 16)))
    for refuse in (lambda: check_picture(data, SHAPE), lambda: decoded(data)):
        with pytest.raises(
            PictureError, match=r"is \(12, 16\), must be \(16, 12\) \(height, width\)"
        ):
            refuse()


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(PictureError, match="cannot be decoded"):
        check_picture(encoded(pixels_of(5), kind), SHAPE)


@given(st.integers(1, 5), st.sampled_from(["PNG", "JPEG"]), st.data())
def test_damage_decodes_or_is_a_picture_error(count: int, kind: str, data: st.DataObject) -> None:
    damaged = bytearray(encoded(pixels_of(6), kind))
    for _ in range(count):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded(bytes(damaged))
    except PictureError as error:
        assert len(str(error)) < 400


def test_a_picture_that_is_cut_off_is_refused() -> None:
    data = encoded(pixels_of(7), "JPEG")
    with pytest.raises(PictureError, match=r"cannot be decoded: .*[Tt]runcated"):
        decoded(data[: len(data) // 2])
