"""What can be asked of a catalog, and what people tell it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from data_catalog.errors import CatalogError
from data_catalog.forgetting import forget
from flows.cli.tables import show_why
from flows.inspect import decide, find_image, status, why
from review_ui.errors import ExchangeError
from tests.flows.test_rebuild import score
from tests.flows.world import World, fill

pytestmark = pytest.mark.xdist_group("prefect")


def test_status_before_anything_is_there(world: World) -> None:
    state = status(world.config())
    assert state["build"] is None
    assert state["versions"] == []
    assert state["sources"] == [
        {"source": "images", "observations": 0, "images": 0, "failures": {}, "crawl": None}
    ]
    assert not (world.folder / "catalog").exists()  # looking makes nothing


def test_status_tells_the_last_build_and_versions(world: World) -> None:
    fill(world.images, range(3))
    (world.images / "empty.jpg").write_bytes(b"")
    summary = world.rebuild()
    version = world.publish()
    world.decide("0001.jpg", "rejected")
    forget(world.catalog, world.image_id("0002.jpg"), "asked for")
    state = status(world.config())
    assert state["build"]["build"] == summary.build
    assert (state["build"]["accepted"], state["build"]["failed"]) == (3, 1)
    assert state["versions"] == [
        {"version": 1, "split": None, "items": 3, "shards": 1, "hash": version.hash},
    ]
    assert (state["images"], state["decisions"], state["forgotten"]) == (2, 1, 1)
    (source,) = state["sources"]
    assert (source["observations"], source["images"]) == (3, 2)  # as they are offered now
    assert source["failures"] == {"empty_file": 1}


def test_images_are_found_by_id_beginning_item_and_path(world: World) -> None:
    (world.images / "a").mkdir()
    fill(world.images / "a", [1])
    fill(world.images, [2])
    world.rebuild()
    wanted = world.image_id("a/0001.jpg")
    queries = (wanted, wanted[:6], f"{wanted}#1,2,3,4", "a/0001.jpg", "0001.jpg")
    for query in queries:
        assert find_image(world.catalog, query) == wanted
    for query in (wanted[:5], "001.jpg", "A/0001.jpg", "%", ""):
        with pytest.raises(CatalogError, match="knows no image"):
            find_image(world.catalog, query)


def test_what_is_not_plain_is_said(world: World) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        fill(world.images / name, [seed])
        (world.images / name / f"{seed:04}.jpg").rename(world.images / name / "x.jpg")
    (world.images / "empty.jpg").write_bytes(b"")
    world.rebuild()
    with pytest.raises(CatalogError, match=r"'x.jpg' fits 2 images \(.*\); give a longer id"):
        find_image(world.catalog, "x.jpg")
    with pytest.raises(CatalogError, match="gave no image: empty_file: has no bytes"):
        find_image(world.catalog, "empty.jpg")


def test_a_path_means_what_lies_there_now(world: World) -> None:
    fill(world.images, [1, 2])
    world.rebuild()
    (world.images / "0001.jpg").write_bytes((world.images / "0002.jpg").read_bytes())
    world.rebuild()
    assert find_image(world.catalog, "0001.jpg") == world.image_id("0002.jpg")
    (world.images / "0001.jpg").write_bytes(b"")
    world.rebuild()
    with pytest.raises(CatalogError, match="gave no image: empty_file"):
        find_image(world.catalog, "0001.jpg")


def test_why_tells_everything(world: World) -> None:
    fill(world.images, range(2))
    (world.images / "copy.jpg").write_bytes((world.images / "0000.jpg").read_bytes())
    strict = {"too_small": {"min_side": 121}}
    world.rebuild(rules=strict)
    world.decide("0000.jpg", "accepted")
    world.rebuild(rules=strict)
    world.publish(rules=strict)
    known = why(world.config(rules=strict), "0000.jpg")
    assert known["image_id"] == world.image_id("0000.jpg")
    assert {row["locator"] for row in known["observations"]} == {"0000.jpg", "copy.jpg"}
    assert known["image"]["bytes"] == (world.images / "0000.jpg").stat().st_size
    assert known["versions"] == [1]
    assert known["forgotten"] == []
    (item,) = known["items"]
    assert (item["verdict"], item["decided_by"]) == ("accepted", "ann")
    assert item["reasons"] == ["too_small", "decided"]
    (test,) = [test for test in item["tests"] if test["rule"] == "too_small"]
    assert test == {
        "rule": "too_small",
        "measure": "shorter_side",
        "value": 120.0,
        "broken_if": "< 121",
        "broken": True,
        "action": "reject",
    }
    assert [d["reviewer"] for d in item["decisions"]] == ["ann"]
    assert item["features"]["format"] == "JPEG"


def test_why_tells_the_score_and_the_place(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.raw["rank"] = {"on_rebuild": False}
    fill(world.images, range(2))
    world.rebuild()
    (item,) = why(world.config(), "0000.jpg")["items"]
    assert item["scores"] == {}
    (test,) = [test for test in item["tests"] if test["rule"] == "low_d_score"]
    assert (test["value"], test["broken"]) == (None, False)

    score(world, {"0000.jpg": -1.5, "0001.jpg": 2.0})
    rules = {"low_d_score": {"min_percentile": 30.0}, "high_d_score": {"action": "off"}}
    world.rebuild(rules=rules)
    known = why(world.config(rules=rules), "0000.jpg")
    (item,) = known["items"]
    (found,) = item["scores"].items()
    assert found[0] == "discriminator"
    assert {name: found[1][name] for name in ("model", "mean", "percentile")} == {
        "model": "m@1",
        "mean": -1.5,
        "percentile": 25.0,
    }
    assert found[1]["place"] == 25.0
    assert [test for test in item["tests"] if "d_score" in test["rule"]] == [
        {
            "rule": "low_d_score",
            "measure": "d_percentile",
            "value": 25.0,
            "broken_if": "< 30",
            "broken": True,
            "action": "flag",
        }
    ]
    show_why(known)
    said = capsys.readouterr().out
    assert "D score -1.5 by m@1, place 25 of 100 among all that it has scored" in said
    assert json.loads(json.dumps(known))["items"][0]["scores"]["discriminator"]["model"] == "m@1"


def test_why_names_the_copy_that_is_kept(world: World) -> None:
    from PIL import Image

    fill(world.images, range(2))
    with Image.open(world.images / "0000.jpg") as picture:
        picture.save(world.images / "again.jpg", quality=60)
    world.rebuild()
    ids = {name: world.image_id(name) for name in ("0000.jpg", "again.jpg")}
    (rejected,) = [n for n, (v, _) in world.verdicts().items() if v == "rejected"]
    (kept,) = set(ids) - {rejected}
    (item,) = why(world.config(), rejected)["items"]
    assert item["reasons"] == ["near_duplicate"]
    assert item["group"]["duplicate_of"] == ids[kept]
    assert [r["item"] for r in item["related"]] == [ids[kept]]
    (other,) = why(world.config(), ids[kept][:8])["items"]
    assert [r["item"] for r in other["related"]] == [ids[rejected]]


def test_why_of_what_was_forgotten_shows_the_tombstone(world: World) -> None:
    fill(world.images, range(2))
    world.rebuild()
    gone = world.image_id("0001.jpg")
    forget(world.catalog, gone, "asked for")
    known = why(world.config(), gone)
    assert known["items"] == known["observations"] == []
    assert [row["why"] for row in known["forgotten"]] == ["asked for"]
    with pytest.raises(CatalogError, match="gave no image: forgotten"):
        why(world.config(), "0001.jpg")


def test_who_decides_and_why_must_be_what_the_page_would_take(world: World) -> None:
    fill(world.images, range(1))
    world.rebuild()
    with pytest.raises(ExchangeError, match="`reviewer` must be 1 to 40 letters"):
        world.decide("0000.jpg", "accepted", "<ann>")
    with pytest.raises(ExchangeError, match="`note` must be at most 2000 characters"):
        decide(world.config(), "0000.jpg", "accepted", "ann", "a\x00b", datetime.now(UTC))
    assert world.table("decisions").num_rows == 0


def test_a_decision_needs_an_item(world: World) -> None:
    fill(world.images, range(2))
    with pytest.raises(CatalogError, match="knows no image"):
        world.decide("0001.jpg", "accepted")
    world.rebuild(recipe={"width": 64, "height": 64})
    with pytest.raises(CatalogError, match="no item by this recipe; run `nonesuch rebuild`"):
        world.decide("0001.jpg", "accepted")
    world.rebuild()
    assert world.decide("0001.jpg", "accepted") == [world.image_id("0001.jpg")]
    assert world.table("decisions").num_rows == 1
