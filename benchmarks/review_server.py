"""Serve a review page over a store that is filled already: `python -m benchmarks.review_server`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from data_catalog.catalog import Catalog
from review_ui.desk import open_desk
from review_ui.feed import Published, Tell
from review_ui.serve import serve
from review_ui.settings import ReviewConfig
from review_ui.store.database import open_database


class Nothing:
    """A pipeline that has nothing new."""

    def __init__(self, build: str) -> None:
        self._build = build

    def latest_build(self) -> str | None:
        """Give the build that is in the store."""
        return self._build

    def refresh(self) -> None:
        """Do nothing."""

    def publish(self, tell: Tell) -> Published:
        """Refuse: nobody asks."""
        raise NotImplementedError

    def explain(self, item: str) -> dict[str, Any]:
        """Refuse: nobody asks."""
        raise NotImplementedError

    def render(self, data: bytes) -> bytes:
        """Give it back: it was encoded by the benchmark."""
        return data


def main() -> int:
    """Serve until told to stop; print the address once it can be reached."""
    store, catalog, build = sys.argv[1:]
    desk = open_desk(
        "bench",
        ReviewConfig(port=0, lease_seconds=10),
        Catalog(catalog),
        open_database(f"sqlite:///{Path(store)}"),
        Nothing(build),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    serve(desk, lambda address: print(address, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
