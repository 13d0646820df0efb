"""What the page asks of the rest of Nonesuch; handed in by whoever starts it.

The page imports no pipeline and no image code, so that it stays small and safe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from data_catalog.reviewing import QueueInfo
from review_ui.loop import Kind, LoopTold, Options, RunDetails, Size


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
class Done:
    """What came of work.

    Attributes
    ----------
    message : str
        In words.
    version, items, shards : int or None
        Of the version, where one was published.
    """

    message: str
    version: int | None = None
    items: int | None = None
    shards: int | None = None


class Tell(Protocol):
    """Takes how far work is."""

    def __call__(self, stage: str, done: int, total: int, url: str | None = None) -> None:
        """Take the stage, steps done, steps in all (0 where not known), and where to watch it."""


class Pipeline(Protocol):
    """The rest of Nonesuch, as far as the page needs it. All may be called in any thread."""

    def latest_build(self) -> str | None:
        """Give the id of the last build of the catalog; None before the first."""

    def refresh(self) -> None:
        """Bring the store's projection up to the last build; returns when that is done."""

    def work(self, kind: Kind, options: Options, tell: Tell) -> Done:
        """Do a part of the loop, decisions of the page included; returns when it is done.

        What runs already is waited for, where that can be known, and not started again.
        """

    def loop_state(self) -> LoopTold:
        """Tell where the loop stands. What cannot be found out is among its `problems`."""

    def run_details(self, run: str) -> RunDetails:
        """Give the curves and the grids of a run, by its name."""

    def grid(self, run: str, grid: str, size: Size) -> bytes:
        """Give a grid of a run, by its name and the id of the grid, encoded anew as JPEG."""

    def comparison(self) -> bytes:
        """Give the page on which runs were compared, as HTML: one file, without scripts."""

    def explain(self, item: str) -> dict[str, Any]:
        """Tell everything that is known about an item. May take seconds."""

    def render(self, data: bytes) -> bytes:
        """Decode a picture from outside, safely, and encode it as JPEG for the page."""
