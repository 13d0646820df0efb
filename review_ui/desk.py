"""Everything that the routes share: the store, who is logged in, pictures, what runs meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final, Generic, TypeVar

from data_catalog.catalog import Catalog
from review_ui.errors import NotFoundError
from review_ui.feed import Pipeline
from review_ui.jobs import Jobs
from review_ui.lookalikes import Lookalikes
from review_ui.loop import LoopTold
from review_ui.pictures import Pictures
from review_ui.sessions import Sessions
from review_ui.settings import ReviewConfig
from review_ui.store import clock, history, projection, queues
from review_ui.store.database import Database
from review_ui.store.writer import Writer

T = TypeVar("T")

_COUNTS_HOLD: Final = 1.0  # seconds
_LOOP_HOLDS: Final = 1.0
_LOOK_EVERY: Final = 5.0


class Remembered(Generic[T]):
    """A value that costs something to find out, kept for a moment."""

    def __init__(self, find: Callable[[], T], seconds: float) -> None:
        self._find, self._seconds = find, seconds
        self._finding = threading.Lock()
        self._lock = threading.Lock()
        self._known: tuple[float, T] | None = None
        self._forgotten = 0

    def get(self) -> T:
        """Give the value; while one thread finds it out anew, the others are given the old one."""
        known = self._known
        if known is not None and self._is_fresh(known):
            return known[1]
        if not self._finding.acquire(blocking=known is None):
            assert known is not None
            return known[1]
        try:
            known = self._known
            return known[1] if known is not None and self._is_fresh(known) else self._renew()
        finally:
            self._finding.release()

    def at_hand(self) -> T | None:
        """Give the value where it is fresh, and None where it would have to be found out."""
        known = self._known
        return known[1] if known is not None and self._is_fresh(known) else None

    def forget(self) -> None:
        """Find it out anew the next time."""
        with self._lock:
            self._known = None
            self._forgotten += 1

    def _is_fresh(self, known: tuple[float, T]) -> bool:
        return time.monotonic() - known[0] < self._seconds

    def _renew(self) -> T:
        forgotten = self._forgotten
        found = self._find()
        with self._lock:
            # What was found before somebody said "forget" is not kept.
            if forgotten == self._forgotten:
                self._known = (time.monotonic(), found)
        return found


@dataclass(slots=True)
class Desk:
    """What a running review page consists of.

    Made by `open_desk`, ended by `close`.
    """

    purpose: ClassVar[str] = "Review"
    promise: ClassVar[str] = "Every decision is kept with your name."

    name: str
    config: ReviewConfig
    catalog: Catalog
    pipeline: Pipeline
    database: Database
    writer: Writer
    sessions: Sessions
    pictures: Pictures
    jobs: Jobs
    loop: Remembered[LoopTold]
    unpublished: Remembered[int | None]
    lookalikes: Lookalikes
    builds: Remembered[tuple[queues.Build | None, queues.Build | None]]
    counts: Remembered[queues.Counts]
    events: Remembered[int]
    trouble: str = ""
    is_looking: bool = False  # whether a build of the catalog is being read, or about to be
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
        current, later = self.builds.get()
        if latest is None or (current is not None and current.build_id == latest):
            if later is not None and later.state == "failed":
                # The catalog has come back to what is under review.
                projection.forget_failed(self.database)
                self.builds.forget()
        elif not _is_read_elsewhere(later, latest):
            self.is_looking = True
            try:
                self.pipeline.refresh()
            finally:
                self.is_looking = False
            self.builds.forget()
            self.counts.forget()
        self.trouble = ""

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


def _is_read_elsewhere(later: queues.Build | None, latest: str) -> bool:
    """Tell whether another process is at the build already: two would cut each other off."""
    return (
        later is not None
        and later.state == "reading"
        and later.build_id == latest
        and later.progressed_at > clock.now() - projection.STALE
    )


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

    known = history.Events()

    def count_events() -> int:
        nonlocal known
        with database.reading() as connection:
            known = history.counted(connection, known)
        return known.count

    loop = Remembered(pipeline.loop_state, _LOOP_HOLDS)

    def count_unpublished() -> int | None:
        versions = loop.get().versions
        if not versions:
            return None
        with database.reading() as connection:
            return history.decided_since(connection, clock.to_micros(versions[0].published_at))

    return Desk(
        name=name,
        config=config,
        catalog=catalog,
        pipeline=pipeline,
        database=database,
        writer=writer,
        sessions=Sessions(database, writer, config),
        pictures=Pictures(catalog, pipeline.render),
        jobs=Jobs(pipeline, loop.forget),
        loop=loop,
        unpublished=Remembered(count_unpublished, _COUNTS_HOLD),
        lookalikes=Lookalikes(database),
        builds=builds,
        counts=Remembered(count, _COUNTS_HOLD),
        events=Remembered(count_events, _COUNTS_HOLD),
    )
