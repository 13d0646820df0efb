"""A trained run taken up again: its networks, and the pictures that it was trained on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from training.config import DataConfig
from training.data.check import check
from training.data.index import SampleIndex
from training.data.remote import fetch
from training.data.select import Selection, select
from training.data.stream import pictures
from training.errors import SetupError, ShardError
from training.models import Model, load_snapshot
from training.runs.record import RunRecord, read_run
from training.shards import PublishedVersion

Progress = Callable[[str, int, int], None]
"""Told what goes on, how much is done, and of how much: bytes of a version, else pictures."""

BYTES = ("fetched", "checked")
"""What is told in bytes."""


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def mute(message: str) -> None:
    """Say nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where the pictures of a run are taken from.

    Attributes
    ----------
    version : str or None
        Folder or URL of a published version; None: the one that the run was trained on.
    cache : Path or None
        Where versions from object storage are kept; None: where training keeps them.
    storage_options : mapping
        Handed to fsspec.
    """

    version: str | None = None
    cache: Path | None = None
    storage_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


AS_TRAINED: Final = Source()


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A run with its networks and pictures."""

    record: RunRecord
    model: Model
    version: PublishedVersion
    selection: Selection


def open_run(
    run: Path,
    source: Source,
    *,
    snapshot: str | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    say: Callable[[str], None] = mute,
) -> Opened:
    """Load a snapshot of a run, and open the version that it was trained on.

    Parameters
    ----------
    run
        Its folder; it may be training meanwhile.
    source
        Where its pictures are not where they were.
    snapshot
        Name; None: the newest whole one.
    device
        For the networks.
    progress
        See `open_version`.
    say
        Told of damaged snapshots that were passed over.

    Raises
    ------
    SetupError, ShardError, SnapshotError
        If the run, its version or its snapshot are not as they must be.
    """
    record = read_run(run)
    model = load_snapshot(run, snapshot, device=device)
    for message in model.passed_over:
        say(f"passed over: {message}")
    version, index = open_version(record, source, progress)
    selection = select_as_trained(index, model.config.data, model.labels)
    return Opened(record, model, version, selection)


def open_version(
    record: RunRecord, source: Source, progress: Progress = silent
) -> tuple[PublishedVersion, SampleIndex]:
    """Open the version of a run, and check it as training does.

    Parameters
    ----------
    record
        Of the run.
    source
        Where its version is not where it was, or another one is meant.
    progress
        Told what was fetched and checked.

    Raises
    ------
    SetupError
        If the version has changed and no other was asked for, or its pictures have another size.
    ShardError
        If it is not there, or damaged.
    """
    location = record.dataset if source.version is None else source.version
    try:
        version = PublishedVersion(_local(location, source, progress))
        own = version.hash == record.version_hash
        if source.version is None and not own:
            raise SetupError(
                f"{location} must be the version that {record.path} was trained on, "
                f"{record.version_hash:.12}, is now {version.hash:.12}; give the one that is meant "
                "with --version"
            )
        if version.shape != record.size:
            raise SetupError(
                f"{location} must have pictures of {_written(record.size)}, as {record.path} was "
                f"trained on, has {_written(version.shape)}; give another with --version"
            )
        # The run's index is that of its own version, and not to be replaced by another's.
        index = check(
            version, cache=record.path if own else None, progress=partial(progress, "checked")
        )
    except ShardError as error:
        if source.version is not None:
            raise
        raise ShardError(f"{error}; if the version was moved, give it with --version") from error
    return version, index


def select_as_trained(
    index: SampleIndex, config: DataConfig, labels: tuple[str, ...], *, fold: bool = True
) -> Selection:
    """Select as training did.

    Parameters
    ----------
    index
        Of a version.
    config
        Of the run.
    labels
        Names of the classes that the networks know.
    fold
        Leave out the part that the run has left out; else take it as well.

    Raises
    ------
    SetupError
        If the version has other classes, or nothing is left.
    """
    selection = select(index, config if fold else config.model_copy(update={"fold": None}))
    if selection.classes != labels:
        raise SetupError(
            f"the version must have the classes that the run knows, {', '.join(labels) or 'none'}, "
            f"has {', '.join(selection.classes) or 'none'}; give another with --version"
        )
    return selection


def real_pictures(
    version: PublishedVersion, selection: Selection, *, batch: int = 32, workers: int = 0
) -> Iterator[Tensor]:
    """Yield the selected pictures as people see them, uint8 (n, 3, H, W), in their order.

    None is mirrored, whether training mirrors or not.
    """
    found = pictures(version, selection.index, selection.indices, batch=batch, workers=workers)
    return (255 - pixels if version.inverted else pixels for pixels in found)


def fingerprint(version: PublishedVersion, selection: Selection) -> dict[str, object]:
    """Give all that determines `real_pictures`: for keys of caches."""
    chosen = hashlib.sha256(np.ascontiguousarray(selection.indices, "<i8").tobytes())
    return {"version": version.hash, "selection": chosen.hexdigest()}


def _local(location: str, source: Source, progress: Progress) -> Path:
    from training.session import CACHE  # late: a session evaluates, too

    return fetch(
        location,
        source.cache or CACHE,
        storage_options=source.storage_options,
        progress=partial(progress, "fetched"),
    )


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]} px (height × width)"
