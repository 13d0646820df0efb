"""Search of web archives: what to ask a CDX server, and what its answer says.

Two families of servers are in use. web.archive.org and OpenWayback answer with JSON arrays below a
header row, and with a resume key where there is more. pywb answers with one JSON object a line,
names the fields otherwise and knows no keys. One query serves both, because it asks for nothing in
which they differ: no filters, no collapsing, no choice of fields. Leaving filters to the server
would also lose captures: web.archive.org reads a bounded number of lines for one answer, filtered
ones included, and where it stops short of `limit` for that reason, it gives no resume key.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

from curation.errors import CurationError
from curation.ingest.names import escape

MOST_CAPTURES: Final = 1 << 20  # asked for at a time, where a single second holds so many
REVISIT: Final = "warc/revisit"  # bytes are as they were at an earlier visit

_STAMP: Final = "%Y%m%d%H%M%S"
_MAX_URL: Final = 2000
_SECOND: Final = datetime.timedelta(seconds=1)

# Names of the fields, web.archive.org's and pywb's.
_NAMES: Final = {"original": "url", "mimetype": "mime", "statuscode": "status"}
# Fields of rows without names, by their number: CDX 7 and CDX 11 of OpenWayback and OutbackCDX.
_UNNAMED: Final = ("urlkey", "timestamp", "url", "mime", "status", "digest")
_BY_NUMBER: Final = {
    7: (*_UNNAMED, "length"),
    11: (*_UNNAMED, "redirect", "robotflags", "length", "offset", "filename"),
}
_MIME_OF_ENDING: Final = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "jpe": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
}


class CdxError(CurationError, ValueError):
    """An archive's answer to a search that cannot be used."""


@dataclass(frozen=True, slots=True)
class Capture:
    """One visit of an archive to one URL.

    Attributes
    ----------
    urlkey : str
        The URL with its host reversed, by which archives sort.
    timestamp : str
        Time of the visit, 14 digits, UTC.
    original : str
        The URL as it was visited.
    mime : str
        In lower case, without parameters; `REVISIT` where no bytes were stored again.
    status : int or None
        None where the archive does not say, as with revisits.
    digest : str or None
        Of the bytes; equal for equal bytes.
    length : int or None
        Bytes of the packed record in the archive, headers included; not of the file itself.
    """

    urlkey: str
    timestamp: str
    original: str
    mime: str
    status: int | None
    digest: str | None
    length: int | None

    @property
    def is_revisit(self) -> bool:
        """Whether it stands for bytes that were stored at an earlier visit."""
        return self.mime == REVISIT

    @property
    def kind(self) -> str:
        """MIME type of the bytes; of a revisit only the name says it, and not always."""
        if not self.is_revisit:
            return self.mime
        # The original may lie outside of what is searched.
        ending = urlsplit(self.original).path.rpartition(".")[2]
        return _MIME_OF_ENDING.get(ending.lower(), "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one answer of a CDX server holds.

    Attributes
    ----------
    captures : tuple of Capture
        In the server's order.
    resume_key : str or None
        As the server wrote it, if there is more.
    rows, bad : int
        Rows in all, and those among them that say no usable capture.
    """

    captures: tuple[Capture, ...]
    resume_key: str | None
    rows: int
    bad: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which captures are worth fetching.

    Attributes
    ----------
    mime : tuple of str
        Patterns such as image/jpeg or image/*.
    min_length : int
        Smallest record in the archive, bytes.
    first, last : str or None
        Earliest and latest time, 4 to 14 digits; both are included as a whole.
    """

    mime: tuple[str, ...]
    min_length: int = 0
    first: str | None = None
    last: str | None = None

    def takes(self, capture: Capture) -> bool:
        """Tell whether a capture is worth fetching."""
        usable = capture.status == 200 or (capture.status is None and capture.is_revisit)
        length = None if capture.is_revisit else capture.length
        return usable and self.fits(capture.timestamp, capture.kind, length)

    def fits(self, timestamp: str, mime: str, length: int | None) -> bool:
        """Tell whether time, kind and length are as they should be; an unknown length is."""
        return (
            (self.first is None or timestamp >= self.first)
            and (self.last is None or timestamp[: len(self.last)] <= self.last)
            and (length is None or length >= self.min_length)
            and self._is_kind(mime)
        )

    def _is_kind(self, mime: str) -> bool:
        return any(re.fullmatch(_as_regex(pattern), mime) for pattern in self.mime)


def _as_regex(pattern: str) -> str:
    return ".*".join(re.escape(part) for part in pattern.lower().split("*"))


def replay_url(base: str, timestamp: str, original: str) -> str:
    """Make the URL at which an archive gives the bytes of a capture as they came.

    ``id_`` asks for the bytes without a banner and with no link rewritten. Archives that hold no
    capture of exactly this time answer with the nearest.
    """
    return f"{base.rstrip('/')}/{timestamp}id_/{quote(original, safe=_KEPT)}"


_KEPT: Final = "!$%&'()*+,/:;=?@[]~-._"


@dataclass(frozen=True, slots=True)
class Step:
    """What of an answer decides how a listing goes on.

    Attributes
    ----------
    rows : int
        Rows in all.
    begin : str or None
        Key and time of the first capture; servers sort by them.
    middle : str or None
        The time before which half of the captures lie that belong to the window asked for.
    resume_key : str or None
    """

    rows: int
    begin: str | None
    middle: str | None
    resume_key: str | None


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time that is asked for at once; both ends belong to it, None is open."""

    limit: int
    first: str | None = None
    last: str | None = None

    def step(self, answer: Answer) -> Step:
        """Say what an answer for this window means for what is asked next."""
        times = sorted(c.timestamp for c in answer.captures if self._holds(c.timestamp))
        first = answer.captures[0] if answer.captures else None
        return Step(
            answer.rows,
            None if first is None else f"{first.urlkey} {first.timestamp}",
            times[(len(times) - 1) // 2] if times else None,
            answer.resume_key,
        )

    def may_be_cut(self, rows: int) -> bool:
        """Tell whether an answer of so many rows may lack some, where no resume key says so."""
        # A server may have a limit of its own below ours; that is a round number.
        return rows >= self.limit or (rows > 0 and rows % 100 == 0)

    def parts(self, middle: str | None) -> tuple[Window, ...]:
        """Cut the span in two, at the middle of what was listed of it."""
        if self.first is not None and self.first == self.last:
            return (self._doubled(),)
        if middle is None:
            raise CdxError(
                f"the archive gave as many captures as were asked for, none between {self.first} "
                f"and {self.last} as was asked for; raise `page_size` so that one page holds all"
            )
        cut = _shifted(middle, -_SECOND) if middle == self.last else middle
        return (
            Window(self.limit, self.first, cut),
            Window(self.limit, _shifted(cut, _SECOND), self.last),
        )

    def _holds(self, timestamp: str) -> bool:
        return (self.first or "") <= timestamp <= (self.last or "9")

    def _doubled(self) -> Window:
        if self.limit >= MOST_CAPTURES:
            raise CdxError(
                f"the archive has {self.limit:,} captures or more of one second, {self.first}; "
                "narrow `url`"
            )
        return Window(2 * self.limit, self.first, self.last)


class Listing:
    """Goes through a search page by page: says what to ask, and takes what the answers mean.

    Where a server gives resume keys, they are followed. Where it gives none, a full page may have
    been cut off, and nothing tells what is missing. Then the time is cut in two, so that each half
    holds about half of the captures, and both halves are asked for. That keeps answers as small
    as they are meant to be, which asking again for twice as many would not.

    Parameters
    ----------
    cdx_url : str
        Where the server is asked.
    url : str
        Site or beginning of a URL that is searched for.
    match : {"domain", "host", "prefix", "exact"}
    limit : int
        Captures that are asked for at a time.
    """

    def __init__(self, cdx_url: str, url: str, match: str, limit: int) -> None:
        self._cdx_url, self._url, self._match, self._limit = cdx_url, url, match, limit
        self._todo = [Window(limit)]
        self._resume_key: str | None = None
        self._gives_keys = False
        self._key_as_is = False
        self._begin: str | None = None  # of the page before

    @property
    def window(self) -> Window | None:
        """What is asked for next; None when everything has been listed."""
        return self._todo[-1] if self._todo else None

    def query(self, window: Window) -> str:
        """Give the URL that asks for `window`, from where it was left."""
        params = {
            "url": self._url,
            "matchType": self._match,
            "output": "json",
            "limit": str(window.limit),
            "showResumeKey": "true",
            "from": window.first,
            "to": window.last,
            "resumeKey": None if self._key_as_is else self._resume_key,
        }
        text = urlencode({name: value for name, value in params.items() if value is not None})
        if self._key_as_is and self._resume_key is not None:
            text += f"&resumeKey={self._resume_key}"
        return f"{self._cdx_url}{'&' if '?' in self._cdx_url else '?'}{text}"

    def take(self, step: Step) -> bool:
        """Go on; tell whether the captures of this answer count, or will come again.

        Raises
        ------
        CdxError
            If the answer shows that this server cannot be listed to the end.
        """
        if self._resume_key is not None and self._went_back(step):
            return False
        window = self._todo.pop()
        if step.resume_key is not None:
            self._todo.append(window)
            self._follow(step, step.resume_key)
        elif not self._gives_keys and window.may_be_cut(step.rows):
            self._todo += reversed(window.parts(step.middle))
            return False
        else:
            self._resume_key = None
        return True

    def shrink(self) -> bool:
        """Ask for half as many, as an answer was too large; False where that is no way out."""
        window = self._todo[-1]
        if window.limit > self._limit or window.limit < 2:
            return False
        self._limit //= 2
        self._todo = [replace(w, limit=min(w.limit, self._limit)) for w in self._todo]
        return True

    def _follow(self, step: Step, key: str) -> None:
        if key == self._resume_key:
            raise CdxError(f"the archive gave the resume key {key!r} twice in a row")
        self._resume_key, self._gives_keys, self._begin = key, True, step.begin

    def _went_back(self, step: Step) -> bool:
        """Tell whether a resume key was not understood, and take its other form from now on.

        Keys come percent-encoded. web.archive.org decodes them once more than other parameters, so
        that they have to be encoded again; OpenWayback does not, and would begin anew.
        """
        if step.begin is None or self._begin is None or step.begin > self._begin:
            return False
        if self._key_as_is:
            raise CdxError(
                f"the archive does not go on where it stopped, at {self._resume_key!r}; raise "
                "`page_size` so that one page holds everything, or narrow `url`"
            )
        self._key_as_is = True
        return True


def _shifted(timestamp: str, by: datetime.timedelta) -> str:
    return (datetime.datetime.strptime(timestamp, _STAMP) + by).strftime(_STAMP)


def parse_response(body: bytes) -> Answer:
    """Read a CDX server's answer: JSON arrays, JSON lines, CDXJ or plain text.

    Raises
    ------
    CdxError
        If it is none of them, e.g. an error page, or breaks off within an array.
    """
    text = body.decode("utf-8", "replace").strip()
    rows, key = _arrays(text) if text.startswith("[") else _lines(text)
    if rows and not any(row and _text(row, "timestamp") for row in rows):
        raise CdxError(f"the archive answered with no captures but: {escape(text[:200])}")
    # pywb answers a search for what it does not have with what looks like it.
    rows = [row for row in rows if row is None or not row.get("is_fuzzy")]
    captures = [_capture(row) for row in rows]
    good = tuple(c for c in captures if c is not None)
    return Answer(good, key, len(rows), len(rows) - len(good))


_Rows: TypeAlias = list[Mapping[str, Any] | None]


def _lines(text: str) -> tuple[_Rows, str | None]:
    lines = text.splitlines()
    key = None
    if len(lines) > 2 and not lines[-2].strip():
        key, lines = lines[-1].strip(), lines[:-2]
    return [_of_line(line) for line in lines], key


def _arrays(text: str) -> tuple[_Rows, str | None]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CdxError(f"the archive answered with broken JSON: {error}") from error
    key = None
    if len(rows) > 2 and rows[-2] == [] and _is_key(rows[-1]):
        key, rows = rows[-1][0], rows[:-2]
    names: Sequence[str] | None = None
    if rows and isinstance(rows[0], list) and "timestamp" in rows[0]:
        names, rows = [_NAMES.get(str(name), str(name)) for name in rows[0]], rows[1:]
    return [_named(row, names) for row in rows], key


def _is_key(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 1 and isinstance(row[0], str)


def _named(row: Any, names: Sequence[str] | None) -> Mapping[str, Any] | None:
    if not isinstance(row, list):
        return None
    names = names or _BY_NUMBER.get(len(row))
    if names is None or len(row) != len(names):
        return None
    return dict(zip(names, row, strict=True))


def _of_line(line: str) -> Mapping[str, Any] | None:
    before, brace, rest = line.partition("{")
    if not brace:
        return _named(line.split(), None)
    try:
        row = json.loads(brace + rest)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    named = {_NAMES.get(str(name), str(name)): value for name, value in row.items()}
    # CDXJ has the key and the time before the object.
    return {**dict(zip(("urlkey", "timestamp"), before.split(), strict=False)), **named}


def _capture(row: Mapping[str, Any] | None) -> Capture | None:
    if row is None:
        return None
    timestamp, original = _text(row, "timestamp"), _text(row, "url")
    if not _is_time(timestamp) or not _is_url(original):
        return None
    digest = _text(row, "digest").removeprefix("sha1:")
    return Capture(
        _text(row, "urlkey"),
        timestamp,
        original,
        _text(row, "mime").partition(";")[0].strip().lower(),
        _number(row, "status"),
        None if digest in ("", "-") else digest,
        _number(row, "length"),
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _number(row: Mapping[str, Any], name: str) -> int | None:
    value = row.get(name)
    text = str(value) if isinstance(value, str | int) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def _is_time(text: str) -> bool:
    # There was no web before; arithmetic with far-off years would not hold.
    if not re.fullmatch(r"[0-9]{14}", text) or not "1990" <= text < "2200":
        return False
    try:
        datetime.datetime.strptime(text, _STAMP)
    except ValueError:
        return False
    return True


def _is_url(text: str) -> bool:
    """Tell whether this may be the URL of a page or a picture; crawlers also note dns: and such."""
    if len(text) > _MAX_URL or not text.isprintable() or not re.match(r"https?://[^/]", text, re.I):
        return False
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False
