"""A model between two: weights averaged, or resolutions swapped (https://arxiv.org/abs/2010.05334).

Two models of one family, where one went on from the other's weights, have layers that mean the
same. Then each tensor of G can be taken some of the way from one to the other, by one weight for
all, or by the resolution it belongs to: the shapes of one, the colours and textures of the other.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from training.errors import SetupError
from training.models import read_facts
from training.networks.size import name_of, pyramid
from training.runs import snapshots
from training.runs.folder import RunFolder
from training.runs.locks import is_held
from training.runs.record import RunRecord, VersionFacts, read_run
from training.runs.snapshots import Snapshot

_OF_G: Final = ("G.", "G_ema.")
_LEVEL: Final = re.compile(r"synthesis\.levels\.(\d+x\d+)\.")
_TOLD: Final = 3  # tensors that an error names


@dataclass(frozen=True, slots=True)
class Recipe:
    """How two models are blended.

    Attributes
    ----------
    weight : float
        Share of the second, in [0, 1].
    start : str or None
        Resolution, like `16x12` (height × width), from which on the second is taken; below, and
        for the mapping, the first. None: `weight` holds for all.
    ramp : int
        Over how many more resolutions it changes from one to the other; 0: at once.

    Raises
    ------
    SetupError
        If a value is out of range.
    """

    weight: float = 0.5
    start: str | None = None
    ramp: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise SetupError(f"`weight` must be from 0 to 1, got {self.weight}; try 0.5")
        if self.ramp < 0:
            raise SetupError(f"`ramp` must be at least 0, got {self.ramp}")
        if self.ramp and self.start is None:
            raise SetupError("`ramp` needs a resolution to be at; give one")

    def shares(self, levels: Sequence[str]) -> dict[str, float]:
        """Give the share of the second for each resolution.

        Raises
        ------
        SetupError
            If the model has no resolution `start`.
        """
        if self.start is None:
            return dict.fromkeys(levels, self.weight)
        if self.start not in levels:
            raise SetupError(
                f"resolution must be one of {', '.join(levels)} (height × width), "
                f"got {self.start!r}"
            )
        middle = levels.index(self.start)
        steps = [0.5 + (index - middle + 0.5) / (self.ramp + 1) for index in range(len(levels))]
        return {
            level: self.weight * min(max(step, 0.0), 1.0)
            for level, step in zip(levels, steps, strict=True)
        }

    @property
    def elsewhere(self) -> float:
        """Share of the second outside of all resolutions: in the mapping, and in the mean w."""
        return self.weight if self.start is None else 0.0

    @property
    def nearer(self) -> int:
        """Which one D, the optimizers and all facts are of: 0 or 1; at the same distance 0."""
        return int(self.elsewhere > 0.5)


@dataclass(frozen=True, slots=True)
class Blended:
    """What `blend` has made.

    Attributes
    ----------
    run : Path
        Folder of the new run.
    snapshot : str
        Name of its one snapshot.
    parents : tuple of Path
        Snapshots of the two.
    shares : mapping of str to float
        Share of the second for each resolution.
    likeness : float
        Cosine between the weights of the two: about 0 where they were trained independently, and
        then what lies between them makes no pictures.
    nearer : Path
        Snapshot that D, the optimizers and the facts of the run are of.
    """

    run: Path
    snapshot: str
    parents: tuple[Path, Path]
    shares: Mapping[str, float]
    likeness: float
    nearer: Path


def blend(first: Path, second: Path, out: Path, recipe: Recipe) -> Blended:
    """Blend two snapshots into a new run with one snapshot, that every tool takes.

    The new run appears whole or not at all. It holds the optimizers of the nearer one, so that
    training can go on in it.

    Parameters
    ----------
    first, second
        Folders of whole snapshots, in folders of runs.
    out
        Folder of the new run; must not be there.
    recipe

    Raises
    ------
    SetupError
        If `out` is there, or the two have other shapes, sizes, classes or inversion.
    SnapshotError
        If one of them is damaged.
    """
    if out.exists():
        raise SetupError(f"{out} must not be there yet; give another name, or remove it")
    paths = (first, second)
    loaded = [snapshots.load(path) for path in paths]
    _check_family(paths, loaded)
    facts = read_facts(paths[recipe.nearer])
    shares = recipe.shares([name_of(size) for size in pyramid(facts.size).sizes])
    nearer = loaded[recipe.nearer]
    told = _facts(paths, recipe, shares)
    tensors = dict(nearer.tensors) | blended(
        loaded[0].tensors, loaded[1].tensors, shares, recipe.elsewhere
    )
    snapshot = Snapshot(tensors, dict(nearer.values) | {"blend": told})
    name = snapshots.name_of(facts.cur_nimg)
    record = read_run(paths[recipe.nearer].parent.parent)
    _publish(out, name, snapshot, record, _in_words(paths, recipe))
    return Blended(
        out,
        name,
        paths,
        shares,
        _likeness(loaded[0].tensors, loaded[1].tensors),
        paths[recipe.nearer],
    )


def blended(
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    shares: Mapping[str, float],
    elsewhere: float,
) -> dict[str, Tensor]:
    """Take the tensors of G and its average some of the way from one model to another.

    Parameters
    ----------
    first, second
        By name, of the same shapes.
    shares
        Of the second, for each resolution. 0 and 1 give the bits of the one and of the other.
    elsewhere
        The same for what belongs to no resolution.
    """
    found = {}
    for name, tensor in first.items():
        if not name.startswith(_OF_G):
            continue
        level = _LEVEL.search(name)
        share = elsewhere if level is None else shares[level[1]]
        if name.endswith(".fixed_noise"):  # the mean of two noises is a weaker one
            share = float(share > 0.5)
        other = second[name]
        found[name] = tensor if share == 0 else torch.lerp(tensor, other, share)
        if share == 1:
            found[name] = other
    return found


def _check_family(paths: tuple[Path, Path], loaded: Sequence[Snapshot]) -> None:
    _check_shapes(paths, loaded)
    mine, yours = (read_facts(path) for path in paths)
    for key in ("size", "inverted", "labels"):
        one, other = getattr(mine, key), getattr(yours, key)
        if one != other:
            raise SetupError(
                f"{paths[0]} and {paths[1]} must have the same `{key}`, have {one} and {other}; "
                "blend models of one family"
            )


def _check_shapes(paths: tuple[Path, Path], loaded: Sequence[Snapshot]) -> None:
    shapes = [
        {name: tuple(t.shape) for name, t in one.tensors.items() if name.startswith(_OF_G)}
        for one in loaded
    ]
    names = sorted(shapes[0].keys() | shapes[1].keys())
    differ = [name for name in names if shapes[0].get(name) != shapes[1].get(name)]
    if differ:
        told = "; ".join(
            f"{name}: {shapes[0].get(name, 'none')} and {shapes[1].get(name, 'none')}"
            for name in differ[:_TOLD]
        )
        raise SetupError(
            f"{paths[0]} and {paths[1]} must have tensors of the same shapes, {len(differ)} "
            f"differ: {told}; blend models of one size and configuration"
        )


def _likeness(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    names = [n for n in first if n.startswith("G_ema.synthesis") and n.endswith(".weight")]
    pairs = [(first[name].double(), second[name].double()) for name in names]
    product = sum(float((a * b).sum()) for a, b in pairs)
    lengths = [sum(float(t.square().sum()) for t in side) for side in zip(*pairs, strict=True)]
    return product / max(math.sqrt(lengths[0] * lengths[1]), 1e-24)


def _publish(out: Path, name: str, snapshot: Snapshot, record: RunRecord, reason: str) -> None:
    """Write a run under another name, its record last, and rename it when it is whole."""
    _remove_stale(out)
    partial = out.with_name(f".tmp-{out.name}-{os.getpid()}")
    folder = RunFolder(partial)
    with folder.lock():
        try:
            facts = read_facts(snapshots.save(folder.snapshots, name, snapshot))
            known = {key: getattr(record, key) for key in VersionFacts.model_fields}
            version = VersionFacts(**known)
            folder.write_config(facts.config, version)
            folder.begin(facts.config, version, facts.cur_nimg)
            folder.update(
                status="finished", reason=reason, snapshots=(name,), newest_snapshot=name, pid=0
            )
            partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _remove_stale(out: Path) -> None:
    """Remove what blends into this run have left that were killed; they hold no lock any more."""
    left = re.compile(re.escape(f".tmp-{out.name}-") + r"\d+")
    for folder in out.parent.glob(".tmp-*"):
        if left.fullmatch(folder.name) and not is_held(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _facts(paths: tuple[Path, Path], recipe: Recipe, shares: Mapping[str, float]) -> dict[str, Any]:
    return {
        "first": _named(paths[0]),
        "second": _named(paths[1]),
        "weight": recipe.weight,
        "start": recipe.start,
        "ramp": recipe.ramp,
        "shares": dict(shares),
        "nearer": _named(paths[recipe.nearer]),
    }


def _in_words(paths: tuple[Path, Path], recipe: Recipe) -> str:
    how = f"weight {recipe.weight:g}"
    if recipe.start is not None:
        how = f"from {recipe.start} on of the second, {how}, ramp {recipe.ramp}"
    return f"blended of {_named(paths[0])} and {_named(paths[1])}: {how}"


def _named(path: Path) -> str:
    """Name a snapshot by its run; where that lies is nobody's business."""
    return f"{path.parent.parent.name}/{path.name}"
