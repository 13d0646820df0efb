"""What people see of a matrix on a terminal: how far each run is, and what came of all."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from flows.trainings.comparison import ComparedRun
from flows.trainings.matrix import State
from training.compare.collect import speed

_LINE_EVERY: Final = 30.0  # seconds between lines of one run
_COLOURS: Final = {"trains": "green", "follows": "green", "measures": "cyan", "waits": "dim"}
_ENDS: Final = {"running": "green", "stopped": "yellow", "failed": "red", "lost": "red"}


class Board(Protocol):
    """Shows how things are."""

    def __call__(self, states: Sequence[State]) -> None:
        """Show it; called every second."""


@contextmanager
def board() -> Iterator[Board]:
    """Give a board on standard error for as long as the body runs."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Lines()
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield lambda states: live.update(_table(states))


class Lines:
    """A plain line when a run begins and ends, and now and then between."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, float]] = {}

    def __call__(self, states: Sequence[State]) -> None:
        """Write what is new."""
        now = time.monotonic()
        for state in states:
            name = state.cell.name
            doing, at = self._said.get(name, ("waits", now))
            again = state.doing in ("trains", "follows") and now - at >= _LINE_EVERY
            if state.doing != doing or again:
                self._said[name] = (state.doing, now)
                sys.stderr.write(f"{name}: {_words(state)}\n")
                sys.stderr.flush()


def _words(state: State) -> str:
    """Say in a line how a run is doing."""
    if state.problem:
        return f"failed: {state.problem.splitlines()[0]}"
    record = state.cell.record()
    total = state.cell.settings.run.total_kimg
    if record is None:
        return state.doing
    doing = record.status if state.doing == "ended" else state.doing
    parts = [f"{doing}, {record.kimg:g} of {total:g} kimg"]
    parts += _pace(state, total - record.kimg) if state.doing in ("trains", "follows") else []
    return ", ".join(parts)


def _pace(state: State, left: float) -> list[str]:
    per_kimg = speed(state.cell.run)
    if per_kimg is None:
        return []
    return [f"{per_kimg:.3g} s/kimg", f"{_duration(left * per_kimg)} left"]


def _table(states: Sequence[State]) -> Table:
    table = Table(box=None)
    for heading in ("run", "", "kimg", "s/kimg", "left"):
        table.add_column(heading, no_wrap=True)
    for state in states:
        table.add_row(*_row(state))
    return table


def _row(state: State) -> list[str]:
    record = state.cell.record()
    total = state.cell.settings.run.total_kimg
    kimg = 0.0 if record is None else record.kimg
    ended = "not begun" if record is None else record.status
    doing = "failed" if state.problem else ended if state.doing == "ended" else state.doing
    colour = "red" if state.problem else _COLOURS.get(state.doing, "default")
    at_work = state.doing in ("trains", "follows")
    per_kimg = speed(state.cell.run) if at_work else None
    pace = ["", ""]
    if per_kimg is not None:
        pace = [f"{per_kimg:.3g}", _duration((total - kimg) * per_kimg)]
    return [escape(state.cell.name), f"[{colour}]{doing}[/]", f"{kimg:g} of {total:g}", *pace]


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=max(round(seconds), 0)))


def show_comparison(runs: Sequence[ComparedRun], page: str | None = None) -> None:
    """Show runs beside each other, and where the page about them is."""
    console = Console(highlight=False)
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    metrics = [name for name in metrics if not name.startswith("n_")]  # no figures, but counts
    table = Table(box=None)
    for heading in ("run", "version", "preset"):
        table.add_column(heading, no_wrap=True)
    for heading in ("seed", "kimg", "s/kimg", *metrics):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for run in runs:
        split = f" ({escape(run.split)})" if run.split else ""
        table.add_row(
            escape(run.run),
            f"{run.version or '–'}{split}",
            run.preset or "–",
            "–" if run.seed is None else str(run.seed),
            f"{run.kimg:g} of {run.total_kimg:g}",
            "–" if run.sec_per_kimg is None else f"{run.sec_per_kimg:.3g}",
            *(f"{run.metrics[name]:.4g}" if name in run.metrics else "–" for name in metrics),
            f"[{_ENDS.get(run.status, 'default')}]{run.status}[/]",
        )
    console.print(table)
    if page is not None:
        console.print(f"page: {escape(Path(page).as_uri())}", soft_wrap=True)
