"""A site on loopback, and crawls of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from curation.ingest.sources import SourceConfig, open_source
from curation.ingest.stage import IngestCounts, ingest
from curation.recipe import Limits
from data_catalog.catalog import Catalog
from tests.curation.ingest.web.site import Site, serve


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


class Crawls:
    """Crawls into one catalog."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = Catalog(folder / "root")

    def config(self, **keys: Any) -> Any:
        """Make the config of a source that may reach loopback, at once."""
        defaults = {
            "contact": "test@example.org",
            "allow_hosts": ["127.0.0.1"],
            "delay": 0,
            "autothrottle": False,
            "timeout": 5,
        }
        return TypeAdapter[Any](SourceConfig).validate_python({**defaults, **keys})

    def table(self, *urls: str) -> str:
        """Write a table of URLs; give its path."""
        file = self.folder / "urls.csv"
        file.write_text("\n".join(["url", *urls]) + "\n")
        return str(file)

    def run(self, limits: Limits | None = None, **keys: Any) -> IngestCounts:
        """Crawl once."""
        source = open_source(self.config(**keys))
        return ingest(self.catalog, source, limits or Limits(), tombstones=set())

    def urls(self, *urls: str, limits: Limits | None = None, **keys: Any) -> IngestCounts:
        """Crawl a table of URLs."""
        return self.run(limits, kind="urls", path=self.table(*urls), **keys)

    def rows(self, table: str = "observations") -> list[dict[str, Any]]:
        """Give the rows of a table in the order in which they were written."""
        when = "observed_at" if table == "observations" else "fetched_at"
        rows: list[dict[str, Any]] = self.catalog.table(table).read().sort_by(when).to_pylist()
        return rows

    def failures(self) -> dict[str, str]:
        """Give the failure of each locator that has one now."""
        latest = {row["locator"]: row for row in self.rows()}
        return {place: row["failure"] for place, row in latest.items() if row["failure"]}


@pytest.fixture
def crawls(tmp_path: Path) -> Crawls:
    return Crawls(tmp_path)
