"""Progress for people: a bar on a terminal, a line now and then elsewhere, always on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# The environment variable, and its value, by which another program asks for JSON lines.
FORM: Final = "NONESUCH_PROGRESS"
AS_JSON: Final = "json"

_LINE_EVERY: Final = 5.0  # seconds
_JSON_EVERY: Final = 0.25


class Reporter(Protocol):
    """What long work tells about itself."""

    def begin(self, stage: str, total: int | None) -> None:
        """Start a stage of `total` steps, or of an unknown number."""

    def advance(self, steps: int = 1) -> None:
        """Count steps of the stage that is under way."""

    def note(self, lines: Sequence[str]) -> None:
        """Say how the stage is doing, in place of what was said before."""

    def end(self, result: str = "") -> None:
        """End the stage; `result` is one line for people."""


class Quiet:
    """Says nothing."""

    def begin(self, stage: str, total: int | None) -> None:
        """Say nothing."""

    def advance(self, steps: int = 1) -> None:
        """Say nothing."""

    def note(self, lines: Sequence[str]) -> None:
        """Say nothing."""

    def end(self, result: str = "") -> None:
        """Say nothing."""


@dataclass
class Lines:
    """Plain lines, one every few seconds: for logs and pipes."""

    _stage: str = ""
    _total: int | None = None
    _done: int = 0
    _note: Sequence[str] = ()
    _last: float = field(default_factory=time.monotonic)
    _began: float = field(default_factory=time.monotonic)

    def begin(self, stage: str, total: int | None) -> None:
        """Start a stage."""
        self._stage, self._total, self._done, self._note = stage, total, 0, ()
        self._began = self._last = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        """Count; print at most every five seconds."""
        self._done += steps
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY:
            self._last = now
            of = f" of {self._total}" if self._total else ""
            rate = self._done / max(now - self._began, 1e-9)
            self._print(f"{self._stage}: {self._done}{of}, {rate:.3g}/s{self._left(rate)}")
            for line in self._note:
                self._print(f"  {line}")

    def note(self, lines: Sequence[str]) -> None:
        """Keep the lines for the next time that something is printed."""
        self._note = lines

    def end(self, result: str = "") -> None:
        """Print the result with the time that the stage took."""
        if result:
            self._print(f"{self._stage}: {result} ({time.monotonic() - self._began:.1f} s)")

    def _left(self, rate: float) -> str:
        if not self._total or rate <= 0 or self._done > self._total:
            return ""
        return f", {timedelta(seconds=round((self._total - self._done) / rate))} left"

    def _print(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@dataclass
class JsonLines:
    """One JSON object a line, several a second: for programs that show it in their own way."""

    _stage: str = ""
    _total: int | None = None
    _done: int = 0
    _last: float = 0.0

    def begin(self, stage: str, total: int | None) -> None:
        """Start a stage."""
        self._stage, self._total, self._done = stage, total, 0
        self._print()

    def advance(self, steps: int = 1) -> None:
        """Count; print at most four times a second."""
        self._done += steps
        if time.monotonic() - self._last >= _JSON_EVERY:
            self._print()

    def note(self, lines: Sequence[str]) -> None:
        """Say nothing: notes are for people."""

    def end(self, result: str = "") -> None:
        """Print how far the stage came."""
        if self._stage:
            self._print()
        self._stage = ""

    def _print(self) -> None:
        self._last = time.monotonic()
        state = {"stage": self._stage, "done": self._done, "total": self._total}
        sys.stderr.write(json.dumps(state) + "\n")
        sys.stderr.flush()


class Bars:
    """A bar for the stage under way, a line for each that is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._began = 0.0

    def begin(self, stage: str, total: int | None) -> None:
        """Show a bar."""
        self._stage, self._began = stage, time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),  # names of files may hold brackets
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task(stage, total=total)

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, steps)

    def note(self, lines: Sequence[str]) -> None:
        """Show lines below the name of the stage."""
        if self._progress is not None and self._task is not None:
            text = "\n  ".join([self._stage, *lines])
            self._progress.update(self._task, description=text)

    def end(self, result: str = "") -> None:
        """Replace the bar by its result."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if result:
            seconds = time.monotonic() - self._began
            self._console.print(
                f"[green]✓[/] {escape(self._stage)}: {escape(result)} [dim]({seconds:.1f} s)[/]",
                highlight=False,
            )


_current: ContextVar[Reporter] = ContextVar("_current", default=Quiet())  # noqa: B039


def reporter() -> Reporter:
    """Give the reporter of the run under way; a quiet one where nobody watches."""
    return _current.get()


@contextmanager
def watch(by: Reporter | None = None) -> Iterator[Reporter]:
    """Report to stderr while the body runs, or to `by`."""
    chosen = by if by is not None else _usual()
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        chosen.end()
        _current.reset(token)


def _usual() -> Reporter:
    if os.environ.get(FORM) == AS_JSON:
        return JsonLines()
    console = Console(stderr=True)
    return Bars(console) if console.is_terminal else Lines()


@contextmanager
def stage(name: str, total: int | None = None) -> Iterator[StageReport]:
    """Report one stage while the body runs.

    The body calls `advance` and may set `result`, one line for people.
    """
    out = reporter()
    report = StageReport(out)
    out.begin(name, total)
    try:
        yield report
    except BaseException:
        out.end()
        raise
    out.end(report.result)


@dataclass
class StageReport:
    """Handle of the stage under way."""

    _out: Reporter
    result: str = ""

    def advance(self, steps: int = 1) -> None:
        """Count steps."""
        self._out.advance(steps)

    def note(self, lines: Sequence[str]) -> None:
        """Say how the stage is doing."""
        self._out.note(lines)
