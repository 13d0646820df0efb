"""Those who judge: the discriminators of a run's snapshots, or of all runs of a k-fold training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.config import TrainingConfig
from training.data.select import parse_fold
from training.errors import SetupError, SnapshotError
from training.models import compared, load_model, read_facts
from training.networks import Discriminator
from training.runs import snapshots

Say = Callable[[str], None]


class Jury:
    """Discriminators of equal shape that judge as one: the mean of what they say.

    Parameters
    ----------
    members
        On one device, not in training.
    """

    def __init__(self, members: Sequence[Discriminator]) -> None:
        assert members
        self._members = members

    def features(self, images: Tensor) -> Tensor:
        """Give the features of all, one after another in the channels."""
        return torch.cat([D.features(images) for D in self._members], dim=1)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Give the mean logit, each of its own features."""
        parts = features.chunk(len(self._members), dim=1)
        said = [D.head(part, labels) for D, part in zip(self._members, parts, strict=True)]
        return torch.stack(said).mean(0)


@dataclass(frozen=True, slots=True)
class Judge:
    """A run and the snapshots that judge; its networks are loaded when it is their turn.

    Attributes
    ----------
    run : Path
        Its folder.
    config : TrainingConfig
    version_hash : str
        Of the version that it was trained on.
    inverted : bool
        Whether on 255 - x: so are the pictures that it knows.
    size : tuple of int
        Height and width, px.
    labels : tuple of str
        Names of the classes; empty where it was trained without.
    chosen : tuple of Path
        Folders of the snapshots, newest first.
    """

    run: Path
    config: TrainingConfig
    version_hash: str
    inverted: bool
    size: tuple[int, int]
    labels: tuple[str, ...]
    chosen: tuple[Path, ...]

    @property
    def fold(self) -> str | None:
        """Part of the pictures that it was trained without, `k/n`; None: it has seen all."""
        return self.config.data.fold

    @property
    def group(self) -> int:
        """Pictures that are compared."""
        return compared(self.config)

    def jury(self, device: torch.device | str) -> Jury:
        """Load the networks.

        Raises
        ------
        SnapshotError
            If a snapshot is gone or damaged.
        """
        return Jury([load_model(path, device=device).D for path in self.chosen])

    def facts(self) -> dict[str, Any]:
        """Give what must be the same in all runs of a k-fold training."""
        data = self.config.data.model_dump(include={"tags", "labels", "conditional"})
        return {
            "version_hash": self.version_hash,
            "inverted": self.inverted,
            **{f"data.{key}": value for key, value in data.items()},
        }


def newest_of(run: Path, count: int, say: Say) -> Judge:
    """Choose the newest whole snapshots; they are loaded once now, for damage to come out early.

    Parameters
    ----------
    run
        Its folder.
    count
        Snapshots that judge together.
    say
        Told of damaged ones that were passed over.

    Raises
    ------
    SnapshotError
        If there are fewer.
    """
    folder = run / "snapshots"
    chosen: list[Path] = []
    for name in reversed(snapshots.names(folder)):
        try:
            load_model(folder / name)
        except SnapshotError as error:
            say(f"passed over: {error}")
            continue
        chosen.append(folder / name)
        if len(chosen) == count:
            return _judge(run, chosen)
    raise SnapshotError(
        f"{run} must have {count} whole snapshots, has {len(chosen)}; ask for fewer "
        "(--snapshots), or train it further"
    )


def named(run: Path, names: Sequence[str]) -> Judge:
    """Choose snapshots by their names, newest first. Networks are loaded, and checked, later.

    Raises
    ------
    SnapshotError
        If one is not there, or was not saved by this version of this program.
    """
    return _judge(run, [run / "snapshots" / name for name in names])


def _judge(run: Path, chosen: Sequence[Path]) -> Judge:
    facts, *_ = [read_facts(path) for path in chosen]  # of all: none must be missing
    return Judge(
        run,
        facts.config,
        facts.version_hash,
        facts.inverted,
        facts.size,
        facts.labels,
        tuple(chosen),
    )


def in_order(judges: Sequence[Judge]) -> list[Judge]:
    """Give one judge, or those of a k-fold training from 1 to k.

    Raises
    ------
    SetupError
        If they are neither; what is missing is named.
    """
    if len(judges) == 1 and judges[0].fold is None:
        return list(judges)
    if not judges:
        raise SetupError("scores need the folder of a run, or those of a k-fold training")
    for judge in judges:
        if judge.fold is None:
            raise SetupError(
                f"several runs must be those of a k-fold training, {judge.run} has seen "
                "all pictures (`data.fold` is not set); score with it alone"
            )
    found = _by_fold(judges)
    _refuse_differences(judges)
    return [found[fold] for fold in sorted(found)]


def _by_fold(judges: Iterable[Judge]) -> dict[int, Judge]:
    found: dict[int, Judge] = {}
    numbers = set()
    for judge in judges:
        assert judge.fold is not None
        fold, k = parse_fold(judge.fold)
        numbers.add(k)
        if len(numbers) > 1:
            raise SetupError(
                f"runs must be of one k-fold training, got both {min(numbers)} and {max(numbers)} "
                "parts; give those of one"
            )
        if fold in found:
            raise SetupError(
                f"fold {judge.fold} must be left out by one run, is by {found[fold].run} "
                f"and {judge.run}; give one of them"
            )
        found[fold] = judge
    k = numbers.pop()
    missing = [f"{fold}/{k}" for fold in range(1, k + 1) if fold not in found]
    if missing:
        raise SetupError(
            f"a {k}-fold training must be given whole: the runs with data.fold "
            f"{', '.join(missing)} are missing; train them (--fold {missing[0]}) and give their "
            "folders, too"
        )
    return found


def _refuse_differences(judges: Sequence[Judge]) -> None:
    first = judges[0]
    for judge in judges[1:]:
        for key, value in judge.facts().items():
            expected = first.facts()[key]
            if value != expected:
                raise SetupError(
                    f"`{key}` must be the same in all runs of a k-fold training, is {expected!r} "
                    f"in {first.run} and {value!r} in {judge.run}; train one anew"
                )
