"""Ingest: take in what is new in one source. Bytes first, then the rows, batch by batch."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.errors import CrawlDiedError
from curation.ingest.names import escape
from curation.ingest.offers import (
    Checkpoint,
    Complete,
    Event,
    Known,
    Offer,
    Page,
    Passed,
    ReadFailure,
    Source,
    Traffic,
)
from curation.ingest.web.history import latest
from curation.recipe import Limits
from data_catalog.catalog import Catalog
from data_catalog.packs import PackRef, PackWriter
from data_catalog.schema import IMAGES, OBSERVATIONS, PAGES, Reason

_MOST_ROWS: Final = 10_000  # of one batch; many where only labels changed or nothing is readable
_LONG_AGO: Final = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_READERS: Final = 4
_READ_AHEAD: Final = 32
_READ_AHEAD_BYTES: Final = 64 << 20
_SECONDS_BETWEEN_REPORTS: Final = 0.2
_CRAWLS: Final = 5  # times that a crawl may die before that is an error


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far the ingest of one source has come."""

    source: str
    seen: int
    new: int
    known: int
    failed: int
    bytes: int
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True)
class IngestCounts:
    """What one source gave.

    Attributes
    ----------
    seen : int
        Everything that was offered, known or not; without what the config filters out.
    new : int
        Images stored that the catalog did not have.
    known : int
        Offers that needed nothing: unchanged since they were last observed.
    repeated : int
        New or changed offers whose bytes the catalog has already, from here or elsewhere.
    filtered : int
        Left out by `include`, `exclude` and the filters on tags and fields.
    failed : mapping of Reason to int
        New observations without bytes. `seen` is `new + known + repeated` and all of these.
    bytes : int
        Of the images stored.
    traffic : Traffic or None
        What a crawl fetched, by host.
    """

    source: str
    seen: int
    new: int
    known: int
    repeated: int
    filtered: int
    failed: Mapping[str, int]
    bytes: int
    traffic: Traffic | None = None


def ingest(
    catalog: Catalog,
    source: Source,
    limits: Limits,
    *,
    tombstones: set[str],
    progress: Callable[[IngestProgress], None] | None = None,
) -> IngestCounts:
    """Read what is new or changed in `source` into the catalog.

    A batch is sealed in a pack, then its images are committed, then its observations: a kill
    loses at most the batch in hand, nothing committed is read again, and no observation ever names
    an image that is not there. The caller holds the catalog's lock.

    Parameters
    ----------
    catalog
        Where packs and rows go.
    source
        From `curation.ingest.sources.open_source`.
    limits
        How much one file or archive may cost.
    tombstones
        Ids of images that were taken down: they are not stored again.
    progress
        Called a few times a second, and at the end.

    Raises
    ------
    SourceError
        If the source as a whole cannot be read. What came before it has been committed.
    StorageError
        If the catalog cannot be written to.
    """
    so_far: IngestCounts | None = None
    for restarts_left in reversed(range(_CRAWLS)):
        run = _Ingest.begin(catalog, source.name, tombstones)
        try:
            _ingest(run, source, limits, progress)
        except CrawlDiedError:
            # A hostile page may kill its crawl; the next one leaves that page out.
            if not restarts_left:
                raise
            so_far = run.counts(so_far)
            continue
        break
    return run.counts(so_far)


def _ingest(
    run: _Ingest,
    source: Source,
    limits: Limits,
    progress: Callable[[IngestProgress], None] | None,
) -> None:
    reported = 0.0
    try:
        for event, result in _read_all(source, run.known, limits):
            run.take(event, result)
            now = time.monotonic()
            if progress is not None and now - reported > _SECONDS_BETWEEN_REPORTS:
                reported = now
                progress(run.progress())
        run.commit()
    except Exception:
        # A source that breaks in the middle loses nothing of what it gave before.
        run.commit_or_discard()
        raise
    except BaseException:
        run.discard()
        raise
    if progress is not None:
        progress(run.progress())


def drop_superseded_pages(catalog: Catalog) -> None:
    """Keep the latest of what crawls know of each page, once that is less than half of all.

    The caller holds the catalog's lock.
    """
    table = catalog.table("pages")
    version = table.version()
    names = table.read(["source", "url"])
    if names.num_rows > 2 * names.group_by(["source", "url"]).aggregate([]).num_rows:
        table.replace(latest(table.read()), if_version=version)


def _known(catalog: Catalog, name: str) -> Known:
    columns = ["locator", "revision", "image_id", "failure", "observed_at"]
    of_source = pc.field("source") == name
    rows = catalog.table("observations").read(columns=columns, where=of_source)
    return Known(rows, catalog.table("pages").read(where=of_source))


_Result = bytes | ReadFailure | None


def _read_all(source: Source, known: Known, limits: Limits) -> Iterator[tuple[Event, _Result]]:
    """Pair every event with its bytes, in order; reads ahead where the source allows it."""
    events = source.offers(known, limits)
    if not source.random_access:
        for event in events:
            yield event, _read(event)
        return
    with ThreadPoolExecutor(_READERS, thread_name_prefix="ingest") as pool:
        waiting: deque[tuple[Event, Future[_Result] | None]] = deque()
        reading = held = 0
        try:
            for event in events:
                size = _size(event)
                while waiting and (
                    waiting[0][1] is None
                    or reading >= _READ_AHEAD
                    or held + size > _READ_AHEAD_BYTES
                ):
                    first, future = waiting.popleft()
                    if future is not None:
                        reading, held = reading - 1, held - _size(first)
                    yield first, None if future is None else future.result()
                if isinstance(event, Offer) and event.read is not None:
                    waiting.append((event, pool.submit(_read, event)))
                    reading, held = reading + 1, held + size
                elif waiting:
                    waiting.append((event, None))
                else:
                    yield event, None
            while waiting:
                first, future = waiting.popleft()
                yield first, None if future is None else future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _size(event: Event) -> int:
    return event.size if isinstance(event, Offer) and event.read is not None else 0


def _read(event: Event) -> _Result:
    if not isinstance(event, Offer) or event.read is None:
        return None
    try:
        return event.read()
    except ReadFailure as failure:
        return failure
    except OSError as error:
        return ReadFailure(Reason.UNREADABLE, str(error))


class _ImageIds:
    """All ids in `images`: 32 bytes each in a sorted array, those of this run in a set."""

    def __init__(self, stored: NDArray[np.bytes_]) -> None:
        self._stored = stored
        self._added: set[bytes] = set()

    @classmethod
    def load(cls, catalog: Catalog) -> _ImageIds:
        parts: list[NDArray[np.bytes_]] = []
        for batch in catalog.table("images").scan(columns=["image_id"]):
            joined = "".join(map(str, batch.column(0).to_pylist()))
            parts.append(np.frombuffer(bytes.fromhex(joined), dtype="S32"))
        return cls(np.sort(np.concatenate(parts)) if parts else np.empty(0, "S32"))

    def __contains__(self, digest: bytes) -> bool:
        if digest in self._added:
            return True
        # numpy pads with zero bytes and compares without them: 32 bytes stay 32 bytes.
        key = np.frombuffer(digest, dtype="S32")[0]
        at = int(np.searchsorted(self._stored, key))
        return at < len(self._stored) and bool(self._stored[at] == key)

    def add(self, digest: bytes) -> None:
        self._added.add(digest)


@dataclass(slots=True)
class _Ingest:
    catalog: Catalog
    source: str
    known: Known
    ids: _ImageIds
    tombstones: frozenset[str]
    writer: PackWriter | None = None
    images: list[tuple[str, PackRef]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    traffic: Traffic | None = None
    seen: int = 0
    new: int = 0
    unchanged: int = 0
    repeated: int = 0
    filtered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    stored_bytes: int = 0
    last_time: datetime.datetime = _LONG_AGO

    @classmethod
    def begin(cls, catalog: Catalog, source: str, tombstones: set[str]) -> _Ingest:
        """Begin with what the catalog knows."""
        known, ids = _known(catalog, source), _ImageIds.load(catalog)
        return cls(catalog, source, known, ids, frozenset(tombstones))

    def take(self, event: Event, result: _Result) -> None:
        """Take one event of the source in; commit when the batch is full."""
        match event:
            case Passed():
                self.seen += event.known
                self.unchanged += event.known
                self.filtered += event.filtered
                return
            case Complete():
                self._observe(Offer(event.locator, event.revision))
            case Page():
                self._take_page(event)
            case Traffic():
                self.traffic = event
                return
            case Checkpoint():
                self.commit()
                return
            case Offer():
                self.seen += 1
                self._take_offer(event, result)
        if len(self.rows) + len(self.pages) >= _MOST_ROWS or (
            self.writer is not None and self.writer.full
        ):
            self.commit()

    def _take_page(self, page: Page) -> None:
        self.pages.append(
            {
                "source": self.source,
                "url": page.url,
                "kind": page.kind,
                "crawl": page.crawl,
                "etag": page.etag,
                "last_modified": page.last_modified,
                "found": page.found,
                "failure": page.failure.reason.value if page.failure else None,
                "detail": page.failure.detail if page.failure else None,
                "fetched_at": self._now(),
            }
        )

    def _take_offer(self, offer: Offer, result: _Result) -> None:
        if offer.failure is not None:
            self._fail(offer, offer.failure.reason, offer.failure.detail)
        elif offer.image_id is not None:
            self.repeated += 1
            self._observe(offer, image_id=offer.image_id)
        elif isinstance(result, ReadFailure):
            self._fail(offer, result.reason, result.detail)
        elif not result:
            self._fail(offer, Reason.EMPTY_FILE, "has no bytes")
        else:
            self._store(offer, result)

    def _store(self, offer: Offer, data: bytes) -> None:
        digest = hashlib.sha256(data)
        image_id = digest.hexdigest()
        if image_id in self.tombstones:
            self._fail(offer, Reason.FORGOTTEN, "was taken down")
            return
        if digest.digest() in self.ids:
            self.repeated += 1
        else:
            if self.writer is None:
                self.writer = self.catalog.raw.writer()
            self.images.append((image_id, self.writer.add(image_id, data)))
            self.ids.add(digest.digest())
            self.new += 1
            self.stored_bytes += len(data)
        self._observe(offer, image_id=image_id)

    def _fail(self, offer: Offer, reason: Reason, detail: str) -> None:
        seen = self.known.get(offer.locator)
        if seen is not None and (seen.failure, seen.revision) == (reason.value, offer.revision):
            self.unchanged += 1  # failed before, for the same reason: nothing new to tell
            return
        self.failures[reason.value] += 1
        self._observe(offer, failure=reason.value, detail=detail)

    def _observe(
        self,
        offer: Offer,
        *,
        image_id: str | None = None,
        failure: str | None = None,
        detail: str | None = None,
    ) -> None:
        self.rows.append(
            {
                "source": self.source,
                "locator": offer.locator,
                "revision": offer.revision,
                "fields": json.dumps(offer.fields, ensure_ascii=True) if offer.fields else None,
                "label": offer.label,
                "tags": list(offer.tags) or None,
                "image_id": image_id,
                "failure": failure,
                "detail": detail,
                "observed_at": self._now(),
            }
        )

    def _now(self) -> datetime.datetime:
        """Give the time, strictly rising, so that the order of rows can be told from it."""
        now = datetime.datetime.now(datetime.UTC)
        self.last_time = max(now, self.last_time + datetime.timedelta(microseconds=1))
        return self.last_time

    def commit(self) -> None:
        """Seal the pack, then commit images, then observations, then pages."""
        if self.writer is not None:
            try:
                self.writer.close()
            except BaseException:
                self.discard()  # the bytes are lost, and so must be the rows that name them
                raise
            self.writer = None
        if self.images:
            columns: dict[str, list[Any]] = {
                "image_id": [image_id for image_id, _ in self.images],
                "bytes": [ref.length for _, ref in self.images],
                "pack": [ref.pack for _, ref in self.images],
                "offset": [ref.offset for _, ref in self.images],
                "length": [ref.length for _, ref in self.images],
            }
            self.catalog.table("images").append(pa.table(columns, schema=IMAGES))
            self.images.clear()
        if self.rows:
            self.catalog.table("observations").append(
                pa.Table.from_pylist(self.rows, schema=OBSERVATIONS)
            )
            self.rows.clear()
        if self.pages:
            self.catalog.table("pages").append(pa.Table.from_pylist(self.pages, schema=PAGES))
            self.pages.clear()

    def commit_or_discard(self) -> None:
        """Save the batch in hand after an error, if it can be saved at all."""
        try:
            self.commit()
        except Exception:
            # The error that led here is the one to be told; it is most often the same full disk.
            self.discard()

    def discard(self) -> None:
        """Throw away the batch in hand."""
        if self.writer is not None:
            self.writer.discard()
            self.writer = None
        self.images.clear()
        self.rows.clear()
        self.pages.clear()

    def progress(self) -> IngestProgress:
        """Give the counts so far."""
        failed = sum(self.failures.values())
        return IngestProgress(
            self.source,
            self.seen,
            self.new,
            self.unchanged,
            failed,
            self.stored_bytes,
            self.traffic,
        )

    def counts(self, before: IngestCounts | None = None) -> IngestCounts:
        """Give the final counts; `before` are those of a run that this one went on from."""
        new, repeated, stored = self.new, self.repeated, self.stored_bytes
        failures = self.failures.copy()
        if before is not None:
            new, repeated = new + before.new, repeated + before.repeated
            stored += before.bytes
            failures.update(before.failed)
        return IngestCounts(
            escape(self.source),
            self.seen,
            new,
            max(0, self.seen - new - repeated - failures.total()),
            repeated,
            self.filtered,
            dict(sorted(failures.items())),
            stored,
            self.traffic,
        )
