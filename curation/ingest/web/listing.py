"""The rows of tables that name pictures by URL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from curation.errors import SourceError
from curation.ingest.files import matching_files
from curation.ingest.joined import with_column
from curation.ingest.metadata import MetadataConfig
from curation.ingest.names import escape
from curation.ingest.offers import Failure, Found, Offer, Passed, failed
from curation.ingest.records import BadRecord, about
from curation.ingest.web.settings import UrlsConfig, is_one_url
from curation.ingest.web.urls import canonical
from data_catalog.schema import Reason

MAX_URL: int = 8000


def listed(config: UrlsConfig | MetadataConfig) -> Iterator[tuple[str, Found] | Offer | Passed]:
    """Stream what a table names: the URL to fetch and what is known of its picture.

    Of two rows with one URL the first counts. What cannot be asked for comes as a failed `Offer`,
    what the filters drop as `Passed`.

    Raises
    ------
    SourceError
        If there is no table, or it has no such column.
    """
    column = config.url_column
    if column is None:
        raise SourceError(f"{config.name!r} has no `url_column`")
    kept = getattr(config, "columns", None)
    wanted, predicate = config.path_matcher(), config.predicate()
    named: set[int] = set()
    for table in matching_files(config.path, "path"):
        for record in with_column(table, column, "url_column"):
            if isinstance(record, BadRecord):
                yield failed(record.where, Reason.UNREADABLE, record.detail)
                continue
            described = about(
                record.values,
                label_column=config.label_column,
                tags_column=config.tags_column,
                tags_separator=config.tags_separator,
                without=column,
            )
            if predicate is not None and not predicate(described.tags, described.fields or {}):
                yield Passed(filtered=1)
                continue
            url = record.values.get(column)
            if url is None or url == "":
                yield failed(record.where, Reason.UNREADABLE, f"has nothing in `{column}`")
                continue
            text = str(url).strip()
            locator = escape(text[:MAX_URL])
            if (wanted is not None and not wanted(locator)) or hash(text) in named:
                yield Passed(filtered=1)
                continue
            named.add(hash(text))
            found = Found(
                locator,
                "",
                bytes,
                label=described.label if described.label is not None else config.label,
                tags=described.tags,
                fields=_only(described.fields, kept),
            )
            try:
                yield fetchable(text), found
            except ValueError as error:
                yield _refused(found, f"{error} (named in {record.where})")


def _only(fields: dict[str, Any] | None, kept: tuple[str, ...] | None) -> dict[str, Any] | None:
    if fields is None or kept is None:
        return fields
    return {name: fields[name] for name in kept if name in fields} or None


def _refused(found: Found, detail: str) -> Offer:
    offer = failed(found.locator, Reason.URL_REFUSED, "", record=found)
    return replace(offer, failure=Failure(Reason.URL_REFUSED, escape(detail)))


def fetchable(url: str) -> str:
    """Give the form of a listed URL that is asked for: as it is, but for its host and path.

    Its query stays as it is, since it may be signed.

    Raises
    ------
    ValueError
        If it is none that is ever followed.
    """
    if not is_one_url(url):
        raise ValueError(f"must be an http or https URL, got {url[:100]!r}")
    if len(url) > MAX_URL:
        raise ValueError(f"must be at most {MAX_URL:,} characters long, has {len(url):,}")
    place, mark, query = url.partition("#")[0].partition("?")
    return canonical(place) + mark + query
