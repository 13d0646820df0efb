"""A process beside this one that does one thing, may die of it, and is replaced then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from curation.pool import WorkerPool
from data_catalog.schema import Reason
from review_ui.errors import ReviewError

Task = TypeVar("Task")
Result = TypeVar("Result")


class Aside(Generic[Task, Result]):
    """Applies a function to tasks in one process that stays; started by the first task.

    Parameters
    ----------
    function
        Takes a sequence of tasks, returns for each a result, or in words why there is none.
        Importable by name.
    seconds
        What one task may take.
    """

    def __init__(
        self, function: Callable[[Sequence[Task]], Sequence[Result | str]], seconds: float
    ) -> None:
        self._function, self._seconds = function, seconds
        self._pool: WorkerPool | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def __call__(self, task: Task) -> Result | str:
        """Give the result of a task, or in words why there is none. For any number of threads."""
        pool = self._started()
        try:
            return self._run(pool, task)
        except RuntimeError:
            # Its only worker died between two tasks, of which a pool does not recover.
            self._drop(pool)
            return self._run(self._started(), task)

    def close(self) -> None:
        """End the process, and with it what it does now."""
        with self._lock:
            self._is_closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.__exit__(RuntimeError, None, None)

    def _started(self) -> WorkerPool:
        with self._lock:
            if self._is_closed:
                raise ReviewError("the server is stopping; ask again when it is back")
            if self._pool is None:
                self._pool = WorkerPool(1)
            return self._pool

    def _run(self, pool: WorkerPool, task: Task) -> Result | str:
        found: Result | str = next(
            pool.map(self._function, [task], seconds=self._seconds, give_up=_gave_up)
        )
        return found

    def _drop(self, pool: WorkerPool) -> None:
        with self._lock:
            if self._pool is not pool:  # somebody else did
                return
            self._pool = None
        pool.__exit__(RuntimeError, None, None)


def _gave_up(_task: Any, reason: Reason, detail: str) -> str:
    return f"{reason}: {detail}"
