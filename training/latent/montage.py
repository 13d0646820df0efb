"""How a training went, as a video: its sample grids one after the other.

The same latents are in the same places of all grids, so that each place shows a picture becoming
better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.errors import SetupError
from training.latent.clip_options import Clip, count_frames
from training.latent.layout import GREY
from training.latent.sampler import Pixels
from training.latent.video import (
    USUAL,
    Encoding,
    Enlarging,
    check_video,
    enlarged,
    factor_for,
    write_video,
)
from training.trained_on import Progress, silent

_LAST: Final = 3.0  # seconds that the last grid stays: it is what has come of it
_EACH: Final = 1.5  # seconds for one grid, at most
_SHORTEST: Final = 3  # frames for one grid, at least
_FADE: Final = 0.5  # share of a grid's time in which it becomes the next one
_INK: Final = (24, 24, 24)
_RAIL: Final = (176, 176, 176)
_STRIP: Final = 0.06  # height of the caption / a grid's longer side
_SMALLEST_STRIP: Final = 24  # px


@dataclass(frozen=True, slots=True)
class SampleGrid:
    """A grid that training has drawn.

    Attributes
    ----------
    kimg : float
        Thousand images trained on until then.
    path : Path
    """

    kimg: float
    path: Path


def sample_grids(run: Path) -> list[SampleGrid]:
    """Find the grids of a run, from the first on.

    Raises
    ------
    SetupError
        If there are fewer than two.
    """
    found = [
        SampleGrid(float(path.stem.removeprefix("kimg-")), path)
        for path in (run / "samples").glob("kimg-*.png")
    ]
    if len(found) < 2:
        raise SetupError(
            f"a montage needs at least 2 sample grids, {run / 'samples'} has {len(found)}; let the "
            "run train on, a grid is drawn every `run.tick_kimg`"
        )
    return sorted(found, key=lambda grid: grid.kimg)


def montage(
    run: Path,
    path: Path,
    *,
    seconds: float = 20.0,
    encoding: Encoding = USUAL,
    scale: int | None = None,
    enlarging: Enlarging = "lanczos",
    progress: Progress = silent,
) -> Clip:
    """Film the sample grids of a run.

    Each is held and then fades into the next; the last one stays for 3 s. Where there are too many
    for the time, some are left out, evenly.

    Parameters
    ----------
    run
        Its folder; it may be training meanwhile.
    path
        Of the video.
    seconds
        Length, at most: a grid is not shown for more than 1.5 s.
    encoding
    scale
        Whole factor by which grids are enlarged; None: see `factor_for`.
    enlarging
        How.
    progress
        Told of frames.

    Returns
    -------
    Clip
        With `grids`, how many are shown, and `kimg` of the last.

    Raises
    ------
    SetupError
        If there are fewer than two grids, or one cannot be shown.
    """
    count = count_frames(seconds, encoding.fps)
    last = max(min(round(_LAST * encoding.fps), count // 4), 1)
    grids = _chosen(sample_grids(run), 1 + (count - last) // _SHORTEST)
    each = min((count - last) / max(len(grids) - 1, 1), _EACH * encoding.fps)
    places = _places(len(grids), each, last)
    check_video(path, _frame_size(grids[0], scale))
    frames = _frames(grids, places, scale, enlarging, progress)
    done = write_video(path, frames, encoding)
    numbers = {"grids": len(grids), "kimg": grids[-1].kimg}
    return Clip(done.path, done.frames, encoding.fps, done.size, numbers)


def _chosen(grids: Sequence[SampleGrid], most: int) -> list[SampleGrid]:
    """Choose evenly, the first and the last among them."""
    count = max(min(len(grids), most), 2)
    numbers = np.linspace(0, len(grids) - 1, count).round().astype(int)
    return [grids[number] for number in numbers]


def _places(grids: int, each: float, last: int) -> list[float]:
    """Give for each frame how far it is along the grids: 1.25 is a quarter from 1 to 2."""
    moving = round(each * (grids - 1))
    at = np.arange(moving) * (grids - 1) / moving
    whole = np.floor(at)
    faded = np.clip((at - whole - (1 - _FADE)) / _FADE, 0, 1)
    return [*(whole + faded).tolist(), *[float(grids - 1)] * last]


def _frames(
    grids: Sequence[SampleGrid],
    places: Sequence[float],
    scale: int | None,
    enlarging: Enlarging,
    progress: Progress,
) -> Iterator[Pixels]:
    size, factor = None, 1
    shown: dict[int, Image.Image] = {}

    def picture(number: int) -> Image.Image:
        nonlocal size, factor
        if number not in shown:
            pixels = _read(grids[number].path, size)
            if size is None:
                size = pixels.shape[0], pixels.shape[1]
                factor = factor_for(size, scale)
            shown[number] = Image.fromarray(enlarged(pixels[None], factor, enlarging)[0])
        return shown[number]

    for done, place in enumerate(places, 1):
        before, part = int(place), place % 1
        for gone in [number for number in shown if number < before]:
            del shown[gone]
        image = picture(before)
        if part:
            image = Image.blend(image, picture(before + 1), part)
        yield _captioned(image, grids, place)
        progress("frames", done, len(places))


def _frame_size(grid: SampleGrid, scale: int | None) -> tuple[int, int]:
    height, width = _read(grid.path, None).shape[:2]
    factor = factor_for((height, width), scale)
    return height * factor + _strip(width * factor, height * factor), width * factor


def _strip(*sides: int) -> int:
    return max(round(_STRIP * max(sides)), _SMALLEST_STRIP)


def _read(path: Path, size: tuple[int, int] | None) -> Pixels:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise SetupError(
            f"{path} must be a picture that can be read: {error}; make the montage again if the "
            "run is training, else delete the file"
        ) from error
    if size is not None and pixels.shape[:2] != size:
        raise SetupError(
            f"all grids of a montage must be of one size, {path} has {pixels.shape[:2]}, the ones "
            f"before {size} (height, width) px; delete those that are of another run"
        )
    return pixels


def _captioned(image: Image.Image, grids: Sequence[SampleGrid], place: float) -> Pixels:
    """Write below a grid how far training is, on a rail that fills."""
    height = _strip(*image.size)
    sheet = Image.new("RGB", (image.width, image.height + height), GREY)
    sheet.paste(image, (0, 0))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(height * 0.55)
    middle, margin = image.height + height // 2, height // 3
    kimg = grids[round(place)].kimg
    draw.text((margin, middle), f"{kimg:g} kimg", fill=_INK, font=font, anchor="lm")
    widest = max(draw.textlength(f"{grid.kimg:g} kimg", font=font) for grid in grids)
    left, right = int(margin + widest + margin), image.width - margin
    if right > left:
        thick = max(height // 12, 1)
        draw.rectangle((left, middle - thick, right, middle + thick), fill=_RAIL)
        filled = left + (right - left) * _filled(grids, place)
        draw.rectangle((left, middle - thick, int(filled), middle + thick), fill=_INK)
    return np.asarray(sheet)


def _filled(grids: Sequence[SampleGrid], place: float) -> float:
    """Give the share of training that is shown at a place."""
    kimg = np.interp(place, np.arange(len(grids)), [grid.kimg for grid in grids])
    return float(kimg / grids[-1].kimg) if grids[-1].kimg else 1.0
