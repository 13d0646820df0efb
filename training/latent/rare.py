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
from training.latent.labelled import projected_ws
from training.latent.layout import GREY, Sheet, fitted, fitted_size, labelled, stack
from training.latent.sampler import PLAIN, Pixels, Sampler
from training.latent.targets import read_target
from training.runs.files import write_atomically
from training.trained_on import Progress, silent
from training.watch.grids import save_png

Score = Callable[[Tensor], Tensor]
"""From ws (N, w_dim), truncated, on the model's device, to scores (N,); high is good."""

_AT_ONCE: Final = 4096  # ws


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
                f"`count` must be 1 to {self.samples:,}, what is searched, got {self.count:,}"
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
    end = search.start + search.samples
    for start in range(search.start, end, _AT_ONCE):
        seeds = range(start, min(start + _AT_ONCE, end))
        w = sampler.w(seeds, search.label, search.truncation.z_limit)
        best.add(seeds, score(torch.lerp(sampler.model.G.w_avg, w, search.truncation.psi)))
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
        Of the size of the model's pictures.
    search
    encoder
        What is compared by; None: `OwnEncoder`.
    progress
        Told of pictures.

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
    return lambda w: -_to_nearest(w, targets.to(w))


def like_projected(sampler: Sampler, run: Path, names: Sequence[str]) -> Score:
    """Score a w by how near it is to the mean w of the nearest of some projected pictures.

    Raises
    ------
    SetupError
        If there is no such projected picture of this model.
    """
    ws = torch.stack([projected_ws(run, name, sampler) for name in names])
    return like(ws.mean(1))


def show_examples(sampler: Sampler, run: Path, examples: Sequence[str | Path]) -> Pixels:
    """Give pictures of examples, of the size of the model's.

    Parameters
    ----------
    sampler
    run
    examples
        At least one: paths of files; names of projected pictures, shown as the model makes them.

    Returns
    -------
    ndarray of shape (n, H, W, 3), uint8

    Raises
    ------
    SetupError
        If there is no such file or projected picture.
    """
    found = []
    for one in examples:
        if isinstance(one, Path):
            found.append(read_target(one, sampler.size))
        else:
            ws = projected_ws(run, one, sampler).to(sampler.device)
            found.append(sampler.render(ws[None])[0])
    return np.stack(found)


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
    names: list[str] = []
    sheet = Sheet(len(found.seeds), fitted_size(sampler.size), longer=1, paper=GREY)
    made = sampler.pictures(found.seeds, search.truncation, label=search.label, noise=search.noise)
    for seeds, pixels in made:
        for seed, picture in zip(seeds, pixels, strict=True):
            names.append(f"{len(names) + 1:04d}-seed{seed}.png")
            save_png(Image.fromarray(picture), folder / names[-1])
        sheet.add(pixels)
        progress("written", len(names), len(found.seeds))
    for path in set(folder.glob("[0-9]*-seed[0-9]*.png")) - {folder / name for name in names}:
        path.unlink()
    _write_csv(found, folder / "samples.csv")
    save_png(_below(examples, sheet), folder / "sheet.png")
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
        mean = self._sum / self.done
        return Found(tuple(self._seeds.tolist()), tuple(self._scores.tolist()), mean)


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
    rows = zip(found.seeds, (f"{score:.6g}" for score in found.scores), strict=True)
    table.writerows([("seed", "score"), *rows])
    write_atomically(path, sink.getvalue())


def _below(examples: Pixels | None, sheet: Sheet) -> Image.Image:
    if examples is None:
        return sheet.image
    columns = min(sheet.columns, len(examples))
    above = labelled(fitted(examples), columns=columns, longer=1, paper=GREY)
    return stack([above, sheet.image], GREY)
