"""Run one flow in this process, and print what it took as a line of JSON.

`python -m benchmarks.child empty`, or `rebuild` or `publish` with a configuration file.
"""

from __future__ import annotations

import json
import sys
import time

from flows import environment


def main() -> int:
    """Time the call of the flow; imports and the reading of the config are not in it."""
    environment.prepare()
    kind, *rest = sys.argv[1:]
    if kind == "empty":
        from prefect import flow

        @flow(name="empty")
        def empty() -> None:
            """Do nothing."""

        began = time.perf_counter()
        empty()
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "summary": {}}))
        return 0
    from flows.settings import load

    config = load(rest[0])
    if kind == "rebuild":
        from flows.rebuild import rebuild as work
    else:
        from flows.publish import publish as work  # type: ignore[assignment]
    began = time.perf_counter()
    summary = work(config)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "summary": summary.model_dump()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
