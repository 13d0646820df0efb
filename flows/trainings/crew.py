"""Several trainings side by side, below one command: a wish to stop gets to all of them.

Each is waited for by a thread; signals come to the main thread and are passed on. A training whose
command was killed goes on by itself: it is followed, not begun a second time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Final

from flows.trainings.team import Team, passing_on
from training.runs.locks import LOCK_NAME, is_held

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"

_LOOK_EVERY: Final = 0.5  # seconds


class Crew:
    """Those who train now. `run` and `follow` may be called in any thread."""

    def __init__(self) -> None:
        self._teams: list[Team] = []
        self._asked: int | None = None

    @property
    def asked(self) -> bool:
        """Whether somebody wished to stop: nothing is begun any more."""
        return self._asked is not None

    def signals(self) -> AbstractContextManager[None]:
        """Pass on signals to stop while the body runs; in the main thread."""
        return passing_on(self.ask)

    def ask(self, number: int) -> None:
        """Ask all to save and end, in the name of a signal; a second Ctrl-C insists."""
        self._asked = self._asked or number
        for team in tuple(self._teams):
            team.ask(number)

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        processes: int,
        output: IO[bytes],
    ) -> int:
        """Run `python -m training` to its end; parameters and exit code are those of `team.run`.

        Parameters
        ----------
        output
            File that what it says is added to.
        """
        with Team(output=output) as team:
            self._teams.append(team)
            try:
                if self._asked is not None:  # since whoever calls has looked
                    return 128 + self._asked
                team.start([sys.executable, "-m", "training", *arguments], environment, processes)
                return team.wait()
            finally:
                self._teams.remove(team)

    def follow(self, run: Path) -> None:
        """Wait until nobody trains in a run's folder any more; pass on a wish to stop."""
        told = False
        while is_held(run):
            if self._asked is not None and not told:
                told = True
                trainer = trainer_of(run)
                if trainer is not None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(trainer, signal.SIGTERM)
            time.sleep(_LOOK_EVERY)


class Slots:
    """Places to train at, each with its part of the environment: which GPUs, how many threads."""

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._free = list(environments)
        self._lock = threading.Lock()

    def take(self, run: Path) -> Mapping[str, str]:
        """Take a free place; for a run that is trained already, the one that it is trained at."""
        devices = devices_of(run)
        with self._lock:
            fitting = (n for n, free in enumerate(self._free) if free.get(VISIBLE) == devices)
            return self._free.pop(next(fitting, 0))

    def give_back(self, environment: Mapping[str, str]) -> None:
        """Let others have a place."""
        with self._lock:
            self._free.append(environment)


def trainer_of(run: Path) -> int | None:
    """Give the process that trains in a run's folder; None where nobody does."""
    if not is_held(run):
        return None
    try:
        return int((run / LOCK_NAME).read_text())
    except (OSError, ValueError):
        return None


def devices_of(run: Path) -> str | None:
    """Give the GPUs that a run's trainer was given; None where that is not known."""
    trainer = trainer_of(run)
    if trainer is None:
        return None
    try:
        variables = Path(f"/proc/{trainer}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    found = (v.partition(b"=")[2] for v in variables if v.startswith(f"{VISIBLE}=".encode()))
    return next((value.decode() for value in found), None)
