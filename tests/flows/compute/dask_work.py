"""What workers do in tests. Imports little: a worker that died imports it again."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from distributed.diagnostics.plugin import WorkerPlugin


class Attacked(WorkerPlugin):
    """Lets pictures attack the processes that decode them, on each worker."""

    name = "attacked"

    def __init__(self, attacks: dict[str, Any]) -> None:
        self._attacks = attacks

    def setup(self, worker: Any) -> None:
        """Replace the pool; called when a worker starts."""
        from curation.stages import standardize
        from tests.curation.stages.conftest import HostilePool

        standardize.WorkerPool = lambda _: HostilePool(self._attacks)  # type: ignore[misc,assignment]


def double(part: list[int]) -> list[int]:
    """Double numbers."""
    return [2 * number for number in part]


def die_once(mark: str, part: list[int]) -> list[int]:
    """Kill the whole worker over a 5, the first time."""
    if 5 in part and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), 9)
    return double(part)


def die_always(part: list[int]) -> list[int]:
    """Kill the whole worker over a 5, each time."""
    if 5 in part:
        os.kill(os.getpid(), 9)
    return double(part)


def halves(part: list[int]) -> list[list[int]]:
    """Cut in two; one stays alone."""
    middle = len(part) // 2
    return [part[:middle], part[middle:]] if middle else [part]


def zeros(part: list[int]) -> list[int]:
    """Give up."""
    return [0] * len(part)


def wait_for(mark: str, part: list[int]) -> list[int]:
    """Say that it has begun, and wait for a file."""
    Path(f"{mark}.begun").touch()
    while not Path(mark).exists():
        time.sleep(0.05)
    return double(part)


def refuse(part: list[int]) -> list[int]:
    """Fail as a stage fails."""
    from data_catalog.errors import StorageError

    raise StorageError(f"disk of {part} is full")


def lack(part: list[int]) -> list[int]:
    """Lack a package."""
    import no_such_package  # type: ignore[import-not-found]  # noqa: F401

    return part


def leave_mark(folder: str) -> None:
    """Leave a file of this process."""
    (Path(folder) / str(os.getpid())).touch()
