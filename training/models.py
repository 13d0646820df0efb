"""The networks of a trained run, read from a snapshot: to make pictures with, or to judge some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from training.build import half_type
from training.config import NetworkConfig, TrainingConfig
from training.errors import SetupError, SnapshotError
from training.networks import Discriminator, Generator
from training.runs import snapshots
from training.runs.snapshots import Snapshot
from training.runs.states import STATE_FILE
from training.watch.health import non_finite


@dataclass(frozen=True, slots=True)
class Model:
    """What a run has learned.

    Attributes
    ----------
    G : Generator
        The averaged one. Like `D` in evaluation mode, without gradients.
    D : Discriminator
        Compares as many pictures as it did in training.
    config : TrainingConfig
        Of the run.
    version_hash : str
    version : int
        Which version it was trained on.
    inverted : bool
        Whether on 255 - x: so are the pictures that G makes, and those that D knows.
    size : tuple of int
        Height and width, px.
    labels : tuple of str
        Names of the classes; empty where it was trained without.
    cur_nimg : int
        Images trained on.
    path : Path
        Of the snapshot.
    passed_over : tuple of str
        A message for every newer snapshot that is damaged.
    """

    G: Generator
    D: Discriminator
    config: TrainingConfig
    version_hash: str
    version: int
    inverted: bool
    size: tuple[int, int]
    labels: tuple[str, ...]
    cur_nimg: int
    path: Path
    passed_over: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the snapshot in its run, wherever it lies now."""
        return snapshots.name_of(self.cur_nimg)


class Facts(BaseModel):
    """What is needed of a snapshot's values; there is more in them. See `Model`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    config: TrainingConfig
    version_hash: str
    version: int
    inverted: bool
    size: tuple[int, int]
    labels: tuple[str, ...]
    cur_nimg: int


def load_model(path: Path, *, device: torch.device | str = "cpu", half: bool = False) -> Model:
    """Load the networks of a snapshot.

    Parameters
    ----------
    path
        A run's folder, for its newest whole snapshot, or a snapshot's.
    device
        To put them on.
    half
        Compute in 16 bit where training did; else in 32 bit throughout, which path lengths need.

    Raises
    ------
    SnapshotError
        If there is none, it is damaged, or it holds other networks than its configuration says.
    """
    device = torch.device(device)
    snapshot, passed_over = _find(path)
    assert snapshot.path is not None
    values = _read_values(snapshot)
    kind = half_type(values.config.network, device) if half else None
    G, D = _networks(values, kind, snapshot.path)
    for prefix, network in (("G_ema", G), ("D", D)):
        _fill(network, prefix, snapshot.tensors, snapshot.path)
        network.to(device).eval().requires_grad_(False)
    facts = {name: getattr(values, name) for name in Facts.model_fields}
    return Model(G=G, D=D, path=snapshot.path, passed_over=passed_over, **facts)


def load_snapshot(
    run: Path, name: str | None = None, *, device: torch.device | str = "cpu"
) -> Model:
    """Load the networks of a run's snapshot.

    Parameters
    ----------
    run
        Its folder.
    name
        Of the snapshot; None: the newest whole one.
    device
        To put them on.

    Raises
    ------
    SetupError
        If there is no snapshot of that name.
    SnapshotError
        As `load_model`.
    """
    if name is None:
        return load_model(run, device=device)
    known = snapshots.names(run / "snapshots")
    if name not in known:
        raise SetupError(f"{run} has no snapshot {name!r}; it has {', '.join(known) or 'none'}")
    return load_model(run / "snapshots" / name, device=device)


def read_facts(path: Path) -> Facts:
    """Read what a snapshot says of itself, without its networks.

    Raises
    ------
    SnapshotError
        If it is not there, or was not saved by this version of this program.
    """
    return _read_values(snapshots.load(path, ()))


def full_precision(G: Generator, config: NetworkConfig) -> Generator:
    """Copy a generator into one that computes in 32 bit throughout."""
    with torch.random.fork_rng(devices=[]):
        copy = Generator(config, G.size, G.labels)
    copy.load_state_dict(G.state_dict())
    return copy.to(G.w_avg.device).eval().requires_grad_(False)


def compared(config: TrainingConfig) -> int:
    """Give how many pictures D compared in training: never more than there were at once."""
    group, at_once = config.network.mbstd_group, config.optimizer.batch_gpu
    assert group is not None
    assert at_once is not None
    return min(group, at_once)


def _find(path: Path) -> tuple[Snapshot, tuple[str, ...]]:
    if (path / STATE_FILE).is_file() or path.name in snapshots.names(path.parent):
        return snapshots.load_weights(path), ()
    folder = path / "snapshots"
    newest, damage = snapshots.newest(folder if folder.is_dir() else path, ("weights",))
    # `find` says what is wrong where there is none
    return newest or snapshots.load_weights(snapshots.find(path)), tuple(damage)


def _read_values(snapshot: Snapshot) -> Facts:
    try:
        values = Facts.model_validate(snapshot.values)
        compared(values.config)
    except ValidationError as error:
        part = error.errors()[0]
        key = ".".join(map(str, part["loc"]))
        raise SnapshotError(
            f"{snapshot.path} was not saved by this version of this program: `{key}`: "
            f"{part['msg']}; use the version that it was trained with"
        ) from error
    except AssertionError as error:
        raise SnapshotError(
            f"{snapshot.path} must hold a resolved configuration, has one with open settings; "
            "give a snapshot that training has saved"
        ) from error
    return values


def _networks(
    values: Facts, half: torch.dtype | None, path: Path
) -> tuple[Generator, Discriminator]:
    config, classes = values.config.network, len(values.labels)
    judging = config.model_copy(update={"mbstd_group": compared(values.config)})
    try:
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn, to be overwritten
            return (
                Generator(config, values.size, classes, half),
                Discriminator(judging, values.size, classes, half),
            )
    except SetupError as error:
        raise SnapshotError(
            f"{path} holds a configuration that cannot be built: {error}"
        ) from error


def _fill(network: nn.Module, prefix: str, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        told = " ".join(str(error).split())
        raise SnapshotError(
            f"{path} holds another {prefix} than its configuration says: {told:.300}; "
            "give another snapshot"
        ) from error
    if broken := non_finite(own.items()):
        raise SnapshotError(
            f"{path} holds numbers that are not finite, in {prefix}.{broken[0]} and "
            f"{len(broken) - 1} others: training had diverged; give an older snapshot"
        )
