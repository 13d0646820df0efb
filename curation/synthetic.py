"""Product pictures drawn by code, and planted defects with known answers, for the demo."""

from __future__ import annotations

import colorsys
import csv
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from data_catalog.schema import Reason

RGB = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
Colour = tuple[float, float, float]  # r, g, b, 0 to 255
Rng = np.random.Generator

SIZE: Final = (800, 600)  # height, width, px
_FRACTION = 4  # bits after the point that OpenCV draws with


# --- geometry -----------------------------------------------------------------------------------
# Shapes are drawn in a space of their own, x to the right, y down, about −1 to 1; the picture
# they are put into decides on their size.


@dataclass(frozen=True, slots=True)
class _Part:
    """One closed outline, or with `stroke` an open line of that width."""

    points: Points
    paint: str  # main, second, accent, dark, light
    stroke: float = 0.0
    patterned: bool = False
    volume: float = 0.25  # how much darker the rim is than the middle


def _points(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, np.float64)


def _both(*right: tuple[float, float]) -> Points:
    """Mirror the right half of an outline, given from top to bottom."""
    half = _points(*right)
    return np.concatenate([half, half[::-1] * (-1, 1)])


def _smooth(points: Points, closed: bool = True, steps: int = 12) -> Points:
    """Round a polygon off: the Catmull-Rom spline through its corners."""
    if closed:
        before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
        ends, over = np.roll(points, -1, 0), np.roll(points, -2, 0)
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
        before, points, ends, over = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
        after = ends
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (before, points, ends if closed else after, over))
    curve = p1 + 0.5 * t * (
        p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
    )
    return np.asarray(curve.reshape(-1, 2))


def _oval(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> Points:
    angles = np.radians(np.linspace(start, stop, 64))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1)


def _print(rng: Rng, y: float, size: float) -> list[_Part]:
    """Draw what is printed on the front: a disc, a star, bars, a ring, a mountain, or nothing."""
    motif = int(rng.integers(7))
    if motif == 0:
        return [_Part(_oval(0, y, size, size), "accent", volume=0)]
    if motif == 1:
        spikes = int(rng.integers(4, 9))
        radius = np.tile([size * 1.15, size * rng.uniform(0.35, 0.65)], spikes)
        angles = np.linspace(0, 2 * np.pi, 2 * spikes, endpoint=False) - np.pi / 2
        star = np.stack([radius * np.cos(angles), y + radius * np.sin(angles)], 1)
        return [_Part(star, "accent", volume=0)]
    if motif == 2:
        rows = np.linspace(-size, size, int(rng.integers(2, 5)))
        half = size * 1.2
        return [_Part(_points((-half, y + r), (half, y + r)), "accent", 0.3 * size) for r in rows]
    if motif == 3:
        ring = _Part(_oval(0, y, size, size), "accent", 0.3 * size)
        return [ring, _Part(_oval(0, y, 0.35 * size, 0.35 * size), "second", volume=0)]
    if motif == 4:
        peaks = rng.uniform(-1, 0.4, 5) * size + y
        xs = np.linspace(-1.1, 1.1, 5) * size
        base = y + 0.8 * size
        ridge = np.concatenate([np.stack([xs, peaks], 1), _points((xs[-1], base), (xs[0], base))])
        return [_Part(ridge, "accent", volume=0)]
    return []


def _shirt(rng: Rng) -> list[_Part]:
    chest, hem = rng.uniform(0.46, 0.62), rng.uniform(0.44, 0.72)
    long = rng.uniform(0.75, 1.1)
    neck, drop = rng.uniform(0.16, 0.3), rng.uniform(0.1, 0.42)
    sleeve = rng.uniform(-0.45, 0.75)  # y of the cuff
    cuff = rng.uniform(0.14, 0.26)
    out = rng.uniform(0.82, 1.1) - 0.15 * max(sleeve, 0)
    body = _both(
        (neck, -0.86), (chest + 0.12, -0.76), (out, sleeve),
        (out - cuff * 1.2, sleeve + cuff * 0.5), (chest, -0.3), (hem, long), (0, long + 0.04),
    )  # fmt: skip
    collar = _oval(0, -0.87, neck, drop, 0, 180)
    collar = (
        collar if rng.random() < 0.6 else _points((neck, -0.87), (0, drop - 0.87), (-neck, -0.87))
    )
    parts = [_Part(body, "main", patterned=True), _Part(collar, "dark", volume=0)]
    parts.append(_Part(collar, "second", 0.06))
    if rng.random() < 0.3:
        parts.append(_Part(_points((0, drop - 0.86), (0, long)), "second", 0.03))
        dots = np.linspace(drop - 0.7, long - 0.1, 6)
        return parts + [_Part(_oval(0.0, y, 0.03, 0.03), "light") for y in dots]
    return parts + _print(rng, rng.uniform(-0.15, 0.2), rng.uniform(0.16, 0.34))


def _dress(rng: Rng) -> list[_Part]:
    bust, waist = rng.uniform(0.3, 0.42), rng.uniform(0.2, 0.32)
    at = rng.uniform(-0.4, 0.0)
    hem, long = rng.uniform(0.3, 1.0), rng.uniform(0.55, 1.5)
    strap, deep = rng.uniform(0.16, 0.26), rng.uniform(0.1, 0.3)
    skirt = _both(
        (waist, at),
        (0.55 * waist + 0.5 * hem, 0.4 * at + 0.5 * long),
        (hem, long),
        (0, long + 0.07),
    )
    top = _both((strap, -1.0), (strap + 0.08, -1.0), (bust, -0.62), (waist, at + 0.03))
    top = np.concatenate([top, _points((-strap, -1.0), (0, -1.0 + deep * 2), (strap, -1.0))])
    parts = [_Part(top, "main", patterned=True), _Part(_tidy(skirt, rng), "main", patterned=True)]
    if rng.random() < 0.5:
        cuff = rng.uniform(-0.55, 0.2)
        for side in (1, -1):
            arm = _points(
                (strap + 0.04, -0.99), (bust + 0.2, -0.75), (bust + 0.3, cuff),
                (bust + 0.12, cuff + 0.03), (bust, -0.6),
            )  # fmt: skip
            parts.insert(0, _Part(arm * (side, 1), "main", patterned=True))
    if rng.random() < 0.6:
        parts.append(_Part(_points((-waist, at), (waist, at)), "accent", rng.uniform(0.06, 0.14)))
    for _ in range(int(rng.integers(0, 4))):
        x = rng.uniform(-0.8, 0.8)
        fold = _points((x * waist, at + 0.12), (x * hem, long - 0.05))
        parts.append(_Part(fold, "dark", 0.012, volume=0))
    return parts


def _tidy(outline: Points, rng: Rng) -> Points:
    """Round some outlines off and leave others with corners."""
    return _smooth(outline) if rng.random() < 0.5 else outline


def _trousers(rng: Rng) -> list[_Part]:
    waist, hip = rng.uniform(0.32, 0.44), rng.uniform(0.42, 0.56)
    long = rng.choice([rng.uniform(-0.1, 0.25), rng.uniform(0.9, 1.4)])
    leg, foot = rng.uniform(0.16, 0.36), rng.uniform(0.02, 0.4)
    crotch, spread = rng.uniform(-0.4, -0.2), rng.uniform(0.08, 0.3)
    foot = spread + foot * 0.5
    outline = _both(
        (waist, -1.0), (hip, -0.55), (foot + leg * 0.8, long),
        (max(foot - leg * 0.6, 0.03), long + 0.02), (0.02, crotch),
    )  # fmt: skip
    parts = [_Part(outline, "main", patterned=True)]
    parts.append(_Part(_points((-waist, -0.96), (waist, -0.96)), "second", 0.1))
    parts.append(_Part(_points((0, -0.9), (0, crotch)), "dark", 0.02, volume=0))
    for side in (1, -1):
        pocket = _points((side * 0.14, -0.86), (side * hip * 0.9, -0.6))
        parts.append(_Part(pocket, "dark", 0.02, volume=0))
    if rng.random() < 0.5:
        for side in (1, -1):
            seam = _points((side * hip * 0.93, -0.5), (side * (foot + leg * 0.74), long - 0.02))
            parts.append(_Part(seam, "accent", rng.uniform(0.03, 0.09)))
    return parts


def _sneaker(rng: Rng) -> list[_Part]:
    ankle, toe = rng.uniform(-0.85, -0.2), rng.uniform(-0.1, 0.16)
    thick, heel = rng.uniform(0.1, 0.26), rng.uniform(-0.02, 0.12)
    throat, open_ = rng.uniform(-0.25, 0.1), rng.uniform(-0.5, -0.35)
    upper = _points(
        (-0.95, 0.32), (-0.98, -0.1), (-0.9, ankle), (open_, ankle + 0.06), (throat, -0.08),
        (0.5, toe), (0.93, 0.16), (1.0, 0.32), (0.0, 0.36),
    )  # fmt: skip
    sole = _points(
        (-1.02, 0.28), (0.0, 0.34), (0.98, 0.28), (1.08, 0.34), (0.95, 0.34 + thick),
        (0.2, 0.35 + thick), (-0.9, 0.36 + thick + heel), (-1.04, 0.36 + thick * 0.6),
    )  # fmt: skip
    cap = _smooth(_points((0.62, 0.34), (0.66, 0.12), (0.9, 0.14), (1.0, 0.3)))
    counter = _smooth(_points((-0.96, 0.32), (-0.98, -0.15), (-0.7, -0.12), (-0.55, 0.33)))
    parts = [
        _Part(_smooth(upper), "main", patterned=True, volume=0.35), _Part(counter, "second"),
        _Part(cap, "second"), _Part(_smooth(sole), "light", volume=0.2),
    ]  # fmt: skip
    swoosh = rng.integers(4)
    if swoosh == 0:
        for x in np.linspace(-0.3, 0.1, 3):
            parts.append(_Part(_points((x, 0.28), (x + 0.22, -0.12)), "accent", 0.09))
    elif swoosh == 1:
        curve = _smooth(_points((-0.6, -0.05), (-0.3, 0.22), (0.45, 0.0)), closed=False)
        parts.append(_Part(curve, "accent", 0.11))
    elif swoosh == 2:
        parts.append(_Part(_oval(-0.15, 0.08, 0.17, 0.17), "accent"))
    for k in range(int(rng.integers(3, 7))):
        x = throat - 0.12 + 0.13 * k
        y = -0.1 + (x - throat) * 0.3 + (toe + 0.08) * max(0, x - throat)
        parts.append(_Part(_points((x - 0.04, y + 0.14), (x + 0.07, y)), "light", 0.045))
    if rng.random() < 0.5:
        parts.append(_Part(_points((-1.0, 0.43), (1.0, 0.4)), "accent", 0.03))
    return parts


def _bag(rng: Rng) -> list[_Part]:
    top, bottom = rng.uniform(0.45, 0.95), rng.uniform(0.55, 1.0)
    tall, arc = rng.uniform(0.5, 1.1), rng.uniform(0.3, 0.95)
    body = _both((top, -0.25), (bottom, tall - 0.1), (bottom - 0.08, tall), (0, tall))
    body = _smooth(body, steps=6) if rng.random() < 0.4 else body
    grip = rng.uniform(0.25, 0.9) * top
    parts = [_Part(_oval(0, -0.25, grip, arc, 180, 360), "dark", rng.uniform(0.05, 0.13))]
    parts.append(_Part(body, "main", patterned=True, volume=0.3))
    style = rng.integers(3)
    if style == 0:
        flap = _both((top, -0.25), (top * 0.98, 0.05), (0, rng.uniform(0.15, 0.5)))
        parts.append(_Part(_tidy(flap, rng), "second"))
        parts.append(_Part(_oval(0, 0.2, 0.08, 0.08), "accent"))
    elif style == 1:
        for x in (-0.5 * top, 0.5 * top):
            parts.append(_Part(_points((x, -0.25), (x * 1.1, tall)), "second", 0.1))
        parts += _print(rng, 0.3 * tall, 0.2)
    else:
        pocket = _both((top * 0.6, 0.15), (top * 0.62, tall - 0.12), (0, tall - 0.12))
        parts += [
            _Part(pocket, "second"),
            _Part(_points((-0.6 * top, 0.15), (0.6 * top, 0.15)), "accent", 0.05),
        ]
        parts.append(_Part(_points((-top, -0.18), (top, -0.18)), "dark", 0.03))
    return parts


def _mug(rng: Rng) -> list[_Part]:
    top, bottom = rng.uniform(0.45, 0.7), rng.uniform(0.32, 0.68)
    tall, lip = rng.uniform(0.45, 0.95), rng.uniform(0.06, 0.16)
    wide, high = rng.uniform(0.24, 0.42), rng.uniform(0.3, 0.6) * tall
    belly = (top + bottom) / 2 + rng.uniform(-0.04, 0.16)
    body = _both((top, -tall), (belly, 0), (bottom, tall - 0.06), (bottom * 0.6, tall))
    handle = _oval(belly - 0.04, rng.uniform(-0.15, 0.1), wide, high, -90, 90)
    rim = _oval(0, -tall, top, lip)
    parts = [
        _Part(handle, "main", rng.uniform(0.1, 0.18)),
        _Part(_tidy(body, rng), "main", patterned=True, volume=0.4), _Part(rim, "light"),
        _Part(_oval(0, -tall + 0.02, top * 0.88, lip * 0.75), rng.choice(["dark", "accent"])),
    ]  # fmt: skip
    return parts + _print(rng, rng.uniform(-0.05, 0.2), rng.uniform(0.14, 0.28))


def _lamp(rng: Rng) -> list[_Part]:
    top, low = rng.uniform(0.12, 0.6), rng.uniform(0.5, 0.95)
    start, end = -1.2, rng.uniform(-0.6, 0.1)
    foot, base = rng.uniform(0.25, 0.6), rng.uniform(0.7, 1.4)
    lean = rng.choice([0.0, rng.uniform(-0.3, 0.3)])
    stem = _smooth(_points((0, end - 0.1), (lean, (end + base) / 2), (0, base)), closed=False)
    parts = [_Part(stem, rng.choice(["dark", "accent"]), rng.uniform(0.04, 0.14))]
    if not lean and rng.random() < 0.7:
        for y in np.linspace(end + 0.2, base - 0.2, int(rng.integers(1, 4))):
            parts.append(_Part(_oval(0, y, rng.uniform(0.1, 0.26), 0.13), "second", volume=0.4))
    parts.append(_Part(_oval(0, base, foot, rng.uniform(0.07, 0.16)), "dark"))
    shade = _both((top, start), (low, end), (0, end + 0.05))
    if rng.random() < 0.35:
        shade = _oval(0, end, low, end - start, 180, 360)
    parts.append(_Part(shade, "main", patterned=True, volume=0.3))
    trim = _points((-low, end - 0.02), (low, end - 0.02))
    return [*parts, _Part(trim, "accent", 0.05)]


def _vase(rng: Rng) -> list[_Part]:
    tall = rng.uniform(0.7, 1.3)
    heights = np.linspace(-tall, tall, 6)
    radii = rng.uniform(0.16, 0.78, 6)
    radii[-1] = max(radii[-1] * 0.8, 0.22)
    right = _smooth(np.stack([radii, heights], 1), closed=False)
    outline = np.concatenate([right, right[::-1] * (-1, 1)])
    parts: list[_Part] = []
    for _ in range(int(rng.integers(0, 6))):
        tip = _points((rng.uniform(-0.7, 0.7), -tall - rng.uniform(0.3, 0.9)))
        stalk = _smooth(
            np.concatenate([_points((0, -tall + 0.1)), tip * (0.4, 1.0), tip]), closed=False
        )
        parts.append(_Part(stalk, "dark", 0.025))
        bloom = rng.uniform(0.08, 0.17)
        parts.append(
            _Part(
                _oval(float(tip[0, 0]), float(tip[0, 1]), bloom, bloom),
                rng.choice(["accent", "second"]),
            )
        )
    parts.append(_Part(outline, "main", patterned=True, volume=0.45))
    for y in rng.uniform(-0.7, 0.7, int(rng.integers(0, 3))):
        r = float(np.interp(y * tall, right[:, 1], right[:, 0]))
        parts.append(_Part(_oval(0, y * tall, r, 0.04, 0, 180), "accent", 0.05))
    return parts


def _hat(rng: Rng) -> list[_Part]:
    crown, high = rng.uniform(0.5, 0.75), rng.uniform(0.5, 1.0)
    if rng.random() < 0.5:  # a cap, seen from the side
        peak, dip = rng.uniform(0.35, 0.8), rng.uniform(0.02, 0.25)
        dome = _oval(0, 0.2, crown, high, 180, 360)
        bill = _smooth(
            _points(
                (0.1, 0.16), (crown + peak * 0.6, 0.18), (crown + peak, 0.26 + dip), (0.3, 0.32)
            )
        )
        panel = _smooth(_points((0, 0.2), (-0.12, 0.2 - 0.6 * high), (0, 0.2 - high)), closed=False)
        return [
            _Part(dome, "main", patterned=True, volume=0.4), _Part(bill, "second"),
            _Part(panel, "dark", 0.015, volume=0),
            _Part(_oval(0, 0.2 - high, 0.06, 0.05), "accent"),
            *_print(rng, 0.2 - 0.45 * high, 0.15),
        ]  # fmt: skip
    brim, droop = rng.uniform(0.9, 1.25), rng.uniform(0.1, 0.3)
    pinch = rng.uniform(0.6, 1.0) * crown
    dome = _both(
        (0, 0.2 - high), (pinch * 0.7, 0.18 - high), (pinch, 0.35 - high), (crown, 0.25), (0, 0.3)
    )
    return [
        _Part(_oval(0, 0.25, brim, droop), "main", patterned=True, volume=0.3),
        _Part(_tidy(dome, rng), "main", patterned=True, volume=0.4),
        _Part(_oval(0, 0.14, crown * 0.98, 0.1, 0, 180), "accent", rng.uniform(0.08, 0.2)),
    ]


def _chair(rng: Rng) -> list[_Part]:
    wide, back = rng.uniform(0.42, 0.68), rng.uniform(-1.3, -0.6)
    seat, depth = rng.uniform(-0.1, 0.25), rng.uniform(0.12, 0.34)
    splay, leg = rng.uniform(0.0, 0.3), rng.uniform(0.05, 0.11)
    floor = seat + rng.uniform(0.7, 1.15)
    parts = []
    for side in (1, -1):
        for share, end in ((0.7, floor - 0.2), (1.0, floor)):
            at = side * wide * share
            parts.append(_Part(_points((at, seat), (at + side * splay, end)), "dark", leg))
    style = rng.integers(3)
    if style == 0:
        frame = _both((wide * 0.92, back), (wide, seat), (0, seat))
        parts.append(_Part(_tidy(frame, rng), "main", patterned=True))
    elif style == 1:
        for x in np.linspace(-wide * 0.9, wide * 0.9, int(rng.integers(4, 8))):
            parts.append(_Part(_points((x, back), (x, seat)), "dark", 0.05))
        parts.append(_Part(_points((-wide, back), (wide, back)), "main", 0.16))
    else:
        parts.append(_Part(_oval(0, (back + seat) / 2, wide, (seat - back) / 2), "main", 0.0, True))
    cushion = _both(
        (wide * 0.95, seat - depth / 2), (wide + 0.08, seat + depth / 2), (0, seat + depth / 2)
    )
    parts.append(_Part(_tidy(cushion, rng), "second", volume=0.3))
    if rng.random() < 0.4:
        for s in (1, -1):
            arm = _points(
                (s * wide, seat - 0.35), (s * (wide + 0.14), seat - 0.33), (s * (wide + 0.1), seat)
            )
            parts.append(_Part(arm, "accent", 0.07))
    return parts


def _umbrella(rng: Rng) -> list[_Part]:
    wide, high = rng.uniform(0.8, 1.1), rng.uniform(0.45, 0.95)
    ribs, sag = int(rng.integers(3, 8)), rng.uniform(0.05, 0.2)
    long, hook = rng.uniform(0.7, 1.25), rng.uniform(0.1, 0.22)
    xs = np.linspace(wide, -wide, ribs * 8 + 1)
    scallop = -sag * np.abs(np.sin(np.linspace(0, ribs * np.pi, xs.size)))
    dome = np.concatenate([_oval(0, 0, wide, high, 180, 360), np.stack([xs, scallop], 1)])
    stick = np.concatenate([_points((0, -high), (0, long)), _oval(hook, long, hook, hook, 180, 20)])
    parts = [_Part(stick, "dark", 0.06), _Part(dome, "main", patterned=True, volume=0.3)]
    for x in np.linspace(-wide, wide, ribs + 1)[1:-1]:
        rib = _smooth(_points((0, -high), (x * 0.8, -high * 0.55), (x, 0)), closed=False)
        parts.append(_Part(rib, "second", 0.02, volume=0))
    return [*parts, _Part(_points((0, -high - 0.12), (0, -high)), "accent", 0.06)]


def _watch(rng: Rng) -> list[_Part]:
    face, strap = rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.36)
    long = rng.uniform(0.95, 1.3)
    taper = strap * rng.uniform(0.6, 1.0)
    band = _both((taper, -long), (strap, -face * 0.7), (strap, face * 0.7), (taper, long))
    square = rng.random() < 0.4
    case = _both((face, -face), (face, face)) if square else _oval(0, 0, face, face)
    parts = [_Part(band, "main", patterned=True, volume=0.35), _Part(case, "second", volume=0.4)]
    parts.append(_Part(case * 0.84, rng.choice(["light", "dark", "accent"]), volume=0.1))
    ticks = "main" if parts[-1].paint != "main" else "second"
    count = int(rng.choice([4, 6, 12]))
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        ray = _points((np.sin(angle), -np.cos(angle))) * face
        parts.append(_Part(np.concatenate([ray * 0.66, ray * 0.76]), ticks, 0.035))
    for reach in (0.36, 0.58):
        angle = rng.uniform(0, 2 * np.pi)
        hand = _points((0, 0), (np.sin(angle) * reach * face, -np.cos(angle) * reach * face))
        parts.append(_Part(hand, ticks, 0.05))
    return [*parts, _Part(_oval(face + 0.05, 0, 0.05, 0.07), "second")]


KINDS: Final[Mapping[str, Callable[[Rng], list[_Part]]]] = {
    "shirt": _shirt,
    "dress": _dress,
    "trousers": _trousers,
    "sneaker": _sneaker,
    "bag": _bag,
    "mug": _mug,
    "lamp": _lamp,
    "vase": _vase,
    "hat": _hat,
    "chair": _chair,
    "umbrella": _umbrella,
    "watch": _watch,
}

# What no mirror image can be laid over.
_LOPSIDED: Final = ("sneaker", "mug")


# --- paint --------------------------------------------------------------------------------------


@cache
def _grain() -> npt.NDArray[np.int8]:
    """Sensor noise, drawn once: normal numbers are slow, and nobody sees where a crop came from."""
    return np.random.default_rng(1).normal(0, 2.2, (1400, 1400, 3)).round().astype(np.int8)


@cache
def _clouds() -> npt.NDArray[np.float32]:
    """Soft unevenness, about −1 to 1, as of cloth."""
    field = np.random.default_rng(2).normal(0, 1, (175, 175)).astype(np.float32)
    soft = cv2.GaussianBlur(field, (0, 0), 3.5)
    soft = cv2.resize(soft / np.abs(soft).max(), (1400, 1400), interpolation=cv2.INTER_CUBIC)
    return np.asarray(soft, np.float32)


def _palette(rng: Rng) -> dict[str, Colour]:
    hue = rng.random()
    main = _hsv(hue, rng.uniform(0.25, 0.9), rng.uniform(0.3, 0.88))
    other = hue + rng.choice([0.08, 0.33, 0.5, 0.58])
    return {
        "main": main,
        "second": _hsv(other, rng.uniform(0.15, 0.75), rng.uniform(0.35, 0.9)),
        "accent": _hsv(hue + rng.uniform(0.3, 0.7), rng.uniform(0.6, 0.95), rng.uniform(0.6, 0.95)),
        "dark": _hsv(hue, 0.35, rng.uniform(0.14, 0.28)),
        "light": _hsv(hue, 0.06, rng.uniform(0.86, 0.95)),
    }


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(float(hue) % 1.0, saturation, value)
    return (255 * red, 255 * green, 255 * blue)


@dataclass(frozen=True, slots=True)
class _Weave:
    """A pattern on the cloth: plain, stripes, checks, dots or blotches."""

    kind: str
    period: float  # px
    angle: float

    @classmethod
    def draw(cls, rng: Rng, scale: float) -> _Weave:
        kinds = ["plain", "plain", "stripes", "checks", "dots", "blotches"]
        period = scale * rng.uniform(0.05, 0.16)
        return cls(
            str(rng.choice(kinds)), period, float(rng.choice([0, np.pi / 2, rng.uniform(0, 3)]))
        )

    def weights(self, top: int, left: int, height: int, width: int) -> npt.NDArray[np.float32]:
        """Share of the second colour at each pixel of a window, 0 to 1, shape (height, width)."""
        if self.kind == "plain":
            return np.zeros((height, width), np.float32)
        if self.kind == "blotches":
            size = max(self.period / 60, 0.3)
            tile = cv2.resize(_clouds(), None, fx=size, fy=size)
            rows = np.arange(top, top + height) % tile.shape[0]
            columns = np.arange(left, left + width) % tile.shape[1]
            return np.asarray(np.clip(12 * tile[rows[:, None], columns] - 1.2, 0, 1), np.float32)
        turn = 2 * np.pi / self.period
        across, down = np.float32(turn * np.cos(self.angle)), np.float32(turn * np.sin(self.angle))
        y = np.arange(top, top + height, dtype=np.float32)[:, None]
        x = np.arange(left, left + width, dtype=np.float32)[None, :]
        u = np.sin(across * x + down * y)
        stripes = np.clip(0.5 + 2.5 * u, 0, 1)
        v = np.sin(across * y - down * x)
        if self.kind == "checks":
            stripes = 0.5 * (stripes + np.clip(0.5 + 2.5 * v, 0, 1))
        elif self.kind == "dots":
            stripes = np.clip(4 * u * v - 1.6, 0, 1)
        return np.asarray(stripes, np.float32)


@dataclass(frozen=True, slots=True)
class _Product:
    """A drawn thing that can be painted more than once, in other colours or other places."""

    parts: tuple[_Part, ...]
    weave: _Weave
    turn: float  # radians
    clouds: tuple[int, int]

    @classmethod
    def draw(cls, rng: Rng, kind: str | None = None) -> _Product:
        if kind is not None and kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
        parts = KINDS[kind or str(rng.choice(list(KINDS)))](rng)
        # Some are wide and some are slim, some stand on the left and some on the right foot.
        stretch = (rng.choice([-1.0, 1.0]) * rng.uniform(0.72, 1.28), 1.0)
        turn = rng.normal(0, 0.05) if rng.random() < 0.45 else rng.uniform(-0.55, 0.55)
        return cls(
            tuple(
                _Part(p.points * stretch, p.paint, p.stroke, p.patterned, p.volume) for p in parts
            ),
            _Weave.draw(rng, 400),
            float(turn),
            (int(rng.integers(400)), int(rng.integers(400))),
        )

    def paint(
        self, canvas: RGB, palette: Mapping[str, Colour], fill: float, centre: tuple[float, float]
    ) -> None:
        """Paint onto `canvas` in place, `fill` of its narrower direction, around `centre`."""
        placed, scale = self._placed(canvas.shape, fill, centre)
        silhouette = np.zeros(canvas.shape[:2], np.uint8)
        for part, points in zip(self.parts, placed, strict=True):
            _outline(silhouette, points, part.stroke * scale)
        _cast_shadow(canvas, silhouette, scale)
        for part, points in zip(self.parts, placed, strict=True):
            self._paint_part(canvas, part, points, scale, palette)

    def _placed(
        self, shape: tuple[int, ...], fill: float, centre: tuple[float, float]
    ) -> tuple[list[Points], float]:
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        turned = [p.points @ np.array([[cosine, sine], [-sine, cosine]]) for p in self.parts]
        every = np.concatenate(turned)
        low, high = every.min(0), every.max(0)
        height, width = shape[:2]
        scale = float(fill * min(width / (high[0] - low[0]), height / (high[1] - low[1])))
        middle = np.array([width * centre[0], height * centre[1]])
        return [(p - (low + high) / 2) * scale + middle for p in turned], scale

    def _paint_part(
        self,
        canvas: RGB,
        part: _Part,
        points: Points,
        scale: float,
        palette: Mapping[str, Colour],
    ) -> None:
        height, width = canvas.shape[:2]
        margin = part.stroke * scale / 2 + 2
        left, top = np.clip(np.floor(points.min(0) - margin), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(points.max(0) + margin), 0, (width, height)).astype(int)
        if right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        _outline(mask, points - (left, top), part.stroke * scale)
        light = _volume(mask, part.volume, scale)
        y, x = self.clouds
        cloud = _clouds()[y : y + mask.shape[0], x : x + mask.shape[1]]
        light *= 1 + 0.09 * cv2.resize(cloud, mask.shape[::-1])
        colour = np.array(palette[part.paint], np.float32)
        if part.patterned and self.weave.kind != "plain":
            share = self.weave.weights(top, left, *mask.shape)[..., None]
            colour = colour + share * (np.array(palette["second"], np.float32) - colour)
        else:
            colour = np.broadcast_to(colour, (*mask.shape, 3))
        window = canvas[top:bottom, left:right]
        alpha = (mask.astype(np.float32) / 255)[..., None]
        mixed = window + alpha * (colour * light[..., None] - window)
        window[:] = np.clip(mixed, 0, 255).astype(np.uint8)


def _outline(mask: npt.NDArray[np.uint8], points: Points, stroke: float) -> None:
    fixed = np.round(points * (1 << _FRACTION)).astype(np.int32)
    if stroke:
        thickness = max(1, round(stroke))
        cv2.polylines(mask, [fixed], False, 255, thickness, cv2.LINE_AA, _FRACTION)
    else:
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _FRACTION)


def _volume(mask: npt.NDArray[np.uint8], strength: float, scale: float) -> npt.NDArray[np.float32]:
    """Light from the upper left on something round: the rim is darker, above all on the right."""
    height, width = mask.shape
    across = np.linspace(1.08, 0.9, width, dtype=np.float32)[None, :]
    down = np.linspace(1.03, 0.95, height, dtype=np.float32)[:, None]
    light = across * down
    if strength:
        near = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
        light = light * (1 - strength + strength * np.sqrt(np.minimum(near / (0.22 * scale), 1)))
    return np.asarray(light, np.float32)


def _cast_shadow(canvas: RGB, silhouette: npt.NDArray[np.uint8], scale: float) -> None:
    # Soft things need few pixels.
    small = cv2.resize(silhouette, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(scale * 0.012, 0.8))
    moved = cv2.warpAffine(
        soft, np.array([[1, 0, scale * 0.008], [0, 1, scale * 0.014]]), soft.shape[::-1]
    )
    full = cv2.resize(moved, canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    rows, columns = (np.flatnonzero(full.any(axis)) for axis in (1, 0))
    if not rows.size:
        return
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shade = 255 - (full[box] * np.float32(0.3)).astype(np.uint8)
    canvas[box] = cv2.multiply(canvas[box], cv2.merge([shade] * 3), scale=1 / 255)


def _backdrop(rng: Rng, size: tuple[int, int]) -> RGB:
    """White for most, light grey or tinted for some, with the light falling off downwards."""
    choice = rng.random()
    if choice < 0.6:
        colour: Colour = (255.0, 255.0, 255.0)
    elif choice < 0.85:
        colour = _hsv(rng.random(), 0.03, rng.uniform(0.9, 0.98))
    else:
        colour = _hsv(rng.random(), rng.uniform(0.08, 0.25), rng.uniform(0.8, 0.95))
    fall = np.linspace(1.0, 1.0 if choice < 0.4 else rng.uniform(0.94, 0.99), size[0])
    column = np.clip(fall[:, None, None] * np.array(colour), 0, 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(column, (*size, 3)))


def _finish(rng: Rng, canvas: RGB) -> RGB:
    """Add grain, as a camera does."""
    height, width = canvas.shape[:2]
    grain = _grain()
    top, left = (int(rng.integers(max(1, 1400 - n))) for n in (height, width))
    if height > 1400 or width > 1400:
        grain = np.tile(grain, (height // 1400 + 1, width // 1400 + 1, 1))
    window = np.ascontiguousarray(grain[top : top + height, left : left + width])
    return np.asarray(cv2.add(canvas, window, dtype=cv2.CV_8U), np.uint8)


def draw_product(
    rng: Rng,
    kind: str | None = None,
    size: tuple[int, int] = SIZE,
    *,
    fill: float | None = None,
    centre: tuple[float, float] = (0.5, 0.5),
) -> RGB:
    """Draw a product on a plain, mostly white background.

    Parameters
    ----------
    rng
        Decides on everything else; one state gives one picture.
    kind
        One of `KINDS`; drawn at random if None.
    size
        (height, width) in px.
    fill
        Share of the picture that the product's box takes in its narrower direction; 0.7 to 0.88
        if None. Above 1 it is cut off.
    centre
        Where the middle of the product's box is, as shares of width and height.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8, RGB

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    product = _Product.draw(rng, kind)
    palette = _palette(rng)
    canvas = _backdrop(rng, size)
    product.paint(canvas, palette, rng.uniform(0.7, 0.88) if fill is None else fill, centre)
    return _finish(rng, canvas)


def draw_colourways(
    rng: Rng, count: int, kind: str | None = None, size: tuple[int, int] = SIZE
) -> Iterator[RGB]:
    """Draw one product in `count` colours: same outline, same place, same white background."""
    product = _Product.draw(rng, kind)
    fill = rng.uniform(0.7, 0.85)
    for i in range(count):
        palette = _palette(rng)
        hue = i / count
        palette["main"] = _hsv(hue, rng.uniform(0.55, 0.9), rng.uniform(0.45, 0.9))
        canvas = np.full((*size, 3), 255, np.uint8)
        product.paint(canvas, palette, fill, (0.5, 0.5))
        yield _finish(rng, canvas)


def draw_fabric(rng: Rng, size: tuple[int, int] = SIZE) -> RGB:
    """Draw cloth seen from close by: no subject, the same everywhere."""
    height, width = size
    palette = _palette(rng)
    weave = _Weave(
        str(rng.choice(["stripes", "checks", "dots"])), rng.uniform(28, 75), rng.uniform(0, 3)
    )
    thread = _Weave("checks", rng.uniform(5, 9), rng.uniform(0, 0.3)).weights(0, 0, height, width)
    main = np.array(palette["main"], np.float32)
    # A pattern must be seen: dark on bright cloth, bright on dark.
    second = np.array(palette["light" if main.mean() < 110 else "dark"], np.float32)
    colour = main + weave.weights(0, 0, height, width)[..., None] * (second - main)
    folds = cv2.resize(_clouds()[: height // 3, : width // 3], (width, height))
    light = (0.84 + 0.16 * thread) * (1 + 0.12 * folds)
    return _finish(rng, np.clip(colour * light[..., None], 0, 255).astype(np.uint8))


def draw_clutter(rng: Rng, size: tuple[int, int] = SIZE) -> RGB:
    """Draw a product in front of a room full of things."""
    height, width = size
    canvas = np.empty((height, width, 3), np.uint8)
    floor = int(height * rng.uniform(0.5, 0.75))
    print_ = _Weave(str(rng.choice(["checks", "dots"])), rng.uniform(20, 36), rng.uniform(0, 3))
    wall, ink = (np.array(_hsv(rng.random(), 0.35, v), np.float32) for v in (0.85, 0.5))
    share = print_.weights(0, 0, floor, width)[..., None]
    canvas[:floor] = (wall + share * (ink - wall)).astype(np.uint8)
    boards = _Weave("stripes", rng.uniform(24, 50), rng.uniform(0, 3)).weights(
        0, 0, height - floor, width
    )
    wood = np.array(_hsv(0.08, 0.5, 0.55), np.float32)
    canvas[floor:] = (wood * (0.6 + 0.4 * boards[..., None])).astype(np.uint8)
    for _ in range(22):
        product, palette = _Product.draw(rng), _palette(rng)
        product.paint(canvas, palette, rng.uniform(0.18, 0.4), (rng.random(), rng.random()))
    _Product.draw(rng).paint(canvas, _palette(rng), rng.uniform(0.4, 0.5), (0.5, 0.5))
    return _finish(rng, canvas)


# --- planting -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlantedImage:
    """A file of the demo set and what is known about it."""

    file_name: str
    data: bytes
    defect: Reason | None = None
    of: str | None = None  # file name of the original, for copies and colourways
    how: str = ""  # what was done to it, in words
    link_to: str | None = None  # the file is a symbolic link to this place


def encode(picture: RGB, suffix: str, quality: int = 90) -> bytes:
    """Encode as `.jpg`, `.webp` (of a quality from 0 to 100) or `.png` (always lossless)."""
    options = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }
    if suffix not in options:
        raise ValueError(f"`suffix` must be one of {', '.join(options)}, got {suffix!r}")
    done, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options[suffix])
    assert done
    return data.tobytes()


def _jpeg(picture: RGB, rng: Rng) -> tuple[str, bytes]:
    return ".jpg", encode(picture, ".jpg", int(rng.integers(82, 95)))


def _shrink(picture: RGB, shorter: int) -> RGB:
    share = shorter / min(picture.shape[:2])
    small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _plant_few_bytes(rng: Rng) -> tuple[str, bytes]:
    height, width = 400, 320
    picture = np.full((height, width, 3), np.array(_hsv(rng.random(), 0.15, 0.85), np.uint8))
    ink = _hsv(rng.random(), 0.4, 0.5)
    y = int(rng.integers(90, 190))
    cv2.rectangle(picture, (60, y), (260, y + 130), ink, -1)
    cv2.circle(picture, (160, y + 66), 44, (250, 250, 250), -1)
    cv2.circle(picture, (160, y + 66), 28, ink, -1)
    cv2.putText(picture, "No photo", (70, y + 180), cv2.FONT_HERSHEY_DUPLEX, 1.2, ink, 2)
    return ".jpg", encode(picture, ".jpg", 12)


def _plant_odd_aspect(rng: Rng) -> tuple[str, bytes]:
    size = (int(rng.integers(300, 330)), int(rng.integers(1150, 1500)))
    size = size if rng.random() < 0.5 else size[::-1]
    canvas = _backdrop(rng, size)
    for at in (0.17, 0.5, 0.83):
        centre = (at, 0.5) if size[1] > size[0] else (0.5, at)
        _Product.draw(rng).paint(canvas, _palette(rng), 0.8, centre)
    return _jpeg(_finish(rng, canvas), rng)


def _plant_animated(rng: Rng) -> tuple[str, bytes]:
    suffix = str(rng.choice([".gif", ".webp"]))
    product, palette = _Product.draw(rng), _palette(rng)
    frames = []
    for shift in (-0.03, 0.0, 0.03):
        canvas = np.full((480, 400, 3), 255, np.uint8)
        product.paint(canvas, palette, 0.75, (0.5 + shift, 0.5))
        frames.append(Image.fromarray(canvas))
    buffer = io.BytesIO()
    options = {"method": 0, "quality": 80} if suffix == ".webp" else {}
    kind = suffix[1:].upper()
    frames[0].save(
        buffer, kind, save_all=True, append_images=frames[1:], duration=200, loop=0, **options
    )
    return suffix, buffer.getvalue()


def _plant_monochrome(rng: Rng) -> tuple[str, bytes]:
    grey = cv2.cvtColor(draw_product(rng), cv2.COLOR_RGB2GRAY)
    return _jpeg(np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8), rng)


def _plant_blank(rng: Rng) -> tuple[str, bytes]:
    picture = np.full((*SIZE, 3), np.array(_hsv(rng.random(), 0.08, rng.uniform(0.8, 1)), np.uint8))
    if rng.random() < 0.6:
        at = (int(rng.integers(200, 330)), int(rng.integers(300, 500)))
        word = str(rng.choice(["?", "x", "sold", "soon"]))
        cv2.putText(picture, word, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (150, 150, 160), 2)
    # Too little grain to be a picture, enough that no two placeholders are the same file.
    picture[: int(rng.integers(2, 9)), :, 2] -= 3
    return _jpeg(picture, rng)


def _plant_blurred(rng: Rng) -> tuple[str, bytes]:
    sharp = draw_product(rng, fill=0.8)
    # So much that it still shows where the picture is made as small as 48×64.
    return _jpeg(np.asarray(cv2.GaussianBlur(sharp, (0, 0), rng.uniform(16, 19)), np.uint8), rng)


def _plant_off_centre(rng: Rng) -> tuple[str, bytes]:
    centre = (float(rng.choice([0.22, 0.78])), float(rng.choice([0.24, 0.76])))
    return _jpeg(draw_product(rng, fill=0.36, centre=centre), rng)


def _plant_cut_off(rng: Rng) -> tuple[str, bytes]:
    # Things about as wide as they are tall leave by several edges, and background is left to see.
    kind = str(rng.choice(["shirt", "dress", "bag", "mug", "chair"]))
    centre = (float(rng.uniform(0.35, 0.65)), float(rng.choice([0.3, 0.7])))
    return _jpeg(draw_product(rng, kind, fill=rng.uniform(1.15, 1.4), centre=centre), rng)


def _plant_not_an_image(rng: Rng) -> tuple[str, bytes]:
    number = int(rng.integers(10_000, 99_999))
    page = f"<!DOCTYPE html><html><body><h1>404</h1><p>Item {number} is gone.</p></body></html>"
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
        f'<circle cx="4" cy="4" r="3" fill="#{number}a"/></svg>'
    )
    forms = [(".jpg", page), (".svg", drawing), (".png", f"rate limited, try again ({number})\n")]
    suffix, text = forms[int(rng.integers(3))]
    return suffix, text.encode()


def _plant_corrupt(rng: Rng) -> tuple[str, bytes]:
    suffix = str(rng.choice([".jpg", ".png"]))
    data = encode(draw_product(rng, size=(400, 300)), suffix)
    return suffix, data[: int(len(data) * rng.uniform(0.3, 0.7))]


def _plant_too_many_pixels(rng: Rng) -> tuple[str, bytes]:
    """Make a PNG of a few bytes whose header promises gigapixels."""
    width, height = (int(n) for n in rng.integers(30_000, 60_000, 2))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1 << 16))), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return ".png", b"\x89PNG\r\n\x1a\n" + body


_DRAWN: Final[Mapping[Reason, Callable[[Rng], tuple[str, bytes]]]] = {
    Reason.TOO_SMALL: lambda r: _jpeg(_shrink(draw_product(r), int(r.integers(190, 260))), r),
    Reason.TOO_FEW_BYTES: _plant_few_bytes,
    Reason.UPSCALED: lambda r: _jpeg(_shrink(draw_product(r), int(r.integers(110, 170))), r),
    Reason.ODD_ASPECT: _plant_odd_aspect,
    Reason.ANIMATED: _plant_animated,
    Reason.MONOCHROME: _plant_monochrome,
    Reason.BLANK: _plant_blank,
    Reason.PATTERN: lambda r: _jpeg(draw_fabric(r), r),
    Reason.BUSY_BACKGROUND: lambda r: _jpeg(draw_clutter(r), r),
    Reason.OFF_CENTRE: _plant_off_centre,
    Reason.CUT_OFF: _plant_cut_off,
    Reason.TINY_SUBJECT: lambda r: _jpeg(draw_product(r, fill=r.uniform(0.07, 0.11)), r),
    Reason.BLURRED: _plant_blurred,
    Reason.EMPTY_FILE: lambda _: (".jpg", b""),
    Reason.NOT_AN_IMAGE: _plant_not_an_image,
    Reason.CORRUPT: _plant_corrupt,
    Reason.TOO_MANY_PIXELS: _plant_too_many_pixels,
}

# Reasons that `plant` can give a picture of its own, and those that need an original.
PLANTABLE: Final = (*_DRAWN, Reason.LINK_OUTSIDE)
COPYABLE: Final = (Reason.PIXEL_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.MIRRORED_COPY)


def plant(rng: Rng, defect: Reason, name: str) -> PlantedImage:
    """Draw a new picture, or make a file, that has one defect.

    Parameters
    ----------
    rng
        Source of everything that varies.
    defect
        One of `PLANTABLE`.
    name
        File name without its suffix.

    Raises
    ------
    ValueError
        If the defect is not one of `PLANTABLE`; copies are made by `plant_copy`.
    """
    if defect is Reason.LINK_OUTSIDE:
        # So many steps up that it ends at the root wherever the set is.
        return PlantedImage(f"{name}.jpg", b"", defect, link_to="../" * 40 + "etc/passwd")
    if defect not in _DRAWN:
        raise ValueError(f"`defect` must be one of {', '.join(PLANTABLE)}, got {defect}")
    suffix, data = _DRAWN[defect](rng)
    return PlantedImage(name + suffix, data, defect)


def plant_copy(
    rng: Rng, defect: Reason, name: str, original: PlantedImage, variant: int
) -> PlantedImage:
    """Make a copy of `original` that a set should not hold beside it.

    Parameters
    ----------
    rng, name
        As in `plant`.
    defect
        One of `COPYABLE`. A pixel duplicate needs an original in a lossless format.
    original
        A picture that OpenCV decodes.
    variant
        Which change makes a near-duplicate: they take turns.
    """
    if defect not in COPYABLE:
        raise ValueError(f"`defect` must be one of {', '.join(COPYABLE)}, got {defect}")
    stored = cv2.imdecode(np.frombuffer(original.data, np.uint8), cv2.IMREAD_COLOR)
    if stored is None:
        raise ValueError(f"`original` must be a picture, {original.file_name} is none")
    picture = np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)
    if defect is Reason.PIXEL_DUPLICATE:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=2)
        how, suffix, data = "the same pixels", ".png", buffer.getvalue()
    elif defect is Reason.MIRRORED_COPY:
        how, (suffix, data) = "mirrored", _jpeg(np.ascontiguousarray(picture[:, ::-1]), rng)
    else:
        how, (suffix, data) = _nearly(rng, picture, variant)
    return PlantedImage(name + suffix, data, defect, original.file_name, how)


def _nearly(rng: Rng, picture: RGB, variant: int) -> tuple[str, tuple[str, bytes]]:
    height, width = picture.shape[:2]
    match variant % 5:
        case 0:
            quality = int(rng.integers(40, 75))
            return "re-encoded", (".jpg", encode(picture, ".jpg", quality))
        case 1:
            return "resized", _jpeg(_shrink(picture, int(width * rng.uniform(0.6, 0.9))), rng)
        case 2:
            top, bottom, left, right = rng.uniform(0.005, 0.035, 4)
            rows = slice(int(top * height), int((1 - bottom) * height))
            inside = picture[rows, int(left * width) : int((1 - right) * width)]
            return "cropped", _jpeg(np.ascontiguousarray(inside), rng)
        case 3:
            edge = int(width * rng.uniform(0.03, 0.06))
            framed = cv2.copyMakeBorder(
                picture, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(255, 255, 255)
            )
            return "framed", _jpeg(np.asarray(framed, np.uint8), rng)
        case _:
            gain, lift = rng.uniform(0.88, 0.97), rng.uniform(-12, 4)
            return "darkened", _jpeg(
                np.asarray(cv2.convertScaleAbs(picture, None, gain, lift + 12)), rng
            )


def demo_images(*, seed: int, products: int = 300, each: int = 8) -> Iterator[PlantedImage]:
    """Draw the demo set: sound products, and `each` files of every defect.

    Parameters
    ----------
    seed
        One seed gives one set, byte for byte.
    products
        Sound pictures, at least 2 × `each` of them.
    each
        Files a kind of defect. Near-duplicates come in twice as many, being of five kinds;
        colourways as two families of 18.

    Raises
    ------
    ValueError
        If there are too few products to make copies of.
    """
    if products < 2 * each:
        raise ValueError(f"`products` must be at least 2 × each = {2 * each}, got {products}")
    rng = np.random.default_rng(seed)
    lossless: list[PlantedImage] = []
    lopsided: list[PlantedImage] = []
    lossy: list[PlantedImage] = []
    kinds = list(KINDS)
    for i in range(products):
        kind = kinds[i % len(kinds)]
        image = _sound(rng, f"{kind}-{i:04d}", kind, lossless=len(lossless) < each)
        yield image
        pool = lossless if image.file_name.endswith(".png") else lossy
        # Few are held: copies are made of the first ones.
        if kind in _LOPSIDED and len(lopsided) < each:
            lopsided.append(image)
        elif len(pool) < 3 * each:
            pool.append(image)
    yield from _defects(rng, each, lossless or lossy, lopsided or lossy, lossy)


def _sound(rng: Rng, name: str, kind: str, *, lossless: bool) -> PlantedImage:
    height = int(rng.integers(700, 860))
    size = (height, int(height * rng.uniform(0.68, 0.95)))
    centre = (float(rng.uniform(0.47, 0.53)), float(rng.uniform(0.47, 0.53)))
    picture = draw_product(rng, kind, size, fill=rng.uniform(0.6, 0.86), centre=centre)
    if lossless and kind not in _LOPSIDED:
        return PlantedImage(f"{name}.png", encode(picture, ".png"))
    if rng.random() < 0.08:
        return PlantedImage(f"{name}.webp", encode(picture, ".webp", 85))
    return PlantedImage(f"{name}.jpg", encode(picture, ".jpg", int(rng.integers(80, 96))))


def _defects(
    rng: Rng,
    each: int,
    lossless: Sequence[PlantedImage],
    lopsided: Sequence[PlantedImage],
    lossy: Sequence[PlantedImage],
) -> Iterator[PlantedImage]:
    for defect in PLANTABLE:
        for i in range(each):
            yield plant(rng, defect, f"{defect}-{i:02d}")
    for i in range(each):
        for defect, pool in (
            (Reason.PIXEL_DUPLICATE, lossless),
            (Reason.MIRRORED_COPY, lopsided),
        ):
            yield plant_copy(rng, defect, f"{defect}-{i:02d}", pool[i % len(pool)], i)
        same = lossy[i % len(lossy)]
        suffix = Path(same.file_name).suffix
        yield PlantedImage(f"same-bytes-{i:02d}{suffix}", same.data, None, same.file_name, "copied")
    for i in range(2 * each):
        original = lossy[(each + i) % len(lossy)]
        name = f"{Reason.NEAR_DUPLICATE}-{i:02d}"
        yield plant_copy(rng, Reason.NEAR_DUPLICATE, name, original, i)
    for family, kind in enumerate(("dress", "sneaker")):
        first = f"{Reason.COLOURWAY}-{family}-00.jpg"
        for i, picture in enumerate(draw_colourways(rng, 18, kind)):
            name = f"{Reason.COLOURWAY}-{family}-{i:02d}.jpg"
            data = encode(picture, ".jpg", 90)
            yield PlantedImage(name, data, Reason.COLOURWAY, first, f"{kind} in 18 colours")


LABELS: Final = "labels.csv"


def write_demo_set(
    folder: Path, *, seed: int, products: int = 300, each: int = 8
) -> list[PlantedImage]:
    """Write the demo set below `folder/images`, and `folder/labels.csv` beside it.

    The table has the columns `file`, `planted` (a Reason, empty for sound pictures), `of` (the
    original's file name, for copies and colourways) and `how`. All members of a colourway family
    are labelled so, since any may be the one that is kept: up to the cap they are rightly accepted.

    Returns
    -------
    list of PlantedImage
        In the order of writing, without the bytes.

    Raises
    ------
    ValueError
        As `demo_images`.
    OSError
        If the folder cannot be written to.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    planted = []
    for image in demo_images(seed=seed, products=products, each=each):
        path = images / image.file_name
        if image.link_to is None:
            path.write_bytes(image.data)
        else:
            path.unlink(missing_ok=True)
            path.symlink_to(image.link_to)
        planted.append(replace(image, data=b""))
    with (folder / LABELS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "planted", "of", "how"])
        writer.writerows([i.file_name, i.defect or "", i.of or "", i.how] for i in planted)
    return planted
