"""Bringing one picture to the recipe's frame: scaled, placed and padded, never stretched."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from curation.recipe import Recipe
from curation.resize import resize
from curation.subject import Border, Subject

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture goes in the frame.

    Attributes
    ----------
    scale : float
        Frame pixels per picture pixel, the same in both directions.
    left, top : float
        Frame coordinates of the picture's upper left corner; negative where it is cropped.
    wanted : float
        The scale that `fit` asked for, before `max_upscale` limited it.
    """

    scale: float
    left: float
    top: float
    wanted: float


def place(width: int, height: int, recipe: Recipe, subject: Subject | None) -> Placement:
    """Decide scale and position of a `width`×`height` picture in the recipe's frame.

    Parameters
    ----------
    width, height : int
        px of the upright picture.
    recipe : Recipe
    subject : Subject or None
        Needed for `fit = "subject"`; None (no plain background) falls back to `pad`.
    """
    frame_w, frame_h = recipe.width, recipe.height
    within = min(frame_w / width, frame_h / height)
    centre_x, centre_y = width / 2, height / 2
    if recipe.fit in ("crop", "top_crop"):
        wanted = max(frame_w / width, frame_h / height)
    elif recipe.fit == "subject" and subject is not None and subject.found:
        left, top, right, bottom = subject.box
        wanted = recipe.subject_share * min(
            frame_w / ((right - left) * width), frame_h / ((bottom - top) * height)
        )
        centre_x, centre_y = (left + right) / 2 * width, (top + bottom) / 2 * height
    else:
        wanted = within
    scale = min(wanted, recipe.max_upscale)
    left_px, top_px = frame_w / 2 - centre_x * scale, frame_h / 2 - centre_y * scale
    if recipe.fit == "top_crop" and height * scale > frame_h:
        top_px = 0.0
    return Placement(scale, left_px, top_px, wanted)


def standardize(
    rgb: Pixels, recipe: Recipe, border: Border, subject: Subject | None
) -> tuple[Pixels, Pixels, Placement]:
    """Scale and place a picture in the recipe's frame.

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3), uint8
    recipe : Recipe
    border : Border
        Its colour fills what the picture does not cover, where `background` is "auto".
    subject : Subject or None

    Returns
    -------
    frame : ndarray of shape (recipe.height, recipe.width, 3), uint8
    content : ndarray of shape (h, w, 3), uint8
        The part of the frame that the picture covers, without padding.
    placement : Placement
    """
    height, width = rgb.shape[:2]
    spot = place(width, height, recipe, subject)
    # The part of the picture that lands in the frame, in picture pixels.
    x0, x1 = _visible(spot.left, spot.scale, width, recipe.width)
    y0, y1 = _visible(spot.top, spot.scale, height, recipe.height)
    out_w = min(recipe.width, max(1, round((x1 - x0) * spot.scale)))
    out_h = min(recipe.height, max(1, round((y1 - y0) * spot.scale)))
    content = resize(rgb[y0:y1, x0:x1], out_w, out_h)
    if content.shape[:2] == (recipe.height, recipe.width):
        return np.ascontiguousarray(content), content, spot
    left = min(max(0, round(spot.left + x0 * spot.scale)), recipe.width - out_w)
    top = min(max(0, round(spot.top + y0 * spot.scale)), recipe.height - out_h)
    colour = border.colour if recipe.background == "auto" else recipe.background
    frame = cv2.copyMakeBorder(
        content,
        top,
        recipe.height - top - out_h,
        left,
        recipe.width - left - out_w,
        cv2.BORDER_CONSTANT,
        value=colour,
    )
    return np.asarray(frame, dtype=np.uint8), content, spot


def _visible(offset: float, scale: float, extent: int, frame: int) -> tuple[int, int]:
    """First and one past the last picture pixel, along one axis, that land in the frame."""
    first = max(0, int(np.floor(-offset / scale + 1e-6)))
    last = min(extent, int(np.ceil((frame - offset) / scale - 1e-6)))
    if last <= first:
        first = min(first, extent - 1)
        last = first + 1
    return first, last


def encode(rgb: Pixels, file_format: Literal["jpeg", "png", "webp"], quality: int) -> bytes:
    """Encode as JPEG 4:4:4, PNG (level 1: deeper levels cost far more than they save) or WebP."""
    if file_format == "jpeg":
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, "RGB", "444"))
    if file_format == "png":
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()


def encode_thumb(rgb: Pixels) -> bytes:
    """Encode a thumbnail: JPEG, quality 85, 4:2:0."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), 85, "RGB", "420"))
