from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.watch.grids import grid, grid_shape, save_png, to_pixels, to_tensor

EVERY = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)


def test_pixels_survive_the_way_there_and_back() -> None:
    tensor = to_tensor(EVERY)
    assert (tensor.min(), tensor.max(), tensor.dtype) == (-1, 1, torch.float32)
    np.testing.assert_array_equal(
        to_pixels(tensor, inverted=False), EVERY.permute(0, 2, 3, 1).numpy()
    )


def test_an_inverted_set_is_turned_back_for_people() -> None:
    trained_on = to_tensor(255 - EVERY)
    np.testing.assert_array_equal(
        to_pixels(trained_on, inverted=True), EVERY.permute(0, 2, 3, 1).numpy()
    )


def test_rounds_to_the_nearest_and_cuts_off() -> None:
    values = torch.tensor([-9.0, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 1.0, 9.0, torch.nan])
    images = values.view(1, 1, 1, -1).repeat(1, 3, 1, 1)
    assert to_pixels(images, inverted=False)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 255, 255, 128]


def test_16_bit_images_are_taken() -> None:
    images = to_tensor(EVERY).to(torch.bfloat16)
    expected = EVERY.permute(0, 2, 3, 1).numpy().astype(int)
    assert np.abs(to_pixels(images, inverted=False) - expected).max() <= 1


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, 3), torch.zeros(1, 3, 4, 4, dtype=int)]
)
def test_refuses_what_is_no_picture(images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="`images` must be"):
        to_pixels(images, inverted=False)


def test_refuses_pixels_that_are_not_bytes() -> None:
    with pytest.raises(ValueError, match="uint8"):
        to_tensor(torch.zeros(1))


@given(st.integers(1, 300), st.integers(8, 64), st.integers(8, 64))
def test_shape_holds_all_without_an_empty_row(count: int, height: int, width: int) -> None:
    rows, columns = grid_shape(count, (height, width))
    assert (rows - 1) * columns < count <= rows * columns


@pytest.mark.parametrize("size", [(64, 48), (64, 64), (48, 64), (512, 384)])
def test_sheet_of_many_is_about_four_by_three(size: tuple[int, int]) -> None:
    rows, columns = grid_shape(64, size)
    assert 1.1 < columns * size[1] / (rows * size[0]) < 1.6


def numbered(count: int, size: tuple[int, int] = (6, 4)) -> np.ndarray:
    values = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(values, (count, *size, 3)).copy()


def test_pictures_lie_row_by_row_with_gaps() -> None:
    sheet = np.asarray(grid(numbered(5), columns=3, gap=2))
    assert sheet.shape == (2 * 6 + 2, 3 * 4 + 2 * 2, 3)
    assert [sheet[0, left, 0] for left in (0, 6, 12)] == [0, 1, 2]
    assert [sheet[8, left, 0] for left in (0, 6)] == [3, 4]
    paper = sheet[0, 4, 0]
    assert paper == sheet[8, 12, 0] == sheet[7, 0, 0] > 5


def test_no_gap_is_plain_tiling() -> None:
    sheet = np.asarray(grid(numbered(2), columns=1, gap=0))
    np.testing.assert_array_equal(sheet, np.concatenate(list(numbered(2))))


def test_captions_stand_to_the_left_of_their_rows() -> None:
    pixels = np.full((4, 20, 20, 3), 255, np.uint8)
    plain = grid(pixels, columns=2)
    captioned = grid(pixels, columns=2, captions=["psi 0.5", ""])
    assert captioned.height == plain.height
    margin = captioned.width - plain.width
    left = np.asarray(captioned)[:, :margin]
    np.testing.assert_array_equal(np.asarray(captioned)[:, margin:], np.asarray(plain))
    assert left[:20].min() < 100 < left[22:].min()


def test_refuses_captions_for_other_rows() -> None:
    with pytest.raises(ValueError, match="one for each of 2 rows, got 1"):
        grid(numbered(4), columns=2, captions=["a"])


def test_written_picture_is_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "000004.png"
    for count in (2, 6):
        image = grid(numbered(count))
        save_png(image, path)
        with Image.open(path) as back:
            np.testing.assert_array_equal(np.asarray(back), np.asarray(image))
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_old_picture(tmp_path: Path) -> None:
    path = tmp_path / "fakes.png"
    save_png(grid(numbered(2)), path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="cannot write mode"):
        save_png(Image.new("LAB", (4, 4)), path)  # a mode that PNG lacks
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
