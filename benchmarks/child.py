"""Run one flow in this process, and print what it took as a line of JSON.

`python -m benchmarks.child empty`, or `rebuild` or `publish` with a configuration file.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from flows import environment


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
    if kind == "rebuild":
        from flows.rebuild import rebuild

        return lambda: rebuild(config).model_dump()
    from flows.publish import publish

    return lambda: publish(config).model_dump()


if __name__ == "__main__":
    sys.exit(main())
