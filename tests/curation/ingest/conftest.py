from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curation.ingest.selection import current
from curation.ingest.sources import SourceConfig, open_source
from curation.ingest.stage import IngestCounts, ingest
from curation.recipe import Limits
from data_catalog.catalog import Catalog


def draw(seed: int, size: int = 24) -> bytes:
    """Give a small PNG; another seed gives other bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Runner:
    """Ingests sources into one catalog and tells what is in it then."""

    catalog: Catalog
    limits: Limits = field(default_factory=Limits)
    tombstones: frozenset[str] = frozenset()

    def __call__(self, config: SourceConfig) -> IngestCounts:
        return ingest(
            self.catalog, open_source(config), self.limits, tombstones=set(self.tombstones)
        )

    def rows(self) -> list[dict[str, Any]]:
        table = self.catalog.table("observations").read().sort_by("observed_at")
        return [r for r in table.to_pylist() if r["image_id"] or r["failure"]]

    def by_locator(self) -> dict[str, dict[str, Any]]:
        return {row["locator"]: row for row in self.rows()}

    def failures(self) -> dict[str, str]:
        return {r["locator"]: r["failure"] for r in self.rows() if r["failure"]}

    def images(self) -> list[dict[str, Any]]:
        return list(self.catalog.table("images").read().to_pylist())

    def current(self, *configs: SourceConfig) -> list[dict[str, Any]]:
        table = self.catalog.table("observations").read()
        return list(current(table, configs).to_pylist())


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    yield Runner(Catalog(tmp_path / "root"))


@pytest.fixture
def picture() -> Callable[[int], bytes]:
    return draw
