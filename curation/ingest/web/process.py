"""A source on the web: starts the crawl in a child process, and gives what that brings."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import pyarrow.compute as pc

from curation.errors import CrawlDiedError, SourceError
from curation.ingest.names import escape
from curation.ingest.offers import (
    Checkpoint,
    Event,
    Failure,
    Known,
    Offer,
    Page,
    Passed,
    Traffic,
)
from curation.ingest.web import wire
from curation.ingest.web.history import CRASHED_ONCE, CRASHED_TWICE, crawl_id, ended
from curation.ingest.web.job import Job
from curation.recipe import Limits
from data_catalog.schema import Reason

_CHILD: Final = "curation.ingest.web.child"
_SILENCE: Final = 180.0  # seconds without a sign of life after which a crawl is given up


@dataclass(frozen=True, slots=True)
class CrawledSource:
    """Any source that is fetched from the web. `config` is one of the web sources' configs."""

    config: Any
    random_access: bool = False

    @property
    def name(self) -> str:
        """Name of the `[[sources]]` entry."""
        return str(self.config.name)

    def offers(self, known: Known, limits: Limits) -> Iterator[Event]:
        """Crawl, and offer what is new or changed as it comes.

        Raises
        ------
        CrawlDiedError
            If the process of the crawl dies. What came is kept; the same call goes on.
        SourceError
            If the crawl brings nothing at all; the message says what it met.
        """
        crawl = crawl_id(known.pages, datetime.now(UTC))
        with tempfile.TemporaryDirectory(prefix="nonesuch-crawl-") as folder:
            job = Job(self.config.model_dump(mode="json"), limits, crawl, folder)
            file = job.write(known)
            account = _Account()
            with _running(file) as stream:
                try:
                    yield from self._events(stream, account, limits)
                except (wire.WireError, TimeoutError) as error:
                    account.broken = str(error)
            if account.end is None:
                culprit = _culprit(job, known)
                if culprit is not None:
                    yield culprit
                raise self._died(job, account, culprit)
        yield ended(crawl, {**account.end, "traffic": account.summary()})
        if account.end.get("mistakes"):
            raise SourceError(
                f"the crawl of {self.name!r} met a mistake of its own; what it brought is kept. "
                f"Please report it:\n{account.end['mistakes'][0]}"
            )
        if account.nothing:
            raise SourceError(account.diagnosis(self.name))

    def _events(self, stream: IO[bytes], account: _Account, limits: Limits) -> Iterator[Event]:
        committed = time.monotonic()
        for header, body in wire.read(stream, max(limits.max_bytes, wire.MAX_HEADER)):
            event = wire.unpack_event(header, body)
            if event is None:
                account.told(header)
                continue
            account.count(event)
            yield event
            now = time.monotonic()
            if now - committed >= self.config.commit_seconds:
                committed = now
                yield Checkpoint()

    def _died(self, job: Job, account: _Account, culprit: Page | None) -> CrawlDiedError:
        """Say what a crawl died of, as far as that can be known."""
        detail = account.broken or "it ended without a word"
        if culprit is not None:
            detail += f", reading {culprit.url}"
        said = (Path(job.folder) / "stderr").read_bytes()[-2000:].decode(errors="replace").strip()
        tail = f"; its last words:\n{said}" if said else ""
        return CrawlDiedError(
            f"the crawl of {self.name!r} died ({detail}); what it brought is kept, and the same "
            f"command goes on from there{tail}"
        )


def _culprit(job: Job, known: Known) -> Page | None:
    """Make the row of the page that a crawl was reading when it died.

    Once may be chance: somebody killed the crawl just then. After the second time it is left out.
    """
    url = escape(job.marker.read_bytes().partition(b"\0")[0].decode(errors="replace"))
    if not url:
        return None
    of_page = known.pages.filter(pc.equal(known.pages["url"], url)).sort_by("fetched_at")
    before = of_page.select(["failure"]).to_pylist()[-1:]
    again = before == [{"failure": Reason.CRASHED_WORKER.value}]
    failure = Failure(Reason.CRASHED_WORKER, CRASHED_TWICE if again else CRASHED_ONCE)
    return Page(url, "page", job.crawl, failure=failure)


@contextlib.contextmanager
def _running(file: Path) -> Iterator[IO[bytes]]:
    """Start a crawl; give what it writes. It ends with this block, whatever happens."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs, (file.parent / "stderr").open("wb") as errors:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", _CHILD, str(file), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        ours.settimeout(_SILENCE)
        try:
            with ours.makefile("rb", buffering=1 << 20) as stream:
                yield stream  # type: ignore[misc]
        finally:
            ours.close()
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Wait for a child that is done, end one that is not."""
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()


class _Account:
    """What a crawl brought, for the end and for the diagnosis."""

    def __init__(self) -> None:
        self.offers = self.known = self.filtered = self.pages = 0
        self.failures: Counter[str] = Counter()
        self.page_failures: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.traffic = Traffic()
        self.end: dict[str, Any] | None = None
        self.broken = ""

    def told(self, header: dict[str, Any]) -> None:
        """Take in a frame that is no event."""
        if header.get("is") == "end":
            self.end = {key: value for key, value in header.items() if key != "is"}
        elif header.get("is") == "error":
            raise SourceError(escape(str(header.get("message"))))

    def count(self, event: Event) -> None:
        """Take in an event."""
        match event:
            case Offer(failure=Failure() as failure):
                self.failures[failure.reason.value] += 1
                self.examples.setdefault(failure.reason.value, f"{event.locator}: {failure.detail}")
            case Offer():
                self.offers += 1
            case Passed():
                self.known += event.known
                self.filtered += event.filtered
            case Page(failure=Failure() as failure):
                self.page_failures[failure.reason.value] += 1
                self.examples.setdefault(failure.reason.value, f"{event.url}: {failure.detail}")
            case Page():
                self.pages += 1
            case Traffic():
                self.traffic = event

    @property
    def nothing(self) -> bool:
        """Whether no picture came, now or before."""
        return not self.offers and not self.known

    def summary(self) -> dict[str, Any]:
        """Give pages, pictures, bytes and errors, as JSON values."""
        return {
            "pages": self.traffic.pages,
            "images": self.traffic.images,
            "bytes": self.traffic.bytes,
            "errors": dict(self.traffic.errors),
            "hosts": {
                host: {
                    "pages": part.pages,
                    "images": part.images,
                    "bytes": part.bytes,
                    "errors": dict(part.errors),
                }
                for host, part in self.traffic.hosts.items()
            },
        }

    def diagnosis(self, name: str) -> str:
        """Say what was met instead of pictures, and what can be done."""
        lines = [f"{name!r} gave no picture at all. What happened:"]
        lines.append(f"- {self.pages} pages were read")
        for kind, failures in (("pages", self.page_failures), ("pictures", self.failures)):
            for reason, count in failures.most_common():
                lines.append(f"- {count} {kind} failed: {reason}, e.g. {self.examples[reason]}")
        if self.filtered:
            lines.append(f"- {self.filtered} pictures were left out by the filters of the source")
        end = self.end or {}
        lines += [f"- {escape(str(line))}" for line in end.get("diagnosis", ())]
        if end.get("stopped_by") == "listing":
            lines.append("- the archive's listing broke off; the same command goes on from there")
        elif end.get("stopped_by"):
            lines.append(f"- the crawl stopped because `{end['stopped_by']}` was reached")
        return "\n".join(lines)
