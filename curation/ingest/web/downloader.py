"""Scrapy's downloader, kept to what a host is promised."""

from __future__ import annotations

from time import monotonic

from scrapy import Request
from scrapy.core.downloader import Downloader, Slot
from scrapy.crawler import Crawler
from scrapy.utils.asyncio import call_later
from scrapy.utils.defer import _schedule_coro
from scrapy.utils.httpobj import urlparse_cached
from twisted.python.failure import Failure


class PoliteDownloader(Downloader):
    """Never more requests to a host at a time than allowed, none while it asks to wait.

    Scrapy 2.19 counts a request of a slot when its coroutine begins, not when it is taken from the
    queue: without a delay all that wait are sent at once, whatever the limit.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._not_before: dict[str, float] = {}
        self._least_delay: dict[str, float] = {}

    def pause(self, request: Request, seconds: float) -> None:
        """Send nothing more to a request's host for a time."""
        key = self.get_slot_key(request)
        self._not_before[key] = max(self._not_before.get(key, 0.0), monotonic() + seconds)

    def slow_down(self, request: Request, delay: float) -> None:
        """Keep at least `delay` seconds between requests to a request's host."""
        self._least_delay[self.get_slot_key(request)] = delay

    def drop(self, request: Request, error: Exception) -> None:
        """Let everything that waits for its turn at a request's host fail."""
        _, slot = self._get_slot(request)
        netloc = urlparse_cached(request).netloc
        waiting = [pair for pair in slot.queue if urlparse_cached(pair[0]).netloc == netloc]
        for pair in waiting:
            slot.queue.remove(pair)
            pair[1].errback(Failure(error))  # type: ignore[no-untyped-call]

    def _process_queue(self, slot: Slot) -> None:
        while slot.queue and slot.latercall is None and slot.free_transfer_slots() > 0:
            wait = self._wait(slot, self.get_slot_key(slot.queue[0][0]))
            if wait > 0:
                slot.latercall = call_later(wait, self._latercall, slot)
                return
            slot.lastseen = monotonic()
            request, answer = slot.queue.popleft()
            slot.transferring.add(request)
            _schedule_coro(self._wait_for_download(slot, request, answer))

    def _wait(self, slot: Slot, key: str) -> float:
        delay = max(slot.download_delay(), self._least_delay.get(key, 0.0))
        return max(slot.lastseen + delay, self._not_before.get(key, 0.0)) - monotonic()
