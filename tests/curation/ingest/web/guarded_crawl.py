"""One guarded crawl, in a process of its own: an order in JSON on stdin, a report on stdout.

A reactor runs once in the life of a process, so that no test can run one.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from scrapy import Request, Spider
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.http import Response
from scrapy.resolver import HostResolution
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.python.failure import Failure
from zope.interface import implementer

from curation.ingest.web import guard
from curation.ingest.web.addresses import AllowList

HANGING = "hanging.test"


def kind_of(error: BaseException) -> str | None:
    """Give the kind of what the guard raised; None when it was not the guard."""
    refused = guard.refusal(error)
    return None if refused is None else refused.kind


def literal(name: str) -> list[str]:
    """Read an address in whatever form the system takes it; nothing where it is a name."""
    try:
        found = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return []
    return [str(address[4][0]) for address in found]


@implementer(IHostnameResolver)
class Zone:
    """Answers for names; the second look-up of a name gets the second answer, and so on."""

    def __init__(self, reactor: Any, names: dict[str, list[list[str]]]) -> None:
        self.reactor = reactor
        self.names = names
        self.asked: Counter[str] = Counter()

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, *rest: Any) -> Any:
        resolution = HostResolution(name)
        receiver.resolutionBegan(resolution)
        answers = self.names.get(name, [[]])
        answer = literal(name) or answers[min(self.asked[name], len(answers) - 1)]
        self.asked[name] += 1
        self.reactor.callLater(0, self.tell, receiver, answer, port)
        return resolution

    def tell(self, receiver: Any, answer: list[str], port: int) -> None:
        for address in answer:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()


class Reporter(Spider):
    """Asks for one URL after the other and keeps what became of each."""

    name = "reporter"

    def __init__(self, urls: list[str], report: dict[str, Any]) -> None:
        super().__init__()
        self.urls = urls
        self.report = report

    async def start(self) -> AsyncIterator[Request]:
        for place, url in enumerate(self.urls):
            timeout = {"download_timeout": 1} if HANGING in url else {}
            yield Request(
                url,
                self.parse,
                errback=self.failed,
                priority=-place * 100,
                cb_kwargs={"asked": url},
                meta={"asked": url, **timeout},
            )

    def parse(self, response: Response, asked: str) -> None:
        self.report.setdefault(asked, []).append(
            {
                "status": response.status,
                "final": response.url,
                "size": len(response.body),
                "body": response.body[:200].decode("latin-1"),
                "slot": response.meta.get("download_slot"),
            }
        )

    def failed(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        error = failure.value
        assert error is not None
        self.report.setdefault(request.meta["asked"], []).append(
            {
                "error": type(error).__name__,
                "kind": kind_of(error),
                "says": str(guard.refusal(error) or error),
                "retries": request.meta.get("retry_times", 0),
                "causes": [type(e).__name__ for e in guard.causes(error)],
            }
        )


def probe(reactor: Any, calls: list[list[Any]]) -> list[str]:
    """Call the reactor as code that knows of no guard would."""
    said = []
    for name, *arguments in calls:
        try:
            getattr(reactor, name)(*arguments)
        except Exception as error:
            said.append(type(error).__name__)
        else:
            said.append("connected")
    return said


def without_answer(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Let one name behave as though its name server never answered."""

    def look_up(host: Any, *rest: Any, **named: Any) -> Any:
        if host == HANGING:
            threading.Event().wait()
        return ask(host, *rest, **named)

    return look_up


def main() -> None:
    order = json.load(sys.stdin)
    guard.getaddrinfo = without_answer(guard.getaddrinfo)  # type: ignore[assignment]
    process = AsyncCrawlerProcess(
        {
            "CONCURRENT_REQUESTS": 1,
            "DOWNLOAD_TIMEOUT": 60,
            "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
            "DOWNLOADER_MIDDLEWARES": {
                "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": None,
                "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": None,
                **guard.MIDDLEWARES,
            },
            "SPIDER_MIDDLEWARES_BASE": {},
            "LOG_LEVEL": "WARNING",
            **order.get("settings", {}),
            **guard.SETTINGS,
            **order.get("instead", {}),
        },
    )
    from twisted.internet import reactor

    names = order.get("names")
    zone = None if names is None else Zone(reactor, names)
    if order.get("guarded", True):
        allow = AllowList.parse(order.get("allow", []))
        guard.install(reactor, allow, resolver=zone, keep=order.get("keep", 300.0))
    report: dict[str, Any] = {}
    process.crawl(Reporter, urls=order["urls"], report=report)
    process.start(install_signal_handlers=False)
    json.dump(
        {
            "report": report,
            "asked": zone.asked if zone else {},
            "probes": probe(reactor, order.get("probes", [])),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
