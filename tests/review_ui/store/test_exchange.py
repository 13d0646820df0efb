"""Decisions go out and come in again; a set that was cleaned elsewhere comes in."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from review_ui.errors import ExchangeError
from review_ui.store import exchange, projection
from review_ui.store.database import Database, open_database
from review_ui.store.deciding import Decision, State, states_of
from review_ui.store.exchange import ImportReport
from review_ui.store.models import decision_event
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
    decisions, report = exchange.parse(text, form)
    report.add(exchange.take_in_all(database, decisions, reviewer))
    return report


def counts(report: ImportReport) -> tuple[int, ...]:
    return (report.read, report.saved, report.known, report.outdated, report.unknown)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_goes_out_comes_in_elsewhere(
    database: Database, elsewhere: Database, form: Form
) -> None:
    say(
        database,
        accept(0, tags=("worn", "left"), note='says "so",\nand more', reasons=("blurred",)),
        reject(1, note="=1+1"),
        Decision("00000000-0000-4000-8000-000000000001", item_id(2), "undecided", tags=("x",)),
    )
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


def state(database: Database, name: object) -> State:
    with database.reading() as connection:
        return states_of(connection, [item_id(name)])[item_id(name)]


def line(name: object, verdict: str, **more: object) -> str:
    return json.dumps({"item": item_id(name), "verdict": verdict, **more}) + "\n"


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('other')}/review.sqlite")
    yield database
    database.close()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_history_comes_in_with_who_said_it(
    database: Database, elsewhere: Database, form: Form
) -> None:
    [first] = say(database, reject(0), reviewer="ann")
    say(database, accept(0, base=first.state.head), reviewer="Bo Å. O'Hara")
    take_in(elsewhere, written(database, form, whole_history=True), form)
    with elsewhere.reading() as connection:
        history = list(exchange.rows_of(connection, whole_history=True))
        origins = set(connection.execute(select(decision_event.c.origin)).scalars())
    assert [(row["verdict"], row["reviewer"]) for row in history] == [
        ("rejected", "ann"),
        ("accepted", "Bo Å. O'Hara"),
    ]
    assert origins == {"import"}


Texts = st.text(st.sampled_from("a '=+-@|\\,\"\n\t\u2028\x85Ω👟"), max_size=12)
Tags = st.lists(
    Texts.map(lambda text: text.replace("\n", " ").strip()).filter(bool), max_size=3, unique=True
)


@settings(max_examples=60, deadline=None)
@given(note=Texts, tags=Tags, reasons=Tags, form=st.sampled_from(["csv", "jsonl"]))
def test_no_text_is_changed_on_its_way(
    note: str,
    tags: list[str],
    reasons: list[str],
    form: Form,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("store")
    here, there = (open_database(f"sqlite:///{folder}/{name}.sqlite") for name in ("a", "b"))
    said = reject(0, note=note, tags=tuple(tags), reasons=tuple(reasons))
    say(here, said, accept(1))
    report = take_in(there, written(here, form), form)
    assert counts(report) == (2, 2, 0, 0, 2)
    found = state(there, 0)
    assert (found.note, found.tags, found.reasons) == (note, tuple(tags), tuple(reasons))
    here.close()
    there.close()


def test_what_a_file_does_not_say_is_as_before(database: Database) -> None:
    say(database, accept(0, tags=("worn",), note="a note"), accept(1, tags=("worn",), note="b"))
    take_in(database, f"item,verdict\n{item_id(0)},reject\n", "csv")
    take_in(database, line(1, "rejected", note=None), "jsonl")
    for name, note in ((0, "a note"), (1, "b")):
        held = state(database, name)
        assert (held.verdict, held.tags, held.note) == ("rejected", ("worn",), note)
    # Said to be empty, they are.
    take_in(database, f"item,verdict,tags,note\n{item_id(0)},reject,,\n", "csv")
    take_in(database, line(1, "rejected", tags=[], note=""), "jsonl")
    for name in (0, 1):
        held = state(database, name)
        assert (held.tags, held.note) == ((), "")


def test_of_several_words_in_a_file_the_latest_holds(database: Database) -> None:
    say(database, accept(2))
    times = [f"2026-01-0{day}T00:00:00+00:00" for day in (3, 1, 2)]
    text = "".join(
        line(name, verdict, decided_at=at)
        for name in (0, 1)
        for verdict, at in zip(("accepted", "rejected", "undecided"), times, strict=True)
    )
    # A word without a time is said now.
    text = line(1, "rejected") + text + line(2, "rejected", decided_at=times[0])
    report = take_in(database, text, "jsonl")
    assert counts(report) == (8, 7, 0, 1, 0)
    # From rejected to undecided and on: the first step of each, and the last of the second.
    assert report.overruled == 3
    assert [state(database, n).verdict for n in range(3)] == ["accepted", "rejected", "accepted"]
    assert counts(take_in(database, text, "jsonl")) == (8, 0, 7, 1, 0)


def test_a_file_without_times_adds_the_same_whoever_brings_it(database: Database) -> None:
    text = line(0, "rejected") + line(1, "accepted")
    assert take_in(database, text, "jsonl", "ann").saved == 2
    assert counts(take_in(database, text, "jsonl", "bob")) == (2, 0, 2, 0, 0)
    assert state(database, 0).reviewer == "ann"


def test_many_lines_of_many_people_come_in_by_pieces(database: Database) -> None:
    names = [f"r{n}" for n in range(20)]
    count = 2 * exchange.AT_ONCE + 1
    text = "".join(line(n, "rejected", reviewer=names[n % 20]) for n in range(count))
    commits: list[Any] = []
    event.listen(database.engine, "commit", commits.append)
    report = take_in(database, text, "jsonl")
    assert counts(report) == (count, count, 0, 0, count - 5)
    assert len(commits) == 3
    with database.reading() as connection:
        said = exchange.rows_of(connection, whole_history=True)
        assert Counter(row["reviewer"] for row in said) == Counter(
            names[n % 20] for n in range(count)
        )


def test_the_whole_history_goes_out(database: Database) -> None:
    [first] = say(database, reject(0))
    say(database, accept(0, base=first.state.head))
    rows = [json.loads(row) for row in written(database, "jsonl").splitlines()]
    assert [row["verdict"] for row in rows] == ["accepted"]
    everything = written(database, "jsonl", whole_history=True).splitlines()
    assert [json.loads(row)["verdict"] for row in everything] == ["rejected", "accepted"]


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
        json.dumps({"item": item_id(1), "verdict": "accepted", "note": "\ud800"}),
        json.dumps({"item": item_id(1), "verdict": "accepted", "tags": ["\udfff"]}),
        json.dumps({"item": item_id(1), "verdict": "accepted", "reviewer": "<b>"}),
    ]
    report = take_in(database, "\n".join(lines), "jsonl")
    assert (report.read, report.saved) == (12, 1)
    assert [problem.line for problem in report.errors] == list(range(2, 13))
    assert "got 'maybe'" in report.errors[3].message


def test_a_file_without_the_columns_is_refused(database: Database) -> None:
    with pytest.raises(ExchangeError, match="verdict missing"):
        take_in(database, f"item,word\n{item_id(0)},accepted\n", "csv")


def test_an_older_word_does_not_overrule_a_newer_one(database: Database) -> None:
    say(database, accept(0))
    older = line(0, "rejected", decided_at="2020-01-01T00:00:00+00:00")
    report = take_in(database, older, "jsonl")
    assert counts(report) == (1, 0, 0, 1, 0)
    report = take_in(database, line(0, "rejected", decided_at=None), "jsonl")
    assert (report.saved, report.overruled) == (1, 1)
    assert state(database, 0).verdict == "rejected"


def test_a_time_in_the_future_cannot_hold_the_last_word_for_ever(database: Database) -> None:
    take_in(database, line(0, "rejected", decided_at="9999-01-01T00:00:00+00:00"), "jsonl")
    [result] = say(database, accept(0, base=state(database, 0).head))
    assert result.state.verdict == "accepted"


@given(text=st.text(max_size=300), form=st.sampled_from(["csv", "jsonl"]))
def test_no_text_makes_it_fall_over(text: str, form: Form) -> None:
    try:
        decisions, report = exchange.parse(text, form)
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
        exchange.parse(text, "csv")
    except ExchangeError as error:
        assert str(error)
