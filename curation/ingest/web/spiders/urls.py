"""The pictures that a table names by URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from scrapy import Request
from scrapy.http import Response

from curation.errors import SourceError
from curation.ingest.offers import Offer, Passed
from curation.ingest.web.listing import listed
from curation.ingest.web.spiders.base import Visit, WebSpider


class UrlsSpider(WebSpider):
    """Goes through the table once, only as fast as pictures come."""

    rows = 0

    async def begin(self) -> AsyncIterator[Request]:
        """Ask for every URL that is new."""
        try:
            for row in listed(self.config):
                self.rows += 1
                match row:
                    case Passed():
                        self.passed(known=row.known, filtered=row.filtered)
                    case Offer():
                        await self.outbox.send(row)
                    case url, found:
                        request = await self.ask_for(url, found)
                        if request is not None:
                            yield request
        except SourceError as error:
            await self.outbox.tell("error", message=str(error))

    def read(self, visit: Visit, response: Response) -> dict[str, Any]:
        """Read no pages: a table names pictures alone."""
        raise NotImplementedError

    def use(self, visit: Visit, found: dict[str, Any]) -> None:
        """Use no pages."""
        raise NotImplementedError

    def diagnose(self) -> list[str]:
        """Say how long the table is."""
        return [f"the table has {self.rows} rows"]
