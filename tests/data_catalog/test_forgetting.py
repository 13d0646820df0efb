from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from blake3 import blake3

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError, ConflictError
from data_catalog.forgetting import forget
from data_catalog.garbage import collect
from data_catalog.packs import PackRef, PackStore
from data_catalog.storage import Root
from data_catalog.tables import Table
from data_catalog.versions import Version, load_version, publish, read_members, verify
from tests.data_catalog.conftest import MANIFEST, PROCESSES, RECIPE, files_below, fill


def freeze(catalog: Catalog, members: pa.Table, report_html: str | None = None) -> Version:
    return publish(
        catalog,
        members,
        recipe_id=RECIPE,
        manifest=MANIFEST,
        build="b",
        samples_per_shard=4,
        report_html=report_html,
    )


def stored(catalog: Catalog, image_id: str) -> list[bytes]:
    """Everything that is kept of an image: original, standardized items, small pictures."""
    about = pc.field("image_id") == image_id
    found = [
        catalog.raw.read(PackRef(row["pack"], row["offset"], row["length"]))
        for row in catalog.table("images").read(where=about).to_pylist()
    ]
    store = catalog.standard(RECIPE)
    for row in catalog.table("features").read(where=about).to_pylist():
        found.append(store.read(PackRef(row["pack"], row["offset"], row["length"])))
        found.append(store.read(PackRef(row["pack"], row["thumb_offset"], row["thumb_length"])))
    return found


def holding(catalog: Catalog, needles: Iterable[bytes]) -> list[str]:
    """Files below the root that hold any of these bytes."""
    return [
        name
        for name, data in files_below(Path(catalog.root.path)).items()
        if any(needle in data for needle in needles)
    ]


def add_rows(catalog: Catalog, victim: str, other: str) -> None:
    """Rows about items in every table that a build writes."""
    rows: dict[str, list[dict[str, Any]]] = {
        "pairs": [
            {
                "recipe": RECIPE,
                "search": "s",
                "item_a": a,
                "item_b": b,
                "relation": "same",
                "distance": 0.0,
            }
            for a, b in ((victim, other), (other, f"{victim}#1,0,10,10"), (other, "z"))
        ],
        "searches": [
            {"recipe": RECIPE, "search": "s", "item_id": item}
            for item in (victim, f"{victim}#0,0,10,10", other)
        ],
        "groups": [
            {"item_id": victim},
            {"item_id": f"{victim}#0,0,10,10"},
            {"item_id": other, "duplicate_of": victim, "relation": "same", "distance": 0.1},
            {"item_id": "z", "duplicate_of": other, "relation": "same", "distance": 0.1},
        ],
        "verdicts": [
            {"item_id": item, "verdict": "accepted", "reasons": [], "decided_by": "rules"}
            for item in (victim, f"{victim}#0,0,10,10", other)
        ],
        "scores": [{"item_id": item, "model": "m", "mean": 1.0} for item in (victim, other)],
    }
    for name, content in rows.items():
        table = catalog.table(name)
        table.append(pa.Table.from_pylist(content, schema=table.schema))


@pytest.fixture
def members(catalog: Catalog) -> pa.Table:
    return fill(catalog, range(10), crops=3)


def victim_of(members: pa.Table) -> str:
    """Name the image that gave three items."""
    return str(members["image_id"][0].as_py())


def test_the_bytes_are_nowhere(catalog: Catalog, members: pa.Table) -> None:
    victim = victim_of(members)
    needles = stored(catalog, victim)
    assert len(needles) == 7
    thumb = base64.b64encode(needles[-1]).decode()
    page = f"<img src='data:image/jpeg;base64,{thumb}'>"
    version = freeze(catalog, members, page)
    catalog.root.write_bytes("builds/x/report.html", page.encode())
    catalog.root.write_bytes("builds/y/report.html", b"<p>another picture</p>")
    with catalog.raw.writer() as orphan:
        orphan.add(victim, needles[0])
    needles.append(thumb.encode())
    others = {
        image: stored(catalog, image)
        for image in members["image_id"].unique().to_pylist()
        if image != victim
    }
    assert len(holding(catalog, needles)) >= 6  # packs, orphan, shards, two pages
    summary = forget(catalog, victim, "asked by the maker", rewrite_versions=True)
    assert holding(catalog, needles) == []
    assert {image: stored(catalog, image) for image in others} == others
    assert summary.known
    assert summary.items == (victim, *(f"{victim}#{i},0,10,10" for i in range(3)))
    assert (summary.versions, summary.rewritten) == ((1,), (1,))
    assert summary.reports == ("builds/x/report.html", "versions/1/report.html")
    assert len(summary.packs) == 3
    assert verify(version.path) == []
    assert collect(catalog, grace_seconds=0).bytes == 0


def test_the_rows_are_gone_and_a_tombstone_stays(catalog: Catalog, members: pa.Table) -> None:
    victim = victim_of(members)
    other = members["image_id"][5].as_py()
    add_rows(catalog, victim, other)
    forget(catalog, victim, "why not")
    for name in ("images", "features", "pairs", "searches", "groups", "verdicts", "scores"):
        text = json.dumps(catalog.table(name).read().to_pylist(), default=str)
        assert victim not in text, name
        assert other in text, name
    groups = {
        row["item_id"]: row["duplicate_of"] for row in catalog.table("groups").read().to_pylist()
    }
    assert groups == {other: None, "z": other}
    seen = {row["locator"]: row for row in catalog.table("observations").read().to_pylist()}
    assert len(seen) == 10
    gone = seen["0.png"]
    assert (gone["source"], gone["revision"], gone["failure"]) == ("test", "1", "forgotten")
    assert [gone[name] for name in ("image_id", "fields", "label", "tags")] == [None] * 4
    assert seen["1.png"]["tags"] == ["b", "a"]
    assert seen["1.png"]["failure"] is None
    tombstone = catalog.table("tombstones").read().to_pylist()
    assert [(row["image_id"], row["why"]) for row in tombstone] == [(victim, "why not")]


def test_a_published_version_is_only_named_by_default(catalog: Catalog, members: pa.Table) -> None:
    version = freeze(catalog, members)
    before = files_below(Path(version.path))
    summary = forget(catalog, victim_of(members), "x")
    assert (summary.versions, summary.rewritten) == ((1,), ())
    assert files_below(Path(version.path)) == before
    again = forget(catalog, victim_of(members), "x", rewrite_versions=True)
    assert again.rewritten == (1,)
    assert catalog.table("tombstones").read().num_rows == 1


def test_a_rewritten_version_says_so(catalog: Catalog, members: pa.Table) -> None:
    version = freeze(catalog, members)
    victim = victim_of(members)
    forget(catalog, victim, "x", rewrite_versions=True)
    manifest = load_version(catalog).manifest
    assert manifest == json.loads((Path(version.path) / "manifest.json").read_text())
    assert manifest["redacted"] == [victim]
    assert (manifest["items"], load_version(catalog).items) == (9, 9)
    assert sum(shard["samples"] for shard in manifest["shards"]) == 9
    assert manifest["labels"] == {"dress": 3, "shirt": 3}
    assert manifest["hash"] == version.hash
    listed = read_members(version.path)
    assert listed.num_rows == 9
    assert victim not in listed["image_id"].to_pylist()


def test_a_shard_left_empty_goes(catalog: Catalog) -> None:
    members = fill(catalog, range(1), crops=3)
    version = freeze(catalog, members)
    forget(catalog, victim_of(members), "x", rewrite_versions=True)
    assert (Path(version.path) / "shards").exists()
    assert list((Path(version.path) / "shards").iterdir()) == []
    assert verify(version.path) == []
    assert load_version(catalog).shards == 0


def test_forgetting_twice_or_what_was_never_there(catalog: Catalog, members: pa.Table) -> None:
    victim = victim_of(members)
    assert forget(catalog, victim, "x").packs
    before = files_below(Path(catalog.root.path))
    again = forget(catalog, victim, "x")
    assert (again.known, again.packs) == (True, ())
    assert files_below(Path(catalog.root.path)) == before
    nobody = "0" * 64
    assert not forget(catalog, nobody, "in advance").known
    assert catalog.table("tombstones").read().num_rows == 2
    with pytest.raises(CatalogError, match="must be 64 hex digits"):
        forget(catalog, "abc", "x")


def test_a_writer_at_work_is_not_disturbed(catalog: Catalog, members: pa.Table) -> None:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_hold, args=(catalog.root.path, theirs))
    process.start()
    ours.recv()
    with pytest.raises(ConflictError):
        forget(catalog, victim_of(members), "x")
    ours.send("done")
    process.join()
    assert catalog.table("tombstones").version() == -1


def _hold(root: str, pipe: Any) -> None:
    with Catalog(root).lock("rebuild"):
        pipe.send("held")
        pipe.recv()


def _forget_and_die(root: str, victim: str, calls: int) -> None:
    """Kill this process with -9 before the n-th change of the catalog."""
    left = [calls]

    def counted(change: Any) -> Any:
        def dying(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **options)

        return dying

    for owner, names in (
        (Table, ("append", "replace")),
        (PackStore, ("writer", "remove")),
        (Root, ("write_bytes", "move", "remove")),
    ):
        for name in names:
            setattr(owner, name, counted(getattr(owner, name)))
    forget(Catalog(root), victim, "x", rewrite_versions=True)


@pytest.mark.parametrize("calls", [1, 4, 7, 10, 14, 18, 21])
def test_killed_then_called_again_it_is_finished(
    catalog: Catalog, members: pa.Table, calls: int
) -> None:
    victim, other = victim_of(members), members["image_id"][5].as_py()
    add_rows(catalog, victim, other)
    needles, kept = stored(catalog, victim), stored(catalog, other)
    version = freeze(catalog, members)
    process = PROCESSES.Process(target=_forget_and_die, args=(catalog.root.path, victim, calls))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    forget(catalog, victim, "x", rewrite_versions=True)
    assert holding(catalog, needles) == []
    assert stored(catalog, other) == kept
    assert verify(version.path) == []
    assert load_version(catalog).manifest["redacted"] == [victim]
    assert load_version(catalog).items == 9
    for row in catalog.table("features").read().to_pylist():
        data = catalog.standard(RECIPE).read(PackRef(row["pack"], row["offset"], row["length"]))
        assert blake3(data).hexdigest() == row["standard_hash"]
    assert collect(catalog, grace_seconds=0).bytes == 0
