"""A review page in a process of its own, to be killed: `python -m tests.review_ui.serving …`."""

from __future__ import annotations

import sys
from pathlib import Path

from data_catalog.catalog import Catalog
from review_ui.desk import open_desk
from review_ui.serve import serve
from review_ui.settings import ReviewConfig
from review_ui.store.database import open_database
from tests.review_ui.site import Stub


def main() -> None:
    """Serve the store in a folder; the build under review is in it already."""
    folder, port, build = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    database = open_database(f"sqlite:///{folder}/review.sqlite")
    config = ReviewConfig(port=port)
    desk = open_desk("shoes", config, Catalog(folder / "catalog"), database, Stub(build=build))
    serve(desk, say)


def say(address: str) -> None:
    """Tell whoever started it."""
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
