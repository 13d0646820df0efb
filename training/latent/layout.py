"""Sheets of pictures for people: small ones are enlarged, rows and columns have captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from training.latent.sampler import Pixels
from training.watch.grids import grid_shape

_PAPER: Final = (255, 255, 255)
_INK: Final = (32, 36, 34)
_GAP: Final = 4  # px between pictures
_TEXT: Final = 14  # px
_LONGER: Final = 128  # px that the longer side of a picture has at least
_SHEET: Final = 16_000  # px that a side of a sheet may have: beyond, viewers give up


def labelled(
    pixels: Pixels,
    *,
    columns: int | None = None,
    above: Sequence[str] = (),
    beside: Sequence[str] = (),
    longer: int = _LONGER,
) -> Image.Image:
    """Lay pictures out row by row.

    Parameters
    ----------
    pixels : ndarray of shape (N, H, W, 3), uint8
        At least one.
    columns
        None: as `grid_shape` chooses.
    above, beside
        Captions of columns and of rows, if there shall be some.
    longer
        Pictures whose longer side is below this are enlarged by a whole factor, pixel by pixel.
        They are made smaller where the sheet would have more than 16,000 px a side.
    """
    count, height, width = pixels.shape[:3]
    columns = columns or grid_shape(count, (height, width))[1]
    rows = -(-count // columns)
    factor = max(-(-longer // max(height, width)), 1)
    fits = min(_SHEET / (columns * (width * factor + _GAP)), _SHEET / (rows * (height * factor)), 1)
    size = max(int(width * factor * fits), 1), max(int(height * factor * fits), 1)
    font = ImageFont.load_default(_TEXT)
    left = max((int(font.getlength(text)) + 2 * _GAP for text in beside), default=0)
    top = _TEXT + 2 * _GAP if above else 0
    across, down = size[0] + _GAP, size[1] + _GAP
    sheet = Image.new("RGB", (left + columns * across - _GAP, top + rows * down - _GAP), _PAPER)
    for i, picture in enumerate(pixels):
        place = left + i % columns * across, top + i // columns * down
        sheet.paste(_enlarged(picture, size), place)
    draw = ImageDraw.Draw(sheet)
    for column, text in enumerate(above):
        at = left + column * across + size[0] / 2, top / 2
        draw.text(at, _fitting(text, font, across), fill=_INK, font=font, anchor="mm")
    for row, text in enumerate(beside):
        at = left - 2 * _GAP, top + row * down + size[1] / 2
        draw.text(at, text, fill=_INK, font=font, anchor="rm")
    return sheet


def _enlarged(picture: Pixels, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(picture)
    if image.size == size:
        return image
    is_larger = size[0] >= image.width
    return image.resize(size, Image.Resampling.NEAREST if is_larger else Image.Resampling.BOX)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Cut text off where it would run into its neighbour's."""
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-1]
    return text


def stack(sheets: Sequence[Image.Image]) -> Image.Image:
    """Put sheets one below another."""
    height = sum(sheet.height for sheet in sheets) + 4 * _GAP * (len(sheets) - 1)
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), height), _PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height + 4 * _GAP
    return whole
