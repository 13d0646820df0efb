"""A contact sheet of pictures with their scores, to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

Pixels = NDArray[np.uint8]

ITEMS: Final = "items"
"""Key of the PNG's text that names what is shown: a takedown finds the sheet by it."""

_COLUMNS: Final = 8
_LONGEST: Final = 160  # px of a tile's longer side, at most
_GAP: Final = 8
_PAPER: Final = (208, 208, 208)  # seen beside white and beside black backgrounds
_INK: Final = (0, 0, 0)
_LINE: Final = 14  # px of a line of text
_NARROWEST: Final = 96  # px of a tile, for its text to fit


def draw_sheet(
    pictures: Sequence[Pixels], captions: Sequence[Sequence[str]], items: Sequence[str]
) -> bytes:
    """Draw pictures row by row, each with its lines of text below.

    Parameters
    ----------
    pictures : of ndarrays of shape (H, W, 3), uint8
        At least one, all of one size; brought to 160 px, at most to twice their size.
    captions
        Lines for each, in ASCII: the font has no more.
    items
        Their ids; in the file, not in the picture.

    Returns
    -------
    bytes
        PNG.
    """
    height, width = pictures[0].shape[:2]
    scale = min(2.0, _LONGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    lines = max(map(len, captions))
    across, down = max(size[0], _NARROWEST) + _GAP, size[1] + lines * _LINE + _GAP
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for number, (pixels, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = _GAP + number % columns * across, _GAP + number // columns * down
        tile = cv2.resize(pixels, size, interpolation=method)
        sheet.paste(Image.fromarray(np.asarray(tile, np.uint8)), (left, top))
        for line, text in enumerate(caption):
            draw.text((left, top + size[1] + line * _LINE), text, fill=_INK, font=font)
    told = PngInfo()
    told.add_text(ITEMS, " ".join(items))
    sink = io.BytesIO()
    sheet.save(sink, "PNG", pnginfo=told)
    return sink.getvalue()
