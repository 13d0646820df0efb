"""Sitemaps (https://www.sitemaps.org/protocol.html), read as what they are: hostile XML."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin

from lxml import etree

from curation.errors import CurationError
from curation.ingest.web.urls import canonical

# By the protocol.
MAX_ENTRIES: Final = 50_000
MAX_SITEMAPS_OF_ROBOTS: Final = 1000

_GZIP: Final = b"\x1f\x8b"
_DECLARATION: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_SITEMAP_LINE: Final = re.compile(
    rb"^[ \t]*sitemap[ \t]*:[ \t]*([^\s#]+)", re.IGNORECASE | re.MULTILINE
)
_SCHEMES: Final = ("https://", "http://")
_MARK: Final = b"\xef\xbb\xbf"


class SitemapError(CurationError, ValueError):
    """A sitemap that cannot be used."""


@dataclass(frozen=True, slots=True)
class Sitemap:
    """What a sitemap lists. All URLs are canonical; those that cannot be are left out.

    Attributes
    ----------
    pages, sitemaps : tuple of str
        In the order of the file, without repeats.
    dropped : int
        Entries whose URL cannot be used, and entries after the 50,000 that the
        protocol allows.
    """

    pages: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    dropped: int = 0


def unpack(body: bytes, max_bytes: int) -> bytes:
    """Unpack a body that is gzip, by its first bytes; give any other back as it is.

    Raises
    ------
    SitemapError
        If it is damaged, or longer than `max_bytes` once unpacked.
    """
    if not body.startswith(_GZIP):
        if len(body) > max_bytes:
            raise SitemapError(_too_large(max_bytes))
        return body
    parts: list[bytes] = []
    left = max_bytes
    while body:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(body, left + 1)
        except zlib.error as error:
            raise SitemapError(f"the sitemap is damaged gzip: {error}") from error
        left -= len(part)
        if left < 0:
            raise SitemapError(_too_large(max_bytes))
        if not member.eof:
            raise SitemapError("the sitemap is gzip that breaks off before its end")
        parts.append(part)
        # What follows the last member and is none itself is padding, as gzip has it.
        body = member.unused_data if member.unused_data.startswith(_GZIP) else b""
    return b"".join(parts)


def _too_large(max_bytes: int) -> str:
    return f"a sitemap must have at most {max_bytes:,} bytes once unpacked; this one has more"


def read_sitemap(body: bytes, url: str) -> Sitemap:
    """Read a sitemap index, a sitemap, or a plain list of URLs, unpacked, that came from `url`.

    Raises
    ------
    SitemapError
        If it is none of them, or is XML with a document type or entities.
    """
    reader = _Reader(url)
    if not body.removeprefix(_MARK).lstrip().startswith(b"<"):
        return reader.read_list(body)
    root = _parse(body)
    kind = _local_name(root)
    if kind == "sitemapindex":
        return reader.read_index(root)
    if kind == "urlset":
        return reader.read_urlset(root)
    raise SitemapError(
        f"the root of a sitemap must be <urlset> or <sitemapindex>, got <{kind[:40]}> at {url}"
    )


def sitemaps_in_robots(body: bytes) -> tuple[str, ...]:
    """Give the sitemaps that a robots.txt names, canonical and without repeats."""
    found: dict[str, None] = {}
    for match in _SITEMAP_LINE.finditer(body.removeprefix(_MARK)):
        with suppress(ValueError):
            found[canonical(match.group(1).decode("utf-8", "replace"))] = None
        if len(found) == MAX_SITEMAPS_OF_ROBOTS:
            break
    return tuple(found)


def _parse(body: bytes) -> Any:
    if _DECLARATION.search(body):
        raise SitemapError("a sitemap must have no <!DOCTYPE> and no <!ENTITY>, this one has")
    # The protocol knows UTF-8 alone. Held to that, the parser sees what the search above saw:
    # no document type hides in UTF-16.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        recover=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise SitemapError(f"the sitemap is no XML: {error}") from error
    if root is None:
        raise SitemapError("the sitemap is no XML: it has no elements")
    return root


def _local_name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def _texts(element: Any, name: str) -> Iterator[str]:
    for child in element:
        if _local_name(child) == name:
            yield (child.text or "").strip()


class _Reader:
    """Collects the entries of one sitemap."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._entries = 0
        self._dropped = 0

    def read_list(self, body: bytes) -> Sitemap:
        lines = body.decode("utf-8-sig", "replace").split()
        # By the protocol these are whole URLs: any other text would be one, relative to this.
        pages = self._collect(line for line in lines if line.lower().startswith("http"))
        if not pages:
            raise SitemapError(
                f"a sitemap must be XML or a list of URLs, one a line, got {body[:40]!r}"
            )
        return Sitemap(pages=pages, dropped=self._dropped)

    def read_index(self, root: Any) -> Sitemap:
        entries = (entry for entry in root if _local_name(entry) == "sitemap")
        sitemaps = self._collect(next(_texts(entry, "loc"), "") for entry in entries)
        return Sitemap(sitemaps=sitemaps, dropped=self._dropped)

    def read_urlset(self, root: Any) -> Sitemap:
        entries = (entry for entry in root if _local_name(entry) == "url")
        pages = self._collect(next(_texts(entry, "loc"), "") for entry in entries)
        return Sitemap(pages=pages, dropped=self._dropped)

    def _collect(self, texts: Iterable[str]) -> tuple[str, ...]:
        urls = (self._entry(text) for text in texts)
        return tuple(dict.fromkeys(url for url in urls if url is not None))

    def _entry(self, text: str) -> str | None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            self._dropped += 1
            return None
        return self._canonical(text)

    def _canonical(self, text: str) -> str | None:
        try:
            if not text:
                raise ValueError("an entry of a sitemap must have a <loc>")
            return canonical(text if text.startswith(_SCHEMES) else urljoin(self._url, text))
        except ValueError:
            self._dropped += 1
            return None
