"""Small runs for tests of training: versions to train on, commands, and processes to disturb."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.training.data.making import encoded, make_version, sample, tar_of, write_version
from training.command import main
from training.presets import known_keys
from training.runs import snapshots

SIZE = (16, 12)
"""Height and width of the pictures of `version_of`."""

SMALL = {
    "network.z_dim": 8,
    "network.w_dim": 8,
    "network.channel_base": 128,
    "network.channel_max": 8,
    "loss.r1_interval": 2,
    "loss.r1_gamma": 0.5,
    "loss.pl_weight": 2,
    "loss.pl_interval": 3,
    "augment.kimg": 0.5,
    "run.total_kimg": 0.08,
    "run.tick_kimg": 0.016,
    "run.snapshot_ticks": 2,
    "run.grid": 4,
    "run.log_steps": True,
}
"""Settings of a run of ten steps that has every phase in it, and five ticks."""

_TIMES = ("seconds", "sec_per_kimg", "images_per_sec", "data_wait_share")


def version_of(folder: Path, count: int = 20, **options: Any) -> Path:
    """A sound version of noise."""
    return make_version(folder, count, **options)


def version_of_pictures(
    folder: Path, pictures: Sequence[NDArray[np.uint8]], labels: Sequence[str | None] = (None,)
) -> Path:
    """A version of given pictures, in one shard; labels take turns."""
    files = [
        file
        for number, pixels in enumerate(pictures)
        for file in sample(number, label=labels[number % len(labels)], image=encoded(pixels))
    ]
    height, width = pictures[0].shape[:2]
    shards = [(tar_of(files), len(pictures))]
    return write_version(folder, shards, height=height, width=width)


def arguments(
    version: Path, run: Path, *more: str, preset: str | None = "tiny", **settings: Any
) -> list[str]:
    """Arguments of `python -m training` for a small run; settings by their name alone."""
    asked = SMALL | {_key(name): value for name, value in settings.items()}
    line = [str(version), "--run", str(run), "--device", "cpu"]
    line += ["--preset", preset] if preset else []
    for key, value in asked.items():
        line += ["--set", f"{key}={json.dumps(value)}"]
    return [*line, *more]


def _key(name: str) -> str:
    (key,) = (key for key in known_keys() if key.rpartition(".")[2] == name)
    return key


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of JSON lines, all of which must be whole."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def ticks_of(run: Path) -> list[dict[str, Any]]:
    """Ticks of a run, without what differs from one machine to the next."""
    rows = rows_of(run / "ticks.jsonl")
    return [{key: value for key, value in row.items() if key not in _TIMES} for row in rows]


def tensors_of(run: Path) -> dict[str, Tensor]:
    """Tensors of a run's newest snapshot, which must be whole."""
    snapshot, damage = snapshots.newest(run / "snapshots")
    assert damage == []
    assert snapshot is not None
    return dict(snapshot.tensors)


def assert_same_run(run: Path, other: Path) -> None:
    """Two runs must have the same steps, ticks and tensors, bit for bit."""
    assert (run / "steps.jsonl").read_bytes() == (other / "steps.jsonl").read_bytes()
    assert ticks_of(run) == ticks_of(other)
    found, expected = tensors_of(run), tensors_of(other)
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


# -- processes ------------------------------------------------------------------------------------

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["training.session", "torch._dynamo"])


@dataclass
class Started:
    """A training in a process of its own."""

    process: BaseProcess
    log: Path

    def said(self) -> str:
        """What it has written to its standard output and error."""
        return self.log.read_text("utf-8")

    def ended(self, seconds: float = 60) -> int:
        """Wait for its end; the exit code, minus the signal if one has ended it."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise AssertionError(f"still at work after {seconds} s: {self.said()}")
        return code

    def wait_for(self, happened: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something has happened, or the process is at its end."""
        until = time.monotonic() + seconds
        while not happened() and self.process.exitcode is None:
            assert time.monotonic() < until, f"did not happen: {self.said()}"
            time.sleep(0.005)


def start(line: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Started:
    """Start a training as `python -m training` does, forked from a process that knows torch.

    A fresh interpreter takes seconds to import it; the signals and exit codes are the same.
    """
    return start_body(log, _train, list(line), dict(environment or {}))


def start_body(log: Path, body: Callable[..., int], *given: Any) -> Started:
    """Run a function of a module in a process of its own, which ends with the code it gives."""
    process = _FORKING.Process(target=_run, args=(log, body, given))
    process.start()
    return Started(process, log)


def _run(log: Path, body: Callable[..., int], given: tuple[Any, ...]) -> None:
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)  # the same everywhere, for the same rounding
    sys.exit(body(*given))


def _train(line: list[str], environment: dict[str, str]) -> int:
    os.environ.update(environment)
    return main(line)


def trained(line: Sequence[str], log: Path) -> str:
    """Train to the end in a process of its own; what it has said."""
    started = start(line, log)
    assert started.ended() == 0, started.said()
    return started.said()
