"""How fast all products of a large shop are found, from its front page on.

The shop is `curation.localshop` on another thread of the process that measures: its work is not in
the crawl's figures, though on the same processors. Its pictures are tiny; they are fetched and
stored, but finding them is what takes the time.
"""

from __future__ import annotations

import shutil
from typing import Final

from benchmarks.common import Row, fresh, say
from benchmarks.crawl import crawled
from curation.localshop.server import LocalShop

PRODUCTS: Final = 10_000


def run() -> list[Row]:
    """Crawl the shop once."""
    folder = fresh("discovery")
    say(f"discovery: a shop with {PRODUCTS:,} products")
    with LocalShop.generated(PRODUCTS) as shop:
        wanted = len(shop.expected().images)
        done = crawled({"kind": "shop", "start_urls": [shop.url]}, folder / "catalog")
    shutil.rmtree(folder)
    row = Row(
        f"discovery of {PRODUCTS:,} products in the local shop",
        f"{done.pages / done.seconds:,.0f} pages/s, {done.seconds:.0f} s",
        f"{done.pages:,} pages fetched, {wanted:,} pictures to be found",
        f"{done.new / wanted:.3f}",
        "every picture",
        done.new == wanted and not done.failed,
        {"seconds": done.seconds, "parent_s": done.parent, "child_s": done.child},
    )
    say(f"  {row.figure}; {row.peer}; found {done.new:,}")
    return [row]
