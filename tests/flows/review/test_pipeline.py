"""What the page is handed of the pipeline: heavy and hostile work ends in other processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from data_catalog.forgetting import forget
from data_catalog.tables import Table
from flows import inspect
from flows.review.pipeline import CatalogPipeline
from flows.settings import parse
from review_ui.errors import BusyError, NotFoundError, ReviewError
from review_ui.pictures import Kind
from review_ui.store import projection, queues
from tests.flows.review.test_command import at_desk
from tests.flows.world import World, fill
from tests.review_ui.feeds import Item, feed, item_id
from tests.review_ui.site import opened, picture

pytestmark = pytest.mark.xdist_group("prefect")

KINDS: tuple[Kind, ...] = ("thumb", "standard", "original")


def grey(side: int) -> bytes:
    """Give a black picture as PNG, a thousandth of what it is unpacked."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side * (side + 1)), 1)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture
def pipeline(tmp_path: Path, _warm_workers: None) -> Iterator[CatalogPipeline]:
    """The pipeline of a catalog that was never filled."""
    config = parse({"dataset": {"root": "empty"}}, name="nonesuch.toml", folder=tmp_path)
    pipeline = CatalogPipeline(config, tmp_path / "nonesuch.toml")
    yield pipeline
    pipeline.close()


def workers() -> dict[int, int]:
    """Give the processes of all pools, with the hundredths of a second that each has worked."""
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    found: dict[int, int] = {}
    for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split():
        with contextlib.suppress(OSError):
            # After the name, which may have spaces: state, 10 numbers, times of user and system.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[int(pid)] = int(fields[11]) + int(fields[12])
    return found


def test_an_original_whose_worker_is_killed_is_an_error_and_not_the_end(
    pipeline: CatalogPipeline,
) -> None:
    good, slow = picture(1)[0], grey(9_900)
    assert pipeline.render(good)[:3] == b"\xff\xd8\xff"
    idle, over = workers(), threading.Event()
    killed: set[int] = set()

    def kill() -> None:
        while not over.wait(0.01):
            for worker, worked in workers().items():
                if worked - idle.get(worker, 0) >= 20 and worker not in killed:
                    killed.add(worker)
                    os.kill(worker, signal.SIGKILL)

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(kill)
        try:
            with pytest.raises(NotFoundError, match="crashed_worker"):
                pipeline.render(slow)
        finally:
            over.set()
        done.result()
    # Any death may be by chance: it is tried once more.
    assert len(killed) == 2
    assert pipeline.render(good)[:3] == b"\xff\xd8\xff"


def test_a_worker_that_dies_between_two_originals_is_replaced(pipeline: CatalogPipeline) -> None:
    good = picture(1)[0]
    before = set(workers())
    assert pipeline.render(good)[:3] == b"\xff\xd8\xff"
    [idle] = set(workers()) - before
    os.kill(idle, signal.SIGKILL)
    while idle in workers():
        pass
    assert pipeline.render(good)[:3] == b"\xff\xd8\xff"


def test_a_bomb_is_an_error_on_the_page_and_the_next_original_is_shown(
    tmp_path: Path, pipeline: CatalogPipeline
) -> None:
    with opened(tmp_path, f"sqlite:///{tmp_path}/review.sqlite", [Item("x")]) as site:
        site.pipeline.renders = pipeline.render
        with site.desk.catalog.raw.writer() as writer:
            bombs = [writer.add(f"{side}", grey(side)) for side in (12_000, 30_000)]
            good = writer.add("good", picture(1)[0])
        items = [
            Item(n, (), {"raw_pack": at.pack, "raw_offset": at.offset, "raw_length": at.length})
            for n, at in enumerate([*bombs, good])
        ]
        site.pipeline.build = "2"  # or the desk would go back to the build that it knows of
        projection.replace(site.desk.database, feed(items, "2"))
        site.desk.builds.forget()
        client = site.client("ann")
        for n in range(2):
            answer = client.get(f"/images/{item_id(n)}/original")
            assert (answer.status, answer.json["error"]) == (404, "not_found")
            assert "pixels" in answer.json["message"]
        assert client.get("/api/health").status == 200
        answer = client.get(f"/images/{item_id(2)}/original")
        assert (answer.status, answer.body[:3]) == (200, b"\xff\xd8\xff")


# ---- Everything known. ---------------------------------------------------------------------------


def test_everything_known_is_looked_up_elsewhere_and_kept_while_it_holds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(*_: object) -> Any:
        raise AssertionError("looked up in this process")

    fill(world.images, range(2))
    world.rebuild()
    monkeypatch.setattr(inspect, "why", here)
    pipeline = CatalogPipeline(world.config(), world.folder / "nonesuch.toml")
    item = world.image_id("0000.jpg")
    try:
        known = pipeline.explain(item)
        assert json.dumps(known, allow_nan=False)
        assert known["observations"][0]["locator"] == "0000.jpg"
        assert known["versions"] == []
        assert pipeline.explain(item) is known
        world.publish()
        assert pipeline.explain(item)["versions"] == [1]
        forget(world.catalog, item, "asked for")
        assert pipeline.explain(item)["tests"] == []
    finally:
        pipeline.close()


def test_few_are_told_everything_at_a_time(pipeline: CatalogPipeline) -> None:
    for _ in range(2):
        assert pipeline._explaining.acquire(blocking=False)
    with pytest.raises(BusyError, match="try again in a moment"):
        pipeline.explain(item_id("a"))


# ---- Takedown. -----------------------------------------------------------------------------------


def test_what_was_forgotten_is_not_shown_from_memory(world: World) -> None:
    fill(world.images, range(2))
    world.rebuild()
    gone, kept = (world.image_id(f"000{n}.jpg") for n in range(2))
    with at_desk(world) as desk:
        number = desk.build().number
        for item in (gone, kept):
            for kind in KINDS:
                desk.pictures.find(desk.database, number, item, kind)
        forget(world.catalog, gone, "asked for")
        for kind in KINDS:
            assert desk.pictures.at_hand(number, gone, kind) is None
            with pytest.raises(NotFoundError, match="any more"):
                desk.pictures.find(desk.database, number, gone, kind)
            assert desk.pictures.find(desk.database, number, kept, kind)[0]


def test_what_moved_is_looked_for_once_whatever_pages_say(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    read = Table.read

    def reading(table: Table, *arguments: Any) -> Any:
        looked.append(table.name)
        return read(table, *arguments)

    fill(world.images, range(5))
    world.rebuild()
    ids = [world.image_id(f"000{n}.jpg") for n in range(5)]
    with at_desk(world) as desk:
        number = desk.build().number
        with desk.database.reading() as connection:
            rows = list(queues.items_by_id(connection, number, ids).values())
        forget(world.catalog, ids[0], "asked for")
        monkeypatch.setattr(Table, "read", reading)
        for _ in range(2):
            desk.pictures.remember(number, rows)
            for item in ids[1:]:
                for kind in KINDS:
                    assert desk.pictures.find(desk.database, number, item, kind)[0]
        # Where the one is, and what is beside it.
        assert sorted(looked) == ["features"] * 2 + ["images"] * 2
        desk.pictures.remember(number, rows)
        assert desk.pictures.at_hand(number, ids[1], "thumb") is not None


# ---- Secrets. ------------------------------------------------------------------------------------


def test_the_databases_url_stays_out_of_prefect_the_catalog_and_versions(world: World) -> None:
    from prefect.client.orchestration import get_client

    fill(world.images, range(2))
    secret = "not-for-anybody-else"
    review = {"database": f"sqlite:///{world.folder}/{secret}/review.sqlite"}
    world.rebuild(review=review)
    world.publish(review=review)
    with get_client(sync_client=True) as client:
        runs = [run.model_dump_json() for run in client.read_flow_runs()]
    assert any(str(world.folder) in run for run in runs)
    assert [run for run in runs if secret in run] == []
    for file in (world.folder / world.root).rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_what_is_asked_for_after_the_end_starts_nothing(pipeline: CatalogPipeline) -> None:
    pipeline.close()
    with pytest.raises(ReviewError, match="stopping"):
        pipeline.render(b"")
    assert pipeline._renderer._pool is None
