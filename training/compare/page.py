"""The page that shows runs beside each other: one HTML file, no script, nothing fetched.

It needs Jinja, which is not there on a machine that only trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.compare.collect import Curve, Run
from training.compare.curves import Plot, plot
from training.compare.pictures import common_nimg, grid_at, picture_uri

_COLOURS: Final = 8  # of the style sheet
_DASHES: Final = 4
_HIGHER: Final = ("precision", "recall")  # figures of which more is better
_WORDS: Final[Mapping[str, str]] = {
    "fd_own": "FD-own",
    "kid_own": "KID-own",
    "kid_own_std": "KID-own, deviation",
    "precision_own": "precision",
    "recall_own": "recall",
    "ppl_own": "PPL-own",
    "fid": "FID",
    "kid": "KID",
    "kid_std": "KID, deviation",
    "ppl": "PPL",
    "precision": "precision (Inception)",
    "recall": "recall (Inception)",
}
# Figures of ticks that are worth a look, in this order.
_TICKS: Final[Mapping[str, tuple[str, str]]] = {
    "d_sign_real": ("D on real pictures", "mean sign"),
    "ada_p": ("Augmentation", "probability p"),
    "loss_G": ("Loss of G", "mean over a tick"),
    "loss_D": ("Loss of D", "mean over a tick"),
    "r1": ("R1", "gradient at real pictures"),
    "sec_per_kimg": ("Speed", "seconds for thousand images"),
}
_COUNTS: Final = ("n_real", "n_fake", "n_steps")


@dataclass(frozen=True, slots=True)
class Row:
    """A run in the table; `best` are those of its figures that no run of its version betters."""

    run: Run
    number: int
    colour: int
    dash: int
    figures: Mapping[str, float]
    best: frozenset[str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A grid in the page; `kimg` is None for real pictures."""

    title: str
    kimg: float | None
    uri: str
    row: Row | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one version, and their pictures."""

    version: int
    split: str | None
    rows: tuple[Row, ...]
    aligned: tuple[Shown, ...]
    newest: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """All that the page shows."""

    name: str
    made: datetime
    groups: tuple[Group, ...]
    metrics: tuple[str, ...]
    kimg: float | None
    curves: tuple[Plot, ...]
    course: tuple[Plot, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All runs, in the order of the table."""
        return tuple(row for group in self.groups for row in group.rows)


def render(name: str, runs: Sequence[Run], made: datetime) -> str:
    """Draw the page.

    Text is escaped by the template engine without exception; a policy in the page forbids scripts
    and all requests.

    Parameters
    ----------
    name
        Of the dataset.
    runs
        Those to compare; they are shown by version, preset and seed.
    made
        When, in UTC.
    """
    return _environment().get_template("page.html.j2").render(page=_page(name, runs, made))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("training.compare", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({"metric": metric_words, "figure": lambda value: f"{value:.4g}"})
    return environment


def metric_words(name: str) -> str:
    """Give what people call a metric."""
    return _WORDS.get(name, name)


def metric_names(runs: Sequence[Run]) -> tuple[str, ...]:
    """Give the names of the figures that any of the runs has, the most telling first."""
    found = {name for run in runs for name in run.metrics} - {*_COUNTS}
    known = [name for name in _WORDS if name in found]
    return (*known, *sorted(found - {*known}))


def _page(name: str, runs: Sequence[Run], made: datetime) -> Page:
    ordered = sorted(runs, key=lambda run: (run.version, run.preset, run.seed or 0, run.name))
    metrics = metric_names(ordered)
    rows = _rows(ordered, metrics)
    nimg = common_nimg(ordered)
    versions = dict.fromkeys(run.version for run in ordered)
    groups = [_group([row for row in rows if row.run.version == v], nimg) for v in versions]
    right = max((run.kimg for run in ordered), default=0.0)
    names = [(row.number, row.run.name, row.run) for row in rows]

    def drawn(
        title: str, hint: str, of: Mapping[str, Mapping[str, Curve]], key: str
    ) -> Plot | None:
        curves = [(number, label, of[run.name].get(key, ())) for number, label, run in names]
        return plot(title, hint, curves, right)

    figures = {run.name: run.metrics for run in ordered}
    ticks = {run.name: run.ticks for run in ordered}
    several = [m for m in metrics if any(len(run.metrics.get(m, ())) > 1 for run in ordered)]
    curves = [drawn(metric_words(m), _direction(m), figures, m) for m in several]
    course = [drawn(*_TICKS[key], ticks, key) for key in _TICKS]
    return Page(
        name=name,
        made=made,
        groups=tuple(groups),
        metrics=metrics,
        kimg=None if nimg is None else nimg / 1000,
        curves=tuple(p for p in curves if p is not None),
        course=tuple(p for p in course if p is not None),
    )


def _direction(metric: str) -> str:
    return "more is better" if metric.startswith(_HIGHER) else "less is better"


def _rows(runs: Sequence[Run], metrics: Sequence[str]) -> list[Row]:
    """Give each run its line: a colour for each version and preset, a dash for each run in it."""
    kinds = list(dict.fromkeys((run.version, run.preset) for run in runs))
    met: dict[tuple[int, str], int] = {}
    rows = []
    for number, run in enumerate(runs):
        kind = (run.version, run.preset)
        place = met[kind] = met.get(kind, -1) + 1
        figures = run.newest_metrics()
        alike = [other.newest_metrics() for other in runs if other.version == run.version]
        best = {name for name in metrics if _is_best(name, figures, alike)}
        colour, dash = kinds.index(kind) % _COLOURS, place % _DASHES
        rows.append(Row(run, number, colour, dash, figures, frozenset(best)))
    return rows


def _is_best(name: str, own: Mapping[str, float], alike: Sequence[Mapping[str, float]]) -> bool:
    values = [figures[name] for figures in alike if name in figures]
    if name not in own or len(values) < 2:
        return False
    return own[name] == (max(values) if name.startswith(_HIGHER) else min(values))


def _group(rows: Sequence[Row], nimg: int | None) -> Group:
    first = rows[0].run
    reals = next((row.run.reals for row in rows if row.run.reals is not None), None)
    aligned = [Shown("real pictures", None, picture_uri(reals))] if reals is not None else []
    newest = []
    for row in rows:
        at = None if nimg is None else grid_at(row.run, nimg)
        if at is not None:
            aligned.append(_shown(row, at))
        last = max(row.run.grids, default=None)
        if last is not None and last != at:
            newest.append(_shown(row, last))
    return Group(first.version, first.split, tuple(rows), tuple(aligned), tuple(newest))


def _shown(row: Row, nimg: int) -> Shown:
    return Shown(row.run.name, nimg / 1000, picture_uri(row.run.grids[nimg]), row)
