"""Decisions in and out as CSV and JSON lines: a set that was cleaned elsewhere comes in."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, func, select

from review_ui.errors import ExchangeError
from review_ui.store import clock
from review_ui.store.database import Database
from review_ui.store.deciding import (
    UNDECIDED,
    Decision,
    Origin,
    Outcome,
    Spoken,
    State,
    Submission,
    decide,
    events_by_uuid,
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
# As at the login.
NAME: Final = re.compile(r"[^\W_][\w .@'-]{0,39}")
# Spreadsheets run what begins like a formula; a quote before it makes them show it. Before quotes
# that were there, one more is put, so that one can be taken off again whatever the text.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_PIECES: Final = re.compile(r"\\[\\|]|.", re.DOTALL)
_VERDICTS: Final[Mapping[str, Spoken]] = {
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
# Lines of one commit: whoever decides meanwhile waits for as long as that takes.
AT_ONCE: Final = 1_000
# In seconds: whoever finds SQLite locked looks again about so often.
_PAUSE: Final = 0.05
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
        row = {**row, "reasons": _joined(row["reasons"]), "tags": _joined(row["tags"])}
        writer.writerow({name: _defused(value) for name, value in row.items()})
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def rows_of(connection: Connection, *, whole_history: bool) -> Iterator[dict[str, Any]]:
    """Give decisions as of now, by the names of `COLUMNS`, times in microseconds."""
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
    found = connection.execution_options(yield_per=5_000).execute(query)
    return (
        {
            "item": row.item_id,
            "verdict": row.verdict,
            "reasons": unpack_list(row.reasons),
            "tags": unpack_list(row.tags),
            "note": row.note,
            "reviewer": row.reviewer,
            "decided_at": row.decided_at,
            "event": row.event,
        }
        for row in found
    )


def decided(connection: Connection) -> int:
    """Count the items about which something holds."""
    return int(connection.execute(select(func.count()).select_from(item_state)).scalar_one())


def known_events(connection: Connection) -> set[str]:
    """Give the uuids of all events."""
    return set(connection.execute(select(decision_event.c.uuid)).scalars())


@dataclass(frozen=True, slots=True)
class LineProblem:
    """Why a line cannot be read."""

    line: int
    message: str


@dataclass(slots=True)
class ImportReport:
    """What came of a file, or of a piece of it.

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
    errors : list of LineProblem
        The first of them.
    """

    read: int = 0
    saved: int = 0
    known: int = 0
    outdated: int = 0
    unknown: int = 0
    overruled: int = 0
    errors: list[LineProblem] = field(default_factory=list)

    def add(self, piece: ImportReport) -> None:
        """Count in what came of a piece."""
        self.saved += piece.saved
        self.known += piece.known
        self.outdated += piece.outdated
        self.unknown += piece.unknown
        self.overruled += piece.overruled


def parse(text: str, form: Format) -> tuple[list[Decision], ImportReport]:
    """Read decisions; a line that cannot be read is reported, and the others are taken.

    Parameters
    ----------
    text
        CSV with a header, or JSON lines; `item` and `verdict` are needed, the other columns of
        `COLUMNS` may be left out. A tag, note or reason that is left out is as before; one that is
        empty is none.

    Returns
    -------
    decisions : list of Decision
        The oldest first, and last those without a time, as they stand in the file.
    report : ImportReport
        Of the reading.

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
            decisions.append(_decision(fields))
        except ExchangeError as error:
            if len(report.errors) < _ERRORS:
                report.errors.append(LineProblem(line, str(error)))
    decisions.sort(key=lambda decision: (decision.decided_at is None, decision.decided_at or 0))
    return decisions, report


def pieces(decisions: Sequence[Decision]) -> Iterator[Sequence[Decision]]:
    """Cut into what one transaction takes, so that nobody else who decides waits for long."""
    return (decisions[start : start + AT_ONCE] for start in range(0, len(decisions), AT_ONCE))


def take_in(
    connection: Connection,
    decisions: Sequence[Decision],
    reviewer: str,
    origin: Origin = "import",
) -> ImportReport:
    """Add decisions; one that is older than what holds for its item is left out.

    Parameters
    ----------
    decisions
        One of `pieces`, the oldest first.
    reviewer
        Who brings them in: whose they are where they do not say.
    """
    report = ImportReport()
    items = sorted({decision.item for decision in decisions})
    number = current_build(connection)
    here = items_by_id(connection, number, items) if number is not None else {}
    held = states_of(connection, items)
    seen = events_by_uuid(connection, [decision.uuid for decision in decisions])
    wanted = [
        decision
        for decision in decisions
        if decision.uuid in seen or not _older(decision, held.get(decision.item))
    ]
    report.outdated = len(decisions) - len(wanted)
    sent = Submission(reviewer, origin, wanted, force=True)
    for decision, result in zip(wanted, decide(connection, [sent])[0], strict=True):
        if result.outcome is not Outcome.SAVED:
            report.known += 1
            continue
        report.saved += 1
        report.unknown += decision.item not in here
        before = held.get(decision.item, State(decision.item)).verdict
        report.overruled += before not in (UNDECIDED, decision.verdict)
        held[decision.item] = result.state
    return report


def take_in_all(
    database: Database,
    decisions: Sequence[Decision],
    reviewer: str,
    origin: Origin = "import",
) -> ImportReport:
    """Add any number of decisions, the oldest first; cut off, it goes on where it was."""
    report = ImportReport()
    for piece in pieces(decisions):
        if report.saved:
            # SQLite is taken by whoever asks first: let a server that writes too come between.
            time.sleep(_PAUSE)
        with database.writing() as connection:
            report.add(take_in(connection, piece, reviewer, origin))
    return report


def is_plain(text: str) -> bool:
    """Tell whether a keyboard makes it: no control characters, no halves of characters."""
    return not any((ord(c) < 32 and c not in "\n\t") or 0xD800 <= ord(c) <= 0xDFFF for c in text)


def note_of(value: Any) -> str:
    """Give a note as it is kept.

    Raises
    ------
    ExchangeError
        If it is too long, or no text.
    """
    return _text(str(value).replace("\r\n", "\n"), "note", LONGEST_NOTE)


def reviewer_of(value: Any) -> str:
    """Give the name of a reviewer as it is kept: the one that they would log in with.

    Raises
    ------
    ExchangeError
        If nobody can be called that.
    """
    name = " ".join(str(value).split())
    if not NAME.fullmatch(name):
        raise ExchangeError(
            "`reviewer` must be 1 to 40 letters, digits, spaces or . @ ' - _, and begin with a "
            f"letter or a digit; got {name[:60]!r}"
        )
    return name


def _older(decision: Decision, held: State | None) -> bool:
    if held is None or held.decided_at is None or decision.decided_at is None:
        return False
    return decision.decided_at < held.decided_at


def _lines(text: str, form: Format) -> Iterator[tuple[int, dict[str, Any] | str]]:
    if form == "jsonl":
        # Other ends of lines that Unicode knows may stand in a note.
        for number, line in enumerate(text.split("\n"), 1):
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
            yield reader.line_num, _cells(row)
    except csv.Error as error:
        raise ExchangeError(f"line {reader.line_num} is no CSV: {error}") from error


def _json(line: str) -> dict[str, Any] | str:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"no JSON: {error}"
    return found if isinstance(found, dict) else "must be a JSON object"


def _cells(row: Mapping[str | None, Any]) -> dict[str, Any]:
    # What stands beyond the columns that the first line names has no name.
    cells = {name: _undefused(cell) for name, cell in row.items() if name and isinstance(cell, str)}
    return {
        name: _split(cell) if name in ("reasons", "tags") else cell for name, cell in cells.items()
    }


def _defused(value: str | None) -> str:
    text = value or ""
    return f"'{text}" if _FORMULA.match(text) else text


def _undefused(cell: str) -> str:
    """Take off the one quote that `_defused` puts before a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def _joined(values: Iterable[str]) -> str:
    return "|".join(value.replace("\\", "\\\\").replace("|", "\\|") for value in values)


def _split(cell: str) -> list[str]:
    r"""Read what `_joined` wrote: `\|` is a bar and `\\` a backslash; bars divide."""
    parts = [""]
    for piece in _PIECES.findall(cell):
        if piece == "|":
            parts.append("")
        else:
            parts[-1] += piece[1:] if piece in ("\\|", "\\\\") else piece
    return parts


def _decision(fields: Mapping[str, Any]) -> Decision:
    item = str(fields.get("item") or "").strip().lower()
    if not ITEM.fullmatch(item):
        raise ExchangeError(
            f"`item` must be 64 hex digits, or these and #x,y,w,h; got {item[:80]!r}"
        )
    said = str(fields.get("verdict") or "").strip().lower()
    if said not in _VERDICTS:
        raise ExchangeError(f"`verdict` must be accepted, rejected or undecided; got {said[:40]!r}")
    verdict = _VERDICTS[said]
    reasons = _texts(fields.get("reasons"), "reasons")
    tags = _texts(fields.get("tags"), "tags")
    note = None if fields.get("note") is None else note_of(fields["note"])
    reviewer = reviewer_of(fields["reviewer"]) if fields.get("reviewer") else None
    said_of = (item, verdict, reasons, tags, note, reviewer)
    return Decision(
        uuid=_uuid(fields, said_of),
        item=item,
        verdict=verdict,
        reasons=reasons,
        tags=tags,
        note=note,
        reviewer=reviewer,
        decided_at=_time(fields.get("decided_at")),
    )


def _uuid(fields: Mapping[str, Any], content: Sequence[Any]) -> str:
    given = fields.get("event")
    if given:
        try:
            return str(uuid.UUID(str(given)))
        except ValueError:
            raise ExchangeError(f"`event` must be a UUID, got {str(given)[:40]!r}") from None
    when = str(fields.get("decided_at") or "")
    return str(uuid.uuid5(_SPACE, json.dumps([*content, when])))


def _text(text: str, name: str, longest: int) -> str:
    if len(text) > longest or not is_plain(text):
        raise ExchangeError(
            f"`{name}` must be at most {longest} characters of text, without control characters"
        )
    return text


def _texts(value: Any, name: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_TAGS:
        raise ExchangeError(f"`{name}` must be a list of at most {MOST_TAGS} texts")
    texts = [_text(str(part).strip(), name, LONGEST_TAG) for part in value]
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
