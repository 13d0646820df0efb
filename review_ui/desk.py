"""Everything that the routes share: the store, who is logged in, pictures, what runs meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from data_catalog.catalog import Catalog
from review_ui.errors import NotFoundError
from review_ui.feed import Pipeline
from review_ui.lookalikes import Lookalikes
from review_ui.pictures import Pictures
from review_ui.publishing import Publishing
from review_ui.sessions import Sessions
from review_ui.settings import ReviewConfig
from review_ui.store import queues
from review_ui.store.database import Database
from review_ui.store.writer import Writer

T = TypeVar("T")

_COUNTS_HOLD: Final = 1.0  # seconds
_LOOK_EVERY: Final = 5.0


class Remembered(Generic[T]):
    """A value that costs something to find out, kept for a moment."""

    def __init__(self, find: Callable[[], T], seconds: float) -> None:
        self._find, self._seconds = find, seconds
        self._lock = threading.Lock()
        self._known: tuple[float, T] | None = None

    def get(self) -> T:
        """Give the value; at most `seconds` old."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] >= self._seconds:
                self._known = (time.monotonic(), self._find())
            return self._known[1]

    def at_hand(self) -> T | None:
        """Give the value where it is fresh, and None where it would have to be found out."""
        known = self._known
        fresh = known is not None and time.monotonic() - known[0] < self._seconds
        return known[1] if known is not None and fresh else None

    def forget(self) -> None:
        """Find it out anew the next time."""
        with self._lock:
            self._known = None


@dataclass(slots=True)
class Desk:
    """What a running review page consists of.

    Made by `open_desk`, ended by `close`.
    """

    name: str
    config: ReviewConfig
    catalog: Catalog
    pipeline: Pipeline
    database: Database
    writer: Writer
    sessions: Sessions
    pictures: Pictures
    publishing: Publishing
    lookalikes: Lookalikes
    builds: Remembered[tuple[queues.Build | None, queues.Build | None]]
    counts: Remembered[queues.Counts]
    trouble: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _watch: threading.Thread | None = None

    def build(self) -> queues.Build:
        """Give the build under review.

        Raises
        ------
        NotFoundError
            If nothing was rebuilt yet.
        """
        current = self.builds.get()[0]
        if current is None:
            raise NotFoundError("there is nothing to review yet; run `nonesuch rebuild` first")
        return current

    def watch(self) -> None:
        """Read new builds of the catalog as they come, until the desk is closed."""
        self._watch = threading.Thread(target=self._look, name="review-watch", daemon=True)
        self._watch.start()

    def close(self) -> None:
        """Write what waits, then end."""
        self._stop.set()
        self.writer.close()
        self.pictures.close()
        self.database.close()

    def look(self) -> None:
        """Read the last build of the catalog, if it is not the one under review."""
        latest = self.pipeline.latest_build()
        current = self.builds.get()[0]
        if latest is None or (current is not None and current.build_id == latest):
            self.trouble = ""
            return
        self.pipeline.refresh()
        self.trouble = ""
        self.builds.forget()
        self.counts.forget()

    def _look(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                self.look()
                wait = _LOOK_EVERY
            except Exception as error:
                # Shown on the page; a moment later it may work.
                self.trouble = str(error)
                wait = 4 * _LOOK_EVERY


def open_desk(
    name: str,
    config: ReviewConfig,
    catalog: Catalog,
    database: Database,
    pipeline: Pipeline,
) -> Desk:
    """Put a review page together.

    Parameters
    ----------
    name
        Of the dataset.
    """
    writer = Writer(database)

    def find_builds() -> tuple[queues.Build | None, queues.Build | None]:
        with database.reading() as connection:
            return queues.builds(connection)

    builds = Remembered(find_builds, _COUNTS_HOLD)

    def count() -> queues.Counts:
        current = builds.get()[0]
        if current is None:
            return queues.Counts({}, {}, {})
        with database.reading() as connection:
            return queues.count(connection, current.number)

    return Desk(
        name=name,
        config=config,
        catalog=catalog,
        pipeline=pipeline,
        database=database,
        writer=writer,
        sessions=Sessions(database, writer, config),
        pictures=Pictures(catalog, pipeline.render),
        publishing=Publishing(pipeline),
        lookalikes=Lookalikes(database),
        builds=builds,
        counts=Remembered(count, _COUNTS_HOLD),
    )
