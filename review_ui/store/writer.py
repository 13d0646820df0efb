"""One thread that writes: what waits is written in one transaction, and acknowledged after it.

A durable commit costs a flush of the disk. With many reviewers at once, the flush is shared, and
nobody is told "saved" before it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from review_ui.errors import StoreBusyError, StoreError
from review_ui.store.database import Database, translated
from review_ui.store.deciding import Result, Submission, decide

T = TypeVar("T")

# So many at most share a transaction: the first must not wait for long.
_TOGETHER: Final = 256
# Where several write at once, others are about to: one sync to disk for all costs each less.
_GATHER: Final = 0.01  # seconds


@dataclass(frozen=True, slots=True)
class _Job:
    future: Future[Any]
    submission: Submission | None = None
    work: Callable[[Connection], Any] | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    """In place of the answer of a job that wrote nothing."""

    error: Exception


class Writer:
    """Writes to a store, for any number of threads. As a context manager: ends with the body."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="review-writer", daemon=True)
        self._thread.start()

    def decide(self, submission: Submission) -> Future[list[Result]]:
        """Take decisions; the future is done when they are on the disk."""
        return self._put(_Job(Future(), submission=submission))

    def write(self, work: Callable[[Connection], T]) -> Future[T]:
        """Run `work` on the writer's connection, in a transaction that it may share.

        Where that fails, `work` may be run again: whatever it counts, it counts anew.
        """
        return self._put(_Job(Future(), work=work))

    def close(self) -> None:
        """Write what waits, then end."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()

    def _put(self, job: _Job) -> Future[Any]:
        if self._closed:
            raise StoreError("the server is stopping; send it again when it is back")
        self._jobs.put(job)
        return job.future

    def _run(self) -> None:
        are_many = False
        while True:
            jobs, last = self._wait(_GATHER if are_many else 0.0)
            are_many = len(jobs) > 1
            if jobs:
                self._write(jobs)
            if last:
                return

    def _wait(self, gather: float) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        job = self._jobs.get()
        if gather:
            time.sleep(gather)
        while job is not None:
            jobs.append(job)
            if len(jobs) >= _TOGETHER:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _write(self, jobs: Sequence[_Job]) -> None:
        """Write jobs together; where the whole cannot be written, each by itself."""
        live = [job for job in jobs if job.future.set_running_or_notify_cancel()]
        try:
            with self._database.writing() as connection:
                answers = list(_answers(connection, live))
        except StoreBusyError as error:
            _fail(live, error)
        except Exception as error:
            if len(live) == 1:
                _fail(live, error)
                return
            for job in live:
                self._write_one(job)
        else:
            for job, answer in zip(live, answers, strict=True):
                _end(job, answer)

    def _write_one(self, job: _Job) -> None:
        try:
            with self._database.writing() as connection:
                answer = next(iter(_answers(connection, [job])))
        except Exception as error:
            _fail([job], error)
        else:
            _end(job, answer)


def _answers(connection: Connection, jobs: Sequence[_Job]) -> list[Any]:
    """Do the work of all jobs in order; decisions that follow one another are taken together.

    Other work is done behind a savepoint each: what fails is undone, and spoils nothing else.
    """
    answers: list[Any] = []
    run: list[Submission] = []
    for job in jobs:
        if job.submission is not None:
            run.append(job.submission)
            continue
        if run:
            answers += decide(connection, run)
            run = []
        assert job.work is not None
        answers.append(_apart(connection, job.work))
    if run:
        answers += decide(connection, run)
    return answers


def _apart(connection: Connection, work: Callable[[Connection], Any]) -> Any:
    savepoint = connection.begin_nested()
    try:
        with translated():
            answer = work(connection)
            savepoint.commit()
    except Exception as error:
        try:
            savepoint.rollback()
        except DBAPIError:
            # On a full disk, for one, the database has undone the whole transaction.
            raise error from None
        return _Failed(error)
    return answer


def _end(job: _Job, answer: Any) -> None:
    if isinstance(answer, _Failed):
        _fail([job], answer.error)
    else:
        job.future.set_result(answer)


def _fail(jobs: Sequence[_Job], error: BaseException) -> None:
    for job in jobs:
        with contextlib.suppress(Exception):
            job.future.set_exception(error)
