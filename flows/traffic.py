"""What a crawl fetches, in lines for people."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from curation.ingest.offers import Traffic

_HOSTS_SHOWN: Final = 5
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


class Speed:
    """Bytes a second, over the last few seconds."""

    def __init__(self, over: float = 5.0) -> None:
        self._over = over
        self._past: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def of(self, total: int) -> float:
        """Take in how many bytes came so far; give the speed."""
        now = time.monotonic()
        self._past.append((now, total))
        while len(self._past) > 2 and now - self._past[1][0] > self._over:
            del self._past[0]
        began, before = self._past[0]
        return (total - before) / max(now - began, 0.1)


def lines(traffic: Traffic, speed: float) -> Sequence[str]:
    """Sum a crawl up: a line for all, and one for each of the busiest hosts."""
    total = f"{_counts(traffic)}, {size(speed)}/s"
    if traffic.errors:
        total += f"; {errors(traffic.errors)}"
    hosts = list(traffic.hosts.items())
    shown = [f"{host}: {_of_host(part)}" for host, part in hosts[:_HOSTS_SHOWN]]
    more = len(hosts) - _HOSTS_SHOWN
    return [total, *shown, *([f"and {more} more hosts"] if more > 0 else [])]


def _counts(traffic: Traffic) -> str:
    return f"{traffic.pages:,} pages, {traffic.images:,} pictures, {size(traffic.bytes)}"


def _of_host(traffic: Traffic) -> str:
    failed = sum(traffic.errors.values())
    return f"{_counts(traffic)}, {failed:,} errors" if failed else _counts(traffic)


def errors(found: Mapping[str, int]) -> str:
    """List errors, most frequent first."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in ordered)


def size(count: float) -> str:
    """Write a number of bytes with a unit."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in "B kB" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"
