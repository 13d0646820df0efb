"""Run the benchmarks: all, or those named. `python -m benchmarks [standardize] [memory] …`."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks.common import SCRATCH, Row, Skipped, as_json, markdown, say
from flows import environment

PARTS: Final = {
    "standardize": "benchmarks.standardize",
    "incremental": "benchmarks.incremental",
    "near_duplicates": "benchmarks.joins",
    "memory": "benchmarks.memory",
    "shards": "benchmarks.shards",
    "training_data": "benchmarks.training_data",
    "rank": "benchmarks.rank_speed",
    "sample": "benchmarks.sample_speed",
    "crawling": "benchmarks.crawling",
    "crawl_memory": "benchmarks.crawl_memory",
    "discovery": "benchmarks.discovery",
    "loop": "benchmarks.loop_speed",
    "cluster": "benchmarks.cluster",
    "review": "benchmarks.review",
    "review_browser": "benchmarks.review_browser",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run parts one after the other; one that cannot run says so, and the others go on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args(arguments).parts or list(PARTS)
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    environment.prepare()
    SCRATCH.mkdir(exist_ok=True)
    rows: list[Row] = []
    broken = False
    parts_took: list[str] = []
    for part in chosen:
        load, began = os.getloadavg()[0], time.perf_counter()
        try:
            rows += importlib.import_module(PARTS[part]).run()
        except Skipped as skipped:
            rows.append(Row(part, "not measured", str(skipped)))
        except Exception as error:  # the others are worth having all the same
            broken = True
            rows.append(Row(part, "broke", f"{type(error).__name__}: {error}"))
        parts_took.append(
            f"{part} {time.perf_counter() - began:.0f} s (load {load:.1f} before it, "
            f"{os.getloadavg()[0]:.1f} after)"
        )
        say(f"{parts_took[-1]}\n")
    text = f"{_machine()}\n{'; '.join(parts_took)}\n\n{markdown(rows)}\n"
    (SCRATCH / "results.md").write_text(text, encoding="utf-8")
    (SCRATCH / "results.json").write_text(as_json(rows), encoding="utf-8")
    print(text)
    return int(broken)


def _machine() -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{now}, {os.cpu_count()} processors, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
