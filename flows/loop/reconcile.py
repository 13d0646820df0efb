"""Starts what is due and does not run yet: the cover for events that were lost."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from flows.catalog import open_catalog
from flows.loop import due, notes
from flows.loop.starts import Starter, is_under_way, may_start, past
from flows.server import api_of
from flows.settings import ConfigError, DatasetConfig
from flows.trainings.finish import finish

# What people or the clock have ordered; what else is due is seen in the catalog.
_ORDERED: Final = ("rebuild", "publish")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was done, one line each for people, and the keys of what was due."""

    told: list[str]
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
        if item.kind == "register" and finish(config, [Path(item.run)]) is not None:
            told.append(f"registered: {item.why}")
    api = api_of(config)
    if api is None:
        raise ConfigError(
            "no Prefect server runs for this dataset; start one with `nonesuch up`, or set "
            "PREFECT_API_URL"
        )
    with Starter(api, config.dataset.name) as starter:
        for item in found.due:
            if item.kind != "register" and (ripe is None or item.key in ripe):
                told += _start(starter, item)
        for flow in _ORDERED:
            told += _go_on(starter, flow)
    return Reconciled(told, frozenset(item.key for item in found.due))


def _start(starter: Starter, item: due.Due) -> list[str]:
    """Start what is due, unless it runs, or has just been tried."""
    now, parameters = datetime.now(UTC), _parameters(item)
    runs = starter.runs_like(item.kind, parameters)
    before = past(runs)
    if is_under_way([*runs, *starter.find(item.flow_run)], now) or not may_start(before, now):
        return []
    order = starter.start(item.kind, parameters, f"{item.key}:{len(before)}")
    return [f"{item.kind} started: {item.why} ({order.address})"]


def _go_on(starter: Starter, flow: str) -> list[str]:
    """Start what was killed, or stopped with its runner, once more, if nothing came after it."""
    now, runs = datetime.now(UTC), starter.runs_like(flow, {})
    ended = [run for run in runs if run.state is not None and run.state.is_final()]
    before = past(ended)
    if not before or not (before[0].state == "CRASHED" or before[0].was_shut_down):
        return []
    if is_under_way(runs, now) or not may_start(before, now):
        return []
    order = starter.start(flow, ended[0].parameters, f"{flow}:after:{ended[0].id}")
    return [f"{flow} started again: it was interrupted ({order.address})"]


def _parameters(item: due.Due) -> dict[str, Any]:
    """Give what tells the flow which piece of work is meant, as an event would."""
    if item.kind == "train":
        return {"published": {"version": item.version, "hash": item.version_hash}}
    return {"model": item.model}
