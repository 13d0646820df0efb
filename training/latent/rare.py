"""More of what is rare: the samples, of very many, that a score puts highest.

A score of w needs no picture, so that a hundred thousand seeds take seconds; a likeness of
pictures has each of them made.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.encoder import Encoder, OwnEncoder
from training.errors import SetupError
from training.latent.draws import MAX_SEED, NoiseKind, Truncation
from training.latent.sampler import PLAIN, Pixels, Sampler
from training.latent.sheets import fitted
from training.runs.files import write_atomically
from training.trained_on import Progress, silent
from training.watch.grids import grid, grid_shape, save_png

Score = Callable[[Tensor], Tensor]
"""From ws (N, w_dim), truncated, on the model's device, to scores (N,); high is good."""

_AT_ONCE: Final = 4096  # ws
_GAP: Final = 2
_PAPER: Final = (208, 208, 208)


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look, and what pictures are made of what is found.

    Attributes
    ----------
    start, samples : int
        The first seed, and how many.
    count : int
        How many to keep.
    truncation : Truncation
        Without a cutoff: what is searched is one w for all layers.
    label : int or None
        Class; None: that of each seed.
    noise : str
        See `NoiseKind`.

    Raises
    ------
    SetupError
        If a value is out of range.
    """

    start: int = 0
    samples: int = 100_000
    count: int = 24
    truncation: Truncation = PLAIN
    label: int | None = None
    noise: NoiseKind = "fixed"

    def __post_init__(self) -> None:
        if not 1 <= self.count <= self.samples:
            raise SetupError(
                f"as many must be kept as are searched, {self.samples:,}, at most, and 1 at least, "
                f"got {self.count:,}"
            )
        if self.start < 0 or self.start + self.samples - 1 > MAX_SEED:
            raise SetupError(f"seeds must be from 0 to {MAX_SEED}, got {self.start} and after")
        if self.truncation.cutoff is not None:
            raise SetupError(
                f"`cutoff` must be left out of a search, got {self.truncation.cutoff}; "
                "one w is searched for all layers"
            )


@dataclass(frozen=True, slots=True)
class Found:
    """Seeds with their scores, the highest first; of equal ones the lower seed."""

    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    mean: float
    """Score of all that were searched, on average."""


def search_w(sampler: Sampler, score: Score, search: Search, progress: Progress = silent) -> Found:
    """Find the seeds whose w scores highest, without making any picture.

    Parameters
    ----------
    sampler
    score
    search
    progress
        Told how many ws were scored.
    """
    best = _Best(search)
    for seeds in _parts(search, _AT_ONCE):
        w = sampler.w(seeds, search.label, search.truncation.z_limit)
        best.add(seeds, score(_truncated(sampler, w, search)))
        progress("ws", best.done, search.samples)
    return best.found()


def search_pictures(
    sampler: Sampler,
    examples: Pixels,
    search: Search,
    *,
    encoder: Encoder | None = None,
    progress: Progress = silent,
) -> Found:
    """Find the seeds whose pictures look most like one of the examples.

    Parameters
    ----------
    sampler
    examples : ndarray of shape (n, H, W, 3), uint8
        As people see them, of the size of the model's pictures.
    search
    encoder
        What is compared by; None: `OwnEncoder`.
    progress
        Told how many pictures were made.

    Raises
    ------
    SetupError
        If the examples have another size.
    """
    if examples.ndim != 4 or examples.shape[1:3] != sampler.size or not len(examples):
        raise SetupError(
            f"examples must be pictures of {sampler.size[0]}×{sampler.size[1]} px (height × width),"
            f" got {examples.shape}"
        )
    encoder = (encoder or OwnEncoder()).to(sampler.device)
    targets = _encoded(encoder, examples, sampler.device)
    best = _Best(search)
    seeds = range(search.start, search.start + search.samples)
    made = sampler.pictures(seeds, search.truncation, label=search.label, noise=search.noise)
    for part, pixels in made:
        features = _encoded(encoder, pixels, sampler.device)
        best.add(part, -_to_nearest(features, targets))
        progress("pictures", best.done, search.samples)
    return best.found()


def like(targets: Tensor) -> Score:
    """Score a w by how near it is to the nearest of some, (n, w_dim): minus the distance."""

    def score(w: Tensor) -> Tensor:
        return -_to_nearest(w, targets.to(w))

    return score


def write_found(
    sampler: Sampler,
    found: Found,
    search: Search,
    folder: Path,
    *,
    examples: Pixels | None = None,
    progress: Progress = silent,
) -> Path:
    """Write what was found: pictures, `samples.csv` with seeds and scores, `sheet.png`.

    Pictures of an earlier search in the folder are removed.

    Parameters
    ----------
    sampler
    found
    search
        As it was found.
    folder
        Made if it is not there.
    examples : ndarray of shape (n, H, W, 3), uint8, or None
        Shown above, on the sheet.
    progress
        Told how many pictures were written.

    Returns
    -------
    Path
        Of the sheet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown: list[Pixels] = []
    names: list[str] = []
    made = sampler.pictures(found.seeds, search.truncation, label=search.label, noise=search.noise)
    for seeds, pixels in made:
        for seed, picture in zip(seeds, pixels, strict=True):
            names.append(f"{len(names) + 1:04d}-seed{seed}.png")
            save_png(Image.fromarray(picture), folder / names[-1])
        shown.append(fitted(pixels))
        progress("written", len(names), len(found.seeds))
    for path in set(folder.glob("[0-9]*-seed[0-9]*.png")) - {folder / name for name in names}:
        path.unlink()
    _write_csv(found, folder / "samples.csv")
    top = None if examples is None else fitted(examples)
    save_png(_sheet(np.concatenate(shown), top), folder / "sheet.png")
    return folder / "sheet.png"


class _Best:
    """The highest scores so far, and their seeds."""

    def __init__(self, search: Search) -> None:
        self._count = search.count
        self._seeds = torch.empty(0, dtype=torch.int64)
        self._scores = torch.empty(0, dtype=torch.float64)
        self._sum = 0.0
        self.done = 0

    def add(self, seeds: Sequence[int], scores: Tensor) -> None:
        scores = scores.double().cpu()
        both = torch.cat([self._scores, scores])
        # stable: of equal scores the lower seed stays, however the search is cut
        self._scores, order = (x[: self._count] for x in both.sort(descending=True, stable=True))
        self._seeds = torch.cat([self._seeds, torch.tensor(list(seeds))])[order]
        self._sum += float(scores.sum())
        self.done += len(scores)

    def found(self) -> Found:
        return Found(
            tuple(self._seeds.tolist()), tuple(self._scores.tolist()), self._sum / self.done
        )


def _parts(search: Search, size: int) -> list[range]:
    end = search.start + search.samples
    return [range(at, min(at + size, end)) for at in range(search.start, end, size)]


def _truncated(sampler: Sampler, w: Tensor, search: Search) -> Tensor:
    return torch.lerp(sampler.model.G.w_avg, w, search.truncation.psi)


def _to_nearest(points: Tensor, targets: Tensor) -> Tensor:
    # by differences, so that a copy is at exactly 0
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(points.double(), targets.double(), compute_mode=exact).amin(1)


def _encoded(encoder: Encoder, pixels: Pixels, device: torch.device) -> Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    features: Tensor = encoder(planes.to(device))
    return features


def _write_csv(found: Found, path: Path) -> None:
    sink = io.StringIO()
    table = csv.writer(sink, lineterminator="\n")
    table.writerow(("seed", "score"))
    table.writerows(zip(found.seeds, (f"{score:.6g}" for score in found.scores), strict=True))
    write_atomically(path, sink.getvalue())


def _sheet(pictures: Pixels, examples: Pixels | None) -> Image.Image:
    size = pictures.shape[1:3]
    columns = grid_shape(len(pictures), (size[0], size[1]))[1]
    below = grid(pictures, columns, _GAP)
    if examples is None:
        return below
    above = grid(examples, min(columns, len(examples)), _GAP)
    space = size[0] // 4
    sheet = Image.new("RGB", (below.width, above.height + space + below.height), _PAPER)
    sheet.paste(above, (0, 0))
    sheet.paste(below, (0, above.height + space))
    return sheet
