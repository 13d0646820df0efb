"""Rows of metadata tables: CSV, JSON lines and Parquet, streamed; a bad row is named, not fatal."""

from __future__ import annotations

import bz2
import csv
import datetime
import decimal
import gzip
import json
import lzma
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import SourceError
from curation.ingest.files import in_words
from curation.ingest.names import escape

MAX_LINE_BYTES: Final = 4 << 20
_ROWS_AT_ONCE: Final = 4096
_DELIMITERS: Final = ",;\t|"
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][+-]?[0-9]{1,3})?")
_PACKED: Final = (".gz", ".bz2", ".xz")
_DAMAGED: Final = (OSError, EOFError, lzma.LZMAError, zlib.error)
_KINDS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One row. `where` is `file:line` (of Parquet: the row's number), for people."""

    where: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One row, or the rest of a file, that cannot be read."""

    where: str
    detail: str


def read_records(path: str) -> Iterator[Record | BadRecord]:
    """Stream the rows of a table; `.gz`, `.bz2` and `.xz` are unpacked on the way.

    Cells of CSV become numbers and truth values where they look like them and nothing is lost by
    it (``007`` stays text); empty cells become None.

    Raises
    ------
    SourceError
        If the file is of no known kind, cannot be opened, or has no header.
    """
    file = Path(path)
    suffixes = [s.lower() for s in file.suffixes]
    packed = bool(suffixes) and suffixes[-1] in _PACKED
    ending = (suffixes[-2:-1] if packed else suffixes[-1:]) or [""]
    kind = _KINDS.get(ending[0])
    name = escape(file.name)
    if kind is None or (kind == "parquet" and packed):
        raise SourceError(
            f"{escape(path)} is no table that can be read; its name must end in one of "
            f"{', '.join(sorted(_KINDS))}, and in .gz, .bz2 or .xz after that when it is packed"
        )
    try:
        if kind == "parquet":
            yield from _parquet(path, name)
            return
        with _open(path, suffixes[-1] if packed else "") as stream:
            yield from (_csv if kind == "csv" else _json_lines)(stream, name)
    except OSError as error:
        raise SourceError(f"{escape(path)} cannot be read: {in_words(error)}") from error


def _open(path: str, ending: str) -> IO[bytes]:
    match ending:
        case ".gz":
            return cast("IO[bytes]", gzip.open(path))
        case ".bz2":
            return bz2.open(path)
        case ".xz":
            return lzma.open(path)
        case _:
            return Path(path).open("rb")


def _lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, bytes] | BadRecord]:
    """Give numbered lines of at most `MAX_LINE_BYTES`; longer ones are skipped and named."""
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(MAX_LINE_BYTES + 1)
            if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    pass
                yield BadRecord(
                    f"{name}:{number}", f"the line is longer than {MAX_LINE_BYTES:,} bytes"
                )
                continue
        except _DAMAGED as error:
            yield BadRecord(f"{name}:{number}", f"the file cannot be read from here on: {error}")
            return
        if not line:
            return
        if number == 1:
            if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise SourceError(f"{name} is UTF-16; save it as UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield number, line


def _json_lines(stream: IO[bytes], name: str) -> Iterator[Record | BadRecord]:
    for item in _lines(stream, name):
        if isinstance(item, BadRecord):
            yield item
            continue
        number, line = item
        line = line.strip()
        if not line:
            continue
        where = f"{name}:{number}"
        if number == 1 and line.startswith(b"["):
            raise SourceError(
                f"{name} is one JSON array; write one object a line instead: "
                f"jq -c '.[]' {name} > {name}l"
            )
        try:
            value = json.loads(line.decode("utf-8", "surrogateescape"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            yield BadRecord(where, f"is not JSON: {error}")
            continue
        if isinstance(value, dict):
            yield Record(where, value)
        else:
            yield BadRecord(where, f"must be a JSON object, is a {type(value).__name__}")


def _no_constant(text: str) -> None:
    """NaN and the infinities are not JSON; they mean that there is no value."""
    return None


def _csv(stream: IO[bytes], name: str) -> Iterator[Record | BadRecord]:
    lines = _lines(stream, name)
    bad: list[BadRecord] = []
    at = 0

    def text() -> Iterator[str]:
        nonlocal at
        for item in lines:
            if isinstance(item, BadRecord):
                bad.append(item)
            else:
                at = item[0]
                yield item[1].decode("utf-8", "surrogateescape")

    source = text()
    head = next(source, None)
    if head is None:
        raise SourceError(f"{name} is empty; its first line must name the columns")
    delimiter = max(_DELIMITERS, key=head.count)
    columns = next(csv.reader([head], delimiter=delimiter), [])
    reader = csv.reader(source, delimiter=delimiter)
    while True:
        first = at + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            row = []
            bad.append(BadRecord(f"{name}:{first}", f"is not CSV: {error}"))
        yield from bad
        bad.clear()
        if row is None:
            return
        if not row:  # an empty line
            continue
        if len(row) != len(columns):
            detail = f"has {len(row)} cells, the header has {len(columns)}"
            yield BadRecord(f"{name}:{first}", detail)
            continue
        yield Record(f"{name}:{first}", {c: _typed(v) for c, v in zip(columns, row, strict=True)})


def _typed(cell: str) -> Any:
    if not cell:
        return None
    if _INTEGER.fullmatch(cell):
        return int(cell)
    if _DECIMAL.fullmatch(cell):
        return float(cell)
    if cell in ("True", "true", "TRUE"):
        return True
    if cell in ("False", "false", "FALSE"):
        return False
    return cell


def _parquet(path: str, name: str) -> Iterator[Record | BadRecord]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise SourceError(f"{name} is not a Parquet file: {error}") from error
    row = 0
    with file:
        batches = file.iter_batches(batch_size=_ROWS_AT_ONCE)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                yield BadRecord(f"{name}:{row + 1}", f"cannot be read from here on: {error}")
                return
            if batch is None:
                return
            for values in batch.to_pylist():
                row += 1
                yield Record(f"{name}:{row}", {k: plain(v) for k, v in values.items()})


def plain(value: Any) -> Any:
    """Turn what Parquet holds into what JSON can hold."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


@dataclass(frozen=True, slots=True)
class About:
    """What is known about one picture besides its bytes."""

    label: str | None = None
    tags: tuple[str, ...] = ()
    fields: dict[str, Any] | None = None


def about(
    values: Mapping[str, Any],
    *,
    label_column: str,
    tags_column: str,
    tags_separator: str | None,
    without: str = "",
) -> About:
    """Take label, tags and the other fields out of one row; `without` is left out of the fields."""
    label = values.get(label_column)
    dropped = (label_column, tags_column, without)
    fields = {str(k): v for k, v in values.items() if k not in dropped and v is not None}
    return About(
        None if label is None or label == "" else clean(_word(label)),
        tags_of(values.get(tags_column), tags_separator),
        fields or None,
    )


def tags_of(value: Any, separator: str | None = None) -> tuple[str, ...]:
    """Read tags as dumps write them: a list, a list of objects with a `name`, or one text.

    A text is split at `separator`; without one: read as JSON when it is a JSON list, split at
    commas when it has any, else at blanks. Order is kept, repeats are dropped.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        if separator is None and value.startswith("["):
            try:
                return tags_of(json.loads(value))
            except (ValueError, RecursionError):
                pass
        if separator is None and "," in value:
            separator = ","
        words: list[Any] = value.split(separator)
    elif isinstance(value, (list, tuple)):
        words = [v.get("name") if isinstance(v, Mapping) else v for v in value]
    else:
        words = [value]
    texts = (clean(_word(w)).strip() for w in words if w is not None)
    return tuple(dict.fromkeys(t for t in texts if t))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def clean(text: str) -> str:
    """Make any text valid UTF-8; what is not, e.g. a stray Latin-1 byte, is shown escaped."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
