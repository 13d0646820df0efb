"""Everything that is done for one image, without I/O: bytes in, feature rows and bytes out.

One function, so that a benchmark can hold it against the floor (decode, area resize, encode).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from curation import measures
from curation.cascade import detect
from curation.decode import WHITE, Decoded, decode
from curation.errors import DecodeError
from curation.fingerprints import fingerprint, pixel_hash
from curation.recipe import Limits, Recipe
from curation.resize import THUMB_SIDE, fit_within, halve, resize, shrink
from curation.standardize import encode, encode_thumb, standardize
from curation.subject import Border, Subject, find_subject, measure_border
from data_catalog.schema import OF_LIMITS, Reason

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its row for the `features` table, less where it is stored, and its bytes.

    Attributes
    ----------
    row : dict
        Columns of `data_catalog.schema.FEATURES`; absent ones are null.
    image : bytes or None
        The standardized image; None where the item failed.
    thumb : bytes or None
        A small JPEG of the whole upright item.
    """

    row: dict[str, Any]
    image: bytes | None = None
    thumb: bytes | None = None


def failed(
    image_id: str, recipe_id: str, limits: Limits, file_bytes: int, reason: Reason, detail: str
) -> Item:
    """Make the item of an image that could not be processed."""
    return Item(
        {
            "item_id": image_id,
            "image_id": image_id,
            "recipe": recipe_id,
            "file_bytes": file_bytes,
            "failure": reason.value,
            "detail": detail[:500],
            "limits": limits.key if reason in OF_LIMITS else None,
        }
    )


def process(image_id: str, data: bytes, recipe: Recipe, limits: Limits) -> list[Item]:
    """Decode an image once; measure, fingerprint and standardize every item in it.

    Parameters
    ----------
    image_id : str
        SHA-256 of `data`.
    data : bytes
        The file as it came.

    Returns
    -------
    list of Item
        At least one: an image that cannot be used gives one failed item. More than one only
        with a cascade detector.
    """
    matte = WHITE if recipe.background == "auto" else recipe.background
    try:
        decoded = decode(data, limits, matte)
    except DecodeError as error:
        return [failed(image_id, recipe.id, limits, len(data), error.reason, error.detail)]
    shared = {
        "image_id": image_id,
        "recipe": recipe.id,
        "format": decoded.format,
        "mode": decoded.mode,
        "orientation": decoded.orientation,
        "frames": decoded.frames,
        "file_bytes": len(data),
    }
    try:
        if recipe.detector is None:
            return [_finish({"item_id": image_id, **shared}, decoded.rgb, recipe)]
        return _cut_out(image_id, shared, decoded, recipe)
    except (MemoryError, cv2.error) as error:
        # What a picture of an extreme size may lead to costs that picture, not the run.
        detail = f"{type(error).__name__}: {error}"
        return [failed(image_id, recipe.id, limits, len(data), Reason.CRASHED_WORKER, detail)]


def _cut_out(image_id: str, shared: dict[str, Any], decoded: Decoded, recipe: Recipe) -> list[Item]:
    assert recipe.detector is not None
    boxes = detect(decoded.rgb, recipe.detector)
    if not boxes:
        height, width = decoded.rgb.shape[:2]
        nothing = {
            "item_id": image_id,
            **shared,
            "width": width,
            "height": height,
            "failure": Reason.NOTHING_DETECTED.value,
            "detail": f"{recipe.detector.cascade} found nothing of {recipe.detector.min_size} px "
            "or more",
        }
        return [Item(nothing)]
    items = []
    for x, y, width, height in boxes:
        row = {"item_id": f"{image_id}#{x},{y},{width},{height}", **shared}
        crop = np.ascontiguousarray(decoded.rgb[y : y + height, x : x + width])
        items.append(_finish(row, crop, recipe))
    return items


def _finish(row: dict[str, Any], rgb: Pixels, recipe: Recipe) -> Item:
    """Measure, fingerprint and standardize one upright item."""
    small = shrink(rgb)
    # Pictures that are tiny already are not made any smaller.
    half = (
        halve(small) if min(small.shape[:2]) >= 32 else small
    )  # enough to find a subject in, at a quarter of the cost
    border = measure_border(half)
    subject = find_subject(half, border) if border.plain else None
    frame, content, placement = standardize(rgb, recipe, border, subject)
    image = encode(frame, recipe.format, recipe.quality)
    height, width = rgb.shape[:2]
    row |= {"width": width, "height": height, "upscale": placement.wanted}
    row |= _measure(rgb, small, half, content, border, subject)
    row |= _subject_columns(subject)
    row |= fingerprint(small).to_row()
    row |= {"pixel_hash": pixel_hash(rgb), "standard_hash": blake3(image).hexdigest()}
    thumb = encode_thumb(resize(small, *fit_within(width, height, THUMB_SIDE)))
    return Item(row, image, thumb)


def _measure(
    rgb: Pixels,
    small: Pixels,
    half: Pixels,
    content: Pixels,
    border: Border,
    subject: Subject | None,
) -> dict[str, Any]:
    luma = measures.grey(small)
    before_clean = subject if border.clean else None
    red, green, blue = border.colour
    return {
        "colours": measures.colours(rgb),
        "chroma": measures.chroma(small),
        "blankness": measures.blankness(small),
        "entropy": measures.entropy(luma),
        "sharpness": measures.sharpness(measures.grey(content)),
        "border_red": red,
        "border_green": green,
        "border_blue": blue,
        "border_uniformity": border.uniformity,
        "background_complexity": measures.background_complexity(luma, before_clean),
        "pattern": measures.pattern(half, before_clean),
    }


def _subject_columns(subject: Subject | None) -> dict[str, Any]:
    """Columns about the subject; null where the background is not plain enough to find it."""
    if subject is None or not subject.found:
        return {}
    left, top, right, bottom = subject.box
    return {
        "subject_left": left,
        "subject_top": top,
        "subject_right": right,
        "subject_bottom": bottom,
        "centre_offset": subject.centre_offset,
        "fill": subject.fill,
        "edges_touched": subject.edges,
    }
