"""Publishing the whole set and parts of it: what is in which version, on real tables."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_catalog.versions import list_versions, load_version, read_members, verify
from flows.settings import ConfigError
from tests.flows.world import Outcome, World, fill

pytestmark = pytest.mark.xdist_group("prefect")

Run = Callable[..., Outcome]

ABOUT = """image,label,tags,brand
0000,boot,pov,acme
0001,hat,,acme
0002,boot,,other
0003,hat,old pov,other
0004,hat,,
"""
POV = {"name": "pov", "tags": ["pov"]}
REST = {"name": "rest", "without_tags": ["pov"]}


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: str, _warm_workers: None
) -> World:
    """Five pictures with metadata, judged; tests publish what they like of them."""
    world = World(tmp_path_factory.mktemp("built"), prefect_server)
    fill(world.images, range(5))
    (world.folder / "about.csv").write_text(ABOUT)
    source = {"kind": "folder", "path": "images", "metadata": "about.csv"}
    world.raw = {**world.raw, "sources": [source]}
    assert world.rebuild().accepted == 5
    return world


def publish(world: World, *splits: dict[str, Any], **options: Any) -> Any:
    from flows.publish import publish as flow

    return flow(world.config(splits=list(splits)), **options)


def numbers(world: World, version: Any) -> set[int]:
    """Give the numbers of the pictures in a version."""
    names = {world.image_id(f"000{number}.jpg"): number for number in range(5)}
    members = read_members(version.path, ["image_id"])
    return {names[image] for image in members["image_id"].to_pylist()}


def test_each_split_is_a_version_and_says_what_it_is(built: World) -> None:
    summary = publish(built, POV, REST)
    pov, rest = summary.versions
    assert (pov.split, rest.split) == ("pov", "rest")
    assert numbers(built, pov) == {0, 3}
    assert numbers(built, rest) == {1, 2, 4}
    assert (summary.in_several, summary.in_none) == (0, 0)
    # What one version is asked for, the last one gives.
    assert (summary.version, summary.items, summary.path) == (rest.version, 3, rest.path)
    manifest = json.loads((Path(pov.path) / "manifest.json").read_text())
    assert (manifest["split"], manifest["filter"]) == ("pov", {"tags": ["pov"]})
    assert manifest["parent"] is None
    assert (manifest["items"], manifest["labels"]) == (2, {"boot": 1, "hat": 1})
    # Again: the same versions.
    assert publish(built, POV, REST) == summary
    # The whole set besides, and then the splits as they were.
    both = publish(built, POV, REST, whole=True)
    assert [one.split for one in both.versions] == [None, "pov", "rest"]
    assert both.versions[1:] == summary.versions
    assert numbers(built, both.versions[0]) == {0, 1, 2, 3, 4}
    assert load_version(built.catalog).version == both.versions[0].version


def test_without_splits_it_is_the_whole_set(built: World) -> None:
    summary = publish(built)
    assert [one.split for one in summary.versions] == [None]
    assert summary.items == 5
    assert (summary.in_several, summary.in_none) == (0, 0)
    manifest = load_version(built.catalog, summary.version).manifest
    assert (manifest["split"], manifest["filter"]) == (None, None)


def test_labels_fields_and_sources_split_and_overlaps_are_counted(built: World) -> None:
    splits = (
        {"name": "boots", "labels": ["boot"]},
        {"name": "acme", "where": {"brand": "ac.e"}},
        {"name": "street", "where": {"source": "im.*", "brand": "other"}, "tags": ["old"]},
    )
    summary = publish(built, *splits)
    assert [numbers(built, one) for one in summary.versions] == [{0, 2}, {0, 1}, {3}]
    assert (summary.in_several, summary.in_none) == (1, 1)
    (one,) = publish(built, *splits, splits=["acme"]).versions
    assert one == summary.versions[1]


def test_tags_of_people_drive_a_split_and_the_next_version_follows(
    built: World, tmp_path: Path
) -> None:
    """What people tag goes to the next version of the one split, and leaves that of the other."""
    from datetime import UTC, datetime

    import pyarrow as pa

    from data_catalog.decisions import record
    from data_catalog.schema import DECISIONS

    before = publish(built, POV, REST).versions
    row = {
        "item_id": built.image_id("0004.jpg"),
        "verdict": "accepted",
        "tags": ["pov"],
        "reviewer": "ann",
        "decided_at": datetime.now(UTC),
    }
    record(built.catalog, pa.Table.from_pylist([row], schema=DECISIONS))
    after = publish(built, POV, REST).versions
    assert [numbers(built, one) for one in after] == [{0, 3, 4}, {1, 2}]
    parents = [load_version(built.catalog, one.version).parent for one in after]
    assert parents == [one.version for one in before]
    row |= {"tags": [], "decided_at": datetime.now(UTC)}
    record(built.catalog, pa.Table.from_pylist([row], schema=DECISIONS))
    assert publish(built, POV, REST).versions == before  # as they were


def test_an_empty_split_is_named_and_the_others_are_published(built: World) -> None:
    from flows.publish import EmptySplitError

    odd = {"name": "odd", "tags": ["odd"], "labels": ["hat"]}
    with pytest.raises(EmptySplitError) as caught:
        publish(built, odd, POV)
    said = """no accepted item is in the split 'odd' (tags = ["odd"], labels = ["hat"]); change"""
    assert str(caught.value).startswith(said)
    assert caught.value.published is not None
    assert [one.split for one in caught.value.published.versions] == ["pov"]
    assert (caught.value.published.in_several, caught.value.published.in_none) == (0, 3)
    with pytest.raises(EmptySplitError) as caught:
        publish(built, odd, POV, splits=["odd"])
    assert caught.value.published is None


def test_a_split_that_is_not_there_is_refused(built: World) -> None:
    before = len(list_versions(built.catalog))
    with pytest.raises(ConfigError, match=r"no split 'po' in \[\[splits\]\]; there are pov, rest"):
        publish(built, POV, REST, splits=["pov", "po"])
    with pytest.raises(ConfigError, match="there are none"):
        publish(built, splits=["pov"])
    assert len(list_versions(built.catalog)) == before


# ---- The command line. ---------------------------------------------------------------------------


def test_the_command_shows_every_version_and_what_is_where(
    built: World, in_this_process: Run
) -> None:
    built.write_config(splits=[POV, {"name": "odd", "tags": ["odd"]}])
    file = str(built.folder / "nonesuch.toml")
    outcome = in_this_process("publish", "-c", file)
    assert outcome.code == 1
    number = publish(built, POV).version
    latest = load_version(built.catalog, split="pov").version
    assert f"version {number} (pov): 2 items, shards: 1" in outcome.out
    assert ("it was published before" in outcome.out) == (latest != number)
    assert "in several of the splits: 0 items; in none of them: 3" in outcome.out
    assert "error: no accepted item is in the split 'odd' (tags = [\"odd\"])" in outcome.err
    outcome = in_this_process("publish", "--split", "pov", "--json", "-c", file)
    assert outcome.code == 0, outcome
    assert [one["split"] for one in outcome.json["versions"]] == ["pov"]
    assert (outcome.json["version"], outcome.json["split"]) == (number, "pov")
    outcome = in_this_process("publish", "--split", "nope", "-c", file)
    assert outcome.code == 2
    assert f"version {number} (pov): 2 items" in in_this_process("status", "-c", file).out
    found = in_this_process("status", "--json", "-c", file).json["versions"]
    assert {"pov", "rest"} <= {one["split"] for one in found}
    target = str(built.folder / "pov.zip")
    outcome = in_this_process("export", "stylegan", target, "--split", "pov", "--json", "-c", file)
    assert (outcome.code, outcome.json["items"]) == (0, 2 + (latest != number))


def test_killed_between_two_splits_the_same_command_finishes(
    built: World, tmp_path: Path, prefect_server: str
) -> None:
    """Kill it once the first version is there; the second is made by the next try."""
    world = World(tmp_path, prefect_server, raw=built.raw)
    fill(world.images, range(5))
    (tmp_path / "about.csv").write_text(ABOUT)
    parts = [{"name": f"one-{number}", "where": {"brand": ".*"}} for number in range(20)]
    world.write_config(splits=[POV, *parts, REST])
    world.rebuild()
    process = world.start("publish")
    process.wait_for(lambda: len(list_versions(world.catalog)) >= 2)
    process.kill()
    left = list_versions(world.catalog)
    assert 2 <= len(left) < 22
    _wait_until_free(world)
    summary = publish(world, POV, *parts, REST)
    versions = list_versions(world.catalog)
    assert [v.split for v in versions] == ["pov", *(part["name"] for part in parts), "rest"]
    assert versions[: len(left)] == left
    assert [one.version for one in summary.versions] == list(range(1, 23))
    assert all(verify(version.path) == [] for version in versions)


def _wait_until_free(world: World) -> None:
    """Wait until the killed command's lock is gone."""
    from data_catalog.errors import ConflictError

    until = time.monotonic() + 20
    while True:
        try:
            with world.catalog.lock("test"):
                return
        except ConflictError:
            assert time.monotonic() < until
            time.sleep(0.05)
