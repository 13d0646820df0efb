"""A metadata dump that names its pictures, filtered by tags and fields."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

from pydantic import Field, model_validator

from curation.ingest.files import (
    in_words,
    is_below,
    kind_of,
    matching_files,
    read_bounded,
    revision_of,
    too_large,
)
from curation.ingest.folder import resolved_folder
from curation.ingest.joined import Columns, Filtered, with_column
from curation.ingest.names import escape, unsafe
from curation.ingest.offers import Event, Found, Known, Passed, compare, failed
from curation.ingest.records import BadRecord, Record, about
from curation.ingest.web.settings import NO_CONTACT, WebSettings
from curation.recipe import Limits
from data_catalog.schema import Reason


class MetadataConfig(Filtered, Columns, WebSettings):
    """`kind = "metadata"`: the rows of a table (or of several, by a pattern) say which pictures.

    With `url_column` the pictures are fetched from the web, and the keys for that count.
    """

    kind: Literal["metadata"] = Field("metadata", description="a table that names its pictures")
    images: str | None = Field(
        None, description="folder that the paths are relative to; the default is the table's own"
    )
    path_column: str = Field("path", description="column with the picture's path")
    url_column: str | None = Field(
        None, description="column with the picture's URL; `path_column` does not count then"
    )

    @model_validator(mode="after")
    def _has_contact(self) -> Self:
        if self.url_column is not None and not self.contact:
            raise ValueError(NO_CONTACT)
        return self

    @classmethod
    def _other_paths(cls) -> tuple[str, ...]:
        return ("images",)


@dataclass(frozen=True, slots=True)
class MetadataSource:
    """Streams a table in its own order and offers the files that it names."""

    config: MetadataConfig
    random_access: bool = True

    @property
    def name(self) -> str:
        """Name of the `[[sources]]` entry."""
        return self.config.name

    def offers(self, known: Known, limits: Limits) -> Iterator[Event]:
        """Offer the picture of every row that passes the filter and is new or changed.

        Of two rows that name one picture the first counts.
        """
        config = self.config
        wanted, predicate = config.path_matcher(), config.predicate()
        named: set[int] = set()
        for table in matching_files(config.path, "path"):
            folder = config.images or os.path.dirname(table) or "."  # noqa: PTH120
            root = resolved_folder(folder, "images")
            for record in with_column(table, config.path_column, "path_column"):
                if isinstance(record, BadRecord):
                    yield failed(record.where, Reason.UNREADABLE, record.detail)
                    continue
                described = about(
                    record.values,
                    label_column=config.label_column,
                    tags_column=config.tags_column,
                    tags_separator=config.tags_separator,
                    without=config.path_column,
                )
                if predicate is not None and not predicate(described.tags, described.fields or {}):
                    yield Passed(filtered=1)
                    continue
                path = record.values.get(config.path_column)
                if path is None or path == "":
                    yield failed(
                        record.where, Reason.UNREADABLE, f"has nothing in `{config.path_column}`"
                    )
                    continue
                relative = _relative(str(path), root)
                locator = escape(relative)
                if wanted is not None and not wanted(locator):
                    yield Passed(filtered=1)
                    continue
                if hash(relative) in named:
                    yield Passed(filtered=1)
                    continue
                named.add(hash(relative))
                label = described.label if described.label is not None else config.label
                found = Found(locator, "", bytes, 0, label, described.tags, described.fields)
                yield self._look(root, relative, found, record, known, limits)

    def _look(
        self, root: str, relative: str, row: Found, record: Record, known: Known, limits: Limits
    ) -> Event:
        """Look at the file that a row names, without trusting the name."""
        where = f" (named in {record.where})"
        if "://" in relative:
            detail = "is a URL; set `url_column` to fetch it" + where
            return failed(row.locator, Reason.UNREADABLE, detail, record=row)
        if problem := unsafe(relative):
            return failed(row.locator, Reason.UNSAFE_NAME, problem + where, record=row)
        try:
            target = os.path.realpath(os.path.join(root, relative))  # noqa: PTH118
        except ValueError:  # JSON can name what no file system can
            detail = "is no name that a file can have" + where
            return failed(row.locator, Reason.UNREADABLE, detail, record=row)
        if not is_below(target, root):
            detail = "is a link that leaves the folder" + where
            return failed(row.locator, Reason.LINK_OUTSIDE, detail, record=row)
        try:
            status = os.stat(target)  # noqa: PTH116 - a string that may hold surrogates
        except OSError as error:
            return failed(row.locator, Reason.UNREADABLE, in_words(error) + where, record=row)
        if not stat.S_ISREG(status.st_mode):
            detail = f"is {kind_of(status.st_mode)}, not a regular file" + where
            return failed(row.locator, Reason.UNREADABLE, detail, record=row)
        content = revision_of(status)
        if status.st_size > limits.max_bytes:
            error_ = too_large(status.st_size, limits.max_bytes)
            return failed(row.locator, error_.reason, error_.detail, revision=content, record=row)
        found = Found(
            row.locator,
            content,
            partial(read_bounded, target, limits.max_bytes),
            status.st_size,
            row.label,
            row.tags,
            row.fields,
        )
        return compare(found, known, retry=True)


def _relative(path: str, root: str) -> str:
    """Take the images folder off an absolute path that lies in it, and a leading ``./``."""
    if path.startswith(root.rstrip("/") + "/"):
        path = path[len(root.rstrip("/")) + 1 :]
    return path.removeprefix("./")
