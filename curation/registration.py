"""Decide how two pictures relate by laying one over the other and looking at what differs.

A hash proposes, this decides. The pictures are registered by an affine map (ECC,
doi:10.1109/TPAMI.2008.113), which is kept only where it is close to scale and shift; then compared
after a fit of gain and offset, so that a re-encoded, resized, cropped, bordered or brightened copy
shows next to no residual, while another garment of the same cut shows its folds and edges.

All thresholds were set on the clothing photographs: `benchmarks/quality_duplicates.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.fingerprints import border_box, plain_subject

SIDE: Final = 96  # px; pictures are compared as squares, each axis scaled by itself
MAX_ASPECT_RATIO: Final = 1.35  # of the two pictures' width / height
MIN_CONTRAST: Final = 3.0  # levels, standard deviation of grey
MAX_SHEAR: Final = 0.02
SCALE_RANGE: Final = (0.72, 1.4)
MIN_OVERLAP: Final = 0.6  # of either picture
MIN_LOOKED_AT: Final = 50  # px of a subject that are enough to judge by it alone
GAIN_RANGE: Final = (0.65, 1.55)
MIN_COARSE_STRUCTURE: Final = 0.35  # at half the size; most candidates end there
CERTAIN_COARSE_STRUCTURE: Final = 0.85  # the first guess needs no coarse refinement

SAME_STRUCTURE: Final = 0.5  # correlation of fine detail, 1 = identical
SAME_RESIDUAL: Final = 9.0  # levels, 95th percentile over 7 × 7 means
SAME_RESIDUAL_MAX: Final = 30.0  # levels, worst 7 × 7 mean
SAME_COLOUR: Final = 14.0  # levels of R - G and B - G, 95th percentile
COLOURWAY_OVERLAP: Final = 0.94  # intersection over union of the silhouettes
COLOURWAY_STRUCTURE: Final = 0.55
REDYED_STRUCTURE: Final = 0.87  # before any background: the same photograph, coloured anew
SECOND_SHOT_STRUCTURE: Final = 0.5
SECOND_SHOT_COLOUR: Final = 25.0  # levels; light differs between two shots

_COARSE: Final = SIDE // 2
_INSETS: Final = ((0.02, 0.02, 0.98, 0.98), (0.04, 0.04, 0.96, 0.96))
_CRITERIA: Final = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS
_ROWS, _COLUMNS = (axis.astype(np.float32) for axis in np.mgrid[0:SIDE, 0:SIDE])

Map = NDArray[np.float32]
Plane = NDArray[np.float32]


class Relation(StrEnum):
    """How two pictures relate. Values are stored: never rename one."""

    SAME = "same"
    MIRRORED = "mirrored"  # the same, flipped left to right
    COLOURWAY = "colourway"  # the same silhouette, other colours
    SECOND_SHOT = "second_shot"  # much alike, but another photograph: not merged
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found. `distance` is 0 for identical pictures and grows; the others explain it.

    Attributes
    ----------
    relation
        The decision.
    distance
        1 - structure, in [0, 2]; 2 where the pictures could not be registered.
    structure
        Correlation of fine detail after registration, in [-1, 1].
    residual
        Levels that remain after a fit of gain and offset, 95th percentile of local means.
    colour
        Levels by which the colours (R - G, B - G) differ, 95th percentile of local means.
    """

    relation: Relation
    distance: float
    structure: float
    residual: float
    colour: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `compare` needs of one picture; kept by the caller where it is compared often."""

    rgb: Plane  # (SIDE, SIDE, 3)
    grey: Plane  # (SIDE, SIDE)
    coarse: Plane  # (SIDE / 2, SIDE / 2)
    inside: tuple[float, float, float, float]  # box inside a uniform border, shares
    subject: Plane | None  # (SIDE, SIDE), 0 to 1; None without a plain background
    aspect: float  # width / height
    contrast: float


@dataclass(frozen=True, slots=True)
class _Fit:
    """One picture laid over another."""

    mirrored: bool
    structure: float
    residual: float
    residual_max: float
    colour: float
    plausible: bool


_NOTHING: Final = Comparison(Relation.DIFFERENT, 2.0, 0.0, 255.0, 255.0)


def prepare(thumb: NDArray[np.uint8]) -> Prepared:
    """Bring a thumbnail, uint8 RGB (H, W, 3), to the form that is compared.

    Raises
    ------
    ValueError
        If `thumb` is not a non-empty uint8 array of shape (H, W, 3).
    """
    if thumb.ndim != 3 or thumb.shape[2] != 3 or thumb.dtype != np.uint8 or not thumb.size:
        raise ValueError(f"thumb must be uint8 of shape (H, W, 3), got {thumb.dtype} {thumb.shape}")
    height, width = thumb.shape[:2]
    left, top, right, bottom = border_box(thumb)
    rgb = _square(thumb, SIDE)
    grey = _plane(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    subject = plain_subject(thumb)
    return Prepared(
        rgb=rgb,
        grey=grey,
        coarse=_square(grey, _COARSE),
        inside=(left / width, top / height, right / width, bottom / height),
        subject=_square(subject.astype(np.float32), SIDE) if subject.any() else None,
        aspect=width / height,
        contrast=float(grey.std()),
    )


def compare(a: NDArray[np.uint8] | Prepared, b: NDArray[np.uint8] | Prepared) -> Comparison:
    """Compare two pictures, given as thumbnails (uint8 RGB, whole and upright) or prepared.

    Pictures without contrast are never the same as anything: their pixel hash decides.
    """
    first = a if isinstance(a, Prepared) else prepare(a)
    second = b if isinstance(b, Prepared) else prepare(b)
    ratio = first.aspect / second.aspect
    if max(ratio, 1 / ratio) > MAX_ASPECT_RATIO:
        return _NOTHING
    if min(first.contrast, second.contrast) < MIN_CONTRAST:
        return _NOTHING
    fit = _best_fit(first, second)
    if fit is not None and _is_same(fit):
        return _comparison(Relation.MIRRORED if fit.mirrored else Relation.SAME, fit)
    colourway = _colourway(first, second)
    if colourway is not None:
        return _comparison(Relation.COLOURWAY, colourway)
    if fit is None:
        return _NOTHING
    if fit.plausible and not fit.mirrored and fit.structure >= REDYED_STRUCTURE:
        return _comparison(Relation.COLOURWAY, fit)
    alike = fit.structure >= SECOND_SHOT_STRUCTURE and fit.colour <= SECOND_SHOT_COLOUR
    return _comparison(Relation.SECOND_SHOT if alike else Relation.DIFFERENT, fit)


def _comparison(relation: Relation, fit: _Fit) -> Comparison:
    distance = float(np.clip(1 - fit.structure, 0, 2))
    return Comparison(relation, distance, fit.structure, fit.residual, fit.colour)


def _is_same(fit: _Fit) -> bool:
    return (
        fit.plausible
        and fit.structure >= SAME_STRUCTURE
        and fit.residual <= SAME_RESIDUAL
        and fit.residual_max <= SAME_RESIDUAL_MAX
        and fit.colour <= SAME_COLOUR
    )


# ---- Registration. -------------------------------------------------------------------------------


def _best_fit(a: Prepared, b: Prepared) -> _Fit | None:
    """Register as it is and flipped, and keep what fits better; None where neither does."""
    starts = [(_start(a, side), flipped, side) for flipped, side in ((False, b), (True, _flip(b)))]
    lead = max(start[0] for start, _, _ in starts)
    best: _Fit | None = None
    for (score, start), flipped, side in sorted(starts, key=lambda entry: -entry[0][0]):
        if score < lead - 0.3:
            continue
        fit = _lay_over(a, side, start, flipped)
        if fit is not None and (best is None or fit.structure > best.structure):
            best = fit
        if best is not None and _is_same(best):
            break
    return best


def _lay_over(a: Prepared, b: Prepared, start: Map, mirrored: bool) -> _Fit | None:
    """Register coarsely, give up where no detail agrees, then finely."""
    matrix = _scaled(start, _COARSE / SIDE)
    structure = _coarse_structure(a, b, matrix)
    if structure < CERTAIN_COARSE_STRUCTURE:
        found = _register(a.coarse, b.coarse, matrix, 20, 5)
        refined = -1.0 if found is None else _coarse_structure(a, b, found)
        if found is not None and refined > structure:
            matrix, structure = found, refined
    if structure < MIN_COARSE_STRUCTURE:
        return None
    fine = _register(a.grey, b.grey, _scaled(matrix, SIDE / _COARSE), 8, 3)
    return None if fine is None else _fit(a, b, fine, mirrored)


def _start(a: Prepared, b: Prepared) -> tuple[float, Map]:
    """Choose the best first guess: nothing moved, borders taken away, or one the other's middle."""
    whole = (0.0, 0.0, 1.0, 1.0)
    guesses = {(x, y) for x in (whole, a.inside) for y in (whole, b.inside)}
    guesses |= {(whole, inset) for inset in _INSETS} | {(inset, whole) for inset in _INSETS}
    scored = []
    for x, y in sorted(guesses):
        start = _box_to_box(x, y)
        moved = _warp(b.coarse, _scaled(start, _COARSE / SIDE))
        scored.append((_correlation(a.coarse, moved), start))
    return max(scored, key=lambda entry: entry[0])


def _register(a: Plane, b: Plane, start: Map, steps: int, blur: int) -> Map | None:
    """Refine a map from a's to b's coordinates; None where it does not converge."""
    criteria = (_CRITERIA, steps, 2e-4)
    everywhere = np.ones(a.shape, np.uint8)
    try:
        _, found = cv2.findTransformECC(
            a, b, start.copy(), cv2.MOTION_AFFINE, criteria, everywhere, blur
        )
    except cv2.error:
        return None
    return _plane(found)


def _coarse_structure(a: Prepared, b: Prepared, matrix: Map) -> float:
    edge = 3  # px; a border or what came in from outside lies there
    moved = _warp(b.coarse, matrix)
    inner = slice(edge, -edge), slice(edge, -edge)
    return _correlation(_detail(a.coarse, 1.25)[inner], _detail(moved, 1.25)[inner])


def _fit(
    a: Prepared, b: Prepared, matrix: Map, mirrored: bool, enough: float = SECOND_SHOT_STRUCTURE
) -> _Fit | None:
    """Measure what differs where both pictures are seen, borders left out.

    Below a structure of `enough` the rest is not measured.
    """
    mask = _seen_by_both(a, b, matrix)
    if mask.mean() < 0.3:
        return None
    grey = _warp(b.grey, matrix)
    structure = _correlation(_detail(a.grey)[mask], _detail(grey)[mask])
    if structure < enough:
        return _Fit(mirrored, structure, 255.0, 255.0, 255.0, plausible=False)
    x, y = a.grey[mask], grey[mask]
    middle_x, middle_y = float(x.mean()), float(y.mean())
    gain = float(((x - middle_x) * (y - middle_y)).mean() / (y.var() + 1e-3))
    residual = (a.grey - gain * grey - (middle_x - gain * middle_y)) * mask
    # A small subject before much background must not drown in what is alike anyway.
    looked_at = mask if a.subject is None else mask & (a.subject > 0.5)
    looked_at = looked_at if looked_at.sum() >= MIN_LOOKED_AT else mask
    local = np.abs(_plane(cv2.blur(residual, (7, 7))))
    moved = _warp(b.rgb, matrix)
    difference = (_chroma(a.rgb) - gain * _chroma(moved)) * mask[..., None]
    colours = np.abs(_plane(cv2.blur(difference, (7, 7)))[looked_at]).max(axis=1)
    return _Fit(
        mirrored=mirrored,
        structure=structure,
        residual=_percentile95(local[looked_at]),
        residual_max=float(local[mask].max()),
        colour=_percentile95(colours),
        plausible=_plausible(matrix) and GAIN_RANGE[0] <= gain <= GAIN_RANGE[1],
    )


def _seen_by_both(a: Prepared, b: Prepared, matrix: Map) -> NDArray[np.bool_]:
    u = matrix[0, 0] * _COLUMNS + matrix[0, 1] * _ROWS + matrix[0, 2]
    v = matrix[1, 0] * _COLUMNS + matrix[1, 1] * _ROWS + matrix[1, 2]
    seen = _inside(_COLUMNS, _ROWS, a.inside) & _inside(u, v, b.inside)
    return seen


def _inside(x: Plane, y: Plane, box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Two px away from the edge of a box, where interpolation and ringing end."""
    left, top, right, bottom = (share * SIDE for share in box)
    inside: NDArray[np.bool_] = (
        (x >= left + 2) & (x <= right - 3) & (y >= top + 2) & (y <= bottom - 3)
    )
    return inside


def _plausible(matrix: Map) -> bool:
    """Tell whether a map is a scale and a shift, and most of both pictures overlaps."""
    scales = matrix[0, 0], matrix[1, 1]
    overlap_a, overlap_b = 1.0, 1.0
    for axis, scale in enumerate(scales):
        low, high = sorted((-matrix[axis, 2] / scale, (SIDE - matrix[axis, 2]) / scale))
        shared = max(0.0, min(SIDE, high) - max(0.0, low))
        overlap_a *= shared / SIDE
        overlap_b *= shared * abs(scale) / SIDE
    return bool(
        max(abs(matrix[0, 1]), abs(matrix[1, 0])) <= MAX_SHEAR
        and all(SCALE_RANGE[0] <= scale <= SCALE_RANGE[1] for scale in scales)
        and min(overlap_a, overlap_b) >= MIN_OVERLAP
    )


# ---- Colourways. ---------------------------------------------------------------------------------


def _colourway(a: Prepared, b: Prepared) -> _Fit | None:
    """Lay silhouette over silhouette: the same outline and folds in other colours, or None."""
    if a.subject is None or b.subject is None:
        return None
    start = _box_to_box(_box(a.subject), _box(b.subject))
    if _overlap(a.subject, _warp(b.subject, start)) < COLOURWAY_OVERLAP:
        return None
    fit = _fit(a, b, start, False, enough=-1.0)
    if fit is None or not _plausible(start):
        return None
    moved = _warp(b.rgb, start)
    both = (a.subject > 0.9) & (_warp(b.subject, start) > 0.9)
    structure = _structure(a.grey, _plane(cv2.cvtColor(moved, cv2.COLOR_RGB2GRAY)), both)
    if structure < COLOURWAY_STRUCTURE:
        return None
    difference = float(np.abs(a.rgb[both].mean(axis=0) - moved[both].mean(axis=0)).max())
    if max(difference, fit.colour) < SAME_COLOUR:
        return None
    return _Fit(False, structure, fit.residual, fit.residual_max, fit.colour, True)


def _structure(a: Plane, b: Plane, mask: NDArray[np.bool_]) -> float:
    """Correlate detail field by field, whatever its sign: another dye may turn light to dark."""
    x, y = _detail(a) * mask, _detail(b) * mask
    size = (SIDE // 8, SIDE // 8)

    def fields(values: Plane) -> Plane:
        return _plane(cv2.resize(values, size, interpolation=cv2.INTER_AREA))

    together = np.abs(fields(x * y)).sum()
    return float(together / (np.sqrt(fields(x * x) * fields(y * y)).sum() + 1e-3))


def _overlap(a: Plane, b: Plane) -> float:
    union = float(np.maximum(a, b).sum())
    return float(np.minimum(a, b).sum()) / union if union else 0.0


def _box(subject: Plane) -> tuple[float, float, float, float]:
    """Box of a mask with soft edges, shares of the sides, to parts of a px."""
    across, down = subject.max(axis=0), subject.max(axis=1)
    xs, ys = np.flatnonzero(across > 0.5), np.flatnonzero(down > 0.5)
    if not len(xs) or not len(ys):
        return 0.0, 0.0, 1.0, 1.0
    return xs[0] / SIDE, ys[0] / SIDE, (xs[-1] + 1) / SIDE, (ys[-1] + 1) / SIDE


# ---- Small parts. --------------------------------------------------------------------------------


def _plane(values: object) -> Plane:
    return np.asarray(values, np.float32)


def _square(image: NDArray[np.uint8] | Plane, side: int) -> Plane:
    return _plane(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))


def _flip(picture: Prepared) -> Prepared:
    left, top, right, bottom = picture.inside
    subject = picture.subject
    return Prepared(
        rgb=_plane(cv2.flip(picture.rgb, 1)),
        grey=_plane(cv2.flip(picture.grey, 1)),
        coarse=_plane(cv2.flip(picture.coarse, 1)),
        inside=(1 - right, top, 1 - left, bottom),
        subject=None if subject is None else _plane(cv2.flip(subject, 1)),
        aspect=picture.aspect,
        contrast=picture.contrast,
    )


def _box_to_box(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> Map:
    """Map that carries box a to box b, both shares of the sides, in px of SIDE."""
    x, y = (b[2] - b[0]) / (a[2] - a[0]), (b[3] - b[1]) / (a[3] - a[1])
    return np.array(
        [[x, 0, (b[0] - a[0] * x) * SIDE], [0, y, (b[1] - a[1] * y) * SIDE]], np.float32
    )


def _scaled(matrix: Map, factor: float) -> Map:
    scaled = matrix.copy()
    scaled[:, 2] *= factor
    return scaled


def _warp(image: Plane, matrix: Map) -> Plane:
    size = (image.shape[1], image.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return _plane(cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _correlation(a: Plane, b: Plane) -> float:
    x, y = a - a.mean(), b - b.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum() + 1e-6))


def _detail(grey: Plane, sigma: float = 2.5) -> Plane:
    return grey - _plane(cv2.GaussianBlur(grey, (0, 0), sigma))


def _chroma(rgb: Plane) -> Plane:
    return rgb[..., ::2] - rgb[..., 1:2]


def _percentile95(values: Plane) -> float:
    place = int(0.95 * (len(values) - 1))
    return float(np.partition(values, place)[place])
