"""What is due, from states of things: no server, no training, no catalog but where one is named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_catalog.catalog import Catalog
from data_catalog.decisions import record
from data_catalog.models import Model, register
from data_catalog.schema import DECISIONS
from data_catalog.versions import Version, list_versions
from flows.loop import due, notes
from flows.loop.due import DEATHS, Survey, derive
from flows.loop.notes import Begun, Declined
from flows.loop.settings import LoopConfig
from flows.loop.state import News, Run, State, count_news, read_state
from flows.settings import DatasetConfig, parse
from flows.trainings.launch import TrainOptions
from tests.flows.trainable import publish_pictures
from training.runs.record import RunRecord

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODELS = Path("/set/models")
LOOP = LoopConfig()


def version(number: int, split: str | None = None, content: str | None = None) -> Version:
    """Give a published version."""
    manifest = {"split": split, "created": NOON.isoformat()}
    return Version(number, content or f"hash{number}", 10, 1, None, "/nowhere", manifest)


def run(
    of: Version,
    status: Any = "finished",
    *,
    alive: bool = False,
    name: str | None = None,
    kimg: float = 30,
    updated: datetime = NOON,
    **values: Any,
) -> Run:
    """Give a run of a version, called as the loop would call it."""
    snapshot = f"kimg-{kimg:010.3f}"
    record = RunRecord(
        **{
            "dataset": of.path,
            "version": of.version,
            "version_hash": of.hash,
            "inverted": False,
            "size": (16, 12),
            "status": status,
            "preset": "tiny",
            "cur_nimg": round(kimg * 1000),
            "total_kimg": 100,
            "snapshots": (snapshot,),
            "newest_snapshot": snapshot,
            "started": NOON,
            "updated": updated,
            "pid": 1,
            "path": MODELS / (name or f"v{of.version}-tiny"),
            **values,
        }
    )
    return Run(record, alive)


def begun(of: Version, *, name: str | None = None, **values: Any) -> Begun:
    """Give the note of a training."""
    path = str(MODELS / (name or f"v{of.version}-tiny"))
    options = TrainOptions(version=of.version, run=path, settings={"run.seed": 7})
    known = {"run": path, "version": of.version, "version_hash": of.hash, "options": options}
    return Begun.model_validate({**known, "at": NOON, **values})


def model(name: str, *, at: datetime = NOON, snapshot: str = "kimg-000030.000") -> Model:
    """Give a registered model of one run."""
    return Model(f"{name}@{snapshot}", (name,), ((snapshot,),), 1, "hash1", "r", 16, 12, 30, at)


def nothing_new(_old: Version, _new: Version) -> News:
    return News(0, 0.0)


def seen(
    versions: Sequence[Version] = (),
    runs: Sequence[Run] = (),
    *,
    settings: LoopConfig = LOOP,
    news: News | None = None,
    **values: Any,
) -> Survey:
    """Give what is due in a state; by default all runs are registered."""
    known = {"models": [model("latest", at=NOON + timedelta(days=1))], **values}
    state = State(versions=versions, runs=runs, preset="tiny", **known)
    return derive(state, settings, nothing_new if news is None else lambda *_: news)


def told(survey: Survey) -> list[tuple[str, int, str]]:
    return [(item.kind, item.version, Path(item.run).name) for item in survey.due]


# ---- Versions without a run. ---------------------------------------------------------------------


def test_of_an_empty_dataset_nothing_is_due() -> None:
    assert seen() == Survey((), ())


def test_the_first_version_is_trained_whatever_is_new() -> None:
    found = seen([version(1)])
    assert told(found) == [("train", 1, "")]
    (item,) = found.due
    assert item.options == TrainOptions(version=1)
    assert item.key == "train:hash1"
    assert found.versions[0].standing == "due"


@pytest.mark.parametrize(
    ("news", "is_due"),
    [
        (News(50, 0.0), True),
        (News(49, 0.0), False),
        (News(0, 0.05), True),
        (News(49, 0.049), False),
        (News(0, 2.0), True),
    ],
)
def test_a_later_one_needs_decisions_or_changes(news: News, is_due: bool) -> None:
    found = seen([version(1), version(2)], [run(version(1))], news=news)
    assert bool(found.due) is is_due
    state = found.of("hash2")
    assert state is not None
    assert state.standing == ("due" if is_due else "declined")
    assert state.by_rules is not is_due
    assert f"since version 1: {news.decisions} decisions" in state.why


def test_what_decides_can_be_set() -> None:
    always = LoopConfig(min_decisions=0)
    never = LoopConfig(min_decisions=10_000, min_changed=1.0)
    versions, runs = [version(1), version(2)], [run(version(1))]
    assert seen(versions, runs, settings=always).due
    assert not seen(versions, runs, settings=never, news=News(9_999, 0.99)).due


def test_a_version_is_compared_with_the_last_that_was_trained() -> None:
    asked: list[tuple[int, int]] = []

    def news(old: Version, new: Version) -> News:
        asked.append((old.version, new.version))
        return News(60, 0.0)

    state = State([version(n) for n in (1, 2, 3, 4)], [run(version(2)), run(version(1))])
    assert told(derive(state, LOOP, news))[0] == ("train", 4, "")
    assert asked == [(2, 4)]


def test_only_the_newest_version_counts() -> None:
    found = seen([version(1), version(2), version(3)], [run(version(3))], news=News(99, 9.0))
    assert not found.due
    assert [v.version for v in found.versions] == [3]
    assert found.of("hash2") is None


def test_each_split_has_a_newest_version_of_its_own() -> None:
    versions = [version(1), version(2, "shoes"), version(3, "shirts"), version(4, "shoes")]
    found = seen(versions, [run(version(2, "shoes"))], news=News(0, 0.0))
    assert told(found) == [("train", 1, ""), ("train", 3, "")]
    assert [(v.split, v.standing) for v in found.versions] == [
        (None, "due"),
        ("shirts", "due"),
        ("shoes", "declined"),
    ]


def test_a_version_that_the_configuration_names_is_the_only_one() -> None:
    found = seen([version(1), version(2), version(3, "shoes")], only=1)
    assert told(found) == [("train", 1, "")]
    assert not seen([version(1), version(2)], only=3).versions


def test_nothing_follows_a_publication_where_that_is_off() -> None:
    found = seen([version(1)], settings=LoopConfig(train_on_publish=False))
    assert not found.due
    assert found.versions[0].standing == "off"


@pytest.mark.parametrize(("by", "standing"), [("person", "stopped"), ("failure", "failed")])
def test_what_a_person_or_a_failure_has_ruled_out_stays_so(by: Any, standing: str) -> None:
    entry = Declined(version_hash="", version=1, why="no", by=by, at=NOON)
    found = seen([version(1)], declined={"hash1": entry})
    assert not found.due
    assert (found.versions[0].standing, found.versions[0].why) == (standing, "no")


def test_what_the_rules_have_declined_is_weighed_anew() -> None:
    entry = Declined(version_hash="", version=2, why="too little", by="rules", at=NOON)
    found = seen(
        [version(1), version(2)],
        [run(version(1))],
        declined={"hash2": entry},
        settings=LoopConfig(min_decisions=10),
        news=News(10, 0.0),
    )
    assert told(found) == [("train", 2, "")]


def test_a_configured_name_is_of_one_version_only() -> None:
    first = seen([version(1)], run_name="mine")
    assert first.due[0].options.run == "mine"
    later = seen(
        [version(1), version(2)],
        [run(version(1), name="mine")],
        run_name="mine",
        news=News(99, 0.0),
    )
    assert later.due[0].options.run == "mine-v2"


# ---- Versions with runs. -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "alive", "standing"),
    [
        ("finished", False, "trained"),
        ("running", True, "training"),
        ("stopped", False, "stopped"),
        ("failed", False, "failed"),
        ("finished", True, "training"),
    ],
)
def test_no_version_is_trained_twice(status: str, alive: bool, standing: str) -> None:
    found = seen([version(1)], [run(version(1), status, alive=alive, reason="diverged")])
    assert not found.due
    assert found.versions[0].standing == standing
    assert status != "failed" or "diverged" in found.versions[0].why


def test_a_run_of_the_same_content_counts_whatever_its_number() -> None:
    again = version(7, content="hash1")
    assert not seen([again], [run(version(1), "stopped")]).due


def test_a_run_that_died_goes_on() -> None:
    found = seen([version(1)], [run(version(1), "running", kimg=12)])
    assert told(found) == [("train", 1, "v1-tiny")]
    (item,) = found.due
    assert item.options == TrainOptions(version=1, run=str(MODELS / "v1-tiny"), preset="tiny")
    assert "12 kimg" in item.why
    assert found.versions[0].standing == "interrupted"


def test_a_run_that_somebody_else_began_is_left_alone() -> None:
    found = seen([version(1)], [run(version(1), "running", name="experiment")])
    assert not found.due
    assert found.versions[0].standing == "stopped"


def test_one_finished_run_is_enough() -> None:
    runs = [run(version(1), "running", name="experiment"), run(version(1), name="other")]
    assert seen([version(1)], runs).due == ()


# ---- Trainings that were begun. ------------------------------------------------------------------


def test_what_was_begun_goes_on_as_it_was_begun() -> None:
    note = begun(version(1), name="by-hand", flow_run="abc")
    lost = run(version(1), "running", name="by-hand", kimg=4)
    found = seen([version(1)], [lost], begun=[(note, lost)])
    assert told(found) == [("train", 1, "by-hand")]
    assert found.due[0].options.settings == {"run.seed": 7}
    assert found.due[0].flow_run == "abc"
    assert found.versions[0].standing == "interrupted"


def test_what_was_begun_and_never_started_is_started() -> None:
    found = seen([version(1)], begun=[(begun(version(1)), None)])
    assert told(found) == [("train", 1, "v1-tiny")]


def test_a_training_that_a_newer_version_overtook_is_finished_first() -> None:
    first = run(version(1), "stopped")
    found = seen(
        [version(1), version(2)], [first], begun=[(begun(version(1)), first)], news=News(99, 0)
    )
    assert told(found) == [("train", 1, "v1-tiny"), ("train", 2, "")]


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_note_of_a_run_that_has_ended_is_taken_out(status: str) -> None:
    ended = run(version(1), status, updated=NOON + timedelta(minutes=5))
    note = begun(version(1))
    found = seen([version(1)], [ended], begun=[(note, ended)])
    assert not found.due
    assert found.ended == (note.run,)


def test_a_note_of_a_run_that_has_ended_before_is_not() -> None:
    """A person starts a failed run again: until it speaks, it is as it was."""
    failed = run(version(1), "failed", updated=NOON - timedelta(hours=1))
    found = seen([version(1)], [failed], begun=[(begun(version(1)), failed)])
    assert found.ended == ()
    assert told(found) == [("train", 1, "v1-tiny")]


def test_a_training_at_work_is_left_alone() -> None:
    alive = run(version(1), "running", alive=True)
    found = seen([version(1)], [alive], begun=[(begun(version(1)), alive)])
    assert (found.due, found.ended) == ((), ())
    assert found.versions[0].standing == "training"


def test_a_run_that_dies_where_it_starts_is_given_up() -> None:
    lost = run(version(1), "running", kimg=4)
    last = begun(version(1), cur_nimg=4000, deaths=DEATHS - 1)
    found = seen([version(1)], [lost], begun=[(last, lost)])
    assert not found.due
    assert found.versions[0].standing == "failed"
    assert "nonesuch train --run v1-tiny" in found.versions[0].why
    # It came further, or was asked to stop, or has died less often.
    for again in (
        last.model_copy(update={"cur_nimg": 3000}),
        last.model_copy(update={"asked": True}),
        last.model_copy(update={"deaths": DEATHS - 2}),
    ):
        assert told(seen([version(1)], [lost], begun=[(again, lost)]))


# ---- Judging. ------------------------------------------------------------------------------------


def test_a_finished_run_is_registered() -> None:
    found = seen([version(1)], [run(version(1))], models=())
    assert told(found) == [("register", 0, "v1-tiny")]


def test_the_newest_finished_run_is_registered_if_no_model_came_after_it() -> None:
    old, new = run(version(1)), run(version(1), name="b", updated=NOON + timedelta(hours=2))
    assert told(seen([version(1)], [old, new], models=())) == [("register", 0, "b")]
    between = model("v1-tiny", at=NOON + timedelta(hours=1))
    assert told(seen([version(1)], [old, new], models=[between])) == [("register", 0, "b")]
    later = model("c", at=NOON + timedelta(hours=3))
    assert not seen([version(1)], [old, new], models=[later]).due
    known = model("b", at=NOON + timedelta(hours=1))
    assert not seen([version(1)], [old, new], models=[known]).due


def test_runs_of_one_fold_or_of_other_sets_are_not_registered() -> None:
    fold = run(version(1), name="v1-tiny-fold1of3")
    other = run(version(9, content="elsewhere"), name="b")
    nothing = run(version(1), name="c", newest_snapshot=None)
    assert not seen([version(1)], [fold, other, nothing], models=()).due


def test_the_current_model_ranks_until_it_is_done() -> None:
    models = [model("b"), model("a")]
    found = seen(models=models, ranked=False)
    assert [(item.kind, item.model) for item in found.due] == [("rank", "b@kimg-000030.000")]
    assert not seen(models=models, ranked=True).due
    assert not seen(models=models, ranked=False, settings=LoopConfig(rank_on_train=False)).due


# ---- On a catalog. -------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> DatasetConfig:
    """A dataset whose root is empty."""
    raw = {"dataset": {"name": "shoes", "root": "catalog"}}
    return parse(raw, name="test", folder=tmp_path)


@pytest.fixture
def catalog(config: DatasetConfig) -> Catalog:
    return Catalog(config.dataset.root)


def decide(catalog: Catalog, items: Sequence[str], at: datetime) -> None:
    rows = [
        {"item_id": item, "verdict": "accepted", "reviewer": "ann", "decided_at": at}
        for item in items
    ]
    record(catalog, pa.Table.from_pylist(rows, schema=DECISIONS))


def test_news_are_counted_between_two_versions(catalog: Catalog, config: DatasetConfig) -> None:
    old = publish_pictures(Path(config.dataset.root), count=16)
    new = publish_pictures(Path(config.dataset.root), count=18, first=2)
    since = datetime.fromisoformat(old.manifest["created"])
    # Made later than it was: both were published within one second.
    new = Version(**{**_fields(new), "manifest": {**new.manifest, "created": _later(since, 60)}})
    assert count_news(catalog, old, new) == News(0, (2 + 4) / 16)
    decide(catalog, ["a", "b"], since + timedelta(seconds=30))
    decide(catalog, ["b", "c"], since + timedelta(seconds=40))
    decide(catalog, ["before"], since - timedelta(seconds=1))
    decide(catalog, ["after"], since + timedelta(seconds=61))
    assert count_news(catalog, old, new).decisions == 3
    # While the old version was written, decisions were taken in already.
    early = (since - timedelta(seconds=2)).isoformat()
    slow = Version(**{**_fields(old), "manifest": {**old.manifest, "decided_until": early}})
    assert count_news(catalog, slow, new).decisions == 4
    # Of a split, only what is in one of its two versions.
    split = Version(**{**_fields(new), "manifest": {**new.manifest, "split": "shoes"}})
    assert count_news(catalog, old, split).decisions == 0


def _fields(of: Version) -> dict[str, Any]:
    names = ("version", "hash", "items", "shards", "parent", "path", "manifest")
    return {name: getattr(of, name) for name in names}


def _later(than: datetime, seconds: int) -> str:
    return (than + timedelta(seconds=seconds)).isoformat()


def test_a_survey_reads_the_catalog_and_writes_nothing(
    catalog: Catalog, config: DatasetConfig
) -> None:
    assert due.due(config) == []
    publish_pictures(Path(config.dataset.root))
    before = sorted(Path(config.dataset.root).rglob("*"))
    (item,) = due.due(config)
    assert (item.kind, item.version) == ("train", 1)
    assert item.version_hash == list_versions(catalog)[0].hash
    assert sorted(Path(config.dataset.root).rglob("*")) == before


def test_a_model_without_items_has_nothing_to_rank(catalog: Catalog, config: DatasetConfig) -> None:
    register(catalog, model("v1-tiny"))
    assert read_state(config, catalog).ranked


def test_notes_of_trainings_come_and_go(catalog: Catalog) -> None:
    first, second = begun(version(1)), begun(version(2), deaths=1)
    notes.note_begun(catalog, first)
    notes.note_begun(catalog, second)
    assert notes.read_begun(catalog) == [first, second]
    again = first.model_copy(update={"asked": True})
    notes.note_begun(catalog, again)
    assert notes.find_begun(catalog, first.run) == again
    notes.take_out(catalog, first.run)
    notes.take_out(catalog, first.run)
    assert notes.read_begun(catalog) == [second]


def test_a_damaged_note_is_passed_over(catalog: Catalog) -> None:
    notes.note_begun(catalog, begun(version(1)))
    notes.note_declined(catalog, 1, "hash1", "no")
    for file in Path(catalog.root.path).rglob("*.json"):
        file.write_text("{ half")
    assert notes.read_begun(catalog) == []
    assert notes.read_declined(catalog) == {}


def test_what_is_declined_is_written_down_and_taken_out(catalog: Catalog) -> None:
    versions, runs = [version(1), version(2)], [run(version(1))]
    declined = seen(versions, runs)
    due.note(catalog, declined)
    (entry,) = notes.read_declined(catalog).values()
    assert (entry.version, entry.by) == (2, "rules")
    assert "0 decisions" in entry.why
    file = Path(catalog.root.path) / "loop" / "declined" / "hash2.json"
    written = file.stat().st_mtime_ns
    due.note(catalog, declined)
    assert file.stat().st_mtime_ns == written
    due.note(catalog, seen(versions, runs, news=News(99, 0)))
    assert notes.read_declined(catalog) == {}


def test_a_persons_no_is_kept_until_it_is_trained_all_the_same(catalog: Catalog) -> None:
    notes.note_declined(catalog, 1, "hash1", "cancelled", "person")
    declined = notes.read_declined(catalog)
    due.note(catalog, seen([version(1)], declined=declined))
    assert notes.read_declined(catalog) == declined
    due.note(catalog, seen([version(1)], [run(version(1))], declined=declined))
    assert notes.read_declined(catalog) == {}
