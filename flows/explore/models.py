"""Models that the explorer has loaded: the few that were used last, and what belongs to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from flows.explore.lately import Lately
from training.errors import SetupError
from training.latent.batcher import Bench
from training.latent.directions import DirectionSet, list_sets, open_set
from training.latent.ganspace import ganspace
from training.latent.looks import Known
from training.latent.projection_files import load_projection
from training.latent.sampler import Sampler
from training.latent.sefa import sefa
from training.models import Model, load_snapshot

_KEPT: Final = 4  # models; each holds a generator and a discriminator
_AT_ONCE: Final = 256  # ws
_SAMPLES: Final = 4096  # of w, for sets that nobody has saved: about a second


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot that pictures are made with.

    Attributes
    ----------
    run : Path
        Its folder.
    key : str
        Of the snapshot's contents.
    model : Model
    directions : mapping
        Sets by name: those that are saved with the run, and those that cost next to nothing.
    bench : Bench
    problems : tuple of str
        Why a set of the run is left out.
    """

    run: Path
    key: str
    model: Model
    directions: Mapping[str, DirectionSet]
    bench: Bench
    problems: tuple[str, ...]


class Models:
    """Loads snapshots when they are first wanted, and lets go of those that nobody wants.

    Parameters
    ----------
    device
        That pictures are made on.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._loaded: Lately[tuple[Path, str, str], Loaded] = Lately(_KEPT)

    def get(self, run: Path, snapshot: str, key: str) -> Loaded:
        """Give a snapshot, loaded; what is loaded already does not wait for others.

        Parameters
        ----------
        run
            Its folder.
        snapshot
            Name.
        key
            Another one for other contents under the same name.

        Raises
        ------
        SetupError, SnapshotError
            If there is none of that name, or it is damaged.
        """
        wanted = run, snapshot, key
        return self._loaded.get(wanted, lambda: self._load(run, snapshot, key))

    def _load(self, run: Path, snapshot: str, key: str) -> Loaded:
        model = load_snapshot(run, snapshot, device=self._device)
        directions, problems = _directions(run, Sampler(model, _AT_ONCE))

        def of_set(name: str) -> DirectionSet:
            if name not in directions:
                raise SetupError(
                    f"there are no directions {name!r}; there are {', '.join(directions)}"
                )
            return directions[name]

        def of_projection(name: str) -> Tensor:
            return load_projection(run, name).ws

        bench = Bench(model, Known(of_set, of_projection))
        return Loaded(run, key, model, directions, bench, problems)


def _directions(run: Path, sampler: Sampler) -> tuple[dict[str, DirectionSet], tuple[str, ...]]:
    """Give the sets of a run, and such of a kind that it has none of."""
    sets: dict[str, DirectionSet] = {}
    problems = []
    for name in list_sets(run):
        try:
            found = open_set(run, name)
            found.check(sampler)
        except SetupError as error:
            problems.append(str(error))
        else:
            sets[name] = found
    kinds = {found.kind for found in sets.values()}
    made = [sefa(sampler, samples=_SAMPLES)] if "sefa" not in kinds else []
    if "ganspace" not in kinds:
        count = min(10, sampler.w_dim)
        made.append(ganspace(sampler, samples=_SAMPLES, count=count))
    return {found.name: found for found in made} | sets, tuple(problems)
