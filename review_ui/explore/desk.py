"""Everything that the explorer's routes share: who is logged in, and who makes the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Final

from review_ui.errors import BusyError
from review_ui.explore.studio import Studio
from review_ui.sessions import Sessions
from review_ui.settings import ReviewConfig
from review_ui.store.database import Database
from review_ui.store.writer import Writer

_MOST_WAITING: Final = 100
"""Pictures that one person waits for at a time; a page asks for a handful."""


@dataclass(slots=True)
class ExploreDesk:
    """What a running explorer consists of; a `review_ui.house.House`.

    Made by `open_explore_desk`, ended by `close`.
    """

    purpose: ClassVar[str] = "Explore"
    promise: ClassVar[str] = "Look into trained models; nothing that you do here changes them."

    name: str
    config: ReviewConfig
    sessions: Sessions
    studio: Studio
    writer: Writer
    database: Database
    _waiting: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def one_more(self, who: str) -> Iterator[None]:
        """Count a picture that somebody waits for; for use in the event loop alone.

        Raises
        ------
        BusyError
            If they wait for as many as one person may.
        """
        if self._waiting[who] >= _MOST_WAITING:
            raise BusyError(f"you wait for {_MOST_WAITING} pictures already; ask again in a moment")
        self._waiting[who] += 1
        try:
            yield
        finally:
            self._waiting[who] -= 1
            if not self._waiting[who]:
                del self._waiting[who]

    def close(self) -> None:
        """End what is under way."""
        self.studio.close()
        self.writer.close()
        self.database.close()


def open_explore_desk(
    name: str, config: ReviewConfig, database: Database, studio: Studio
) -> ExploreDesk:
    """Put an explorer together.

    Parameters
    ----------
    name
        Of the dataset.
    database
        Of the review page: who is logged in there is so here.
    """
    writer = Writer(database)
    sessions = Sessions(database, writer, config)
    return ExploreDesk(name, config, sessions, studio, writer, database)
