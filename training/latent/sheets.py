"""Contact sheets: what directions do to pictures, and what has become of two models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from training.errors import SetupError
from training.latent.blend import Blended
from training.latent.directions import Direction, DirectionSet, apply
from training.latent.draws import Truncation
from training.latent.layout import GREY, fitted
from training.latent.sampler import PLAIN, Pixels, Sampler
from training.models import load_model
from training.trained_on import Progress, silent
from training.watch.grids import grid, grid_shape

_INK: Final = (0, 0, 0)
_FAINT: Final = (96, 96, 96)
_GAP: Final = 2
_APART: Final = 10  # px between directions
_MARGIN: Final = 8  # px around captions
_LINE: Final = 14  # px
_LONGEST: Final = 24  # characters of a caption
_SEEDS: Final = 8  # pictures of each model


def direction_sheet(
    sampler: Sampler,
    found: DirectionSet,
    seeds: Sequence[int] = (0, 1),
    *,
    columns: int = 7,
    truncation: Truncation = PLAIN,
    label: int | None = None,
    progress: Progress = silent,
) -> Image.Image:
    """Draw what each direction does to the same pictures, from one end of its range to the other.

    Parameters
    ----------
    sampler
    found
        Of a model of this shape.
    seeds
        At least one; each has a row of every direction.
    columns
        Amounts; an odd number has the picture itself in the middle.
    truncation
        Of the pictures, before they are moved.
    label
        Class; None: that of each seed.
    progress
        Told how many rows are done.

    Returns
    -------
    Image
        RGB. Small pictures are enlarged by a whole factor, large ones made smaller.

    Raises
    ------
    SetupError
        If the set is of another shape of model, or `columns` is below 2.
    """
    found.check(sampler)
    if columns < 2 or not seeds:
        raise SetupError(
            f"a sheet must have at least 2 columns and a seed, got {columns=} and {len(seeds)} "
            "seeds; 7 columns are usual"
        )
    ws = sampler.ws(seeds, truncation, label)
    rows: list[list[Pixels]] = []
    total = len(found.directions) * len(seeds)
    for direction in found.directions:
        amounts = torch.linspace(-direction.range, direction.range, columns)
        block = []
        for row in ws.unsqueeze(1):
            moved = apply(row.expand(columns, -1, -1), direction, amounts.to(row))
            block.append(fitted(sampler.render(moved)))
            progress("sheet", len(rows) * len(seeds) + len(block), total)
        rows.append(block)
    return _laid_out(found.directions, rows, columns)


def blend_sheet(
    made: Blended, truncation: Truncation = PLAIN, *, device: torch.device | str = "cpu"
) -> Image.Image:
    """Draw the same seeds by the first of two models, by the new one and by the second.

    Parameters
    ----------
    made
        As `blend` gives it.
    truncation
    device
        What computes.

    Returns
    -------
    Image
        RGB; a row for each.
    """
    first, second = made.parents
    paths = (first, made.run / "snapshots" / made.snapshot, second)
    rows = []
    for path in paths:
        sampler = Sampler(load_model(path, device=device))
        rows.append(fitted(sampler.render(sampler.ws(range(_SEEDS), truncation))))
    names = [path.parent.parent.name for path in paths]
    if names[0] == names[2]:  # two ages of one run
        names = [path.name for path in (first, made.run, second)]
    return grid(np.concatenate(rows), _SEEDS, captions=[caption(name) for name in names])


def caption(text: str) -> str:
    """Make a text short, and such that the font has its letters."""
    plain = text.encode("ascii", "replace").decode()
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 2] + ".."


def _laid_out(
    directions: Sequence[Direction], rows: Sequence[Sequence[Pixels]], columns: int
) -> Image.Image:
    """Put directions below each other, and beside each other where they are many."""
    texts = [_captions(direction) for direction in directions]
    font = ImageFont.load_default()
    left = int(max(font.getlength(line) for lines in texts for line in lines)) + 2 * _MARGIN
    height, width = rows[0][0].shape[1:3]
    block = (len(rows[0]) * (height + _GAP) + _APART, left + columns * (width + _GAP) + _APART)
    down, across = grid_shape(len(rows), block)
    top = _LINE + _MARGIN
    sheet = Image.new("RGB", (across * block[1], top + down * block[0]), GREY)
    pen = ImageDraw.Draw(sheet)
    for panel in range(across):
        for column, amount in enumerate(_amounts(directions, columns)):
            middle = panel * block[1] + left + column * (width + _GAP) + width / 2
            pen.text((middle, top - 4), amount, _INK, font, anchor="mb")
    for index, (lines, pictures) in enumerate(zip(texts, rows, strict=True)):
        x, y = index // down * block[1], top + index % down * block[0]
        for number, line in enumerate(lines):
            pen.text((x + _MARGIN, y + number * _LINE), line, _FAINT if number else _INK, font)
        own = grid(np.concatenate(pictures), columns, _GAP)
        sheet.paste(own, (x + left, y))
    return sheet


def _amounts(directions: Sequence[Direction], columns: int) -> list[str]:
    """Head columns in standard deviations, or in shares of the range where that differs."""
    ranges = {direction.range for direction in directions}
    end, unit = (ranges.pop(), "") if len(ranges) == 1 else (1.0, " range")
    return [f"{value:+.3g}{unit}" if value else "0" for value in np.linspace(-end, end, columns)]


def _captions(direction: Direction) -> list[str]:
    lines = [caption(direction.name)]
    if direction.share is not None:
        lines.append(f"{direction.share:.1%}")
    if "auroc" in direction.figures:
        lines.append(f"AUROC {direction.figures['auroc']:.2f}")
        if direction.figures["auroc"] <= direction.figures.get("chance", 0.5):
            lines.append("no better than chance")
    return lines
