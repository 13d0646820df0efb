"""A picture from outside, decoded with all limits and encoded anew, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import simplejpeg

from curation.decode import decode
from curation.errors import DecodeError
from curation.recipe import Limits

# Larger ones are shrunk: no screen shows more, and the page has to hold a dozen.
LONGEST_SIDE: Final = 2_560
_QUALITY: Final = 90


def preview(data: bytes, limits: Limits, longest_side: int = LONGEST_SIDE) -> bytes:
    """Decode a picture and encode it as JPEG: none of the bytes that came are passed on.

    Parameters
    ----------
    longest_side
        px; a larger picture is shrunk to it.

    Raises
    ------
    DecodeError
        As `curation.decode.decode`.
    """
    rgb = decode(data, limits).rgb
    longest = max(rgb.shape[:2])
    if longest > longest_side:
        scale = longest_side / longest
        rgb = np.asarray(
            cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    return bytes(simplejpeg.encode_jpeg(rgb, _QUALITY, colorspace="RGB", colorsubsampling="420"))


def previews(tasks: Sequence[tuple[bytes, Limits, int]]) -> list[bytes | str]:
    """Do `preview` for each; where that fails, say why instead."""
    out: list[bytes | str] = []
    for data, limits, longest_side in tasks:
        try:
            out.append(preview(data, limits, longest_side))
        except DecodeError as error:
            out.append(str(error))
    return out
