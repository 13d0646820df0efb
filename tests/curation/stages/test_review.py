"""What the review page is given: each item of the build, with the value that broke each rule."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from curation.grouping import DuplicateRules
from curation.ingest.selection import current
from curation.ingest.sources import FolderConfig
from curation.judging import Rules
from curation.scorers import density_name
from curation.stages.judge import judge, load_items
from curation.stages.review import queue_infos, review_items
from curation.stages.scores import current_scores, finish_scores, write_scores
from data_catalog.catalog import Catalog
from data_catalog.models import register
from data_catalog.reviewing import REVIEWED
from data_catalog.schema import PAIRS, SCORES
from review_ui.feed import Feed
from review_ui.store import clock, projection, queues
from review_ui.store.database import Database, open_database
from review_ui.store.deciding import Decision, Submission, decide
from review_ui.store.models import review_item
from review_ui.store.settling import current_build
from tests.curation.stages.conftest import RECIPE
from tests.curation.stages.test_judge import SIDE, feature
from tests.data_catalog.test_models import model

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SOURCE = FolderConfig(path="shop")
PLACE = {
    "pack": "pack",
    "offset": 1,
    "length": 2,
    "thumb_offset": 3,
    "thumb_length": 4,
    "standard_hash": "aa",
}


@dataclass
class Built:
    """A catalog after a build."""

    catalog: Catalog
    rules: Rules = SIDE

    def fill(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Make a table of these rows."""
        where = self.catalog.table(table)
        where.replace(pa.Table.from_pylist(list(rows), schema=where.schema))

    def store(self, *rows: Mapping[str, Any], offered: Mapping[str, Any] | None = None) -> None:
        """Store features, and images offered by a source; a row without a picture has a failure."""
        placed = [{**({} if row.get("failure") else PLACE), **row} for row in rows]
        self.fill("features", *placed)
        images = [str(row["image_id"]) for row in rows]
        self.fill(
            "images",
            *(
                {"image_id": name, "bytes": 9, "pack": "raw", "offset": 5, "length": 6}
                for name in images
            ),
        )
        self.fill(
            "observations",
            *(
                {
                    "source": SOURCE.name,
                    "locator": f"{name}.jpg",
                    "image_id": name,
                    "observed_at": NOON,
                    **((offered or {}).get(name) or {}),
                }
                for name in images
            ),
        )

    def selection(self) -> pa.Table:
        """Give all that is offered."""
        return current(self.catalog.table("observations").read(), [SOURCE])

    def build(self, *alike: tuple[str, str, str, float]) -> dict[str, str]:
        """Judge as a rebuild does, with these pairs; give verdicts by item."""
        items = load_items(self.catalog, RECIPE, self.selection())
        rows = [
            {"recipe": RECIPE.id, "item_a": a, "item_b": b, "relation": how, "distance": far}
            for a, b, how, far in alike
        ]
        found = judge(
            items,
            RECIPE,
            self.rules,
            DuplicateRules(),
            lambda _: pa.Table.from_pylist(rows, schema=PAIRS),
            current_scores(self.catalog, RECIPE),
        )
        self.catalog.table("groups").replace(found.groups)
        self.catalog.table("verdicts").replace(found.verdicts)
        return {row["item_id"]: row["verdict"] for row in found.verdicts.to_pylist()}

    def batches(self, **options: Any) -> Iterator[pa.RecordBatch]:
        """Give what the page is given."""
        return review_items(self.catalog, RECIPE, self.rules, [SOURCE], **options)

    def reviewed(self) -> dict[str, dict[str, Any]]:
        """Give it as rows, by item."""
        table = pa.Table.from_batches(list(self.batches()), schema=REVIEWED)
        return {row["item_id"]: row for row in table.to_pylist()}

    def why(self, item: str) -> dict[str, tuple[Any, ...]]:
        """Give (value, limit, side) of an item, by reason."""
        return {
            found["reason"]: (found["value"], found["limit"], found["breaks"])
            for found in self.reviewed()[item]["evidence"]
        }


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return Built(Catalog(tmp_path / "root"))


def test_evidence_has_the_value_and_the_limit_that_was_broken(built: Built) -> None:
    built.rules = Rules()
    built.store(
        feature("a", width=90, height=2000, sharpness=0.25, chroma=0.001),
        feature("b", width=400, height=400, colours=12),
        feature("c", width=400, height=400),
    )
    built.build()
    close = pytest.approx
    assert built.why("a") == {
        "too_small": (90, 300, "<"),
        "odd_aspect": (close(2000 / 90), 3, ">"),
        # Of two measures the one that is beyond its limit.
        "monochrome": (close(0.001), 0.004, "<"),
        "blurred": (0.25, 0.55, "<"),
    }
    assert built.why("b") == {"monochrome": (12, 257, "<")}
    assert built.why("c") == {}
    rows = built.reviewed()
    assert [rows[name]["rule"] for name in "abc"] == ["rejected", "rejected", "accepted"]
    [found] = [found for found in rows["a"]["evidence"] if found["reason"] == "blurred"]
    assert found["text"] == "sharpness 0.25, at least 0.55"
    assert (found["title"], found["action"], found["measure"]) == ("Blurred", "flag", "sharpness")


def test_queues_are_of_rules_that_are_on_each_in_its_order() -> None:
    infos = {info.reason.value: info for info in queue_infos(Rules())}
    assert (infos["blurred"].order, infos["blurred"].limit) == ("low", 0.55)
    assert (infos["pattern"].order, infos["pattern"].measure) == ("high", "pattern likelihood")
    assert infos["near_duplicate"].kind == "clusters"
    # Values of two measures have no common order: how far they are beyond counts.
    assert (infos["monochrome"].measure, infos["monochrome"].limit) == (None, None)
    assert infos["monochrome"].order == "high"
    off = queue_infos(Rules.model_validate({"blurred": {"action": "off"}}))
    assert {info.reason.value for info in off} == set(infos) - {"blurred"}


def test_clusters_are_named_by_their_keeper(built: Built) -> None:
    built.rules = Rules.model_validate(
        {"too_small": {"min_side": 100}, "colourway": {"max_per_silhouette": 1}}
    )
    built.store(
        feature("keep", width=300),
        feature("near", width=250),
        feature("same", width=300, pixel_hash=b"keep"),
        feature("red", width=290),
        feature("alone"),
    )
    built.build(("keep", "near", "same", 0.125), ("keep", "red", "colourway", 0.5))
    rows = built.reviewed()
    names = ("duplicate", "relation", "distance", "colourway", "colourway_rank")
    assert {item: tuple(row[name] for name in names) for item, row in rows.items()} == {
        "keep": ("keep", None, None, "keep", 0),
        "near": ("keep", "near_duplicate", 0.125, None, None),
        "same": ("keep", "pixel_duplicate", 0.0, None, None),
        "red": (None, None, None, "keep", 1),
        "alone": (None, None, None, None, None),
    }
    assert built.why("near") == {"near_duplicate": (0.125, None, ">")}
    assert built.why("red") == {"colourway": (2, 1, ">")}
    assert rows["same"]["pixels"] == rows["keep"]["pixels"] == b"keep".hex()


def score(built: Built, means: Mapping[str, float], name: str = "m@1") -> None:
    """Let a model score these items, and make it the current one."""
    rows = [
        {"item_id": item, "recipe": RECIPE.id, "model": name, "mean": mean, "scored_at": NOON}
        for item, mean in means.items()
    ]
    write_scores(built.catalog, pa.Table.from_pylist(rows, schema=SCORES))
    register(built.catalog, model(name))


def test_scores_are_of_the_current_model_and_evidence_is_the_place(built: Built) -> None:
    built.rules = Rules.model_validate(
        {
            "too_small": {"min_side": 100},
            "low_d_score": {"min_percentile": 30.0},
            "high_d_score": {"max_percentile": 70.0, "action": "reject"},
        }
    )
    built.store(feature("fake"), feature("sure"), feature("plain"), feature("unknown"))
    score(built, {"fake": 9.0, "sure": -9.0}, "z@1")  # its name is greater, but it came before
    score(built, {"fake": -2.0, "plain": 1.0, "sure": 8.0})
    verdicts = built.build()
    assert verdicts == {
        "fake": "flagged",
        "plain": "accepted",
        "sure": "rejected",
        "unknown": "accepted",
    }
    rows = built.reviewed()
    assert {item: (row["score"], row["rule"]) for item, row in rows.items()} == {
        "fake": (-2.0, "flagged"),
        "plain": (1.0, "accepted"),
        "sure": (8.0, "rejected"),
        "unknown": (None, "accepted"),
    }
    close = pytest.approx
    assert built.why("fake") == {"low_d_score": (close(100 / 6), 30.0, "<")}
    assert built.why("sure") == {"high_d_score": (close(500 / 6), 70.0, ">")}
    [found] = rows["fake"]["evidence"]
    assert found["text"] == "place by D score 16.7, at least 30"
    infos = {info.reason.value: info for info in queue_infos(built.rules)}
    low, high = infos["low_d_score"], infos["high_d_score"]
    assert (low.title, low.order, low.limit, low.action) == ("Low D score", "low", 30.0, "flag")
    assert (high.title, high.order, high.limit) == ("High D score", "high", 70.0)


def test_unlike_ones_come_with_their_place_the_least_like_first(built: Built) -> None:
    built.rules = Rules.model_validate(
        {"too_small": {"min_side": 100}, "unlike_others": {"min_percentile": 45.0}}
    )
    built.store(*(feature(name) for name in "abcd"))
    name = density_name("own-1", "0badcafe")
    rows = [
        {"item_id": item, "recipe": RECIPE.id, "model": name, "mean": mean, "scored_at": NOON}
        for item, mean in {"a": -4.0, "b": -9.0, "c": -1.0, "d": -2.0}.items()
    ]
    write_scores(built.catalog, pa.Table.from_pylist(rows, schema=SCORES))
    assert set(built.build().values()) == {"accepted"}  # the ranking has not come to its end
    finish_scores(built.catalog, RECIPE, name)
    verdicts = built.build()
    assert sorted(item for item, verdict in verdicts.items() if verdict == "flagged") == ["a", "b"]
    assert built.why("b") == {"unlike_others": (12.5, 45.0, "<")}
    rows = built.reviewed()
    [found] = rows["b"]["evidence"]
    assert found["text"] == "place by likeness to others 12.5, at least 45"
    assert found["meaning"] == "Hardly like anything else in the set."
    assert rows["b"]["score"] is None  # that is the discriminator's
    info = next(i for i in queue_infos(built.rules) if i.reason == "unlike_others")
    assert (info.title, info.order, info.limit, info.action) == ("Unlike others", "low", 45, "flag")


def test_what_sources_say_is_told_and_made_harmless(built: Built) -> None:
    fields = {"title": "Boot \u202e no. 1", "brand": "Acme", "page": "https://shop/1", "price": 3}
    built.store(
        feature("a"),
        feature("b"),
        offered={
            "a": {"fields": json.dumps(fields), "label": "boot", "tags": ["red", "x" * 99]},
            "b": {"fields": "[1, 2", "observed_at": NOON + timedelta(days=1)},
        },
    )
    built.build()
    a, b = (built.reviewed()[name] for name in "ab")
    assert a["title"] == "Boot \\u202e no. 1"
    assert (a["brand"], a["page"], a["label"]) == ("Acme", "https://shop/1", "boot")
    assert (a["source"], a["locator"]) == ("shop", "a.jpg")
    assert a["tags"][0] == "red" and len(a["tags"][1]) < 70
    assert (b["title"], b["brand"], b["tags"]) == (None, None, [])
    assert b["observed_at"] == NOON + timedelta(days=1)
    assert (a["raw_pack"], a["raw_offset"], a["raw_length"]) == ("raw", 5, 6)
    assert (a["pack"], a["thumb_offset"], a["standard_ratio"]) == ("pack", 3, 0.75)


def test_only_what_has_a_picture_is_given_in_order_of_ids(built: Built) -> None:
    assert list(built.batches()) == []
    built.store(*(feature(name) for name in "dacb"), feature("e", failure="corrupt"))
    built.build()
    batches = list(built.batches(batch_rows=3))
    assert [batch.num_rows for batch in batches] == [3, 1]
    assert [item for batch in batches for item in batch["item_id"].to_pylist()] == list("abcd")
    # A rebuild by another recipe is under way: one has no picture by this one yet.
    rows = built.catalog.table("features").read().to_pylist()
    built.fill("features", *({**row, "pack": None} if row["item_id"] == "c" else row
                             for row in rows))  # fmt: skip
    assert list(built.reviewed()) == list("abd")


# ---- The page and the build. ---------------------------------------------------------------------

TWINS = ("a", "b", "c")
SPOKEN_OF = ("a", "b")
SAID = ("accepted", "rejected", None)


def said(
    catalog: Catalog, database: Database, words: Sequence[tuple[str, str]], begin: datetime
) -> None:
    """Say these words, and only these, to the catalog and to the page."""
    table = catalog.table("decisions")
    rows: list[dict[str, Any]] = [
        {
            "item_id": item,
            "verdict": verdict,
            "reviewer": "ann",
            "decided_at": begin + timedelta(minutes=number),
        }
        for number, (item, verdict) in enumerate(words)
    ]
    table.replace(pa.Table.from_pylist(rows, schema=table.schema))
    silent = [item for item in SPOKEN_OF if item not in dict(words)]
    decisions = [
        *(
            Decision(
                str(uuid.uuid4()),
                item,
                "undecided",
                decided_at=clock.to_micros(begin) - clock.SECOND,
            )
            for item in silent
        ),
        *(
            Decision(
                str(uuid.uuid4()),
                row["item_id"],
                row["verdict"],
                decided_at=clock.to_micros(row["decided_at"]),
            )
            for row in rows
        ),
    ]
    with database.writing() as connection:
        decide(connection, [Submission("ann", "import", decisions, force=True)])


def test_who_was_asked_once_by_score_is_not_asked_again(built: Built, tmp_path: Path) -> None:
    half = {"low_d_score": {"min_percentile": 50.0}, "high_d_score": {"action": "off"}}
    built.rules = Rules.model_validate({"too_small": {"min_side": 100}, **half})
    built.store(*(feature(name) for name in "abcd"))
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")

    def queue() -> list[str]:
        built.build()
        infos, rows = queue_infos(built.rules), list(built.batches())
        projection.replace(database, Feed("build", NOON, RECIPE.id, infos, iter(rows), 4))
        with database.reading() as connection:
            number = current_build(connection)
            assert number is not None
            found = queues.page(connection, number, queues.PageRequest("low_d_score"), "ann")
        return [row.item_id for row in found.rows]

    assert queue() == []  # nothing is scored
    score(built, {"a": 2.0, "b": 1.0, "c": 3.0, "d": 4.0})
    assert queue() == ["b", "a"]  # the lowest first
    said(built.catalog, database, [("a", "accepted"), ("b", "rejected")], NOON)
    assert queue() == []
    # Another model, that likes them no better, and c neither.
    score(built, {"a": 1.0, "b": 3.0, "c": 2.0, "d": 4.0}, "n@1")
    assert queue() == ["c"]
    database.close()


@pytest.mark.parametrize("action", ["off", "flag", "reject"])
def test_the_page_tells_of_copies_what_the_build_does(
    built: Built, action: str, tmp_path: Path
) -> None:
    built.rules = Rules.model_validate(
        {"too_small": {"min_side": 100}, "pixel_duplicate": {"action": action}}
    )
    built.store(*(feature(name, pixel_hash=b"same") for name in TWINS), feature("other"))
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    rounds = [
        [(item, word) for item, word in zip(names, spoken, strict=True) if word]
        for spoken in itertools.product(SAID, repeat=len(SPOKEN_OF))
        for names in (SPOKEN_OF, SPOKEN_OF[::-1])
    ]
    for number, words in enumerate(rounds):
        said(built.catalog, database, words, NOON + timedelta(hours=number))
        verdicts = built.build()
        feed = Feed("build", NOON, RECIPE.id, queue_infos(built.rules), built.batches(), 4)
        projection.replace(database, feed)
        with database.reading() as connection:
            current = current_build(connection)
            rows = connection.execute(
                select(review_item.c.item_id, review_item.c.standing).where(
                    review_item.c.build == current
                )
            )
            standings = {row.item_id: row.standing for row in rows}
        of_build = {item: {"flagged": "open"}.get(word, word) for item, word in verdicts.items()}
        assert standings == of_build, words
    database.close()
