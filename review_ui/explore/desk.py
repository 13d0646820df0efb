"""Everything that the explorer's routes share: who is logged in, and who makes the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from review_ui.explore.studio import Studio
from review_ui.sessions import Sessions
from review_ui.settings import ReviewConfig
from review_ui.store.database import Database
from review_ui.store.writer import Writer


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
