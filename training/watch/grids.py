"""Pictures to look at: pixels from tensors, and sheets of many pictures.

Whatever is shown to a person is never inverted; `to_pixels` is the one place where that is undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Pixels = NDArray[np.uint8]

_WIDE: Final = 4 / 3  # width of a sheet / its height, about
_PAPER: Final = 208  # grey between pictures: seen beside white and beside black backgrounds
_INK: Final = 0
_MARGIN: Final = 6  # px around a caption


def to_tensor(pixels: Tensor) -> Tensor:
    """Give pixels as networks take them.

    Parameters
    ----------
    pixels : Tensor of any shape, uint8

    Returns
    -------
    Tensor of the same shape, float32
        In [-1, 1]: 0 becomes -1, 255 becomes 1.

    Raises
    ------
    ValueError
        If `pixels` is of another type.
    """
    if pixels.dtype != torch.uint8:
        raise ValueError(f"`pixels` must be uint8, got {pixels.dtype}")
    return pixels.to(torch.float32).div_(127.5).sub_(1)


def to_pixels(images: Tensor, *, inverted: bool) -> Pixels:
    """Give pictures as people see them.

    Parameters
    ----------
    images : Tensor of shape (N, 3, H, W), floating point
        About [-1, 1]; beyond it is cut off, and what is no number becomes mid-grey.
    inverted
        Whether the set is trained on as 255 - x; it is turned back.

    Returns
    -------
    ndarray of shape (N, H, W, 3), uint8
        Rounded to the nearest.

    Raises
    ------
    ValueError
        If `images` has another shape or type.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"`images` must be floating point of shape (N, 3, H, W), "
            f"got {images.dtype} of shape {tuple(images.shape)}"
        )
    values = images.detach().to(torch.float32).nan_to_num(nan=0.0, posinf=1.0, neginf=-1.0)
    values = -values if inverted else values
    whole = values.add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
    pixels: Pixels = whole.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels


def grid_shape(count: int, size: tuple[int, int]) -> tuple[int, int]:
    """Choose rows and columns so that a sheet is about 4:3 wide and has few empty cells.

    Parameters
    ----------
    count
        Pictures, at least 1.
    size
        Height and width of one, px.

    Returns
    -------
    tuple of int
        Rows and columns; rows × columns is at least `count`.
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1, got {count}")
    columns = min(range(1, count + 1), key=lambda c: _awkwardness(count, c, size))
    return -(-count // columns), columns


def _awkwardness(count: int, columns: int, size: tuple[int, int]) -> float:
    rows = -(-count // columns)
    shape = columns * size[1] / (rows * size[0])
    return float(abs(np.log(shape / _WIDE))) + (rows * columns - count) / count


def grid(
    pixels: Pixels,
    columns: int | None = None,
    gap: int = 2,
    *,
    captions: Sequence[str] | None = None,
) -> Image.Image:
    """Lay pictures out on one sheet, row by row.

    Parameters
    ----------
    pixels : ndarray of shape (N, H, W, 3), uint8
        At least one picture.
    columns
        None: as `grid_shape` chooses.
    gap
        Between pictures, px.
    captions
        One for each row, in ASCII (the font has no more), written to the left of it.

    Raises
    ------
    ValueError
        If `pixels` has another shape or type, or the captions are not as many as the rows.
    """
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8 or not len(pixels):
        raise ValueError(
            f"`pixels` must be uint8 of shape (N, H, W, 3) with N > 0, "
            f"got {pixels.dtype} of shape {pixels.shape}"
        )
    count, height, width = pixels.shape[:3]
    columns = grid_shape(count, (height, width))[1] if columns is None else columns
    if columns < 1 or gap < 0:
        raise ValueError(f"`columns` must be > 0 and `gap` >= 0, got {columns=}, {gap=}")
    rows = -(-count // columns)
    sheet: Pixels = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), _PAPER, np.uint8
    )
    for i, picture in enumerate(pixels):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    image = Image.fromarray(sheet)
    return image if captions is None else _captioned(image, captions, rows, height + gap)


def _captioned(image: Image.Image, captions: Sequence[str], rows: int, pitch: int) -> Image.Image:
    if len(captions) != rows:
        raise ValueError(f"`captions` must be one for each of {rows} rows, got {len(captions)}")
    font = ImageFont.load_default()
    boxes = [font.getbbox(caption) for caption in captions]
    margin = int(max(right for _, _, right, _ in boxes)) + 2 * _MARGIN
    sheet = Image.new("RGB", (margin + image.width, image.height), (_PAPER,) * 3)
    sheet.paste(image, (margin, 0))
    draw = ImageDraw.Draw(sheet)
    for row, (caption, box) in enumerate(zip(captions, boxes, strict=True)):
        top = row * pitch + (pitch - box[3]) / 2
        draw.text((_MARGIN, top), caption, fill=(_INK,) * 3, font=font)
    return sheet


def save_png(image: Image.Image, path: Path) -> None:
    """Write a picture so that a reader finds all of it or none of it."""
    partial = path.with_name(f".{path.name}.part")
    try:
        image.save(partial, format="PNG")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
