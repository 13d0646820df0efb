"""A pool of processes that outlives the files it is given.

A hostile picture may crash its worker or never end. Work is handed out in chunks; a chunk that
dies or takes too long is done again one by one, and the culprit alone is given up.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice
from types import TracebackType
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from data_catalog.schema import Reason

Task = TypeVar("Task")
Result = TypeVar("Result")

CHUNK = 24

# What workers run; loaded once, before they are forked, it costs them nothing.
_PRELOADED = ("curation.stages.standardize", "curation.stages.relate")
# The same, where the pictures lie on an object store, which shows in that it is imported here.
_CLIENTS = ("s3fs",)


def default_workers() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_worker() -> None:
    """Keep each worker to one thread, and to the memory that it has once got."""
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell glibc not to give picture-sized buffers back to the system each time.

    Every intermediate picture would be mapped and faulted in anew.
    Elsewhere than on glibc nothing happens.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of mallopt(3)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, 32 << 20)
        libc.mallopt(trim_threshold, 128 << 20)


class WorkerPool:
    """Processes for image work; a context manager.

    Parameters
    ----------
    workers : int or None
        Number of processes; the default is one for each processor.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or default_workers()
        # Not fork: the parent has threads. Not spawn: it would import the parent's main module's
        # dependencies once for each worker that is replaced.
        context = multiprocessing.get_context("forkserver")
        clients = [name for name in _CLIENTS if name in sys.modules]
        context.set_forkserver_preload([*_PRELOADED, *clients])
        self._pool = ProcessPool(
            max_workers=self.workers, initializer=prepare_worker, context=context
        )

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._pool.close()  # type: ignore[no-untyped-call]
        else:
            self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def map(
        self,
        function: Callable[[Sequence[Task]], Sequence[Result]],
        tasks: Iterable[Task],
        *,
        seconds: float,
        give_up: Callable[[Task, Reason, str], Result],
    ) -> Iterator[Result]:
        """Apply `function` to chunks of tasks; results in the order of the tasks.

        Parameters
        ----------
        function : callable
            Takes a sequence of tasks, returns one result for each. Importable by name.
        tasks : iterable
            Consumed as results are taken: at most three chunks a worker are under way.
        seconds : float
            What one task may take.
        give_up : callable
            Makes the result of a task that killed its worker or took too long.
        """
        source = iter(tasks)
        window: deque[_Chunk[Task, Result]] = deque()
        while True:
            while len(window) < 3 * self.workers and (chunk := list(islice(source, CHUNK))):
                window.append(_Chunk(chunk, self._schedule(function, chunk, seconds)))
            if not window:
                return
            head = window.popleft()
            yield from self._finish(head, function, seconds, give_up)

    def _schedule(
        self,
        function: Callable[[Sequence[Task]], Sequence[Result]],
        chunk: list[Task],
        seconds: float,
    ) -> Any:
        # A chunk may hold one task that takes its whole time, and others.
        allowance = seconds + 0.2 * len(chunk)
        return self._pool.schedule(function, args=[chunk], timeout=allowance)

    def _finish(
        self,
        chunk: _Chunk[Task, Result],
        function: Callable[[Sequence[Task]], Sequence[Result]],
        seconds: float,
        give_up: Callable[[Task, Reason, str], Result],
    ) -> Iterator[Result]:
        try:
            yield from chunk.future.result()
            return
        except (ProcessExpired, FutureTimeoutError):
            pass
        for task in chunk.tasks:
            future = self._pool.schedule(function, args=[[task]], timeout=seconds)
            try:
                yield from future.result()
            except ProcessExpired as error:
                yield give_up(
                    task, Reason.CRASHED_WORKER, f"the worker died with exit code {error.exitcode}"
                )
            except FutureTimeoutError:
                yield give_up(task, Reason.TIMED_OUT, f"not done after {seconds:g} s")


class _Chunk(Generic[Task, Result]):
    """Tasks under way."""

    __slots__ = ("future", "tasks")

    def __init__(self, tasks: list[Task], future: Any) -> None:
        self.tasks = tasks
        self.future = future
