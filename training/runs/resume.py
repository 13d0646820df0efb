"""What may change when a run is taken up again, and what would make it another run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from training.config import TrainingConfig
from training.runs.record import VersionFacts

LIVE: Final = frozenset({"optimizer.G_lr", "optimizer.D_lr", "loss.r1_gamma"})
"""Settings that a run takes from `live.json` once it has begun."""

FREE: Final = frozenset(
    {
        "preset",  # a name only: what it stands for is compared by itself
        "network.half",  # changes the rounding and no shape: the way out of an overflow
        "network.half_resolutions",
        "network.conv_clamp",
        "optimizer.batch_gpu",  # memory; how it is cut up changes no batch
        "data.workers",
        "run.total_kimg",
        "run.tick_kimg",
        "run.snapshot_ticks",
        "run.keep_last",
        "run.keep_every",
        "run.grid",
        "run.grid_psi",
        "run.log_steps",
        "run.metrics",
        "run.device",
    }
)
"""Settings that may change between two starts of a run, besides all of `speed`."""


class Difference(NamedTuple):
    """A setting that was asked for otherwise than it was saved."""

    key: str
    saved: Any
    asked: Any


def compatible(saved: TrainingConfig, asked: TrainingConfig) -> list[str]:
    """Say why a run cannot go on as asked: one message a setting, none if it can.

    Parameters
    ----------
    saved
        Of the run.
    asked
        Of this start; both resolved.
    """
    return [
        f"`{key}` is {was!r} in this run and cannot change, got {asked_for!r}; set it to that, "
        f"or train in another folder (--run) and start from this run's networks (--transfer)"
        for key, was, asked_for in _differences(saved, asked)
        if not (_is_free(key) or key in LIVE)
    ]


def changes(saved: TrainingConfig, asked: TrainingConfig) -> list[str]:
    """Say what a start changes, and what it asks for in vain, for the log."""
    told = []
    for key, was, asked_for in _differences(saved, asked):
        if _is_free(key):
            told.append(f"{key}: {was} → {asked_for}")
        elif key in LIVE:
            name = key.rpartition(".")[2]
            told.append(
                f"{key}: {asked_for} was asked for, but a run takes it from live.json once it has "
                f"begun; change `{name}` there"
            )
    return told


def resumed(saved: TrainingConfig, asked: TrainingConfig) -> TrainingConfig:
    """Give the configuration that a run goes on with: as saved, with what may change as asked."""
    values = saved.model_dump()
    for key, _, asked_for in _differences(saved, asked):
        if _is_free(key):
            section, _, field = key.rpartition(".")
            (values[section] if section else values)[field] = asked_for
    return TrainingConfig.model_validate(values)


def same_version(saved: VersionFacts, asked: VersionFacts) -> list[str]:
    """Say why a run cannot go on with a version; that it was moved is no reason."""
    return [
        f"`{key}` of the data is {was!r} in this run, got {given!r} from {asked.dataset}; give the "
        f"version that the run began with, or train in another folder (--run) and start from "
        f"this run's networks (--transfer)"
        for key in ("version_hash", "size", "inverted", "labels")
        if (was := getattr(saved, key)) != (given := getattr(asked, key))
    ]


def _is_free(key: str) -> bool:
    return key in FREE or key.startswith("speed.")


def _differences(saved: TrainingConfig, asked: TrainingConfig) -> Iterator[Difference]:
    old, new = (dict(_flat(config.model_dump())) for config in (saved, asked))
    for key, was in old.items():
        if was != new[key]:
            yield Difference(key, was, new[key])


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
