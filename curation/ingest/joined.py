"""A table of metadata, joined to files by their stem."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from curation.errors import SourceError
from curation.ingest.files import matching_files, revision_of
from curation.ingest.filters import Fields, Filter, Predicate
from curation.ingest.names import clean_member, escape, glob_matcher, picture_stem, stem, unescape
from curation.ingest.offers import Located
from curation.ingest.records import About, BadRecord, Record, about, read_records


class Filtered(Located, Filter):
    """Keys of sources that choose by tags, fields and names."""

    include: tuple[str, ...] = Field(
        (),
        description="patterns of the files to take, e.g. '*.jpg' or 'shoes/**'; the default is all",
    )
    exclude: tuple[str, ...] = Field((), description="patterns of the files to leave out")

    @field_validator("include", "exclude")
    @classmethod
    def _valid(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        glob_matcher(patterns, ())
        return patterns

    def path_matcher(self) -> Callable[[str], bool] | None:
        """Compile `include` and `exclude` to a function of the locator; None without."""
        return glob_matcher(self.include, self.exclude)

    def keeps(self) -> Callable[[str, tuple[str, ...], Fields], bool] | None:
        """Compile what of (locator, tags, fields) this config keeps; None when it keeps all."""
        paths, predicate = self.path_matcher(), self.predicate()
        if paths is None and predicate is None:
            return None

        def kept(locator: str, tags: tuple[str, ...], fields: Fields) -> bool:
            if paths is not None and not paths(clean_member(locator)):
                return False
            return predicate is None or predicate(tags, fields)

        return kept


class Columns(BaseModel):
    """Keys of tables whose rows describe pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label_column: str = Field("label", description="column with the label")
    tags_column: str = Field("tags", description="column with the tags")
    tags_separator: str | None = Field(
        None,
        min_length=1,
        description="what separates tags in one text; the default is a comma, or blanks where "
        "there is no comma",
    )


class MetadataJoin(Filtered, Columns):
    """Keys of sources whose files may be described by a table beside them."""

    metadata: str | None = Field(
        None,
        description="CSV, JSON lines or Parquet with a row for each picture, or a pattern that "
        "names several such tables",
    )
    stem_column: str = Field(
        "image",
        description="column with the picture's file name, with or without folder and ending",
    )

    _paths: ClassVar[tuple[str, ...]] = ("metadata",)

    @classmethod
    def _other_paths(cls) -> tuple[str, ...]:
        return cls._paths


_NOTHING = About()


@dataclass(frozen=True, slots=True)
class Joined:
    """What a source's table says, by stem. Without a table it says nothing about anything."""

    files: frozenset[str] = frozenset()
    revision: str = ""
    _rows: dict[str, About | None] = field(default_factory=dict)
    _unlisted: About | None = _NOTHING
    bad: tuple[BadRecord, ...] = ()

    @classmethod
    def load(cls, config: MetadataJoin) -> Joined:
        """Read the table; rows that the filter drops are remembered without their fields.

        Raises
        ------
        SourceError
            If it does not exist, is no table, or has no column `stem_column`.
        """
        predicate = config.predicate()
        unlisted = _NOTHING if predicate is None or predicate((), {}) else None
        if config.metadata is None:
            return cls(_unlisted=unlisted)
        files = matching_files(config.metadata, "metadata")
        rows: dict[str, About | None] = {}
        bad: list[BadRecord] = []
        for path in files:
            for record in with_column(path, config.stem_column, "stem_column"):
                if isinstance(record, BadRecord):
                    bad.append(record)
                else:
                    _add(rows, record, config, predicate)
        return cls(
            frozenset(os.path.realpath(f) for f in files),
            "/".join(revision_of(os.stat(f)) for f in files),  # noqa: PTH116
            rows,
            unlisted,
            tuple(bad),
        )

    def about(self, locator: str) -> About | None:
        """Give what is known about a file; None when the filter drops it."""
        if not self._rows:
            return self._unlisted
        name = unescape(locator)
        whole = self._rows.get(name, _NOTHING)
        if whole is not _NOTHING:
            return whole
        return self._rows.get(stem(name), self._unlisted)


def with_column(path: str, column: str, key: str) -> Iterator[Record | BadRecord]:
    """Stream the rows of a table that must have a column, at least in some of them.

    Raises
    ------
    SourceError
        If no row has it; `key` names the setting that chose the column.
    """
    found = False
    seen: Sequence[str] = ()
    for record in read_records(path):
        if isinstance(record, Record):
            seen = seen or list(record.values)
            found = found or column in record.values
        yield record
    if seen and not found:
        names = ", ".join(f"`{escape(c)}`" for c in seen[:20])
        raise SourceError(f"{escape(path)} has no column `{column}`; it has {names}; set `{key}`")


def _add(
    rows: dict[str, About | None], record: Record, config: MetadataJoin, predicate: Predicate | None
) -> None:
    key = record.values.get(config.stem_column)
    if key is None:
        return
    known = about(
        record.values,
        label_column=config.label_column,
        tags_column=config.tags_column,
        tags_separator=config.tags_separator,
        without=config.stem_column,
    )
    dropped = predicate is not None and not predicate(known.tags, known.fields or {})
    text = str(key)
    # The column may hold a bare stem (which may itself have dots), a file name or a path.
    for name in dict.fromkeys((text, picture_stem(text))):
        rows.setdefault(name, None if dropped else known)
