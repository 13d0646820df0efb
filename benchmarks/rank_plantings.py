"""Six kinds of defects that a discriminator should find odd, planted into photographs.

Each is strong enough to be seen at 64×48 px, for that is the smallest size that is trained on.
Functions are as in `benchmarks.planting`: uint8 RGB (H, W, 3) and a generator in, a new array out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np

from benchmarks.planting import Image, Planting, background_colour

CATEGORY: Final = "category"
"""The kind that changes nothing: a picture of a class that the set does not have."""

_WORDS: Final = ("SAMPLE", "PREVIEW", "DO NOT COPY", "(C) STOCK", "SHOP 24")


def blur(rgb: Image, rng: np.random.Generator) -> Image:
    """Gaussian blur, sigma 3 to 6% of the shorter side."""
    sigma = min(rgb.shape[:2]) * rng.uniform(0.03, 0.06)
    return cv2.GaussianBlur(rgb, (0, 0), float(sigma)).astype(np.uint8, copy=False)


def odd_crop(rgb: Image, rng: np.random.Generator) -> Image:
    """Cut out 25 to 40% of the sides, at one of the four corners or near it, in the same shape."""
    height, width = rgb.shape[:2]
    share = rng.uniform(0.25, 0.4)
    h, w = max(2, round(height * share)), max(2, round(width * share))
    # the middle of what is cut out lies well off that of the picture, both ways
    down, right = (rng.uniform(0.1, 0.25) * rng.choice([-1, 1]) + 0.5 for _ in range(2))
    top = int(np.clip(round(down * height - h / 2), 0, height - h))
    left = int(np.clip(round(right * width - w / 2), 0, width - w))
    return np.ascontiguousarray(rgb[top : top + h, left : left + w])


def watermark(rgb: Image, rng: np.random.Generator) -> Image:
    """One word three times across the picture, 85% of its width, white or black at 55 to 80%."""
    height, width = rgb.shape[:2]
    word = str(rng.choice(_WORDS))
    font, thick = cv2.FONT_HERSHEY_DUPLEX, max(1, round(width / 120))
    (w, h), _ = cv2.getTextSize(word, font, 1.0, 1)
    scale = 0.85 * width / w
    mask = np.zeros((height, width), np.uint8)
    for y in (0.25, 0.5, 0.75):
        at = (round(0.075 * width), round(y * height + h * scale / 2))
        cv2.putText(mask, word, at, font, scale, 255, thick, cv2.LINE_AA)
    alpha = mask[..., None].astype(np.float32) / 255 * rng.uniform(0.55, 0.8)
    ink = 255.0 if rgb.mean() < 140 else 0.0
    return (rgb * (1 - alpha) + ink * alpha).round().astype(np.uint8)


def tint(rgb: Image, rng: np.random.Generator) -> Image:
    """Cast of a drawn hue: 40 to 60% of the picture's luma in that colour."""
    hue = np.uint8([[[rng.integers(0, 180), 255, 255]]])  # type: ignore[arg-type]
    colour = cv2.cvtColor(np.asarray(hue, np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    share = rng.uniform(0.4, 0.6)
    return np.clip(rgb * (1 - share) + luma / 255 * colour * share, 0, 255).round().astype(np.uint8)


def rotation(rgb: Image, rng: np.random.Generator) -> Image:
    """Turn by 25 to 65 degrees to either side; corners in the colour of the border."""
    height, width = rgb.shape[:2]
    angle = rng.uniform(25, 65) * rng.choice([-1, 1])
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(angle), 1.0)
    fill = [int(value) for value in background_colour(rgb)]
    turned = cv2.warpAffine(rgb, turn, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill)
    return turned.astype(np.uint8, copy=False)


def as_it_is(rgb: Image, rng: np.random.Generator) -> Image:
    """Change nothing: what is wrong is the category."""
    return rgb.copy()


KINDS: Final[Mapping[str, Planting]] = {
    "blur": blur,
    "odd crop": odd_crop,
    CATEGORY: as_it_is,
    "watermark": watermark,
    "tint": tint,
    "rotation": rotation,
}


def counts(pictures: int, share: float) -> dict[str, int]:
    """Give how many of each kind: equal shares, `share` of the pictures in all, about.

    Raises
    ------
    ValueError
        If that is less than one of each.
    """
    each = math.floor(pictures * share / len(KINDS) + 0.5)
    if each < 1:
        raise ValueError(
            f"`pictures` × `share` must give at least one of each of {len(KINDS)} kinds, "
            f"got {pictures=}, {share=}; take {math.ceil(len(KINDS) / share)} pictures"
        )
    return dict.fromkeys(KINDS, each)
