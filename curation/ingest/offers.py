"""What a source says about each picture, and what the catalog knows of a source already."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from curation.ingest.filters import Fields
from curation.ingest.names import escape
from curation.recipe import Limits
from data_catalog.schema import PAGES, Reason

_GLOB_CHARACTERS = frozenset("*?[{")


_COLUMNS: Final = pa.schema(
    [
        pa.field("locator", pa.string()),
        pa.field("revision", pa.string()),
        pa.field("image_id", pa.string()),
        pa.field("failure", pa.string()),
    ]
)


class ReadFailure(Exception):
    """The bytes of one picture could not be had. `reason` and `detail` are stored."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = escape(detail)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there are no bytes, known before any reading."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Offer:
    """One picture, new or changed. Exactly one of `read`, `failure`, `image_id` is set.

    Attributes
    ----------
    locator : str
        Where it is within the source; valid UTF-8 on one line, unique in the source.
    revision : str or None
        Changes when the content may have, or what is known about it.
    read : callable or None
        Gives the bytes, at most `limits.max_bytes`, or raises `ReadFailure`. To be called before
        the next offer is taken, unless the source says `random_access`.
    failure : Failure or None
        Set when it is known without reading that there are no bytes to be had.
    image_id : str or None
        Set when the content is as it was and only label, tags or fields have changed.
    size : int
        Bytes that `read` is expected to take; a hint for prefetching.
    """

    locator: str
    revision: str | None
    read: Callable[[], bytes] | None = None
    failure: Failure | None = None
    image_id: str | None = None
    fields: Fields | None = None
    label: str | None = None
    tags: tuple[str, ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """Pictures that need nothing done: `known` and unchanged, or `filtered` out by the config."""

    known: int = 0
    filtered: int = 0


@dataclass(frozen=True, slots=True)
class Complete:
    """A container (archive, shard) was read to its end; unchanged, it need not be opened again."""

    locator: str
    revision: str


@dataclass(frozen=True, slots=True)
class Page:
    """What a crawl fetched besides pictures; stored in the table `pages`.

    Attributes
    ----------
    url : str
        Empty for the crawl as a whole.
    kind : str
        page, robots, sitemap, feed, listing or crawl.
    crawl : str
        Id of the crawl; ids sort by the time at which they began.
    etag, last_modified : str or None
        Validators for the next, conditional request.
    found : str or None
        What was read off it, a JSON object.
    failure : Failure or None
        Why it could not be had.
    """

    url: str
    kind: str
    crawl: str
    etag: str | None = None
    last_modified: str | None = None
    found: str | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """How far a crawl has come: totals, and the same by host.

    Attributes
    ----------
    pages, images, bytes : int
        Fetched since the crawl began in this process.
    errors : mapping of Reason to int
    hosts : mapping of str to Traffic
        The busiest hosts; theirs are empty.
    """

    pages: int = 0
    images: int = 0
    bytes: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, Traffic] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What came so far has taken long enough to come by: it is to be committed now."""


Event: TypeAlias = Offer | Passed | Complete | Page | Traffic | Checkpoint


class Source(Protocol):
    """Something that pictures come from."""

    @property
    def name(self) -> str:
        """Name of the `[[sources]]` entry, unique in a dataset."""

    @property
    def random_access(self) -> bool:
        """Whether `Offer.read` may be called later, in any order and from other threads."""

    def offers(self, known: Known, limits: Limits) -> Iterator[Event]:
        """Go through everything that the source holds, in a deterministic order.

        Raises
        ------
        SourceError
            If the source as a whole cannot be read, e.g. because its path does not exist.
        """


class Common(BaseModel):
    """Keys of every `[[sources]]` entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        "",
        max_length=200,
        description="how the source is called in reports; the default is the last part of `path`, "
        "or the host of its URL. Keep it when the source moves: what is known about pictures is "
        "stored under this name",
    )
    label: str | None = Field(
        None, description="one label for every picture of this source that has none of its own"
    )

    # Key that the default name is made from.
    _named_after: ClassVar[str] = "path"

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("name"):
            place = data.get(cls._named_after)
            first = place[0] if isinstance(place, list | tuple) and place else place
            if isinstance(first, str):
                return {**data, "name": default_name(first)}
        return data

    def at(self, base: Path) -> Self:
        """Give this config with its paths taken relative to `base`, the config file's folder."""
        return self

    def keeps(self) -> Callable[[str, tuple[str, ...], Fields], bool] | None:
        """Compile what of (locator, tags, fields) this config keeps; None when it keeps all."""
        return None


class Located(Common):
    """Keys of sources that are files."""

    path: str = Field(min_length=1, description="where the pictures are")

    def at(self, base: Path) -> Self:
        """Give this config with its paths taken relative to `base`, the config file's folder."""
        names = ("path", *self._other_paths())
        values = {n: value for n in names if isinstance(value := getattr(self, n), str)}
        return self.model_copy(
            update={n: str(base / Path(value).expanduser()) for n, value in values.items()}
        )

    @classmethod
    def _other_paths(cls) -> tuple[str, ...]:
        return ()


def default_name(path: str) -> str:
    """Name a source after the last part of its path that is no pattern, or its URL's host."""
    if "://" in path:
        return escape(urlsplit(path).hostname or path)[:200]
    parts = [p for p in path.replace("\\", "/").split("/") if p not in ("", ".", "..", "~")]
    plain = [p for p in parts if not _GLOB_CHARACTERS.intersection(p)]
    return escape((plain or parts or ["source"])[-1])[:200]


_encode = json.JSONEncoder(sort_keys=True, check_circular=False).encode


def metadata_mark(label: str | None, tags: tuple[str, ...], fields: Fields | None) -> str:
    """Digest of what is known about a picture; empty when nothing is."""
    if label is None and not tags and not fields:
        return ""
    text = _encode([label, tags, fields])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def full_revision(content: str, mark: str) -> str:
    """Join the revision of the content with that of the metadata."""
    return f"{content}+{mark}" if mark else content


def content_of(revision: str | None) -> str:
    """Give the content's part of a revision."""
    return "" if revision is None else revision.partition("+")[0]


@dataclass(frozen=True, slots=True)
class Seen:
    """The latest observation of one locator."""

    revision: str | None
    image_id: str | None
    failure: str | None


def _view(array: NDArray[np.int64]) -> memoryview[int]:
    """Look at an array as plain integers: single ones are had much faster than by numpy."""
    return memoryview(array).cast("B").cast("q")  # type: ignore[arg-type]


class _Texts:
    """A string column whose values are compared as bytes, without making Python strings."""

    def __init__(self, column: Any) -> None:
        filled: Any = pc.fill_null(column, "")
        array = filled.combine_chunks().cast(pa.large_string())
        _, offsets, data = array.buffers()
        count = len(array) + 1
        self._offsets = _view(np.frombuffer(offsets, np.int64, count, 8 * array.offset))
        self._data = memoryview(data or b"")

    def __getitem__(self, row: int) -> memoryview:
        return self._data[self._offsets[row] : self._offsets[row + 1]]


class Known:
    """The latest observation of each locator of one source, compactly.

    Looked up by a sorted array of hashes, so that a million locators cost about 16 MB and their
    own text, not a dict of Python strings.

    Parameters
    ----------
    observations
        Rows of `observations`, all of one source; the latest of each locator counts.
    pages
        Rows of `pages`, all of that source.
    """

    def __init__(self, observations: pa.Table | None = None, pages: pa.Table | None = None) -> None:
        if observations is None or observations.num_rows == 0:
            table = _COLUMNS.empty_table()
        else:
            if "observed_at" in observations.column_names:
                observations = observations.sort_by("observed_at")
            table = observations.select(_COLUMNS.names).combine_chunks()
        self._table = table
        self.pages = PAGES.empty_table() if pages is None else pages
        locators = table.column("locator")
        hashes = np.fromiter(
            (hash(text) for chunk in locators.iterchunks() for text in chunk.to_pylist()),
            np.int64,
            count=len(locators),
        )
        rows = np.argsort(hashes, kind="stable")
        self._hashes, self._rows = _view(hashes[rows]), _view(rows)
        valid: Any = table.column("image_id").is_valid()
        self._have_bytes = bytes(valid.to_numpy().astype(np.uint8))
        self._locators, self._revisions = _Texts(locators), _Texts(table.column("revision"))

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def table(self) -> pa.Table:
        """What `Known` can be made of again, oldest first: locator, revision, image, failure."""
        return self._table

    def _row(self, locator: str) -> int:
        """Find the last row of a locator; -1 when there is none."""
        wanted, text = hash(locator), locator.encode()
        at = bisect_right(self._hashes, wanted) - 1
        # Equal hashes are mostly older observations of the same locator: the last one counts.
        while at >= 0 and self._hashes[at] == wanted:
            if self._locators[self._rows[at]] == text:
                return self._rows[at]
            at -= 1
        return -1

    def get(self, locator: str) -> Seen | None:
        """Give the latest observation of `locator`, or None."""
        row = self._row(locator)
        if row < 0:
            return None
        return Seen(*(self._table.column(c)[row].as_py() for c in (1, 2, 3)))

    def has_bytes(self, locator: str, revision: str) -> bool:
        """Tell whether bytes of exactly this revision were had; a quick test for what is usual."""
        row = self._row(locator)
        return (
            row >= 0 and self._revisions[row] == revision.encode() and bool(self._have_bytes[row])
        )

    def count_in_containers(self) -> dict[str, int]:
        """Count the distinct members (``<container>!/…``) that are known of each container."""
        locators = self._table.column(0)
        members = pc.unique(pc.filter(locators, pc.match_substring(locators, "!/")))
        names = pc.replace_substring_regex(members, r"(?s)!/.*", "")
        counts = pc.value_counts(names)
        pairs = zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True)
        return {str(name): int(count or 0) for name, count in pairs}


@dataclass(frozen=True, slots=True)
class Found:
    """A readable thing that a source came upon, before it is held against what is known."""

    locator: str
    content: str
    read: Callable[[], bytes]
    size: int = 0
    label: str | None = None
    tags: tuple[str, ...] = ()
    fields: Mapping[str, Any] | None = None


# What may be different at the next look although name, size and time are the same.
_WORTH_ANOTHER_TRY = frozenset({Reason.UNREADABLE, Reason.LINK_OUTSIDE, Reason.FILE_TOO_LARGE})


def compare(found: Found, known: Known, *, retry: bool) -> Event:
    """Decide whether something found has to be read, only to be noted, or nothing at all.

    `retry` says that a reading which failed before may succeed now: so with files, whose
    permissions and mounts change, but not with members of an unchanged archive.
    """
    mark = metadata_mark(found.label, found.tags, found.fields)
    revision = full_revision(found.content, mark)
    if known.has_bytes(found.locator, revision):
        return Passed(known=1)
    seen = known.get(found.locator)
    image_id = None
    if seen is not None and content_of(seen.revision) == found.content:
        again = retry and seen.failure in _WORTH_ANOTHER_TRY
        if seen.revision == revision and not again:
            return Passed(known=1)
        if seen.failure == Reason.FORGOTTEN:
            return Passed(known=1)
        image_id = seen.image_id
    return Offer(
        found.locator,
        revision,
        read=None if image_id else found.read,
        image_id=image_id,
        fields=found.fields,
        label=found.label,
        tags=found.tags,
        size=found.size,
    )


def failed(
    locator: str,
    reason: Reason,
    detail: str,
    *,
    revision: str | None = None,
    record: Found | None = None,
) -> Offer:
    """Offer something that has no bytes to give."""
    known_about = (
        {}
        if record is None
        else {"label": record.label, "tags": record.tags, "fields": record.fields}
    )
    return Offer(
        locator,
        revision,
        failure=Failure(reason, escape(detail)),
        **known_about,  # type: ignore[arg-type]
    )
