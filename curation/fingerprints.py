"""Fingerprints of one picture: what near-duplicates, mirrored copies and colourways are sought by.

A perceptual hash alone loses crops and borders: 4% cut from four sides turn 10 of its 64 bits.
So a picture has, beside the hash of the whole, one of each window that leaves 0 or 4% away at each
side, and one of what is left without a uniform border. Whatever a copy was cut to, its own hash is
then a few bits from one of these, and an exact join at a small radius finds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray
from PIL import Image

WINDOW_INSET: Final = 0.04  # share of the side that a window leaves away
VARIANTS: Final = 17  # 16 windows, of which the first is the whole, then the one without border
MAX_BORDER: Final = 0.12  # of a side; wider borders are taken for background
BORDER_TOLERANCE: Final = 10  # levels; a border is a run of lines that keep to one colour
SIGNATURE_SIDE: Final = 4
SILHOUETTE_SIDE: Final = 16
MIN_CONTRAST: Final = 3.0  # levels, standard deviation of grey; below it a hash is of noise

_SPANS: Final = (
    (0.0, 1.0),
    (WINDOW_INSET, 1.0),
    (0.0, 1 - WINDOW_INSET),
    (WINDOW_INSET, 1 - WINDOW_INSET),
)
_SAMPLES: Final = 32
_LOW: Final = 8


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """All fingerprints of one picture. Compare them only with fingerprints made by the same code.

    Attributes
    ----------
    phash, phash_mirrored
        64 bits, as `imagehash.phash` gives them for `hash_picture`; the second of the picture
        flipped left to right.
    phash256
        32 bytes, `imagehash.phash(…, hash_size=16)` of it, most significant bit first.
    variants
        uint64 of shape (VARIANTS,) or, for a picture without contrast, (0,): nothing in it could
        be recognised again, so it takes no part in the search.
    colour_signature
        Mean RGB of 4 × 4 fields, 48 bytes.
    silhouette
        16 × 16 bits, the subject in its own box; empty where there is no plain background.
    """

    phash: int
    phash_mirrored: int
    phash256: bytes
    variants: NDArray[np.uint64]
    colour_signature: bytes
    silhouette: bytes

    def to_row(self) -> dict[str, int | bytes]:
        """Columns of the features table; 64-bit hashes as int64 with the same bits."""
        return {
            "phash": to_int64(self.phash),
            "phash_mirrored": to_int64(self.phash_mirrored),
            "phash256": self.phash256,
            "phash_variants": self.variants.astype("<u8").tobytes(),
            "colour_signature": self.colour_signature,
            "silhouette": self.silhouette,
        }


def fingerprint(small: NDArray[np.uint8], subject: NDArray[np.bool_] | None = None) -> Fingerprint:
    """Fingerprint a picture.

    Parameters
    ----------
    small : ndarray of shape (H, W, 3), uint8 RGB
        The upright picture, area-averaged to a longer side of at most 192 px.
    subject : ndarray of shape (H, W), bool, optional
        The subject, where it is known already; found by `plain_subject` otherwise. All false
        means that there is no plain background.

    Raises
    ------
    ValueError
        If `small` is not a non-empty uint8 array of shape (H, W, 3), or `subject` does not fit it.
    """
    _check_rgb(small)
    if subject is None:
        subject = plain_subject(small)
    elif subject.shape != small.shape[:2]:
        raise ValueError(f"`subject` must be of shape {small.shape[:2]}, got {subject.shape}")
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    picture = hash_picture(grey)
    phash, mirrored = _phash64(picture)
    return Fingerprint(
        phash=phash,
        phash_mirrored=mirrored,
        phash256=_phash256(picture),
        variants=_variants(small, grey),
        colour_signature=_colour_signature(small),
        silhouette=silhouette(subject),
    )


def hash_picture(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Area-average a grey picture to the 64 × 64 that `phash` and `phash256` are taken of."""
    return cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def pixel_hash(rgb: NDArray[np.uint8]) -> bytes:
    """Hash size and pixels of the full picture: 32 bytes, equal exactly for equal pictures."""
    _check_rgb(rgb)
    hasher = blake3(np.array(rgb.shape, "<i8").tobytes())
    hasher.update(np.ascontiguousarray(rgb).data.cast("B"))
    return bytes(hasher.digest())


def to_int64(value: int) -> int:
    """Store 64 bits in a signed integer (two's complement)."""
    return value - (1 << 64) if value >= 1 << 63 else value


def border_box(rgb: NDArray[np.uint8], max_share: float = MAX_BORDER) -> tuple[int, int, int, int]:
    """Find what is inside a uniform border: left, top, right, bottom in px, the last two open.

    A border line keeps, but for 5% of its pixels, within `BORDER_TOLERANCE` of the colour of the
    outermost line. A side that is uniform for more than `max_share` has no border: that is
    background.
    """
    height, width = rgb.shape[:2]
    deep, wide = int(height * max_share) + 2, int(width * max_share) + 2
    top = _uniform_lines(rgb[:deep])
    bottom = _uniform_lines(rgb[::-1][:deep])
    left = _uniform_lines(rgb[:, :wide].swapaxes(0, 1))
    right = _uniform_lines(rgb[:, ::-1][:, :wide].swapaxes(0, 1))
    if top + bottom >= height or left + right >= width:
        return 0, 0, width, height
    return left, top, width - right, height - bottom


def plain_subject(small: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find the subject before a plain background; all false where there is none.

    Plain: at least 85% of the outer frame lie within 24 levels of its median colour. The subject
    is what is far from that colour, by Otsu's threshold (doi:10.1109/TSMC.1979.4310076), and fills
    between 3% and 90% of the picture.
    """
    nothing = np.zeros(small.shape[:2], np.bool_)
    frame = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    colour = _ordered(frame)[len(frame) // 2]
    if np.mean(_distance(frame[None], colour) <= 24) < 0.85:
        return nothing
    distance = cv2.blur(_distance(small, colour), (3, 3))
    threshold, mask = cv2.threshold(distance, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    fill = cv2.countNonZero(mask) / mask.size
    if threshold < 8 or not 0.03 <= fill <= 0.9:
        return nothing
    return mask.view(np.bool_)


def silhouette(subject: NDArray[np.bool_]) -> bytes:
    """Squeeze a subject's mask into 16 × 16 bits of its own box, 32 bytes; empty for no subject."""
    mask = subject.astype(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    if width < 2 or height < 2:
        return b""
    box = mask[top : top + height, left : left + width] * np.uint8(255)
    size = (SILHOUETTE_SIDE, SILHOUETTE_SIDE)
    bits = cv2.resize(box, size, interpolation=cv2.INTER_AREA) > 127
    return np.packbits(bits).tobytes()


def _check_rgb(rgb: NDArray[np.uint8]) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(f"picture must be uint8 of shape (H, W, 3), got {rgb.dtype} {rgb.shape}")


def _ordered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sort each channel of (N, 3) by itself; sorting contiguous rows is what numpy is fast at."""
    return np.sort(np.ascontiguousarray(pixels.T), axis=1).T


def _distance(rgb: NDArray[np.uint8], colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Largest difference of the three channels from one colour."""
    scalar = np.array([*colour, 0], np.float64)
    channels = cv2.split(cv2.absdiff(np.ascontiguousarray(rgb), scalar))
    return np.asarray(cv2.max(cv2.max(channels[0], channels[1]), channels[2]), np.uint8)


def _uniform_lines(lines: NDArray[np.uint8]) -> int:
    """Count the leading lines that keep to the first one's colour; 0 if all of them do."""
    ordered = _ordered(lines[0]).astype(np.int16)
    count, few = len(ordered), int(len(ordered) * 0.05)
    low, middle, high = ordered[few], ordered[count // 2], ordered[count - 1 - few]
    # Most pictures have no border, and their outermost line says so.
    if max((middle - low).max(), (high - middle).max()) > BORDER_TOLERANCE:
        return 0
    colour = middle.astype(np.uint8)
    off = (_distance(lines, colour) > BORDER_TOLERANCE).mean(axis=1) > 0.05
    return int(np.argmax(off)) if off.any() else 0


def _dct(pixels: NDArray[np.uint8], low: int) -> NDArray[np.float64]:
    """Low frequencies of a square picture, as `imagehash.phash` takes them (DCT-II)."""
    basis = _cosines(low, pixels.shape[0])
    return 4.0 * (basis @ pixels.astype(np.float64) @ basis.T)


def _above_median(coefficients: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Compare with the median along the last axis, whose length is even."""
    ordered = np.sort(coefficients, axis=-1)  # np.median takes five times as long on so few
    half = ordered.shape[-1] // 2
    median = (ordered[..., half - 1 : half] + ordered[..., half : half + 1]) / 2
    above: NDArray[np.bool_] = coefficients > median
    return above


def _pack(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack bits of shape (…, 64) into uint64, the first bit being the most significant."""
    return np.packbits(bits, axis=-1).view(">u8")[..., 0].astype(np.uint64)


def _phash64(picture: NDArray[np.uint8]) -> tuple[int, int]:
    size = (_SAMPLES, _SAMPLES)
    reduced = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    low = _dct(np.asarray(reduced), _LOW)
    # A flip turns the sign of every odd horizontal frequency, and changes nothing else.
    flipped = low * np.where(np.arange(_LOW) % 2, -1.0, 1.0)
    words = _pack(_above_median(np.stack([low.ravel(), flipped.ravel()])))
    return int(words[0]), int(words[1])


def _phash256(picture: NDArray[np.uint8]) -> bytes:
    return np.packbits(_above_median(_dct(picture, 16).ravel())).tobytes()


def _variants(small: NDArray[np.uint8], grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    if float(cv2.meanStdDev(grey)[1][0, 0]) < MIN_CONTRAST:
        return np.empty(0, np.uint64)
    left, top, right, bottom = border_box(small)
    inner = grey[top:bottom, left:right]
    spans = len(_SPANS)
    all_windows = _windows(grey.shape[0]) @ grey.astype(np.float32) @ _windows(grey.shape[1]).T
    blocks = all_windows.reshape(spans, _LOW, spans, _LOW).swapaxes(1, 2).reshape(-1, _LOW * _LOW)
    whole = _windows(inner.shape[0])[:_LOW], _windows(inner.shape[1])[:_LOW]
    stripped = whole[0] @ inner.astype(np.float32) @ whole[1].T
    return _pack(_above_median(np.concatenate([blocks, stripped.reshape(1, -1)])))


@lru_cache(maxsize=1024)
def _windows(side: int) -> NDArray[np.float32]:
    """Average each span of a side into 32 samples and take 8 frequencies: shape (4 * 8, side).

    Resampling and transform are linear, so that all windows of a picture are one matrix product.
    """
    return np.concatenate(
        [_cosines(_LOW, _SAMPLES) @ _averaging(side, *span) for span in _SPANS]
    ).astype(np.float32)


def _averaging(side: int, start: float, stop: float) -> NDArray[np.float64]:
    """Area-average [start, stop) of `side` pixels into 32 samples; rows sum to 1."""
    edges = np.linspace(start * side, stop * side, _SAMPLES + 1)
    pixel = np.arange(side)
    low, high = np.maximum(edges[:-1, None], pixel), np.minimum(edges[1:, None], pixel + 1)
    shares: NDArray[np.float64] = np.maximum(high - low, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


@lru_cache(maxsize=8)
def _cosines(low: int, samples: int) -> NDArray[np.float64]:
    phase = np.outer(np.arange(low), 2 * np.arange(samples) + 1)
    return np.cos(np.pi * phase / (2 * samples))


def _colour_signature(small: NDArray[np.uint8]) -> bytes:
    size = (SIGNATURE_SIDE, SIGNATURE_SIDE)
    return cv2.resize(small, size, interpolation=cv2.INTER_AREA).tobytes()
