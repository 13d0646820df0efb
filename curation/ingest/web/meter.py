"""Counts what a crawl fetches, by host."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from curation.ingest.offers import Traffic
from data_catalog.schema import Reason

_HOSTS_TOLD: Final = 50
_OTHERS: Final = "(others)"
_HOSTS_COUNTED: Final = 10_000


@dataclass(slots=True)
class _Host:
    pages: int = 0
    images: int = 0
    bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def traffic(self) -> Traffic:
        return Traffic(self.pages, self.images, self.bytes, dict(self.errors))


class Meter:
    """Totals and hosts. A list of URLs may name a million hosts: only so many are counted apart."""

    def __init__(self) -> None:
        self.total = _Host()
        self._hosts: dict[str, _Host] = {}

    def _both(self, host: str) -> tuple[_Host, _Host]:
        if host not in self._hosts and len(self._hosts) >= _HOSTS_COUNTED:
            host = _OTHERS
        return self.total, self._hosts.setdefault(host, _Host())

    def page(self, host: str, size: int) -> None:
        """Count a page."""
        for part in self._both(host):
            part.pages += 1
            part.bytes += size

    def image(self, host: str, size: int) -> None:
        """Count a picture."""
        for part in self._both(host):
            part.images += 1
            part.bytes += size

    def error(self, host: str, reason: Reason) -> None:
        """Count a failure."""
        for part in self._both(host):
            part.errors[reason.value] += 1

    def traffic(self) -> Traffic:
        """Give the totals and the busiest hosts."""
        busiest = sorted(
            self._hosts.items(),
            key=lambda item: (-item[1].pages - item[1].images - item[1].errors.total(), item[0]),
        )[:_HOSTS_TOLD]
        total = self.total.traffic()
        return Traffic(
            total.pages,
            total.images,
            total.bytes,
            total.errors,
            {host: part.traffic() for host, part in busiest},
        )
