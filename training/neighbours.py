"""Does it invent, or remember? The real pictures that are nearest to generated ones.

A set of nearest neighbours is looked at; one number says how much nearer generated pictures lie to
real ones than those lie to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from training.encoder import Encoder
from training.errors import SetupError

Pixels = NDArray[np.uint8]

_PAPER = (255, 255, 255)
_INK = (0, 0, 0)
_GAP = 4  # px between pictures; samples stand four gaps to the left
_LINE = 14  # px for the distance below a picture


@dataclass(frozen=True)
class Neighbours:
    """Nearest real pictures of samples, the nearest first.

    Attributes
    ----------
    distances : ndarray of shape (n, k), float64
        Between features of `encoder`; 0 is the same picture.
    indices : ndarray of shape (n, k), int64
        Place of each among the real pictures as they came.
    pixels : ndarray of shape (n, k, H, W, 3), uint8
    between_reals : float
        Median distance of a real picture to its nearest other one.
    encoder : str
    """

    distances: NDArray[np.float64]
    indices: NDArray[np.int64]
    pixels: Pixels
    between_reals: float
    encoder: str

    @property
    def ratio(self) -> float:
        """Median distance of a sample to its nearest real picture / `between_reals`.

        About 1 where samples are as new as real pictures are to each other; far below 1 where the
        generator has memorized; infinite where most real pictures have an exact copy.
        """
        nearest = float(np.median(self.distances[:, 0]))
        return nearest / self.between_reals if self.between_reals > 0 else float("inf")


def nearest(
    samples: Tensor,
    real: Iterable[Tensor],
    encoder: Encoder,
    *,
    k: int = 5,
    compared: int = 1000,
    device: torch.device | str = "cpu",
    report: Callable[[int], None] | None = None,
) -> Neighbours:
    """Find the nearest real pictures of samples, exactly, in one pass over all of them.

    Parameters
    ----------
    samples : Tensor of shape (n, 3, H, W), uint8
    real : iterable of Tensor of shape (m, 3, H, W), uint8
        Of the size of the samples, in random order, as shards are; never held together.
    encoder : Encoder
    k : int
        Neighbours of each sample.
    compared : int
        Real pictures, the first that come, whose nearest other one is searched for `between_reals`.
    device : torch.device or str
    report : callable, optional
        Told how many real pictures are done.

    Raises
    ------
    SetupError
        If there are fewer real pictures than `k`, or than two.
    """
    if k < 1:
        raise SetupError(f"`k` must be at least 1, got {k}")
    encoder = encoder.to(device)
    points = encoder(samples.to(device)).double()
    best, among = _Best(points, k), _Among(points, compared)
    done = 0
    for pixels in real:
        features = encoder(pixels.to(device)).double()
        best.add(features, pixels, done)
        among.add(features)
        done += len(pixels)
        if report is not None:
            report(done)
    if done < max(k, 2):
        raise SetupError(f"{max(k, 2)} real pictures are needed at least, got {done}; lower `k`")
    return Neighbours(
        best.distances.cpu().numpy(),
        best.indices.cpu().numpy(),
        best.pixels(),
        among.median(),
        encoder.name,
    )


def median_nearest(parts: Iterable[Tensor], compared: int = 1000) -> float:
    """Give the median distance of the first `compared` points to their nearest other, of all.

    Parameters
    ----------
    parts
        At least one, of points (n, d), together at least two.
    compared
    """
    among: _Among | None = None
    for part in parts:
        among = _Among(part, compared) if among is None else among
        among.add(part)
    assert among is not None
    return among.median()


class _Best:
    """The k nearest so far of every sample, and their pictures."""

    def __init__(self, samples: Tensor, k: int) -> None:
        self._samples, self._k = samples, k
        self._pictures: dict[int, Tensor] = {}
        self.distances = samples.new_empty(len(samples), 0)
        self.indices = torch.empty(len(samples), 0, dtype=torch.int64, device=samples.device)

    def add(self, features: Tensor, pixels: Tensor, at: int) -> None:
        """Take real pictures, the first of which is number `at`."""
        distances = torch.cat([self.distances, _distances(self._samples, features)], dim=1)
        new = torch.arange(at, at + len(pixels), device=distances.device).expand(len(distances), -1)
        # stable: of equally near ones the first stays, however the stream is cut
        self.distances, order = (x[:, : self._k] for x in distances.sort(dim=1, stable=True))
        self.indices = torch.cat([self.indices, new], dim=1).gather(1, order)
        self._pictures = {
            index: pixels[index - at].cpu().clone() if index >= at else self._pictures[index]
            for index in set(self.indices.flatten().tolist())
        }

    def pixels(self) -> Pixels:
        """Pictures of the nearest, (n, k, H, W, 3)."""
        flat = torch.stack([self._pictures[index] for index in self.indices.flatten().tolist()])
        return flat.permute(0, 2, 3, 1).numpy().reshape(*self.indices.shape, *flat.shape[2:], 3)


class _Among:
    """Distance of each of the first real pictures to the nearest other one."""

    def __init__(self, like: Tensor, compared: int) -> None:
        self._compared = compared
        self._points = like[:0]
        self._nearest = like.new_empty(0)

    def add(self, features: Tensor) -> None:
        known = len(self._points)
        fresh = features[: max(self._compared - known, 0)]
        points = torch.cat([self._points, fresh])
        apart = _distances(points, features)
        itself = torch.arange(len(fresh), device=features.device)
        apart[known + itself, itself] = torch.inf
        met = apart.amin(1)
        if known:  # fresh ones have not met those that came before
            before = torch.cat([self._nearest, _distances(fresh, self._points).amin(1)])
            met = torch.minimum(met, before)
        self._points, self._nearest = points, met

    def median(self) -> float:
        return float(np.median(self._nearest.cpu().numpy()))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Of all pairs, (len(a), len(b)); by differences, so that copies have exactly 0."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def draw(samples: Tensor, found: Neighbours, *, side: int = 256) -> Image.Image:
    """Draw every sample in a row of its own, its nearest real pictures to the right.

    Parameters
    ----------
    samples : Tensor of shape (n, 3, H, W), uint8
        Those that were given to `nearest`.
    found : Neighbours
    side : int
        Longer side of a picture on the sheet, px, at most.

    Returns
    -------
    Image
        RGB; distances stand below the real pictures, the ratio above.
    """
    pixels = samples.permute(0, 2, 3, 1).cpu().numpy()
    height, width = _fit(pixels.shape[1:3], side)
    row, column = height + _LINE + _GAP, width + _GAP
    left = column + 3 * _GAP
    sheet = Image.new(
        "RGB", (left + found.distances.shape[1] * column, 2 * _LINE + len(pixels) * row), _PAPER
    )
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default()
    pen.text((_GAP, 0), f"nearest / between real pictures: {found.ratio:.2f}", _INK, font)
    pen.text((_GAP, _LINE), "generated", _INK, font)
    pen.text((left, _LINE), f"nearest real ({found.encoder})", _INK, font)
    for i, sample in enumerate(pixels):
        top = 2 * _LINE + i * row
        sheet.paste(_picture(sample, (height, width)), (0, top))
        for j, distance in enumerate(found.distances[i]):
            at = left + j * column
            sheet.paste(_picture(found.pixels[i, j], (height, width)), (at, top))
            pen.text((at, top + height), f"{distance:.2f}", _INK, font)
    return sheet


def _fit(size: tuple[int, ...], side: int) -> tuple[int, int]:
    scale = min(side / max(size), 1.0)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _picture(pixels: Pixels, size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(pixels)
    height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BOX)
