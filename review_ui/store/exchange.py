"""Decisions in and out as CSV and JSON lines: a set that was cleaned elsewhere comes in."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, func, select

from review_ui.errors import ExchangeError
from review_ui.store import clock
from review_ui.store.deciding import (
    UNDECIDED,
    Decision,
    Origin,
    Outcome,
    State,
    Submission,
    decide,
    states_of,
)
from review_ui.store.models import decision_event, item_state, unpack_list
from review_ui.store.queues import items_by_id
from review_ui.store.settling import current_build

Format = Literal["csv", "jsonl"]

COLUMNS: Final = (
    "item",
    "verdict",
    "reasons",
    "tags",
    "note",
    "reviewer",
    "decided_at",
    "event",
)
ITEM: Final = re.compile(r"[0-9a-f]{64}(#\d{1,6},\d{1,6},\d{1,6},\d{1,6})?")
# Spreadsheets run what begins like a formula; a quote before it makes them show it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_VERDICTS: Final = {
    "accepted": "accepted",
    "accept": "accepted",
    "rejected": "rejected",
    "reject": "rejected",
    "undecided": "undecided",
}
# Gives a line the same uuid each time it is read, so that reading it twice adds nothing.
_SPACE: Final = uuid.UUID("6f1c7f0e-6a37-4b52-9b5e-4d1a63b8a0c2")
LONGEST_NOTE: Final = 2_000
LONGEST_TAG: Final = 64
MOST_TAGS: Final = 50
_AT_ONCE: Final = 500
_ERRORS: Final = 100


def export(connection: Connection, form: Format, *, whole_history: bool) -> Iterator[str]:
    """Write decisions, line by line: those that hold, or all there ever were, oldest first."""
    rows = (
        {**row, "decided_at": clock.to_text(row["decided_at"])}
        for row in rows_of(connection, whole_history=whole_history)
    )
    if form == "jsonl":
        yield from (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        row = {**row, "reasons": "|".join(row["reasons"]), "tags": "|".join(row["tags"])}
        writer.writerow({name: _defused(value) for name, value in row.items()})
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def rows_of(connection: Connection, *, whole_history: bool) -> Iterator[dict[str, Any]]:
    """Give decisions by the names of `COLUMNS`, times in microseconds."""
    table = decision_event if whole_history else item_state
    event = decision_event.c.uuid if whole_history else item_state.c.head
    order = decision_event.c.seq if whole_history else item_state.c.item_id
    query = select(
        table.c.item_id,
        table.c.verdict,
        table.c.reasons,
        table.c.tags,
        table.c.note,
        table.c.reviewer,
        table.c.decided_at,
        event.label("event"),
    ).order_by(order)
    for row in connection.execution_options(yield_per=5_000).execute(query):
        yield {
            "item": row.item_id,
            "verdict": row.verdict,
            "reasons": unpack_list(row.reasons),
            "tags": unpack_list(row.tags),
            "note": row.note,
            "reviewer": row.reviewer,
            "decided_at": row.decided_at,
            "event": row.event,
        }


def decided(connection: Connection) -> int:
    """Count the items about which something holds."""
    return int(connection.execute(select(func.count()).select_from(item_state)).scalar_one())


def known_events(connection: Connection) -> set[str]:
    """Give the uuids of all events."""
    return set(connection.execute(select(decision_event.c.uuid)).scalars())


def _defused(value: str | None) -> str:
    text = value or ""
    return f"'{text}" if text.startswith(_FORMULA) else text


@dataclass(slots=True)
class ImportReport:
    """What came of a file.

    Attributes
    ----------
    saved : int
        Decisions that were added.
    known : int
        That were there already.
    outdated : int
        Left out, since a later decision holds for the item.
    unknown : int
        Of those saved: about items that are not in the build under review.
    overruled : int
        Of those saved: that changed a verdict which held.
    errors : list of (line, message)
    """

    read: int = 0
    saved: int = 0
    known: int = 0
    outdated: int = 0
    unknown: int = 0
    overruled: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)


def parse(text: str, form: Format, reviewer: str) -> tuple[list[Decision], ImportReport]:
    """Read decisions; a line that cannot be read is reported, and the others are taken.

    Parameters
    ----------
    text
        CSV with a header, or JSON lines; `item` and `verdict` are needed, the other columns of
        `COLUMNS` may be left out.
    reviewer
        Who brings them in.

    Raises
    ------
    ExchangeError
        If the file as a whole is not of that format.
    """
    report = ImportReport()
    decisions = []
    for line, fields in _lines(text, form):
        report.read += 1
        try:
            if isinstance(fields, str):
                raise ExchangeError(fields)
            decisions.append(_decision(fields, reviewer))
        except ExchangeError as error:
            if len(report.errors) < _ERRORS:
                report.errors.append((line, str(error)))
    return decisions, report


def take_in(
    connection: Connection,
    decisions: Iterable[Decision],
    reviewer: str,
    report: ImportReport,
    origin: Origin = "import",
) -> ImportReport:
    """Add decisions; one that is older than what holds for its item is left out."""
    pending = list(decisions)
    number = current_build(connection)
    for start in range(0, len(pending), _AT_ONCE):
        piece = pending[start : start + _AT_ONCE]
        items = sorted({decision.item for decision in piece})
        here = items_by_id(connection, number, items) if number is not None else {}
        held = states_of(connection, items)
        fresh = [decision for decision in piece if not _older(decision, held.get(decision.item))]
        report.outdated += len(piece) - len(fresh)
        sent = Submission(reviewer, origin, fresh, force=True)
        for decision, result in zip(fresh, decide(connection, [sent])[0], strict=True):
            if result.outcome is not Outcome.SAVED:
                report.known += 1
                continue
            report.saved += 1
            report.unknown += decision.item not in here
            before = held.get(decision.item, State(decision.item)).verdict
            report.overruled += before not in (UNDECIDED, decision.verdict)
    return report


def _older(decision: Decision, held: State | None) -> bool:
    if held is None or held.decided_at is None or decision.decided_at is None:
        return False
    return decision.decided_at < held.decided_at and decision.uuid != held.head


def _lines(text: str, form: Format) -> Iterator[tuple[int, dict[str, Any] | str]]:
    if form == "jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, _json(line)
        return
    # Line ends as they come: the reader of CSV knows which of them are part of a field.
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        missing = {"item", "verdict"} - set(reader.fieldnames or ())
        if missing:
            raise ExchangeError(
                f"the first line must name the columns {', '.join(COLUMNS[:2])}; "
                f"{', '.join(sorted(missing))} missing"
            )
        for row in reader:
            split = {name: _list(row.get(name)) for name in ("reasons", "tags")}
            yield reader.line_num, {**{k: v for k, v in row.items() if k}, **split}
    except csv.Error as error:
        raise ExchangeError(f"line {reader.line_num} is no CSV: {error}") from error


def _json(line: str) -> dict[str, Any] | str:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"no JSON: {error}"
    return found if isinstance(found, dict) else "must be a JSON object"


def _list(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split("|") if part.strip()]


def _decision(fields: Mapping[str, Any], reviewer: str) -> Decision:
    item = str(fields.get("item") or "").strip().lower()
    if not ITEM.fullmatch(item):
        raise ExchangeError(
            f"`item` must be 64 hex digits, or these and #x,y,w,h; got {item[:80]!r}"
        )
    said = str(fields.get("verdict") or "").strip().lower()
    if said not in _VERDICTS:
        raise ExchangeError(f"`verdict` must be accepted, rejected or undecided; got {said[:40]!r}")
    note = _text(fields.get("note"), "note", LONGEST_NOTE)
    tags = _texts(fields.get("tags"), "tags")
    reasons = _texts(fields.get("reasons"), "reasons")
    at = _time(fields.get("decided_at"))
    return Decision(
        uuid=_uuid(fields, item, said, tags, note, reviewer),
        item=item,
        verdict=_VERDICTS[said],  # type: ignore[arg-type]
        reasons=reasons,
        tags=tags,
        note=note,
        decided_at=at,
    )


def _uuid(
    fields: Mapping[str, Any], item: str, said: str, tags: Iterable[str], note: str, reviewer: str
) -> str:
    given = fields.get("event")
    if given:
        try:
            return str(uuid.UUID(str(given)))
        except ValueError:
            raise ExchangeError(f"`event` must be a UUID, got {str(given)[:40]!r}") from None
    when = str(fields.get("decided_at") or "")
    whole = json.dumps([item, said, sorted(tags), note, when, reviewer])
    return str(uuid.uuid5(_SPACE, whole))


def _text(value: Any, name: str, longest: int) -> str:
    text = str(value or "").strip()
    if text.startswith("'") and text[1:].startswith(_FORMULA):
        text = text[1:]
    if len(text) > longest or any(ord(c) < 32 and c not in "\n\t" for c in text):
        raise ExchangeError(f"`{name}` must be at most {longest} characters of text")
    return text


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_TAGS:
        raise ExchangeError(f"`{name}` must be a list of at most {MOST_TAGS} texts")
    texts = [_text(part, name, LONGEST_TAG) for part in value]
    if any("\n" in text for text in texts):
        raise ExchangeError(f"`{name}` must not have line ends")
    return tuple(dict.fromkeys(text for text in texts if text))


def _time(value: Any) -> int | None:
    if not value:
        return None
    try:
        at = clock.to_micros(datetime.fromisoformat(str(value)))
    except (ValueError, OverflowError):
        raise ExchangeError(
            f"`decided_at` must be a time, as in 2026-01-31T12:00:00+00:00; got {str(value)[:40]!r}"
        ) from None
    return min(max(at, 0), clock.now())
