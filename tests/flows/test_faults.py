"""Killed at any moment, out of disk, refused by the root: then the same command again."""

from __future__ import annotations

import os
import resource
import signal
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from curation.synthetic.drawing import encode
from data_catalog.garbage import collect
from data_catalog.locks import LOCK_NAME
from data_catalog.versions import verify
from tests.flows.world import Outcome, World, fill, product

pytestmark = pytest.mark.xdist_group("prefect")

# NONESUCH_KILLS=10 takes more of them, which is minutes longer.
MOMENTS = int(os.environ.get("NONESUCH_KILLS", "2"))


@dataclass
class Undisturbed:
    """What a run that nobody disturbs comes to, and how long it works."""

    folder: Path
    seconds: float
    hash: str
    images: int


def _sources(folder: Path) -> list[dict[str, str]]:
    return [
        {"kind": "folder", "path": str(folder / "images")},
        {"kind": "archive", "path": str(folder / "more.zip")},
        {"kind": "folder", "path": str(folder / "late")},
    ]


def _world(folder: Path, server: str, sources: Path) -> World:
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder, server)
    world.raw = {**world.raw, "sources": _sources(sources)}
    world.write_config()
    return world


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    fill(folder / "images", range(60))
    fill(folder / "late", range(100, 120))
    (folder / "late" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (folder / "late" / "copy.jpg").write_bytes(encode(product(3), ".jpg", 60))
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        for seed in range(200, 220):
            archive.writestr(f"{seed}.jpg", encode(product(seed), ".jpg", 92))
    world = _world(folder, prefect_server, folder)
    process = world.start("rebuild", "--json")
    process.wait_for((folder / world.root / LOCK_NAME).exists)
    began = time.monotonic()
    outcome = process.outcome()
    seconds = time.monotonic() - began
    assert outcome.code == 0, outcome.err
    assert outcome.json["standardized"] == 102
    return Undisturbed(folder, seconds, world.publish().hash, outcome.json["new"])


def _assert_nothing_runs(session: int) -> None:
    """Wait until no process of a killed command is left: none may write on."""

    def left() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == session and process.status() != "zombie":
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    until = time.monotonic() + 20
    while left():
        assert time.monotonic() < until, left()
        time.sleep(0.05)


def _assert_whole(world: World) -> None:
    """Whatever is committed is there once, and its bytes are where it says."""
    from data_catalog.packs import PackRef

    images = world.table("images").to_pylist()
    assert len({row["image_id"] for row in images}) == len(images)
    refs = [PackRef(row["pack"], row["offset"], row["length"]) for row in images]
    for row, data in zip(images, world.catalog.raw.read_many(refs), strict=True):
        assert len(data) == row["bytes"]
    features = world.table("features").to_pylist()
    assert len({(row["item_id"], row["recipe"]) for row in features}) == len(features)
    done = [row for row in features if row["pack"] is not None]
    if done:
        store = world.catalog.standard(done[0]["recipe"])
        refs = [PackRef(row["pack"], row["offset"], row["length"]) for row in done]
        assert all(data.startswith(b"\xff\xd8") for data in store.read_many(refs))
    known = {row["image_id"] for row in images}
    observed = world.table("observations")["image_id"].drop_null().to_pylist()
    assert set(observed) <= known


def _finish(world: World, undisturbed: Undisturbed) -> None:
    """Run the same job to its end; it does what was not done, and comes to the same."""
    _assert_whole(world)
    stored = world.table("images").num_rows
    done = world.table("features").num_rows
    summary = world.rebuild()
    assert summary.new == undisturbed.images - stored
    assert summary.standardized == undisturbed.images - done
    _assert_whole(world)
    version = world.publish()
    assert version.hash == undisturbed.hash
    # What the kill left behind goes; the rest stays and serves.
    collect(world.catalog)
    root = world.folder / world.root
    assert not list(root.rglob(".tmp-*"))
    _assert_whole(world)
    assert verify(version.path) == []
    again = world.rebuild()
    assert (again.new, again.standardized, again.build) == (0, 0, summary.build)


@pytest.mark.parametrize("number", range(MOMENTS))
def test_killed_at_any_moment_the_same_command_comes_to_the_same(
    tmp_path: Path, undisturbed: Undisturbed, prefect_server: str, number: int
) -> None:
    moment = (number + np.random.default_rng(number).random()) / MOMENTS
    world = _world(tmp_path, prefect_server, undisturbed.folder)
    process = world.start("rebuild")
    process.wait_for((tmp_path / world.root / LOCK_NAME).exists)
    time.sleep(moment * undisturbed.seconds)
    process.kill()
    _assert_nothing_runs(process.popen.pid)
    _finish(world, undisturbed)


def test_killed_over_and_over(
    tmp_path: Path, undisturbed: Undisturbed, prefect_server: str
) -> None:
    """Kill one run after another as soon as it has committed something."""
    world = _world(tmp_path, prefect_server, undisturbed.folder)
    for name in ("images", "features", "verdicts"):
        process = world.start("rebuild")
        committed = tmp_path / world.root / "catalog" / name / "_delta_log" / f"{0:020}.json"
        process.wait_for(committed.exists)
        process.kill()
        _assert_nothing_runs(process.popen.pid)
    outcome = world.run("rebuild", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["new"] + world.table("images").num_rows >= undisturbed.images
    _finish(world, undisturbed)


def test_stopped_by_hand(tmp_path: Path, undisturbed: Undisturbed, prefect_server: str) -> None:
    world = _world(tmp_path, prefect_server, undisturbed.folder)
    process = world.start("rebuild")
    images = tmp_path / world.root / "catalog" / "images" / "_delta_log" / f"{0:020}.json"
    process.wait_for(images.exists)
    process.popen.send_signal(signal.SIGINT)
    outcome = process.outcome()
    assert outcome.code == 130
    assert "the same command goes on from here" in outcome.err
    assert "Traceback" not in outcome.err
    _assert_nothing_runs(process.popen.pid)
    _finish(world, undisturbed)


def test_killed_while_another_threshold_is_judged_then_back_to_the_first(world: World) -> None:
    """A build that was written half must not be taken for the one before it."""
    from flows import tasks

    fill(world.images, range(3))
    first = world.rebuild()
    before = world.table("builds").num_rows
    config = world.config(rules={"too_small": {"min_side": 121}})
    selection = tasks.select_items.fn(config)
    tasks.judge_items.fn(config, selection)
    builds = world.catalog.table("builds")
    builds.replace(builds.read().slice(0, before))  # as if killed before its row was there
    assert {verdict for verdict, _ in world.verdicts().values()} == {"rejected"}
    assert world.rebuild().build == first.build
    assert {verdict for verdict, _ in world.verdicts().values()} == {"accepted"}
    assert world.publish().items == 3


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _refused(outcome: Outcome) -> str:
    """Give the one line that tells of an error."""
    assert outcome.code == 1, outcome
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    return line


def test_a_full_disk_leaves_the_catalog_as_it_was(world: World) -> None:
    fill(world.images, range(4))
    first = world.rebuild()
    world.publish()
    versions, packs = world.versions(), world.packs()
    fill(world.images, range(10, 40))
    world.write_config()
    size = sum((world.images / f"{seed:04}.jpg").stat().st_size for seed in range(10, 40))
    line = _refused(world.run("rebuild", "--json", prepare=partial(_limit_files, size // 2)))
    assert "File too large" in line
    assert "run it again" in line
    assert world.versions() == versions
    assert world.packs() == packs
    assert not list((world.folder / world.root).rglob(".tmp-*"))
    assert world.table("verdicts").num_rows == first.items
    outcome = world.run("rebuild", "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.json["new"], outcome.json["accepted"]) == (30, 34)


def test_a_disk_that_fills_at_the_end_is_told_and_the_next_run_goes_on(world: World) -> None:
    """The report is the largest file: all before it is kept, and not done again."""
    fill(world.images, range(4))
    first = world.rebuild()
    report = world.folder / world.root / "report.html"
    page = report.read_text()
    world.write_config(rules={"too_small": {"min_side": 121}})
    line = _refused(
        world.run("rebuild", "--json", prepare=partial(_limit_files, len(page.encode()) // 2))
    )
    assert "report.html" in line
    _assert_whole(world)
    # Under the old threshold all is as it was, under the new one it is what was asked for.
    again = world.rebuild()
    assert (again.build, again.accepted, again.standardized) == (first.build, 4, 0)
    assert first.build in report.read_text()
    assert world.run("rebuild", "--json").json["rejected"] == 4


@pytest.mark.parametrize("command", ["rebuild", "publish", "gc"])
def test_a_root_below_a_file_is_refused(
    world: World, command: str, in_this_process: Callable[..., Outcome]
) -> None:
    fill(world.images, range(2))
    (world.folder / "file").write_text("mine")
    world.root = "file/catalog"
    file = world.write_config()
    line = _refused(in_this_process(command, "-c", str(file)))
    assert str(world.folder / "file") in line
    assert "set `root` to another folder" in line
    assert (world.folder / "file").read_text() == "mine"
    world.root = "catalog"
    assert world.rebuild().accepted == 2


def test_two_commands_at_once_one_wins_the_other_says_why(world: World) -> None:
    fill(world.images, range(30))
    world.write_config()
    both = [world.start("rebuild", "--json") for _ in range(2)]
    outcomes = [process.outcome() for process in both]
    won = [outcome for outcome in outcomes if outcome.code == 0]
    assert won
    for outcome in outcomes:
        if outcome.code:
            line = _refused(outcome)
            assert "is in use: " in line
            assert "run the same command again" in line
    assert max(outcome.json["new"] for outcome in won) == 30
    _assert_whole(world)
    assert world.rebuild().accepted == 30
