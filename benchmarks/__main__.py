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

PARTS: Final = ("standardize", "incremental", "near_duplicates", "memory", "shards")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run parts one after the other; one that cannot run says so, and the others go on."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen = parser.parse_args(arguments).parts or PARTS
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    environment.prepare()
    SCRATCH.mkdir(exist_ok=True)
    rows: list[Row] = []
    broken = False
    head = _machine()
    for part in chosen:
        began = time.perf_counter()
        try:
            rows += importlib.import_module(f"benchmarks.{part}").run()
        except Skipped as skipped:
            rows.append(Row(part, "not measured", str(skipped)))
        except Exception as error:  # the others are worth having all the same
            broken = True
            rows.append(Row(part, "broke", f"{type(error).__name__}: {error}"))
        say(f"{part}: {time.perf_counter() - began:.0f} s\n")
    text = f"{head}\n\n{markdown(rows)}\n"
    (SCRATCH / "results.md").write_text(text, encoding="utf-8")
    (SCRATCH / "results.json").write_text(as_json(rows), encoding="utf-8")
    print(text)
    return int(broken)


def _machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"{now}, {os.cpu_count()} processors, Python {platform.python_version()}, "
        f"load at the start {load}"
    )


if __name__ == "__main__":
    sys.exit(main())
