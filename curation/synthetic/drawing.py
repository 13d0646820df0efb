"""Paints outlines into pictures of products: cloth, light, shadow and grain."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from curation.synthetic.outlines import KINDS, Part, Points, Rng

RGB = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]  # r, g, b, 0 to 255

SIZE: Final = (800, 600)  # height, width, px
_FRACTION = 4  # bits after the point that OpenCV draws with


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


def draw_palette(rng: Rng) -> dict[str, Colour]:
    """Give colours that go together, by the names that parts are painted with."""
    hue = rng.random()
    main = hsv(hue, rng.uniform(0.25, 0.9), rng.uniform(0.3, 0.88))
    other = hue + rng.choice([0.08, 0.33, 0.5, 0.58])
    return {
        "main": main,
        "second": hsv(other, rng.uniform(0.15, 0.75), rng.uniform(0.35, 0.9)),
        "accent": hsv(hue + rng.uniform(0.3, 0.7), rng.uniform(0.6, 0.95), rng.uniform(0.6, 0.95)),
        "dark": hsv(hue, 0.35, rng.uniform(0.14, 0.28)),
        "light": hsv(hue, 0.06, rng.uniform(0.86, 0.95)),
    }


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Give red, green and blue from 0 to 255; a hue of 1 is once round."""
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
class Product:
    """A drawn thing that can be painted more than once, in other colours or other places."""

    parts: tuple[Part, ...]
    weave: _Weave
    turn: float  # radians
    clouds: tuple[int, int]

    @classmethod
    def draw(cls, rng: Rng, kind: str | None = None) -> Product:
        """Draw proportions and cloth; of any kind where none is named."""
        if kind is not None and kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
        parts = KINDS[kind or str(rng.choice(list(KINDS)))](rng)
        # Some are wide and some are slim, some stand on the left and some on the right foot.
        stretch = (rng.choice([-1.0, 1.0]) * rng.uniform(0.72, 1.28), 1.0)
        turn = rng.normal(0, 0.05) if rng.random() < 0.45 else rng.uniform(-0.55, 0.55)
        return cls(
            tuple(
                Part(p.points * stretch, p.paint, p.stroke, p.patterned, p.volume) for p in parts
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
        part: Part,
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


def draw_backdrop(rng: Rng, size: tuple[int, int]) -> RGB:
    """White for most, light grey or tinted for some, with the light falling off downwards."""
    choice = rng.random()
    if choice < 0.6:
        colour: Colour = (255.0, 255.0, 255.0)
    elif choice < 0.85:
        colour = hsv(rng.random(), 0.03, rng.uniform(0.9, 0.98))
    else:
        colour = hsv(rng.random(), rng.uniform(0.08, 0.25), rng.uniform(0.8, 0.95))
    fall = np.linspace(1.0, 1.0 if choice < 0.4 else rng.uniform(0.94, 0.99), size[0])
    column = np.clip(fall[:, None, None] * np.array(colour), 0, 255).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(column, (*size, 3)))


def finish(rng: Rng, canvas: RGB) -> RGB:
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
    product = Product.draw(rng, kind)
    palette = draw_palette(rng)
    canvas = draw_backdrop(rng, size)
    product.paint(canvas, palette, rng.uniform(0.7, 0.88) if fill is None else fill, centre)
    return finish(rng, canvas)


def draw_colourways(
    rng: Rng, count: int, kind: str | None = None, size: tuple[int, int] = SIZE
) -> Iterator[RGB]:
    """Draw one product in `count` colours: same outline, same place, same white background."""
    product = Product.draw(rng, kind)
    fill = rng.uniform(0.7, 0.85)
    for i in range(count):
        palette = draw_palette(rng)
        hue = i / count
        palette["main"] = hsv(hue, rng.uniform(0.55, 0.9), rng.uniform(0.45, 0.9))
        canvas = np.full((*size, 3), 255, np.uint8)
        product.paint(canvas, palette, fill, (0.5, 0.5))
        yield finish(rng, canvas)


def draw_fabric(rng: Rng, size: tuple[int, int] = SIZE) -> RGB:
    """Draw cloth seen from close by: no subject, the same everywhere."""
    height, width = size
    palette = draw_palette(rng)
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
    return finish(rng, np.clip(colour * light[..., None], 0, 255).astype(np.uint8))


def draw_clutter(rng: Rng, size: tuple[int, int] = SIZE) -> RGB:
    """Draw a product in front of a room full of things."""
    height, width = size
    canvas = np.empty((height, width, 3), np.uint8)
    floor = int(height * rng.uniform(0.5, 0.75))
    print_ = _Weave(str(rng.choice(["checks", "dots"])), rng.uniform(20, 36), rng.uniform(0, 3))
    wall, ink = (np.array(hsv(rng.random(), 0.35, v), np.float32) for v in (0.85, 0.5))
    share = print_.weights(0, 0, floor, width)[..., None]
    canvas[:floor] = (wall + share * (ink - wall)).astype(np.uint8)
    boards = _Weave("stripes", rng.uniform(24, 50), rng.uniform(0, 3)).weights(
        0, 0, height - floor, width
    )
    wood = np.array(hsv(0.08, 0.5, 0.55), np.float32)
    canvas[floor:] = (wood * (0.6 + 0.4 * boards[..., None])).astype(np.uint8)
    for _ in range(22):
        product, palette = Product.draw(rng), draw_palette(rng)
        product.paint(canvas, palette, rng.uniform(0.18, 0.4), (rng.random(), rng.random()))
    Product.draw(rng).paint(canvas, draw_palette(rng), rng.uniform(0.4, 0.5), (0.5, 0.5))
    return finish(rng, canvas)


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
