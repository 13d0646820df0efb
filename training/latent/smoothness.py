"""Travel through latent space shows whether a picture changes bit by bit, or jumps.

A generator that has learned a distribution changes smoothly on the way from one latent to another.
One that has collapsed to memorized pictures stays at one and then jumps to the next: on its ways, a
few steps are far longer than the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from training.encoder import OwnEncoder
from training.errors import SetupError
from training.latent.draws import Truncation, draw_z
from training.latent.layout import labelled, stack
from training.latent.sampler import PLAIN, Pixels, Sampler
from training.latent.walks import slerp
from training.trained_on import Progress, silent

_SHOWN: Final = 12  # pictures of a way on the sheet
_CHART: Final = 64  # px, height of the steps of a way
_NAMES: Final = {
    1: ("the only way",),
    2: ("most even", "worst"),
    3: ("most even", "middle", "worst"),
}
_BAR: Final = (70, 120, 104)
_AXIS: Final = (150, 156, 153)


@dataclass(frozen=True, slots=True)
class Smoothness:
    """How evenly pictures change on ways through z.

    Attributes
    ----------
    steps : ndarray of shape (paths, steps), float64
        Distance between neighbouring pictures in features of `OwnEncoder`.
    jump : float
        Median over ways of the longest step / the mean step: 1 is perfectly even. As a way of n
        steps that is a single jump has n, it is compared at equal `steps` only.
    worst : float
        The highest of them.
    encoder : str
    """

    steps: NDArray[np.float64]
    jump: float
    worst: float
    encoder: str

    @property
    def jumps(self) -> NDArray[np.float64]:
        """Longest step / mean step of each way; 1 where nothing changes at all."""
        return _jumps(self.steps)


def measure_smoothness(
    sampler: Sampler,
    *,
    paths: int = 16,
    steps: int = 48,
    seed: int = 0,
    truncation: Truncation = PLAIN,
    label: int | None = None,
    progress: Progress = silent,
) -> tuple[Smoothness, Image.Image]:
    """Go along great circles in z between pairs of random latents; measure and draw.

    Parameters
    ----------
    sampler
    paths, steps
        How many ways, and steps on each.
    seed
        Of the latents.
    truncation
        See `Sampler.ws`.
    label
        Class; None: each way that of its first seed.
    progress
        Told of "ways".

    Returns
    -------
    smoothness : Smoothness
    sheet : Image
        The most even way, the middle one and the worst, each with its steps below.

    Raises
    ------
    SetupError
        If there is no way, or fewer than two steps.
    """
    if paths < 1 or steps < 2:
        raise SetupError(f"`paths` must be at least 1 and `steps` 2, got {paths} and {steps}")
    encoder = OwnEncoder().to(sampler.device)
    found, shown = [], []
    for path in range(paths):
        seeds = [2 * (seed + path), 2 * (seed + path) + 1]
        ends = draw_z(seeds, sampler.model.G.z_dim, truncation.z_limit)
        start, end = (one.expand(steps + 1, -1) for one in ends)
        zs = slerp(start, end, torch.linspace(0, 1, steps + 1))
        pictures = sampler.render(
            sampler.spread(sampler.map(zs, sampler.labels(seeds[:1], label)), truncation)
        )
        features = _features(encoder, pictures, sampler)
        found.append((features[1:] - features[:-1]).norm(dim=1).cpu().numpy())
        shown.append(pictures[np.linspace(0, steps, _SHOWN).round().astype(int)])
        progress("ways", path + 1, paths)
    lengths = np.stack(found)
    jumps = _jumps(lengths)
    measured = Smoothness(lengths, float(np.median(jumps)), float(jumps.max()), encoder.name)
    return measured, _sheet(measured, shown)


def _jumps(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = steps.mean(axis=1)
    found: NDArray[np.float64] = np.divide(
        steps.max(axis=1), mean, out=np.ones_like(mean), where=mean > 0
    )
    return found


def _features(encoder: OwnEncoder, pictures: Pixels, sampler: Sampler) -> Tensor:
    given = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(sampler.device)
    found: Tensor = encoder(given).double()
    return found


def _sheet(measured: Smoothness, shown: Sequence[Pixels]) -> Image.Image:
    jumps = measured.jumps
    order = np.argsort(jumps, kind="stable")
    chosen = dict.fromkeys(int(order[at]) for at in (0, len(order) // 2, -1))
    names = _NAMES[len(chosen)]
    longest = max(float(measured.steps.max()), 1e-9)
    parts = []
    for name, path in zip(names, chosen, strict=True):
        title = f"{name}: longest step / mean step {jumps[path]:.2f}"
        row = labelled(shown[path], columns=len(shown[path]), above=[], beside=[])
        parts.append(_with_chart(row, measured.steps[path] / longest, title))
    return stack(parts)


def _with_chart(row: Image.Image, heights: NDArray[np.float64], title: str) -> Image.Image:
    """Put the steps of a way below its pictures, as bars."""
    text = 20  # px
    sheet = Image.new("RGB", (row.width, text + row.height + _CHART), (255, 255, 255))
    sheet.paste(row, (0, text))
    draw = ImageDraw.Draw(sheet)
    draw.text((2, 2), title, fill=(32, 36, 34), font_size=14)
    bottom, wide = sheet.height - 1, row.width / len(heights)
    for at, height in enumerate(heights):
        top = bottom - height * (_CHART - 6)
        draw.rectangle((at * wide + 1, top, max((at + 1) * wide - 1, at * wide + 1), bottom), _BAR)
    draw.line((0, bottom, row.width, bottom), fill=_AXIS)
    return sheet
