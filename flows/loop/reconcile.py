"""Starts what is due and does not run yet: the cover for events that were lost."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from prefect.exceptions import PrefectHTTPStatusError

from data_catalog.errors import CatalogError
from flows.catalog import open_catalog
from flows.loop import due, notes
from flows.loop.starts import Starter, is_under_way, may_start, past
from flows.server import api_of
from flows.settings import ConfigError, DatasetConfig
from flows.trainings.finish import finish
from flows.trainings.matrix import is_of_matrix
from training.errors import TrainingError

# What people or the clock have ordered. What is due is seen in the catalog, but for what these do
# at their end: a ranking that was killed before its verdicts has nothing left to score.
_ORDERED: Final = ("rebuild", "publish", "rank")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was done and what was refused, one line each for people; the keys of what was due."""

    told: list[str]
    refused: list[str]
    due: frozenset[str]


def reconcile(config: DatasetConfig, ripe: Container[str] | None = None) -> Reconciled:
    """Register what has finished, start what is due.

    Parameters
    ----------
    ripe
        Keys of what may be started: events have the first say in what has just become due, else
        a second process would look, and leave. None: all.

    Raises
    ------
    ConfigError
        If no server is known that could start anything.
    """
    catalog = open_catalog(config)
    found = due.survey(config)
    due.note(catalog, found)
    for run in found.ended:
        notes.take_out(catalog, run)
    told = []
    for item in found.due:
        if item.kind == "register":
            told += _register(config, item)
    api = api_of(config)
    if api is None:
        raise ConfigError(
            "no Prefect server runs for this dataset; start one with `nonesuch up`, or set "
            "PREFECT_API_URL"
        )
    refused: list[str] = []
    starts: list[Callable[[], list[str]]] = []
    with Starter(api, config.dataset.name) as starter:
        for item in found.due:
            if item.kind != "register" and (ripe is None or item.key in ripe):
                starts.append(partial(_start, starter, item))
        starts += [partial(_go_on, starter, flow) for flow in _ORDERED]
        for start in starts:
            try:
                told += start()
            except (ConfigError, PrefectHTTPStatusError) as error:  # the others are started
                refused.append(str(error))
    return Reconciled(told, refused, frozenset(item.key for item in found.due))


def _register(config: DatasetConfig, item: due.Due) -> list[str]:
    """Register a run that nobody has; one that cannot be keeps nothing else waiting."""
    run = Path(item.run)
    try:
        model = finish(config, [run], judges=not is_of_matrix(run))
    except (CatalogError, TrainingError) as error:
        return [f"run {run.name} is not registered: {error}"]
    return [] if model is None else [f"registered: {item.why}"]


def _start(starter: Starter, item: due.Due) -> list[str]:
    """Start what is due, unless it runs, or has just been tried."""
    now, parameters = datetime.now(UTC), _parameters(item)
    runs = starter.runs_like(item.kind, parameters)
    before = past(runs)
    if is_under_way([*runs, *starter.find(item.flow_run)], now) or not may_start(before, now):
        return []
    # Whoever else looks at the same time starts the same run.
    after = before[0].id if before else "the first"
    order = starter.start(item.kind, parameters, f"{item.key}:after:{after}")
    return [f"{item.kind} started: {item.why} ({order.address})"]


def _go_on(starter: Starter, flow: str) -> list[str]:
    """Start what was killed, or stopped with its runner, once more, if nothing came after it."""
    now, runs = datetime.now(UTC), starter.runs_like(flow, {})
    before = past(runs)
    if not before or not (before[0].state == "CRASHED" or before[0].was_shut_down):
        return []
    if is_under_way(runs, now) or not may_start(before, now):
        return []
    last = next(run for run in runs if str(run.id) == before[0].id)
    order = starter.start(flow, last.parameters, f"{flow}:after:{last.id}")
    return [f"{flow} started again: it was interrupted ({order.address})"]


def _parameters(item: due.Due) -> dict[str, Any]:
    """Give what tells the flow which piece of work is meant, as an event would."""
    if item.kind == "train":
        return {"published": {"version": item.version, "hash": item.version_hash}}
    return {"model": item.model}
