"""A sheet of projected pictures: the start, what was found, what was wanted, and the curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.latent.layout import GREY, fitted_size, resized
from training.latent.projection_files import Projection
from training.watch.grids import grid_shape

MOST: Final = 60
"""Projections on a sheet; more are not seen."""

_INK, _FAINT = (0, 0, 0), (96, 96, 96)
_CURVE, _PLOT = (76, 120, 168), (255, 255, 255)
_SMALLEST, _LARGEST = 160, 320  # px of the longer side of a picture
_GAP, _APART, _LINE = 4, 18, 15  # px between pictures, around projections, of text
_PLOT_WIDTH: Final = 240
_POINTS: Final = 240  # of a curve
_ORDER: Final = ("start.png", "end.png", "target.png")


def projection_sheet(projections: Sequence[Projection]) -> Image.Image:
    """Draw projections, at most `MOST`, each with its distances.

    Parameters
    ----------
    projections
        At least one, of one model.

    Returns
    -------
    Image
        RGB. Small pictures are enlarged by a whole factor, large ones made smaller.

    Raises
    ------
    ValueError
        If there are none.
    OSError
        If a picture of one is not there.
    """
    if not projections:
        raise ValueError("`projections` must be at least one, got none")
    panels = [_panel(projection) for projection in projections[:MOST]]
    width, height = panels[0].size
    down, across = grid_shape(len(panels), (height, width))
    sheet = Image.new("RGB", (across * width, down * height), GREY)
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number % across * width, number // across * height))
    return sheet


def _panel(projection: Projection) -> Image.Image:
    facts, font = projection.facts, ImageFont.load_default()
    pictures = [_fitted(projection.path / name) for name in _ORDER]
    width, height = pictures[0].size
    plot = len(pictures) * (width + _GAP)
    top = _APART + 2 * _LINE
    size = (2 * _APART + plot + _PLOT_WIDTH, top + height + _LINE + _APART // 2)
    panel = Image.new("RGB", size, GREY)
    pen = ImageDraw.Draw(panel)
    pen.text((_APART, _APART - 8), facts.name, _INK, font)
    settings = f"{facts.space}, {facts.steps} steps, seed {facts.seed}, by {facts.perceiver}"
    pen.text((_APART, _APART - 8 + _LINE), settings, _FAINT, font)
    captions = (f"start {facts.start_distance:.3g}", f"end {facts.distance:.3g}", "target")
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left = _APART + number * (width + _GAP)
        panel.paste(picture, (left, top))
        pen.text((left + width / 2, top + height + 2), caption, _INK, font, anchor="mt")
    _draw_curve(pen, projection.curve.numpy(), (_APART + plot + 8, top, _PLOT_WIDTH - 8, height))
    return panel


def _draw_curve(
    pen: ImageDraw.ImageDraw, curve: NDArray[np.float32], box: tuple[int, int, int, int]
) -> None:
    """Draw distances by step, on a logarithmic scale: most of the way is gone at its beginning."""
    left, top, width, height = box
    font = ImageFont.load_default()
    pen.rectangle((left, top, left + width, top + height - 1), _PLOT)
    steps = np.flatnonzero(np.isfinite(curve) & (curve > 0))
    if not len(steps):
        return
    at = np.unique(np.linspace(0, len(steps) - 1, _POINTS).round().astype(int))
    shown = np.log10(curve[steps[at]])
    low, high = float(shown.min()), float(shown.max())
    room = max(high - low, 0.1)
    xs = left + 2 + (width - 4) * steps[at] / max(len(curve) - 1, 1)
    ys = top + 4 + (height - 8) * (high - shown) / room
    pen.line([*zip(xs.tolist(), ys.tolist(), strict=True)], _CURVE, 2)
    pen.text((left + width - 4, top + 4), f"{10**high:.3g}", _FAINT, font, anchor="rt")
    pen.text((left + 4, top + height - 4), f"{10**low:.3g}", _FAINT, font, anchor="lb")
    pen.text((left, top + height + 2), "distance by step", _FAINT, font)
    pen.text((left + width, top + height + 2), f"{len(curve)}", _FAINT, font, anchor="rt")


def _fitted(path: Path) -> Image.Image:
    """Read a picture, at a size that is well seen."""
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    height, width = pixels.shape[:2]
    return resized(pixels, fitted_size((height, width), _SMALLEST, _LARGEST))
