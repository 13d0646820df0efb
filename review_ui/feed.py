"""What the page asks of the rest of Nonesuch; handed in by whoever starts it.

The page imports no pipeline and no image code, so that it stays small and safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from data_catalog.reviewing import QueueInfo


@dataclass(frozen=True, slots=True)
class Feed:
    """A build as the page is given it.

    Attributes
    ----------
    items : iterator of pyarrow.RecordBatch
        Of schema `data_catalog.reviewing.REVIEWED`, each item once.
    total : int
        Items, about.
    """

    build: str
    built_at: datetime
    recipe: str
    queues: Sequence[QueueInfo]
    items: Iterator[pa.RecordBatch]
    total: int


@dataclass(frozen=True, slots=True)
class Published:
    """A version that was published."""

    version: int
    items: int
    shards: int


# Stage, steps done, steps in all (0 where not known).
Tell = Callable[[str, int, int], None]


class Pipeline(Protocol):
    """The rest of Nonesuch, as far as the page needs it. All may be called in any thread."""

    def latest_build(self) -> str | None:
        """Give the id of the last build of the catalog; None before the first."""

    def refresh(self) -> None:
        """Bring the store's projection up to the last build; returns when that is done."""

    def publish(self, tell: Tell) -> Published:
        """Publish what is accepted, decisions of the page included."""

    def explain(self, item: str) -> dict[str, Any]:
        """Tell everything that is known about an item. May take seconds."""

    def render(self, data: bytes) -> bytes:
        """Decode a picture from outside, safely, and encode it as JPEG for the page."""
