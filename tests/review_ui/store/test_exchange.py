"""Decisions go out and come in again; a set that was cleaned elsewhere comes in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review_ui.errors import ExchangeError
from review_ui.store import exchange, projection
from review_ui.store.database import Database, open_database
from review_ui.store.deciding import Decision, states_of
from review_ui.store.exchange import ImportReport
from tests.review_ui.feeds import blurred, feed, item_id
from tests.review_ui.store.test_deciding import accept, events, reject, say

Form = Literal["csv", "jsonl"]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(database_url)
    projection.replace(database, feed([blurred(n, 0.4) for n in range(5)]))
    yield database
    database.close()


def written(database: Database, form: Form, *, whole_history: bool = False) -> str:
    with database.reading() as connection:
        return "".join(exchange.export(connection, form, whole_history=whole_history))


def take_in(database: Database, text: str, form: Form, reviewer: str = "imported") -> ImportReport:
    decisions, report = exchange.parse(text, form, reviewer)
    with database.writing() as connection:
        return exchange.take_in(connection, decisions, reviewer, report)


def counts(report: ImportReport) -> tuple[int, ...]:
    return (report.read, report.saved, report.known, report.outdated, report.unknown)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_goes_out_comes_in_elsewhere(
    database: Database, form: Form, tmp_path_factory: pytest.TempPathFactory
) -> None:
    say(
        database,
        accept(0, tags=("worn", "left"), note='says "so",\nand more', reasons=("blurred",)),
        reject(1, note="=1+1"),
        Decision("00000000-0000-4000-8000-000000000001", item_id(2), "undecided", tags=("x",)),
    )
    elsewhere = open_database(f"sqlite:///{tmp_path_factory.mktemp('other')}/review.sqlite")
    text = written(database, form)
    assert counts(take_in(elsewhere, text, form)) == (3, 3, 0, 0, 3)
    with database.reading() as here, elsewhere.reading() as there:
        items = [item_id(n) for n in range(3)]
        mine, theirs = states_of(here, items), states_of(there, items)
    for item in items:
        for name in ("verdict", "tags", "note", "reasons", "decided_at", "head"):
            assert getattr(theirs[item], name) == getattr(mine[item], name), name
    assert counts(take_in(elsewhere, text, form)) == (3, 0, 3, 0, 0)
    assert events(elsewhere) == 3
    elsewhere.close()


def test_the_whole_history_goes_out(database: Database) -> None:
    [first] = say(database, reject(0))
    say(database, accept(0, base=first.state.head))
    lines = [json.loads(line) for line in written(database, "jsonl").splitlines()]
    assert [line["verdict"] for line in lines] == ["accepted"]
    everything = written(database, "jsonl", whole_history=True).splitlines()
    assert [json.loads(line)["verdict"] for line in everything] == ["rejected", "accepted"]


def test_a_spreadsheet_runs_nothing(database: Database) -> None:
    for n, start in enumerate("=+-@"):
        say(database, reject(n, note=f"{start}cmd|' /C calc'!A0", tags=(f"{start}SUM(A1)",)))
    for row in csv.DictReader(io.StringIO(written(database, "csv"))):
        assert row["note"].startswith("'")
        assert row["tags"].startswith("'")


def test_two_columns_are_enough(database: Database) -> None:
    text = f"item,verdict\n{item_id(0)},reject\n{item_id(1).upper()},Accepted\n"
    report = take_in(database, text, "csv")
    assert counts(report) == (2, 2, 0, 0, 0)
    assert counts(take_in(database, text, "csv")) == (2, 0, 2, 0, 0)


def test_lines_that_cannot_be_read_are_named_and_the_others_taken(database: Database) -> None:
    lines = [
        json.dumps({"item": item_id(0), "verdict": "rejected"}),
        "not json",
        json.dumps([1]),
        json.dumps({"item": "abc", "verdict": "rejected"}),
        json.dumps({"item": item_id(1), "verdict": "maybe"}),
        json.dumps({"item": item_id(1), "verdict": "accepted", "decided_at": "yesterday"}),
        json.dumps({"item": item_id(1), "verdict": "accepted", "tags": ["a" * 65]}),
        json.dumps({"item": item_id(1), "verdict": "accepted", "event": "nope"}),
        "[" * 100_000,
    ]
    report = take_in(database, "\n".join(lines), "jsonl")
    assert (report.read, report.saved) == (9, 1)
    assert [line for line, _ in report.errors] == list(range(2, 10))
    assert "got 'maybe'" in dict(report.errors)[5]


def test_a_file_without_the_columns_is_refused(database: Database) -> None:
    with pytest.raises(ExchangeError, match="verdict missing"):
        take_in(database, f"item,word\n{item_id(0)},accepted\n", "csv")


def test_an_older_word_does_not_overrule_a_newer_one(database: Database) -> None:
    say(database, accept(0))
    line = {"item": item_id(0), "verdict": "rejected", "decided_at": "2020-01-01T00:00:00+00:00"}
    report = take_in(database, json.dumps(line), "jsonl")
    assert counts(report) == (1, 0, 0, 1, 0)
    later = {**line, "decided_at": None}
    report = take_in(database, json.dumps(later), "jsonl")
    assert (report.saved, report.overruled) == (1, 1)
    with database.reading() as connection:
        assert states_of(connection, [item_id(0)])[item_id(0)].verdict == "rejected"


def test_a_time_in_the_future_cannot_hold_the_last_word_for_ever(database: Database) -> None:
    line = {"item": item_id(0), "verdict": "rejected", "decided_at": "9999-01-01T00:00:00+00:00"}
    take_in(database, json.dumps(line), "jsonl")
    with database.reading() as connection:
        held = states_of(connection, [item_id(0)])[item_id(0)]
    [result] = say(database, accept(0, base=held.head))
    assert result.state.verdict == "accepted"


@given(text=st.text(max_size=300), form=st.sampled_from(["csv", "jsonl"]))
def test_no_text_makes_it_fall_over(text: str, form: Form) -> None:
    try:
        decisions, report = exchange.parse(text, form, "ann")
    except ExchangeError:
        return
    assert len(decisions) + len(report.errors) >= min(report.read, 100)


@given(
    text=st.lists(
        st.tuples(st.sampled_from(["item", "verdict", "x", '"', "a" * 64, "accepted"]), st.text()),
        max_size=8,
    ).map(lambda cells: "item,verdict,note\n" + "\n".join(",".join(cell) for cell in cells))
)
def test_no_csv_makes_it_fall_over(text: str) -> None:
    try:
        exchange.parse(text, "csv", "ann")
    except ExchangeError as error:
        assert str(error)
