"""Starts what is due and does not run yet: the cover for events that were lost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import loop, loop_notes
from flows.catalog import open_catalog
from flows.finish import finish
from flows.server import api_of
from flows.settings import ConfigError, DatasetConfig
from flows.starts import Starter, is_under_way, may_start, past


def reconcile(config: DatasetConfig) -> list[str]:
    """Register what has finished, start what is due; say what was done, one line each.

    Raises
    ------
    ConfigError
        If no server is known that could start anything.
    """
    catalog = open_catalog(config)
    found = loop.survey(config)
    loop.note(catalog, found)
    for run in found.ended:
        loop_notes.take_out(catalog, run)
    told = []
    for item in found.due:
        if item.kind == "register" and finish(config, [Path(item.run)]) is not None:
            told.append(f"registered: {item.why}")
    to_start = [item for item in found.due if item.kind != "register"]
    return told + (_start(config, to_start) if to_start else [])


def _start(config: DatasetConfig, items: list[loop.Due]) -> list[str]:
    api = api_of(config)
    if api is None:
        raise ConfigError(
            "no Prefect server runs for this dataset; start one with `nonesuch up`, or set "
            "PREFECT_API_URL"
        )
    told = []
    with Starter(api, config.dataset.name) as starter:
        for item in items:
            parameters = _parameters(item)
            runs = starter.runs_like(item.kind, parameters)
            before = past(runs)
            if is_under_way([*runs, *starter.find(item.flow_run)]) or not may_start(
                before, datetime.now(UTC)
            ):
                continue
            order = starter.start(item.kind, parameters, f"{item.key}:{len(before)}")
            told.append(f"{item.kind} started: {item.why} ({order.address})")
    return told


def _parameters(item: loop.Due) -> dict[str, Any]:
    """Give what tells the flow which piece of work is meant, as an event would."""
    if item.kind == "train":
        return {"published": {"version": item.version, "hash": item.version_hash}}
    return {"model": item.model}
