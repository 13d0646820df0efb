"""Outlines of the things that are drawn: shirts, sneakers, lamps, each of its own proportions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Rng = np.random.Generator


# Shapes are drawn in a space of their own, x to the right, y down, about −1 to 1; the picture
# they are put into decides on their size.


@dataclass(frozen=True, slots=True)
class Part:
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


def _print(rng: Rng, y: float, size: float) -> list[Part]:
    """Draw what is printed on the front: a disc, a star, bars, a ring, a mountain, or nothing."""
    motif = int(rng.integers(7))
    if motif == 0:
        return [Part(_oval(0, y, size, size), "accent", volume=0)]
    if motif == 1:
        spikes = int(rng.integers(4, 9))
        radius = np.tile([size * 1.15, size * rng.uniform(0.35, 0.65)], spikes)
        angles = np.linspace(0, 2 * np.pi, 2 * spikes, endpoint=False) - np.pi / 2
        star = np.stack([radius * np.cos(angles), y + radius * np.sin(angles)], 1)
        return [Part(star, "accent", volume=0)]
    if motif == 2:
        rows = np.linspace(-size, size, int(rng.integers(2, 5)))
        half = size * 1.2
        return [Part(_points((-half, y + r), (half, y + r)), "accent", 0.3 * size) for r in rows]
    if motif == 3:
        ring = Part(_oval(0, y, size, size), "accent", 0.3 * size)
        return [ring, Part(_oval(0, y, 0.35 * size, 0.35 * size), "second", volume=0)]
    if motif == 4:
        peaks = rng.uniform(-1, 0.4, 5) * size + y
        xs = np.linspace(-1.1, 1.1, 5) * size
        base = y + 0.8 * size
        ridge = np.concatenate([np.stack([xs, peaks], 1), _points((xs[-1], base), (xs[0], base))])
        return [Part(ridge, "accent", volume=0)]
    return []


def _shirt(rng: Rng) -> list[Part]:
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
    parts = [Part(body, "main", patterned=True), Part(collar, "dark", volume=0)]
    parts.append(Part(collar, "second", 0.06))
    if rng.random() < 0.3:
        parts.append(Part(_points((0, drop - 0.86), (0, long)), "second", 0.03))
        dots = np.linspace(drop - 0.7, long - 0.1, 6)
        return parts + [Part(_oval(0.0, y, 0.03, 0.03), "light") for y in dots]
    return parts + _print(rng, rng.uniform(-0.15, 0.2), rng.uniform(0.16, 0.34))


def _dress(rng: Rng) -> list[Part]:
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
    parts = [Part(top, "main", patterned=True), Part(_tidy(skirt, rng), "main", patterned=True)]
    if rng.random() < 0.5:
        cuff = rng.uniform(-0.55, 0.2)
        for side in (1, -1):
            arm = _points(
                (strap + 0.04, -0.99), (bust + 0.2, -0.75), (bust + 0.3, cuff),
                (bust + 0.12, cuff + 0.03), (bust, -0.6),
            )  # fmt: skip
            parts.insert(0, Part(arm * (side, 1), "main", patterned=True))
    if rng.random() < 0.6:
        parts.append(Part(_points((-waist, at), (waist, at)), "accent", rng.uniform(0.06, 0.14)))
    for _ in range(int(rng.integers(0, 4))):
        x = rng.uniform(-0.8, 0.8)
        fold = _points((x * waist, at + 0.12), (x * hem, long - 0.05))
        parts.append(Part(fold, "dark", 0.012, volume=0))
    return parts


def _tidy(outline: Points, rng: Rng) -> Points:
    """Round some outlines off and leave others with corners."""
    return _smooth(outline) if rng.random() < 0.5 else outline


def _trousers(rng: Rng) -> list[Part]:
    waist, hip = rng.uniform(0.32, 0.44), rng.uniform(0.42, 0.56)
    long = rng.choice([rng.uniform(-0.1, 0.25), rng.uniform(0.9, 1.4)])
    leg, foot = rng.uniform(0.16, 0.36), rng.uniform(0.02, 0.4)
    crotch, spread = rng.uniform(-0.4, -0.2), rng.uniform(0.08, 0.3)
    foot = spread + foot * 0.5
    outline = _both(
        (waist, -1.0), (hip, -0.55), (foot + leg * 0.8, long),
        (max(foot - leg * 0.6, 0.03), long + 0.02), (0.02, crotch),
    )  # fmt: skip
    parts = [Part(outline, "main", patterned=True)]
    parts.append(Part(_points((-waist, -0.96), (waist, -0.96)), "second", 0.1))
    parts.append(Part(_points((0, -0.9), (0, crotch)), "dark", 0.02, volume=0))
    for side in (1, -1):
        pocket = _points((side * 0.14, -0.86), (side * hip * 0.9, -0.6))
        parts.append(Part(pocket, "dark", 0.02, volume=0))
    if rng.random() < 0.5:
        for side in (1, -1):
            seam = _points((side * hip * 0.93, -0.5), (side * (foot + leg * 0.74), long - 0.02))
            parts.append(Part(seam, "accent", rng.uniform(0.03, 0.09)))
    return parts


def _sneaker(rng: Rng) -> list[Part]:
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
        Part(_smooth(upper), "main", patterned=True, volume=0.35), Part(counter, "second"),
        Part(cap, "second"), Part(_smooth(sole), "light", volume=0.2),
    ]  # fmt: skip
    swoosh = rng.integers(4)
    if swoosh == 0:
        for x in np.linspace(-0.3, 0.1, 3):
            parts.append(Part(_points((x, 0.28), (x + 0.22, -0.12)), "accent", 0.09))
    elif swoosh == 1:
        curve = _smooth(_points((-0.6, -0.05), (-0.3, 0.22), (0.45, 0.0)), closed=False)
        parts.append(Part(curve, "accent", 0.11))
    elif swoosh == 2:
        parts.append(Part(_oval(-0.15, 0.08, 0.17, 0.17), "accent"))
    for k in range(int(rng.integers(3, 7))):
        x = throat - 0.12 + 0.13 * k
        y = -0.1 + (x - throat) * 0.3 + (toe + 0.08) * max(0, x - throat)
        parts.append(Part(_points((x - 0.04, y + 0.14), (x + 0.07, y)), "light", 0.045))
    if rng.random() < 0.5:
        parts.append(Part(_points((-1.0, 0.43), (1.0, 0.4)), "accent", 0.03))
    return parts


def _bag(rng: Rng) -> list[Part]:
    top, bottom = rng.uniform(0.45, 0.95), rng.uniform(0.55, 1.0)
    tall, arc = rng.uniform(0.5, 1.1), rng.uniform(0.3, 0.95)
    body = _both((top, -0.25), (bottom, tall - 0.1), (bottom - 0.08, tall), (0, tall))
    body = _smooth(body, steps=6) if rng.random() < 0.4 else body
    grip = rng.uniform(0.25, 0.9) * top
    parts = [Part(_oval(0, -0.25, grip, arc, 180, 360), "dark", rng.uniform(0.05, 0.13))]
    parts.append(Part(body, "main", patterned=True, volume=0.3))
    style = rng.integers(3)
    if style == 0:
        flap = _both((top, -0.25), (top * 0.98, 0.05), (0, rng.uniform(0.15, 0.5)))
        parts.append(Part(_tidy(flap, rng), "second"))
        parts.append(Part(_oval(0, 0.2, 0.08, 0.08), "accent"))
    elif style == 1:
        for x in (-0.5 * top, 0.5 * top):
            parts.append(Part(_points((x, -0.25), (x * 1.1, tall)), "second", 0.1))
        parts += _print(rng, 0.3 * tall, 0.2)
    else:
        pocket = _both((top * 0.6, 0.15), (top * 0.62, tall - 0.12), (0, tall - 0.12))
        parts += [
            Part(pocket, "second"),
            Part(_points((-0.6 * top, 0.15), (0.6 * top, 0.15)), "accent", 0.05),
        ]
        parts.append(Part(_points((-top, -0.18), (top, -0.18)), "dark", 0.03))
    return parts


def _mug(rng: Rng) -> list[Part]:
    top, bottom = rng.uniform(0.45, 0.7), rng.uniform(0.32, 0.68)
    tall, lip = rng.uniform(0.45, 0.95), rng.uniform(0.06, 0.16)
    wide, high = rng.uniform(0.24, 0.42), rng.uniform(0.3, 0.6) * tall
    belly = (top + bottom) / 2 + rng.uniform(-0.04, 0.16)
    body = _both((top, -tall), (belly, 0), (bottom, tall - 0.06), (bottom * 0.6, tall))
    handle = _oval(belly - 0.04, rng.uniform(-0.15, 0.1), wide, high, -90, 90)
    rim = _oval(0, -tall, top, lip)
    parts = [
        Part(handle, "main", rng.uniform(0.1, 0.18)),
        Part(_tidy(body, rng), "main", patterned=True, volume=0.4), Part(rim, "light"),
        Part(_oval(0, -tall + 0.02, top * 0.88, lip * 0.75), rng.choice(["dark", "accent"])),
    ]  # fmt: skip
    return parts + _print(rng, rng.uniform(-0.05, 0.2), rng.uniform(0.14, 0.28))


def _lamp(rng: Rng) -> list[Part]:
    top, low = rng.uniform(0.12, 0.6), rng.uniform(0.5, 0.95)
    start, end = -1.2, rng.uniform(-0.6, 0.1)
    foot, base = rng.uniform(0.25, 0.6), rng.uniform(0.7, 1.4)
    lean = rng.choice([0.0, rng.uniform(-0.3, 0.3)])
    stem = _smooth(_points((0, end - 0.1), (lean, (end + base) / 2), (0, base)), closed=False)
    parts = [Part(stem, rng.choice(["dark", "accent"]), rng.uniform(0.04, 0.14))]
    if not lean and rng.random() < 0.7:
        for y in np.linspace(end + 0.2, base - 0.2, int(rng.integers(1, 4))):
            parts.append(Part(_oval(0, y, rng.uniform(0.1, 0.26), 0.13), "second", volume=0.4))
    parts.append(Part(_oval(0, base, foot, rng.uniform(0.07, 0.16)), "dark"))
    shade = _both((top, start), (low, end), (0, end + 0.05))
    if rng.random() < 0.35:
        shade = _oval(0, end, low, end - start, 180, 360)
    parts.append(Part(shade, "main", patterned=True, volume=0.3))
    trim = _points((-low, end - 0.02), (low, end - 0.02))
    return [*parts, Part(trim, "accent", 0.05)]


def _vase(rng: Rng) -> list[Part]:
    tall = rng.uniform(0.7, 1.3)
    heights = np.linspace(-tall, tall, 6)
    radii = rng.uniform(0.16, 0.78, 6)
    radii[-1] = max(radii[-1] * 0.8, 0.22)
    right = _smooth(np.stack([radii, heights], 1), closed=False)
    outline = np.concatenate([right, right[::-1] * (-1, 1)])
    parts: list[Part] = []
    for _ in range(int(rng.integers(0, 6))):
        tip = _points((rng.uniform(-0.7, 0.7), -tall - rng.uniform(0.3, 0.9)))
        stalk = _smooth(
            np.concatenate([_points((0, -tall + 0.1)), tip * (0.4, 1.0), tip]), closed=False
        )
        parts.append(Part(stalk, "dark", 0.025))
        bloom = rng.uniform(0.08, 0.17)
        parts.append(
            Part(
                _oval(float(tip[0, 0]), float(tip[0, 1]), bloom, bloom),
                rng.choice(["accent", "second"]),
            )
        )
    parts.append(Part(outline, "main", patterned=True, volume=0.45))
    for y in rng.uniform(-0.7, 0.7, int(rng.integers(0, 3))):
        r = float(np.interp(y * tall, right[:, 1], right[:, 0]))
        parts.append(Part(_oval(0, y * tall, r, 0.04, 0, 180), "accent", 0.05))
    return parts


def _hat(rng: Rng) -> list[Part]:
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
            Part(dome, "main", patterned=True, volume=0.4), Part(bill, "second"),
            Part(panel, "dark", 0.015, volume=0),
            Part(_oval(0, 0.2 - high, 0.06, 0.05), "accent"),
            *_print(rng, 0.2 - 0.45 * high, 0.15),
        ]  # fmt: skip
    brim, droop = rng.uniform(0.9, 1.25), rng.uniform(0.1, 0.3)
    pinch = rng.uniform(0.6, 1.0) * crown
    dome = _both(
        (0, 0.2 - high), (pinch * 0.7, 0.18 - high), (pinch, 0.35 - high), (crown, 0.25), (0, 0.3)
    )
    return [
        Part(_oval(0, 0.25, brim, droop), "main", patterned=True, volume=0.3),
        Part(_tidy(dome, rng), "main", patterned=True, volume=0.4),
        Part(_oval(0, 0.14, crown * 0.98, 0.1, 0, 180), "accent", rng.uniform(0.08, 0.2)),
    ]


def _chair(rng: Rng) -> list[Part]:
    wide, back = rng.uniform(0.42, 0.68), rng.uniform(-1.3, -0.6)
    seat, depth = rng.uniform(-0.1, 0.25), rng.uniform(0.12, 0.34)
    splay, leg = rng.uniform(0.0, 0.3), rng.uniform(0.05, 0.11)
    floor = seat + rng.uniform(0.7, 1.15)
    parts = []
    for side in (1, -1):
        for share, end in ((0.7, floor - 0.2), (1.0, floor)):
            at = side * wide * share
            parts.append(Part(_points((at, seat), (at + side * splay, end)), "dark", leg))
    style = rng.integers(3)
    if style == 0:
        frame = _both((wide * 0.92, back), (wide, seat), (0, seat))
        parts.append(Part(_tidy(frame, rng), "main", patterned=True))
    elif style == 1:
        for x in np.linspace(-wide * 0.9, wide * 0.9, int(rng.integers(4, 8))):
            parts.append(Part(_points((x, back), (x, seat)), "dark", 0.05))
        parts.append(Part(_points((-wide, back), (wide, back)), "main", 0.16))
    else:
        parts.append(Part(_oval(0, (back + seat) / 2, wide, (seat - back) / 2), "main", 0.0, True))
    cushion = _both(
        (wide * 0.95, seat - depth / 2), (wide + 0.08, seat + depth / 2), (0, seat + depth / 2)
    )
    parts.append(Part(_tidy(cushion, rng), "second", volume=0.3))
    if rng.random() < 0.4:
        for s in (1, -1):
            arm = _points(
                (s * wide, seat - 0.35), (s * (wide + 0.14), seat - 0.33), (s * (wide + 0.1), seat)
            )
            parts.append(Part(arm, "accent", 0.07))
    return parts


def _umbrella(rng: Rng) -> list[Part]:
    wide, high = rng.uniform(0.8, 1.1), rng.uniform(0.45, 0.95)
    ribs, sag = int(rng.integers(3, 8)), rng.uniform(0.05, 0.2)
    long, hook = rng.uniform(0.7, 1.25), rng.uniform(0.1, 0.22)
    xs = np.linspace(wide, -wide, ribs * 8 + 1)
    scallop = -sag * np.abs(np.sin(np.linspace(0, ribs * np.pi, xs.size)))
    dome = np.concatenate([_oval(0, 0, wide, high, 180, 360), np.stack([xs, scallop], 1)])
    stick = np.concatenate([_points((0, -high), (0, long)), _oval(hook, long, hook, hook, 180, 20)])
    parts = [Part(stick, "dark", 0.06), Part(dome, "main", patterned=True, volume=0.3)]
    for x in np.linspace(-wide, wide, ribs + 1)[1:-1]:
        rib = _smooth(_points((0, -high), (x * 0.8, -high * 0.55), (x, 0)), closed=False)
        parts.append(Part(rib, "second", 0.02, volume=0))
    return [*parts, Part(_points((0, -high - 0.12), (0, -high)), "accent", 0.06)]


def _watch(rng: Rng) -> list[Part]:
    face, strap = rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.36)
    long = rng.uniform(0.95, 1.3)
    taper = strap * rng.uniform(0.6, 1.0)
    band = _both((taper, -long), (strap, -face * 0.7), (strap, face * 0.7), (taper, long))
    square = rng.random() < 0.4
    case = _both((face, -face), (face, face)) if square else _oval(0, 0, face, face)
    parts = [Part(band, "main", patterned=True, volume=0.35), Part(case, "second", volume=0.4)]
    parts.append(Part(case * 0.84, rng.choice(["light", "dark", "accent"]), volume=0.1))
    ticks = "main" if parts[-1].paint != "main" else "second"
    count = int(rng.choice([4, 6, 12]))
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        ray = _points((np.sin(angle), -np.cos(angle))) * face
        parts.append(Part(np.concatenate([ray * 0.66, ray * 0.76]), ticks, 0.035))
    for reach in (0.36, 0.58):
        angle = rng.uniform(0, 2 * np.pi)
        hand = _points((0, 0), (np.sin(angle) * reach * face, -np.cos(angle) * reach * face))
        parts.append(Part(hand, ticks, 0.05))
    return [*parts, Part(_oval(face + 0.05, 0, 0.05, 0.07), "second")]


KINDS: Final[Mapping[str, Callable[[Rng], list[Part]]]] = {
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
LOPSIDED: Final = ("sneaker", "mug")
