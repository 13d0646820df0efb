"""A review page in a process of its own, to be killed."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

from data_catalog.catalog import Catalog
from review_ui.desk import open_desk
from review_ui.serve import serve
from review_ui.settings import ReviewConfig
from review_ui.store.database import open_database
from tests.review_ui.site import Stub


def serve_store(folder: Path, port: int, build: str, ready: Connection) -> None:
    """Serve the store in a folder, the build under review in it already; tell the address."""
    database = open_database(f"sqlite:///{folder}/review.sqlite")
    config = ReviewConfig(port=port)
    desk = open_desk("shoes", config, Catalog(folder / "catalog"), database, Stub(build=build))
    serve(desk, ready.send)
