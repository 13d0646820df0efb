"""What a crawl may do, and the `[[sources]]` that live on the web."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import cache
from importlib import metadata
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from curation.ingest.filters import Fields
from curation.ingest.joined import Columns, Filtered
from curation.ingest.offers import Common
from curation.ingest.web.addresses import AllowList
from curation.ingest.web.cdx import Wanted
from curation.ingest.web.urls import canonical

PRODUCT: Final = "Nonesuch"  # what robots.txt may call us

NO_CONTACT: Final = (
    "`contact` is missing: whoever runs a site must be able to reach whoever crawls it. Give an "
    'e-mail address or the URL of a page, e.g. contact = "you@example.org", once under [web] '
    "(`nonesuch init` takes it as --contact)"
)


class WebSettings(BaseModel):
    """Keys of `[web]`, and of every source that fetches from the web."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contact: str = Field(
        "",
        max_length=200,
        description="e-mail address or page of whoever runs the crawl; sites see it. No crawl "
        "begins without",
    )
    user_agent: str = Field(
        "", max_length=300, description="the default is Nonesuch/VERSION (+CONTACT)"
    )
    respect_robots: bool = Field(True, description="obey robots.txt, for pictures too")
    respect_noai: bool = Field(
        True, description="obey noai and noimageai in X-Robots-Tag and in a page's meta robots"
    )
    concurrency: int = Field(16, ge=1, le=256, description="requests at a time, all hosts together")
    per_host: int = Field(2, ge=1, le=64, description="requests at a time to one host")
    delay: float = Field(0.5, ge=0, le=600, description="seconds between requests to one host")
    autothrottle: bool = Field(
        True, description="wait longer where answers are slow; `delay` is the least"
    )
    timeout: float = Field(60.0, gt=0, le=3600, description="seconds for one whole answer")
    retries: int = Field(2, ge=0, le=10, description="further tries after a passing failure")
    max_retry_after: float = Field(
        120.0,
        ge=0,
        le=86400,
        description="seconds that a Retry-After is waited for; a host that asks for longer is left "
        "alone until the next run",
    )
    max_failures: int = Field(
        20, ge=1, description="a host that fails so often in a row is left alone for this run"
    )
    max_redirects: int = Field(5, ge=0, le=20, description="redirects that are followed in a row")
    max_page_bytes: int = Field(4 << 20, ge=1024, description="largest page, unpacked")
    max_sitemap_bytes: int = Field(
        50 << 20, ge=1024, description="largest sitemap, feed or listing, unpacked"
    )
    allow_hosts: tuple[str, ...] = Field(
        (),
        description="hosts, addresses and networks that may be reached although they are not "
        "public, e.g. '127.0.0.1:8000', '10.1.0.0/16'",
    )
    max_pages: int | None = Field(None, ge=1, description="pages that one run fetches at most")
    max_images: int | None = Field(None, ge=1, description="pictures that one run fetches at most")
    max_bytes: int | None = Field(None, ge=1, description="bytes that one run fetches, about")
    max_minutes: float | None = Field(None, gt=0, description="minutes that one run crawls")
    retry: Literal["transient", "all", "never"] = Field(
        "transient",
        description="failures that the next run tries again: those that may pass, all, or none",
    )
    commit_seconds: float = Field(
        120.0, gt=0, description="what is fetched is committed at least as often"
    )

    @field_validator("allow_hosts")
    @classmethod
    def _addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        AllowList.parse(entries)
        return entries

    @field_validator("contact", "user_agent")
    @classmethod
    def _one_line(cls, text: str) -> str:
        # It becomes a header.
        if not text.isprintable() or not text.isascii():
            raise ValueError("must be printable ASCII on one line")
        return text.strip()

    @property
    def agent(self) -> str:
        """The `User-Agent` that sites see."""
        return self.user_agent or f"{PRODUCT}/{metadata.version('nonesuch')} (+{self.contact})"


class WebSource(WebSettings):
    """A source that always fetches from the web."""

    @model_validator(mode="after")
    def _has_contact(self) -> Self:
        if not self.contact:
            raise ValueError(NO_CONTACT)
        return self


def _http_url(url: str) -> str:
    return canonical(url)


class ShopConfig(Common, WebSource):
    """`kind = "shop"`: every picture of every product of a web shop."""

    kind: Literal["shop"] = Field("shop", description="a web shop")
    start_urls: tuple[Annotated[str, Field(max_length=2000)], ...] = Field(
        min_length=1, description="where to begin, e.g. the shop's first page"
    )
    hosts: tuple[str, ...] = Field(
        (),
        description="further hosts that belong to the shop; pictures may come from anywhere",
    )
    sitemaps: bool = Field(
        True, description="read the sitemaps that robots.txt names, or the usual"
    )
    feed: bool = Field(True, description="read Shopify's /products.json where there is one")
    depth: int = Field(
        3, ge=0, le=50, description="links that are followed from a start URL; 0 follows none"
    )
    skip_pages: tuple[str, ...] = Field(
        ("*/cart*", "*/checkout*", "*/account*", "*/login*", "*/search*"),
        description="patterns of page URLs that are not fetched",
    )
    include_categories: tuple[str, ...] = Field(
        (), description="take only products whose category contains one of these"
    )
    exclude_categories: tuple[str, ...] = Field(
        (), description="leave out products whose category contains one of these"
    )
    include_titles: tuple[str, ...] = Field(
        (), description="take only products whose title contains one of these"
    )
    exclude_titles: tuple[str, ...] = Field(
        (), description="leave out products whose title contains one of these"
    )
    label_from: Literal["none", "category", "brand", "colour"] = Field(
        "none", description="what of a product becomes the label of its pictures"
    )

    _named_after: ClassVar[str] = "start_urls"

    @field_validator("start_urls")
    @classmethod
    def _urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_http_url(url) for url in urls)

    def takes(self, title: str | None, category: str | None) -> bool:
        """Tell whether a product passes the filters on title and category."""
        return _chosen(category, self.include_categories, self.exclude_categories) and _chosen(
            title, self.include_titles, self.exclude_titles
        )

    def skips(self, url: str) -> bool:
        """Tell whether a page is not to be fetched."""
        pattern = _any_of(self.skip_pages)
        return pattern is not None and pattern.fullmatch(url) is not None

    def keeps(self) -> Callable[[str, tuple[str, ...], Fields], bool] | None:
        """Compile what of (locator, tags, fields) this config keeps; None when it keeps all."""
        filters = (
            self.include_categories,
            self.exclude_categories,
            self.include_titles,
            self.exclude_titles,
        )
        if not any(filters):
            return None
        return lambda _locator, _tags, fields: self.takes(
            fields.get("title"), fields.get("category")
        )


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    """Compile patterns to one; every link of every page is held against it."""
    joined = "|".join(translate(pattern) for pattern in patterns)
    return re.compile(joined, re.IGNORECASE) if patterns else None


def _chosen(text: str | None, include: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    lower = (text or "").lower()
    if any(word.lower() in lower for word in exclude):
        return False
    return not include or any(word.lower() in lower for word in include)


_DATE: Final = r"^\d{4}(\d{2}){0,5}$"


class WaybackConfig(Common, WebSource):
    """`kind = "wayback"`: pictures that a web archive kept of a site."""

    kind: Literal["wayback"] = Field("wayback", description="a site as a web archive kept it")
    url: str = Field(
        min_length=1, max_length=2000, description="site or beginning of a URL, e.g. shop.example"
    )
    match: Literal["domain", "host", "prefix", "exact"] = Field(
        "domain", description="domain: with all its subdomains; prefix: all URLs that begin so"
    )
    first: str | None = Field(
        None, pattern=_DATE, description="earliest capture: 2009, 200905, 20090531, …"
    )
    last: str | None = Field(None, pattern=_DATE, description="latest capture")
    mime: tuple[str, ...] = Field(
        ("image/jpeg", "image/png", "image/webp", "image/gif"),
        min_length=1,
        description="kinds of pictures; image/* takes all",
    )
    min_length: int = Field(
        0,
        ge=0,
        description="smallest record in the archive, in bytes, headers included; leaves out icons",
    )
    pages: bool = Field(
        False, description="read archived pages too, for title, brand, category and colour"
    )
    cdx_url: str = Field(
        "https://web.archive.org/cdx/search/cdx", description="where captures are searched"
    )
    replay_url: str = Field(
        "https://web.archive.org/web", description="where captures are replayed"
    )
    page_size: int = Field(5000, ge=1, le=150_000, description="captures asked for at a time")
    requests_per_minute: float = Field(
        24.0,
        gt=0,
        description="requests to the archive; web.archive.org bears about 24. It raises `delay`",
    )

    _named_after: ClassVar[str] = "url"

    @model_validator(mode="before")
    @classmethod
    def _keep_the_pace(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        defaults = {
            name: cls.model_fields[name].default for name in ("delay", "requests_per_minute")
        }
        try:
            delay, rate = (float(data.get(name, default)) for name, default in defaults.items())
        except (TypeError, ValueError):
            return data  # which the fields will say
        return {**data, "delay": max(delay, 60 / rate)} if rate > 0 else data

    @field_validator("url")
    @classmethod
    def _no_pattern(cls, url: str) -> str:
        if "*" in url:
            raise ValueError(
                f"must be no pattern, got {url!r}; `match` says how much belongs to it"
            )
        return url

    @field_validator("cdx_url", "replay_url")
    @classmethod
    def _urls(cls, url: str) -> str:
        return _http_url(url)

    @property
    def wanted(self) -> Wanted:
        """Which captures are pictures to be fetched."""
        return Wanted(self.mime, self.min_length, self.first, self.last)

    def keeps(self) -> Callable[[str, tuple[str, ...], Fields], bool] | None:
        """Compile what of (locator, tags, fields) this config keeps; None when it keeps all."""
        wanted = self.wanted

        def keeps(locator: str, tags: tuple[str, ...], fields: Fields) -> bool:
            return wanted.fits(locator[:14], str(fields.get("mime")), fields.get("record_bytes"))

        return keeps


class UrlsConfig(Filtered, Columns, WebSource):
    """`kind = "urls"`: the URLs in a column of a table, however long."""

    kind: Literal["urls"] = Field("urls", description="a table of URLs")
    url_column: str = Field("url", description="column with the URL")
    columns: tuple[str, ...] | None = Field(
        None, description="further columns to keep; the default is all"
    )


_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")


def is_one_url(text: str) -> bool:
    """Tell whether a text can be a URL at all: one word, http or https."""
    return bool(re.match(r"https?://[^/]", text, re.I)) and not _CONTROL.search(text)
