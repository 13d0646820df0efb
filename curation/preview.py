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


def preview(data: bytes, limits: Limits) -> bytes:
    """Decode a picture and encode it as JPEG: none of the bytes that came are passed on.

    Raises
    ------
    DecodeError
        As `curation.decode.decode`.
    """
    rgb = decode(data, limits).rgb
    longest = max(rgb.shape[:2])
    if longest > LONGEST_SIDE:
        scale = LONGEST_SIDE / longest
        rgb = np.asarray(
            cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    return bytes(simplejpeg.encode_jpeg(rgb, _QUALITY, colorspace="RGB", colorsubsampling="420"))


def previews(tasks: Sequence[tuple[bytes, Limits]]) -> list[bytes | str]:
    """Do `preview` for each; where that fails, say why instead."""
    out: list[bytes | str] = []
    for data, limits in tasks:
        try:
            out.append(preview(data, limits))
        except DecodeError as error:
            out.append(str(error))
    return out
