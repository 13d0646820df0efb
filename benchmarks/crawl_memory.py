"""Peak memory of a crawl at 10,000 URLs and at ten times as many.

nginx answers from memory, every URL with bytes of its own, so that all of them are stored.
"""

from __future__ import annotations

import shutil
from typing import Final

from benchmarks.common import SCRATCH, Row, fresh, say
from benchmarks.crawl import Crawled, finished, nginx, start
from benchmarks.memory import Peaks, watch

URLS: Final = 10_000
TIMES: Final = 10
FLAT: Final = 1.15  # what ten times as many URLs may cost

_ANSWER: Final = f'default_type image/jpeg; return 200 "{"picture " * 200} $uri";'


def fetched(url: str, count: int) -> tuple[Crawled, Peaks]:
    """Crawl a table of so many URLs, watched."""
    folder = fresh("crawl-memory")
    table = folder / "urls.csv"
    with table.open("w") as file:
        file.write("url\n")
        file.writelines(f"{url}/{number:07d}.jpg\n" for number in range(count))
    say(f"crawl_memory: {count:,} URLs")
    process = start({"kind": "urls", "path": str(table)}, folder / "catalog")
    out, peaks = watch(process)
    done = finished(process, out)
    shutil.rmtree(folder)
    if done.new != count:
        raise RuntimeError(f"{count:,} pictures were to come, {done.new:,} came")
    return done, peaks


def run() -> list[Row]:
    """Crawl both tables."""
    SCRATCH.mkdir(exist_ok=True)
    with nginx(_ANSWER) as url:
        small, large = fetched(url, URLS), fetched(url, URLS * TIMES)
    rows = []
    for which, what in (("worker", "the crawl"), ("parent", "the process that stores")):
        before, after = (getattr(peaks, which) / 1e6 for _, peaks in (small, large))
        rows.append(
            Row(
                f"peak memory of {what}",
                f"{after:,.0f} MB at {large[0].new:,} URLs",
                f"{before:,.0f} MB at {small[0].new:,}",
                f"{after / before:.2f}",
                f"flat (≤ {FLAT}×)",
                after / before <= FLAT,
                {"mb": [before, after], "seconds": [small[0].seconds, large[0].seconds]},
            )
        )
        say(f"  {rows[-1].what}: {rows[-1].figure}; {rows[-1].peer}")
    return rows
