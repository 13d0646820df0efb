"""From measures, relations and decisions to verdicts; the id of a build is all that decides."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.grouping import DuplicateRules
from curation.judging import Rules
from curation.recipe import Recipe
from curation.scorers import Scorer
from curation.stages.judge import ItemSet, build_id, count_verdicts, judge, load_items
from data_catalog.schema import FEATURES, PAIRS, SCORES, VERDICTS, Verdict
from tests.curation.stages.conftest import RECIPE, Stock, jpeg

SIDE = Rules.model_validate({"too_small": {"min_side": 100}})


def feature(name: str, **values: Any) -> dict[str, Any]:
    """Give a row of a sound picture, 200×300 px, unlike any other."""
    sound = {
        "item_id": name,
        "image_id": name,
        "recipe": RECIPE.id,
        "file_bytes": 20_000,
        "frames": 1,
        "width": 200,
        "height": 300,
        "upscale": 0.5,
        "colours": 257,
        "chroma": 0.1,
        "blankness": 0.3,
        "sharpness": 1.0,
        "background_complexity": 0.0,
        "pattern": 0.0,
        "border_red": 255,
        "border_green": 255,
        "border_blue": 255,
        "border_uniformity": 1.0,
        "pixel_hash": name.encode(),
    }
    return sound | values


def items(
    rows: list[dict[str, Any]],
    unread: dict[str, str] | None = None,
    decisions: dict[str, str] | None = None,
) -> ItemSet:
    gone = [{"item_id": k, "locator": k, "failure": v, "detail": "x"} for k, v in
            (unread or {}).items()]  # fmt: skip
    schema = pa.schema([(n, pa.string()) for n in ("item_id", "locator", "failure", "detail")])
    return ItemSet(
        pa.Table.from_pylist(rows, schema=FEATURES).sort_by("item_id"),
        pa.Table.from_pylist(gone, schema=schema).sort_by("item_id"),
        {k: (v, "ann") for k, v in (decisions or {}).items()},
        frozenset(decisions or {}),
    )


def pairs(*found: tuple[str, str], relation: str = "same") -> Any:
    """Make a function that relates these items, by default as the same."""
    asked: list[set[str]] = []

    def relate(features: pa.Table) -> pa.Table:
        there = set(features["item_id"].to_pylist())
        asked.append(there)
        rows = [
            {"recipe": RECIPE.id, "item_a": a, "item_b": b, "relation": relation, "distance": 0.1}
            for a, b in found
            if {a, b} <= there
        ]
        return pa.Table.from_pylist(rows, schema=PAIRS)

    relate.asked = asked  # type: ignore[attr-defined]
    return relate


def outcome(
    given_items: ItemSet, relate: Any = None, rules: Rules = SIDE
) -> dict[str, tuple[str, tuple[str, ...]]]:
    judgement = judge(given_items, RECIPE, rules, DuplicateRules(), relate or pairs())
    assert judgement.verdicts.schema.names == VERDICTS.names
    rows = judgement.verdicts.to_pylist()
    assert [row["item_id"] for row in rows] == sorted(row["item_id"] for row in rows)
    return {row["item_id"]: (row["verdict"], tuple(row["reasons"])) for row in rows}


def test_failed_then_decided_then_rules() -> None:
    given_items = items(
        [
            feature("a"),
            feature("b", width=90, height=200),
            feature("c", width=90, height=200),
            feature("d", file_bytes=10),
            feature("e", failure="corrupt"),
        ],
        unread={"unread-1": "empty_file"},
        decisions={"c": "accepted", "e": "accepted"},
    )
    assert outcome(given_items) == {
        "a": ("accepted", ()),
        "b": ("rejected", ("too_small",)),
        "c": ("accepted", ("too_small", "decided")),
        "d": ("flagged", ("too_few_bytes",)),
        "e": ("failed", ("corrupt",)),
        "unread-1": ("failed", ("empty_file",)),
    }
    assert given_items.count == 6


def test_what_is_out_takes_no_part_in_grouping() -> None:
    rows = [
        feature("a", width=50, height=5000),
        feature("b"),
        feature("c", failure="corrupt"),
        feature("d", width=50),
    ]
    relate = pairs(("a", "b"))
    found = outcome(items(rows, decisions={"d": "rejected"}), relate)
    # All pictures are searched, so that a looser threshold finds their pairs known …
    assert relate.asked == [{"a", "b", "d"}]
    # … but what a rule rejects takes nothing with it.
    assert found["b"] == ("accepted", ())


@pytest.mark.parametrize("small", ["a", "b"])
def test_the_copies_of_a_rejected_keeper_stay_out(small: str) -> None:
    rows = [feature(name, width=150 if name == small else 200) for name in ("a", "b")]
    (large,) = {"a", "b"} - {small}
    found = outcome(items(rows, decisions={large: "rejected"}), pairs(("a", "b")))
    assert found[large] == ("rejected", ("decided",))
    assert found[small] == ("rejected", ("near_duplicate",))


@pytest.mark.parametrize("small", ["a", "b"])
def test_rejecting_a_copy_leaves_its_keeper_in(small: str) -> None:
    rows = [feature(name, width=150 if name == small else 200) for name in ("a", "b")]
    (large,) = {"a", "b"} - {small}
    found = outcome(items(rows, decisions={small: "rejected"}), pairs(("a", "b")))
    assert found[large] == ("accepted", ())
    assert found[small] == ("rejected", ("near_duplicate", "decided"))


def test_rejecting_what_a_rule_rejects_takes_no_copy_with_it() -> None:
    rows = [feature("a", width=90, height=5000), feature("b")]
    found = outcome(items(rows, decisions={"a": "rejected"}), pairs(("a", "b")))
    assert found["a"][0] == "rejected"
    assert found["b"] == ("accepted", ())


def test_a_rejected_colourway_moves_no_other() -> None:
    rows = [feature(name, width=width) for name, width in (("a", 300), ("b", 250), ("c", 200))]
    rules = Rules.model_validate(
        {"too_small": {"min_side": 100}, "colourway": {"max_per_silhouette": 2}}
    )
    ways = pairs(("a", "b"), ("a", "c"), ("b", "c"), relation="colourway")
    found = outcome(items(rows, decisions={"c": "rejected"}), ways, rules)
    assert found["a"] == found["b"] == ("accepted", ())
    found = outcome(items(rows, decisions={"c": "accepted"}), ways, rules)
    assert found["b"] == ("flagged", ("colourway",))


def test_an_accepted_picture_is_the_keeper() -> None:
    rows = [feature("a"), feature("b", width=150), feature("c")]
    found = outcome(items(rows, decisions={"b": "accepted"}), pairs(("a", "b"), ("b", "c")))
    assert found["b"] == ("accepted", ("decided",))
    assert found["a"] == found["c"] == ("rejected", ("near_duplicate",))


def test_nothing_at_all() -> None:
    judgement = judge(items([]), RECIPE, SIDE, DuplicateRules(), pairs())
    assert judgement.verdicts.num_rows == judgement.groups.num_rows == 0
    assert count_verdicts(judgement.verdicts) == {
        "items": 0,
        **{verdict.value: 0 for verdict in Verdict},
        "reasons": {},
    }
    only_unread = judge(
        items([], unread={"unread-1": "empty_file"}), RECIPE, SIDE, DuplicateRules(), pairs()
    )
    assert count_verdicts(only_unread.verdicts)["failed"] == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "corrupt", "timed_out"]),
            st.integers(1, 400),
            st.integers(0, 30_000),
            st.sampled_from(["", "accepted", "rejected"]),
        ),
        max_size=8,
    ),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=6),
)
def test_the_four_add_up_and_people_have_the_last_word(
    drawn: list[tuple[str | None, int, int, str]], alike: list[tuple[int, int]]
) -> None:
    rows = [
        feature(f"i{n}", failure=failure, width=width, file_bytes=size)
        for n, (failure, width, size, _) in enumerate(drawn)
    ]
    decisions = {f"i{n}": word for n, (_, _, _, word) in enumerate(drawn) if word}
    same = {tuple(sorted((f"i{a}", f"i{b}"))) for a, b in alike if a != b}
    judgement = judge(
        items(rows, decisions=decisions), RECIPE, SIDE, DuplicateRules(), pairs(*sorted(same))
    )
    counts = count_verdicts(judgement.verdicts)
    assert sum(counts[verdict.value] for verdict in Verdict) == counts["items"] == len(rows)
    for row in judgement.verdicts.to_pylist():
        failure = drawn[int(row["item_id"][1:])][0]
        if failure:
            assert (row["verdict"], row["reasons"]) == ("failed", [failure])
        elif row["item_id"] in decisions:
            assert (row["verdict"], row["decided_by"]) == (decisions[row["item_id"]], "ann")
        assert row["reasons"] or row["verdict"] == "accepted"


# ---- By scores. ----------------------------------------------------------------------------------

D = Scorer.DISCRIMINATOR

LOW_HALF = Rules.model_validate(
    {
        "too_small": {"min_side": 100},
        "low_d_score": {"min_percentile": 50.0},
        "high_d_score": {"max_percentile": 75.0, "action": "reject"},
    }
)


def scored(means: dict[str, float], model: str = "m@1") -> pa.Table:
    """Give scores as `read_scores` does."""
    rows = [
        {"item_id": item, "model": model, "recipe": RECIPE.id, "mean": mean}
        for item, mean in means.items()
    ]
    return pa.Table.from_pylist(rows, schema=SCORES)


def by_score(
    there: ItemSet, means: dict[str, float] | None, relate: Any = None, rules: Rules = LOW_HALF
) -> dict[str, tuple[Any, ...]]:
    """Judge; give (verdict, reasons, place) by item."""
    scores = None if means is None else {D: scored(means)}
    found = judge(there, RECIPE, rules, DuplicateRules(), relate or pairs(), scores)
    return {
        row["item_id"]: (row["verdict"], row["reasons"], row["d_percentile"])
        for row in found.verdicts.to_pylist()
    }


def test_places_are_among_keepers_that_no_other_rule_rejects() -> None:
    there = items(
        [
            feature("keeper", width=400, height=600),
            feature("copy"),
            feature("small", width=99, height=150),
            feature("blurred", sharpness=0.1),  # flagged: it stays for now
            feature("failed", failure="corrupt"),
            feature("new"),
            feature("top"),
        ],
        unread={"gone": "not_found"},
    )
    means = {"keeper": 2.0, "copy": -9.0, "small": -8.0, "blurred": 1.0, "failed": -7.0, "top": 3.0}
    found = by_score(there, {**means, "elsewhere": -99.0}, pairs(("copy", "keeper")))
    assert found == {
        "keeper": ("accepted", [], 50.0),
        "copy": ("rejected", ["near_duplicate"], None),
        "small": ("rejected", ["too_small"], None),
        "blurred": ("flagged", ["blurred", "low_d_score"], pytest.approx(100 / 6)),
        "failed": ("failed", ["corrupt"], None),
        "new": ("accepted", [], None),
        "top": ("rejected", ["high_d_score"], pytest.approx(500 / 6)),
        "gone": ("failed", ["not_found"], None),
    }


def test_what_a_person_decided_is_not_flagged_again() -> None:
    rows = [feature(name) for name in "abcd"]
    means = {name: float(number) for number, name in enumerate("abcd")}
    assert {item: verdict for item, (verdict, *_) in by_score(items(rows), means).items()} == {
        "a": "flagged",
        "b": "flagged",
        "c": "accepted",
        "d": "rejected",
    }
    said = {"a": "accepted", "b": "rejected", "d": "accepted"}
    found = by_score(items(rows, decisions=said), means)
    assert {item: verdict for item, (verdict, *_) in found.items()} == {**said, "c": "accepted"}
    assert found["a"][1:] == (["low_d_score", "decided"], 12.5)
    # Words move nobody's place: else each one would flag others.
    assert [place for _, _, place in found.values()] == [12.5, 37.5, 62.5, 87.5]


def test_an_accepted_picture_that_a_rule_rejects_takes_no_place() -> None:
    there = items([feature("a", width=99, height=150), feature("b")], decisions={"a": "accepted"})
    found = by_score(there, {"a": 0.0, "b": 1.0})
    assert found["a"] == ("accepted", ["too_small", "decided"], None)
    assert found["b"][2] == 50.0


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1)), max_size=8), st.booleans())
def test_without_scores_nothing_changes(drawn: list[tuple[int, float]], off: bool) -> None:
    there = items([feature(f"i{n}", width=w, sharpness=s) for n, (w, s) in enumerate(drawn)])
    rules = LOW_HALF
    if off:
        rules = Rules.model_validate(
            {**rules.model_dump(), "low_d_score": {"action": "off"},
             "high_d_score": {"action": "off"}}
        )  # fmt: skip
    silent = {item: (verdict, why, None) for item, (verdict, why, _) in
              by_score(there, None, rules=SIDE).items()}  # fmt: skip
    assert by_score(there, None, rules=rules) == silent
    assert by_score(there, {}, rules=rules) == silent
    assert by_score(there, {"elsewhere": 1.0}, rules=rules) == silent
    of_all = by_score(there, {f"i{n}": float(n) for n in range(len(drawn))}, rules=rules)
    if off:  # the place is kept all the same
        assert {item: found[:2] for item, found in of_all.items()} == {
            item: found[:2] for item, found in silent.items()
        }


def test_scores_that_are_used_are_part_of_the_id_of_a_build() -> None:
    there = items([feature(name) for name in "abc"])
    selection = pa.table({name: pa.array([], pa.string()) for name in
                          ("id", "source", "locator", "label")})  # fmt: skip

    def of(scores: pa.Table | None, scorer: Scorer = D) -> str:
        given = None if scores is None else {scorer: scores}
        return build_id(there, selection, RECIPE, SIDE, DuplicateRules(), given)

    means = {"a": 1.0, "b": 2.0}
    first = of(scored(means))
    assert of(scored(dict(reversed(means.items())))) == first  # another order is the same
    assert of(scored({**means, "elsewhere": 9.0})) == first
    assert of(None) == of(scored({})) == of(scored({"elsewhere": 9.0}))
    others = [
        None,
        scored(means, "n@1"),
        scored({**means, "b": 2.5}),
        scored({**means, "c": 2.0}),
        scored({"a": 2.0, "b": 1.0}),
        scored({"b": 1.0, "c": 2.0}),
    ]
    by_density = of(scored(means, "density-1"), Scorer.DENSITY)
    assert len({first, by_density, *map(of, others)}) == 2 + len(others)


def test_what_is_rejected_by_one_score_keeps_its_place_by_the_other() -> None:
    there = items([feature(name) for name in "abcd"])
    rules = Rules.model_validate(
        {
            "too_small": {"min_side": 100},
            "unlike_others": {"min_percentile": 30.0, "action": "reject"},
            "low_d_score": {"min_percentile": 30.0, "action": "reject"},
            "high_d_score": {"action": "off"},
        }
    )
    scores = {
        D: scored({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}),
        Scorer.DENSITY: scored({"a": -9.0, "b": -1.0, "d": -2.0}, "density-own-1-abc"),
    }
    found = judge(there, RECIPE, rules, DuplicateRules(), pairs(), scores)
    rows = {row["item_id"]: row for row in found.verdicts.to_pylist()}
    assert rows["a"]["reasons"] == ["unlike_others", "low_d_score"]
    assert [rows[name]["verdict"] for name in "abcd"] == ["rejected", *["accepted"] * 3]
    assert [rows[name]["d_percentile"] for name in "abcd"] == [12.5, 37.5, 62.5, 87.5]
    likeness = [rows[name]["density_percentile"] for name in "abd"]
    assert likeness == pytest.approx([100 / 6, 500 / 6, 50.0])
    assert rows["c"]["density_percentile"] is None
    assert found.scores.keys() == set(Scorer)


# ---- What is read. -------------------------------------------------------------------------------


def test_items_are_those_of_the_selection_each_once(stock: Stock) -> None:
    stock.store({f"{seed}": jpeg(seed) for seed in range(4)})
    stock.standardize()
    features = stock.catalog.table("features")
    features.append(features.read().slice(0, 2))  # as after a kill between two commits
    loaded = load_items(stock.catalog, RECIPE, stock.selection())
    assert loaded.features["item_id"].to_pylist() == sorted(stock.ids.values())
    loaded = load_items(stock.catalog, RECIPE, stock.selection("1", "3"))
    assert set(loaded.features["item_id"].to_pylist()) == {stock.ids["1"], stock.ids["3"]}
    other = load_items(stock.catalog, Recipe(width=64, height=64), stock.selection())
    assert other.count == 0


def test_copies_follow_the_last_word_and_its_own_comes_first(stock: Stock) -> None:
    import io

    from PIL import Image

    picture = Image.open(io.BytesIO(jpeg(1)))
    same = {}
    for level in (1, 5, 9):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=level)
        same[f"png{level}"] = buffer.getvalue()
    stock.store({"other": jpeg(2), **same})
    stock.standardize()

    def said(*names: str) -> dict[str, str]:
        loaded = load_items(stock.catalog, RECIPE, stock.selection(*names))
        by_id = {image_id: name for name, image_id in stock.ids.items()}
        return {by_id[item_id]: verdict for item_id, (verdict, _) in loaded.decisions.items()}

    assert said() == {}
    stock.decide("png1", "accepted", 1)
    assert said() == {"png1": "accepted", "png5": "accepted", "png9": "accepted"}
    # Of two copies, people keep one and reject the other.
    stock.decide("png9", "rejected", 2)
    assert said() == {"png1": "accepted", "png5": "rejected", "png9": "rejected"}
    stock.decide("png1", "accepted", 3)
    assert said() == {"png1": "accepted", "png5": "accepted", "png9": "rejected"}
    # One of them is no longer offered, or was measured by another recipe only.
    stock.decide("other", "rejected", 4)
    assert said("png5") == {
        "png5": "accepted",
        "png1": "accepted",
        "png9": "rejected",
        "other": "rejected",
    }


# ---- The id of a build. --------------------------------------------------------------------------


def test_the_id_follows_all_that_decides_and_nothing_else(stock: Stock) -> None:
    stock.store({f"{seed}": jpeg(seed) for seed in range(3)})
    stock.standardize()

    def of(
        selection: pa.Table | None = None,
        recipe: Recipe = RECIPE,
        rules: Rules = SIDE,
        duplicates: DuplicateRules | None = None,
    ) -> str:
        chosen = stock.selection() if selection is None else selection
        loaded = load_items(stock.catalog, RECIPE, chosen)
        return build_id(loaded, chosen, recipe, rules, duplicates or DuplicateRules())

    first = of()
    assert of() == first
    features = stock.catalog.table("features")
    rows = features.read()
    features.replace(rows.take(pa.array([2, 0, 1])))  # another order is the same set
    assert of() == first
    others = {
        of(stock.selection("0", "1")),
        of(stock.selection(labels={"0": "shoe"})),
        of(recipe=RECIPE.model_copy(update={"invert": "always"})),
        of(rules=Rules.model_validate({"too_small": {"min_side": 101}})),
        of(rules=Rules.model_validate({"too_small": {"min_side": 100, "action": "flag"}})),
        of(duplicates=DuplicateRules(radius=5)),
    }
    stock.decide("0", "rejected")
    others.add(of())
    assert len(others | {first}) == 8
    stock.decide("0", "undecided", 1)
    assert of() == first
