"""Sheets of pictures for people: small ones are enlarged, rows and columns have captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.errors import SetupError
from training.latent.sampler import Pixels
from training.watch.grids import grid_shape

Colour = tuple[int, int, int]

WHITE: Final[Colour] = (255, 255, 255)
GREY: Final[Colour] = (208, 208, 208)
"""Paper on which pictures with white backgrounds are seen to end, and those with black ones."""

_INK: Final = (32, 36, 34)
_GAP: Final = 4  # px between pictures
_TEXT: Final = 14  # px
_SMALLEST, _LARGEST = 96, 256  # px of the longer side of a picture that is fitted
_LONGER: Final = 128  # px that the longer side of a picture has at least
_SHEET: Final = 16_000  # px that a side of a sheet may have: beyond, viewers give up


class Sheet:
    """A sheet that pictures are put on as they come, row by row; none of them is kept.

    Parameters
    ----------
    count
        Pictures that will come, at least 1.
    size
        Height and width of one, px.
    columns
        None: as `grid_shape` chooses.
    above, beside
        Captions of columns and of rows, if there shall be some.
    longer
        Pictures whose longer side is below this are enlarged by a whole factor, pixel by pixel.
        They are made smaller where the sheet would have more than 16,000 px a side.
    paper
        Colour between them.

    Attributes
    ----------
    image : Image
        RGB.
    columns : int
    cell : tuple of int
        Height and width at which pictures are shown, px.

    Raises
    ------
    SetupError
        If pictures would have no pixel left.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        *,
        columns: int | None = None,
        above: Sequence[str] = (),
        beside: Sequence[str] = (),
        longer: int = _LONGER,
        paper: Colour = WHITE,
    ) -> None:
        self.columns = columns or grid_shape(count, size)[1]
        rows = -(-count // self.columns)
        self.cell = _cell(rows, self.columns, size, longer)
        font = ImageFont.load_default(_TEXT)
        left = max((int(font.getlength(text)) + 2 * _GAP for text in beside), default=0)
        self._corner = left, _TEXT + 2 * _GAP if above else 0
        width, height = self._place(self.columns, rows)
        self.image = Image.new("RGB", (width - _GAP, height - _GAP), paper)
        self._count = 0
        self._caption(above, beside, font)

    def add(self, pixels: Pixels) -> None:
        """Put pictures on it, (N, H, W, 3), uint8."""
        for picture in pixels:
            at = divmod(self._count, self.columns)
            self.image.paste(resized(picture, self.cell), self._place(at[1], at[0]))
            self._count += 1

    def _place(self, column: int, row: int) -> tuple[int, int]:
        left, top = self._corner
        return left + column * (self.cell[1] + _GAP), top + row * (self.cell[0] + _GAP)

    def _caption(
        self,
        above: Sequence[str],
        beside: Sequence[str],
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    ) -> None:
        draw = ImageDraw.Draw(self.image)
        left, top = self._corner
        height, width = self.cell
        for column, text in enumerate(above):
            at = self._place(column, 0)[0] + width / 2, top / 2
            draw.text(at, _fitting(text, font, width + _GAP), fill=_INK, font=font, anchor="mm")
        for row, text in enumerate(beside):
            at = left - 2 * _GAP, self._place(0, row)[1] + height / 2
            draw.text(at, text, fill=_INK, font=font, anchor="rm")


def labelled(
    pixels: Pixels,
    *,
    columns: int | None = None,
    above: Sequence[str] = (),
    beside: Sequence[str] = (),
    longer: int = _LONGER,
    paper: Colour = WHITE,
) -> Image.Image:
    """Lay pictures out row by row; see `Sheet`.

    Parameters
    ----------
    pixels : ndarray of shape (N, H, W, 3), uint8
        At least one.
    columns, above, beside, longer, paper
        As for `Sheet`.

    Raises
    ------
    SetupError
        If pictures would have no pixel left.
    """
    count, height, width = pixels.shape[:3]
    sheet = Sheet(
        count,
        (height, width),
        columns=columns,
        above=above,
        beside=beside,
        longer=longer,
        paper=paper,
    )
    sheet.add(pixels)
    return sheet.image


def fitted(pixels: Pixels) -> Pixels:
    """Bring pictures to their `fitted_size`, (N, H, W, 3) to (N, h, w, 3)."""
    size = fitted_size((pixels.shape[1], pixels.shape[2]))
    return np.stack([np.asarray(resized(picture, size)) for picture in pixels])


def fitted_size(
    size: tuple[int, int], smallest: int = _SMALLEST, largest: int = _LARGEST
) -> tuple[int, int]:
    """Give the height and width, px, at which pictures are well seen beside many others.

    Those whose longer side is below `smallest` are enlarged by a whole factor, those above
    `largest` made smaller.
    """
    height, width = size
    longer = max(size)
    if longer > largest:
        return max(height * largest // longer, 1), max(width * largest // longer, 1)
    factor = -(-smallest // longer)
    return height * factor, width * factor


def stack(sheets: Sequence[Image.Image], paper: Colour = WHITE) -> Image.Image:
    """Put sheets one below another."""
    height = sum(sheet.height for sheet in sheets) + 4 * _GAP * (len(sheets) - 1)
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), height), paper)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height + 4 * _GAP
    return whole


def _cell(rows: int, columns: int, size: tuple[int, int], longer: int) -> tuple[int, int]:
    factor = max(-(-longer // max(size)), 1)
    height, width = size[0] * factor, size[1] * factor
    room = _SHEET // rows - _GAP, _SHEET // columns - _GAP
    if min(room) < 1:
        most = _SHEET // (_GAP + 1)
        raise SetupError(
            f"a sheet must have at most {most:,} rows and as many columns, got {rows:,} and "
            f"{columns:,}; show fewer pictures, or choose other columns"
        )
    fits = min(room[0] / height, room[1] / width, 1)
    return max(int(height * fits), 1), max(int(width * fits), 1)


def resized(picture: Pixels, size: tuple[int, int]) -> Image.Image:
    """Give a picture (H, W, 3) at a height and width, px: squares where it grows, else by areas."""
    image = Image.fromarray(picture)
    height, width = size
    if image.size == (width, height):
        return image
    is_larger = width >= image.width
    how = Image.Resampling.NEAREST if is_larger else Image.Resampling.BOX
    return image.resize((width, height), how)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Cut text off where it would run into its neighbour's."""
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-1]
    return text
