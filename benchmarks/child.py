"""Run one flow in this process, and print what it took as a line of JSON.

`python -m benchmarks.child empty`, or `rebuild` or `publish` with a configuration file; `plain`
calls the stages of a rebuild without Prefect, `accounted` tells what they take of the flow.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from flows import environment
from flows.settings import DatasetConfig

STAGES: Final = (
    "ingest_source",
    "select_items",
    "find_pending",
    "standardize",
    "take_decisions",
    "judge_items",
    "compact_tables",
)
"""Tasks of a rebuild."""


def main() -> int:
    """Time the call of the flow; imports and the reading of the config are not in it."""
    environment.prepare()
    kind, *rest = sys.argv[1:]
    work = _empty() if kind == "empty" else _real(kind, rest[0])
    began, busy = time.perf_counter(), time.process_time()
    summary = work()
    said = {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - busy,
        "summary": summary,
    }
    print(json.dumps(said))
    return 0


def _empty() -> Callable[[], dict[str, Any]]:
    from prefect import flow

    @flow(name="empty")
    def empty() -> dict[str, Any]:
        """Do nothing."""
        return {}

    return empty


def _real(kind: str, path: str) -> Callable[[], dict[str, Any]]:
    from flows.settings import load

    config = load(path)
    if kind in ("rebuild", "plain", "accounted"):
        from flows.rebuild import rebuild

        if kind != "rebuild":
            return lambda: _plain(config) if kind == "plain" else _accounted(config)
        return lambda: rebuild(config).model_dump()
    from flows.publish import publish

    return lambda: publish(config).model_dump()


def _accounted(config: DatasetConfig) -> dict[str, Any]:
    """Run the flow `rebuild`; the seconds that its stages themselves took are in its summary."""
    from flows import tasks
    from flows.rebuild import rebuild

    spent = 0.0

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(work)
        def run(*arguments: Any) -> Any:
            nonlocal spent
            began = time.perf_counter()
            try:
                return work(*arguments)
            finally:
                spent += time.perf_counter() - began

        return run

    for stage in STAGES:
        task = getattr(tasks, stage)
        task.fn = timed(task.fn)
    return {**rebuild(config).model_dump(), "in_stages": spent}


def _plain(config: DatasetConfig) -> dict[str, Any]:
    """Do what the flow `rebuild` does; nothing of it is seen on Prefect's page."""
    from flows import tasks
    from flows.catalog import open_catalog

    with open_catalog(config).lock("rebuild"):
        for source in config.sources:
            tasks.ingest_source.fn(config, source)
        selection = tasks.select_items.fn(config)
        for part in tasks.find_pending.fn(config, selection):
            tasks.standardize.fn(config, part, "")
        tasks.take_decisions.fn(config)
        build = tasks.judge_items.fn(config, selection)
        tasks.compact_tables.fn(config)
    return dict(build.summary)


if __name__ == "__main__":
    sys.exit(main())
