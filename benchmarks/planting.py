"""Plant known changes and known defects into photographs, to measure what is found again.

Every function takes a uint8 RGB array of shape (H, W, 3) and a seeded generator and returns a new
array of the same kind; the input is left as it is. `to_jpeg` turns the outcome into a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Planting = Callable[[Image, np.random.Generator], Image]


def to_jpeg(rgb: Image, quality: int = 90) -> bytes:
    """Encode as baseline JPEG with OpenCV's default subsampling (4:2:0)."""
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise ValueError(f"could not encode an array of shape {rgb.shape}")
    return bytes(data)


def from_jpeg(data: bytes) -> Image:
    """Decode what `to_jpeg` made."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"not a picture: {len(data)} bytes")
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8, copy=False)


def background_colour(rgb: Image) -> NDArray[np.uint8]:
    """Median colour of the outer frame, 2% of the shorter side wide."""
    band = max(1, round(min(rgb.shape[:2]) * 0.02))
    frame = [rgb[:band], rgb[-band:], rgb[:, :band], rgb[:, -band:]]
    median = np.median(np.concatenate([part.reshape(-1, 3) for part in frame]), axis=0)
    return np.asarray(median.round(), np.uint8)


def subject_mask(rgb: Image, sigma: float = 1.5) -> NDArray[np.bool_]:
    """Separate what is not the background, by Otsu on the distance to the background colour."""
    distance = np.abs(rgb.astype(np.int16) - background_colour(rgb)).max(axis=2).astype(np.uint8)
    smooth = cv2.GaussianBlur(distance, (0, 0), sigma)
    _, mask = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(mask, np.bool_)


# ---- The same picture, changed a little. ---------------------------------------------------------


def reencode(rgb: Image, rng: np.random.Generator) -> Image:
    """JPEG of quality 40 to 95."""
    return from_jpeg(to_jpeg(rgb, int(rng.integers(40, 96))))


def resize(rgb: Image, rng: np.random.Generator) -> Image:
    """50% to 200%, evenly on a logarithmic scale."""
    return _scaled(rgb, float(2.0 ** rng.uniform(-1, 1)))


def crop(rgb: Image, rng: np.random.Generator) -> Image:
    """Cut 0 to 4% from each side, drawn for each side by itself."""
    return _cropped(rgb, rng.uniform(0, 0.04, 4))


def crop_evenly(rgb: Image, rng: np.random.Generator) -> Image:
    """Cut the same 1 to 4% from all four sides."""
    return _cropped(rgb, np.full(4, rng.uniform(0.01, 0.04)))


def crop_two_sides(rgb: Image, rng: np.random.Generator) -> Image:
    """Cut 1 to 4% from one of left and right and from one of top and bottom."""
    shares = np.zeros(4)
    shares[[rng.integers(0, 2), 2 + rng.integers(0, 2)]] = rng.uniform(0.01, 0.04, 2)
    return _cropped(rgb, shares)


def crop_one_side(rgb: Image, rng: np.random.Generator) -> Image:
    """Cut 1 to 4% from one side."""
    shares = np.zeros(4)
    shares[rng.integers(0, 4)] = rng.uniform(0.01, 0.04)
    return _cropped(rgb, shares)


def crop_fully(rgb: Image, rng: np.random.Generator) -> Image:
    """Cut 4% from all four sides: the worst of `crop`."""
    return _cropped(rgb, np.full(4, 0.04))


def brightness_contrast(rgb: Image, rng: np.random.Generator) -> Image:
    """Brightness and contrast each changed by up to 15%, clipped to 0…255."""
    brightness, contrast = rng.uniform(-0.15, 0.15, 2)
    mean = float(rgb.mean())
    changed = (rgb.astype(np.float32) - mean) * (1 + contrast) + mean * (1 + brightness)
    return np.asarray(np.clip(changed.round(), 0, 255), np.uint8)


def mirror(rgb: Image, rng: np.random.Generator) -> Image:
    """Flip left to right."""
    return np.ascontiguousarray(rgb[:, ::-1])


def border(rgb: Image, rng: np.random.Generator) -> Image:
    """Add a frame of 2 to 8% of the sides: white, black or coloured; all around or on two sides."""
    colours = ([255, 255, 255], [0, 0, 0], rng.integers(0, 256, 3).tolist())
    colour = colours[int(rng.integers(0, 3))]
    y, x = (round(side * rng.uniform(0.02, 0.08)) for side in rgb.shape[:2])
    around = int(rng.integers(0, 3))
    y, x = (y if around != 1 else 0), (x if around != 2 else 0)
    framed = cv2.copyMakeBorder(rgb, y, y, x, x, cv2.BORDER_CONSTANT, value=colour)
    return framed.astype(np.uint8, copy=False)


# ---- The same silhouette in another colour. ------------------------------------------------------


def colourway(rgb: Image, rng: np.random.Generator) -> Image:
    """Recolour the subject only: hue turned by 60 to 180 degrees, saturated, black made lighter."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV_FULL).astype(np.int16)
    turn = int(rng.integers(43, 129)) * int(rng.choice([-1, 1]))
    hue = (hsv[..., 0] + turn) % 256
    grey = float(np.median(hsv[..., 1][subject_mask(rgb)])) < 60
    hue = np.full_like(hue, int(rng.integers(0, 256))) if grey else hue
    saturation = np.maximum(hsv[..., 1], int(rng.integers(110, 181)))
    value = hsv[..., 2]
    if np.median(value[subject_mask(rgb)]) < 100:  # no hue shows in black
        value = 80 + value * 2 // 3
    turned = np.stack([hue, saturation, value], axis=2).astype(np.uint8)
    recoloured = cv2.cvtColor(turned, cv2.COLOR_HSV2RGB_FULL)
    mask = cv2.GaussianBlur(subject_mask(rgb).astype(np.float32), (0, 0), 1.0)[..., None]
    return (recoloured * mask + rgb * (1 - mask)).round().astype(np.uint8)


# ---- Defects that the rules name. ----------------------------------------------------------------


def blank(rgb: Image, rng: np.random.Generator) -> Image:
    """One colour with a trace of noise, of the same size: a placeholder."""
    colour = rng.integers(180, 256, 3) if rng.random() < 0.5 else np.full(3, 255)
    noise = rng.normal(0, 0.6, rgb.shape)
    return np.clip((colour + noise).round(), 0, 255).astype(np.uint8)


def grey(rgb: Image, rng: np.random.Generator) -> Image:
    """All colour removed; the array keeps its three channels."""
    flat = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.repeat(flat[..., None], 3, axis=2).astype(np.uint8, copy=False)


def blur(rgb: Image, rng: np.random.Generator) -> Image:
    """Gaussian blur, sigma 1 to 2% of the shorter side."""
    sigma = min(rgb.shape[:2]) * rng.uniform(0.01, 0.02)
    return cv2.GaussianBlur(rgb, (0, 0), float(sigma)).astype(np.uint8, copy=False)


def fabric(rgb: Image, rng: np.random.Generator) -> Image:
    """Zoom into the middle of the subject, 12 to 20% of the sides, enlarged to the old size."""
    height, width = rgb.shape[:2]
    ys, xs = np.nonzero(subject_mask(rgb))
    y, x = (int(np.median(ys)), int(np.median(xs))) if len(ys) else (height // 2, width // 2)
    h, w = (max(2, round(side * rng.uniform(0.12, 0.2))) for side in (height, width))
    top, left = int(np.clip(y - h // 2, 0, height - h)), int(np.clip(x - w // 2, 0, width - w))
    patch = np.ascontiguousarray(rgb[top : top + h, left : left + w])
    return cv2.resize(patch, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def off_centre(rgb: Image, rng: np.random.Generator) -> Image:
    """Move the picture by 20 to 30% of its width to one side, over its background colour."""
    shift = round(rgb.shape[1] * rng.uniform(0.2, 0.3)) * int(rng.choice([-1, 1]))
    small = _on_background(rgb, 0.55)
    return _shifted(small, 0, shift, background_colour(rgb))


def cut_off(rgb: Image, rng: np.random.Generator) -> Image:
    """Cut away 25 to 40% of the subject's box at one side, so that it touches that edge."""
    ys, xs = np.nonzero(subject_mask(rgb))
    if not len(ys):
        return rgb.copy()
    share = rng.uniform(0.25, 0.4)
    if rng.random() < 0.5:
        edge = int(xs.min() + (xs.max() - xs.min()) * share)
        return np.ascontiguousarray(rgb[:, min(edge, rgb.shape[1] - 2) :])
    edge = int(ys.max() - (ys.max() - ys.min()) * share)
    return np.ascontiguousarray(rgb[: max(edge, 2)])


def tiny(rgb: Image, rng: np.random.Generator) -> Image:
    """Shrink the picture to 8 to 15% of the frame's sides, in the middle of its background."""
    return _on_background(rgb, float(rng.uniform(0.08, 0.15)))


def _scaled(rgb: Image, factor: float) -> Image:
    height, width = (max(1, round(side * factor)) for side in rgb.shape[:2])
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(rgb, (width, height), interpolation=way).astype(np.uint8, copy=False)


def _cropped(rgb: Image, shares: NDArray[np.float64]) -> Image:
    """Cut `shares` = left, right, top, bottom."""
    height, width = rgb.shape[:2]
    left, right = round(width * shares[0]), width - round(width * shares[1])
    top, bottom = round(height * shares[2]), height - round(height * shares[3])
    return np.ascontiguousarray(rgb[top:bottom, left:right])


def _on_background(rgb: Image, factor: float) -> Image:
    frame = np.empty_like(rgb)
    frame[:] = background_colour(rgb)
    inner = _scaled(rgb, factor)
    height, width = inner.shape[:2]
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    frame[top : top + height, left : left + width] = inner
    return frame


def _shifted(rgb: Image, down: int, right: int, fill: NDArray[np.uint8]) -> Image:
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    size = (rgb.shape[1], rgb.shape[0])
    moved = cv2.warpAffine(rgb, matrix, size, borderValue=[int(value) for value in fill])
    return moved.astype(np.uint8, copy=False)


NEAR_DUPLICATES: Final[Mapping[str, Planting]] = {
    "reencode": reencode,
    "resize": resize,
    "crop": crop,
    "crop_evenly": crop_evenly,
    "crop_two_sides": crop_two_sides,
    "crop_one_side": crop_one_side,
    "crop_fully": crop_fully,
    "brightness_contrast": brightness_contrast,
    "mirror": mirror,
    "border": border,
}

DEFECTS: Final[Mapping[str, Planting]] = {
    "blank": blank,
    "grey": grey,
    "blur": blur,
    "fabric": fabric,
    "off_centre": off_centre,
    "cut_off": cut_off,
    "tiny": tiny,
}
