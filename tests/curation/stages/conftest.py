"""A catalog with small pictures in it, as ingest leaves them."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.ingest.selection import CURRENT
from curation.pool import WorkerPool
from curation.recipe import Limits, Recipe
from curation.stages.standardize import PartitionCounts, pending, standardize_partition
from curation.synthetic.drawing import draw_product, encode
from curation.synthetic.outlines import KINDS
from data_catalog.catalog import Catalog
from data_catalog.decisions import record
from data_catalog.schema import DECISIONS, IMAGES

RECIPE = Recipe(width=96, height=128)
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def jpeg(seed: int, size: tuple[int, int] = (160, 120), quality: int = 92) -> bytes:
    """Draw a product; another seed gives another one."""
    kind = list(KINDS)[seed % len(KINDS)]
    return encode(draw_product(np.random.default_rng(seed), kind, size), ".jpg", quality)


@dataclass
class Stock:
    """A catalog, and what is in it by name."""

    catalog: Catalog
    ids: dict[str, str] = field(default_factory=dict)

    def store(self, images: Mapping[str, bytes]) -> None:
        """Store images in one pack, in this order."""
        rows = []
        with self.catalog.raw.writer() as writer:
            for name, data in images.items():
                image_id = hashlib.sha256(data).hexdigest()
                self.ids[name] = image_id
                ref = writer.add(image_id, data)
                rows.append(
                    {
                        "image_id": image_id,
                        "bytes": len(data),
                        "pack": ref.pack,
                        "offset": ref.offset,
                        "length": ref.length,
                    }
                )
        self.catalog.table("images").append(pa.Table.from_pylist(rows, schema=IMAGES))

    def pending(self, recipe: Recipe = RECIPE, limits: Limits | None = None) -> pa.Table:
        """Give what is not standardized yet."""
        ids = pa.array(list(self.ids.values()), pa.string())
        return pending(self.catalog, recipe, limits or Limits(), ids)

    def standardize(
        self,
        images: pa.Table | None = None,
        *,
        recipe: Recipe = RECIPE,
        limits: Limits | None = None,
        pool: WorkerPool | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> PartitionCounts:
        """Standardize, by default all that is pending."""
        chosen = self.pending(recipe, limits) if images is None else images
        with pool or WorkerPool(1) as workers:
            return standardize_partition(
                self.catalog, recipe, limits or Limits(), chosen, workers, progress
            )

    def features(self) -> dict[str, dict[str, Any]]:
        """Give rows of `features` by name."""
        names = {image_id: name for name, image_id in self.ids.items()}
        rows = self.catalog.table("features").read().to_pylist()
        return {names[row["image_id"]]: row for row in rows}

    def selection(self, *names: str, labels: Mapping[str, str] | None = None) -> pa.Table:
        """Give a selection of these images, by default of all."""
        rows = [
            {
                "id": self.ids[name],
                "image_id": self.ids[name],
                "source": "images",
                "locator": name,
                "label": (labels or {}).get(name),
                "tags": [],
                "observations": 1,
            }
            for name in names or self.ids
        ]
        return pa.Table.from_pylist(rows, schema=CURRENT).sort_by("id")

    def decide(self, name: str, verdict: str, minutes: int = 0, tags: Sequence[str] = ()) -> None:
        """Record a decision, so many minutes past noon."""
        row = {
            "item_id": self.ids[name],
            "verdict": verdict,
            "tags": list(tags),
            "reviewer": "ann",
            "decided_at": NOON + timedelta(minutes=minutes),
        }
        record(self.catalog, pa.Table.from_pylist([row], schema=DECISIONS))


@pytest.fixture
def stock(tmp_path: Path, _warm_workers: None) -> Stock:
    """An empty catalog."""
    return Stock(Catalog(tmp_path / "root"))


@pytest.fixture(scope="session")
def _warm_workers() -> None:
    """Let workers have imported what they need before they are forked: a second less for each."""
    preload = ["curation.stages.standardize", "curation.stages.relate", "threadpoolctl"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
    forkserver.ensure_running()


class HostilePool(WorkerPool):
    """A pool whose workers come to grief over some images, as over a decoder's bug.

    Parameters
    ----------
    attacks : mapping of str to callable
        What the worker does when it comes to the image of that id.
    """

    def __init__(self, attacks: Mapping[str, Callable[[], None]]) -> None:
        super().__init__(1)
        self._attacks = dict(attacks)

    def map(self, function: Any, tasks: Any, **options: Any) -> Iterator[Any]:
        """Map, with attacks."""
        return super().map(partial(attacked, self._attacks, function), tasks, **options)


def attacked(attacks: Mapping[str, Callable[[], None]], function: Any, chunk: Any) -> Any:
    """Work on a chunk in a worker; die or hang over an image that is to be attacked."""
    for task in chunk:
        attack = attacks.get(getattr(task, "image_id", ""))  # a pair has none
        if attack is not None:
            attack()
    return function(chunk)
