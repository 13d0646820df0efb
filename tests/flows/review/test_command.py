"""From flagged pictures through the review page into the next build and the next version."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_catalog.decisions import record
from data_catalog.forgetting import forget
from data_catalog.schema import DECISIONS
from flows.decisions import STORE, Exchanged, exchange_decisions, exchange_with
from flows.review.pipeline import CatalogPipeline, make_feed
from flows.settings import ConfigError
from review_ui.desk import Desk, open_desk
from review_ui.errors import NotFoundError, StoreError
from review_ui.loop import Options
from review_ui.store import exchange, queues
from review_ui.store.database import open_database
from review_ui.store.deciding import Decision, Outcome, Submission, states_of
from tests.flows.world import REPOSITORY, World, fill
from tests.review_ui.site import Client

pytestmark = pytest.mark.xdist_group("prefect")

# So that some of the drawn pictures are flagged: a few lie beyond these.
FLAGGING = {"too_few_bytes": {"min_bytes": 1_000_000}}


@contextmanager
def at_desk(world: World, **changes: Any) -> Iterator[Desk]:
    """Open the page's desk over the real pipeline, without a server."""
    config = world.config(**changes)
    pipeline = CatalogPipeline(config, world.folder / "nonesuch.toml")
    database = open_database(f"sqlite:///{world.folder / world.root / STORE}")
    desk = open_desk("shoes", config.review, world.catalog, database, pipeline)
    try:
        desk.look()
        yield desk
    finally:
        desk.close()
        pipeline.close()


def say(desk: Desk, item: str, verdict: Any, **more: Any) -> Outcome:
    """Decide as the page does."""
    with desk.database.reading() as connection:
        row = queues.items_by_id(connection, desk.build().number, [item])[item]
    decision = Decision(str(uuid.uuid4()), item, verdict, base=row.head, **more)
    return desk.writer.decide(Submission("ann", "page", [decision])).result()[0].outcome


def standings(desk: Desk) -> dict[str, tuple[str, str | None]]:
    """Give standing and reviewer by locator."""
    desk.builds.forget()
    with desk.database.reading() as connection:
        page = queues.item_rows().where(queues.review_item.c.build == desk.build().number)
        return {row.locator: (row.standing, row.reviewer) for row in connection.execute(page)}


def verdicts(world: World) -> dict[str, str]:
    return {locator: verdict for locator, (verdict, _) in world.verdicts().items()}


def test_decisions_of_the_page_count_in_the_next_build_and_in_all_after(world: World) -> None:
    fill(world.images, range(4))
    world.rebuild(rules=FLAGGING)
    ids = [world.image_id(f"{n:04d}.jpg") for n in range(4)]
    with at_desk(world, rules=FLAGGING) as desk:
        assert set(standings(desk).values()) == {("open", None)}
        assert say(desk, ids[0], "accepted", tags=("left",)) is Outcome.SAVED
        assert say(desk, ids[1], "rejected", reasons=("too_few_bytes",)) is Outcome.SAVED
        assert say(desk, ids[2], "undecided", tags=("worn",)) is Outcome.SAVED
        before = desk.build().build_id

        assert world.rebuild(rules=FLAGGING).build != before
        said = {"0000.jpg": "accepted", "0001.jpg": "rejected"}
        assert verdicts(world) == {**said, "0002.jpg": "flagged", "0003.jpg": "flagged"}
        desk.look()
        assert standings(desk) == {
            "0000.jpg": ("accepted", "ann"),
            "0001.jpg": ("rejected", "ann"),
            "0002.jpg": ("open", "ann"),
            "0003.jpg": ("open", None),
        }
    # Other rules, and another recipe: every word holds.
    world.rebuild()
    assert verdicts(world) == {**said, "0002.jpg": "accepted", "0003.jpg": "accepted"}
    world.rebuild(recipe={"width": 64, "height": 64}, rules=FLAGGING)
    assert verdicts(world) == {**said, "0002.jpg": "flagged", "0003.jpg": "flagged"}
    rows = {row["item_id"]: row for row in world.table("decisions").to_pylist()}
    assert rows[ids[1]]["reasons"] == ["too_few_bytes"]
    assert rows[ids[0]]["reviewer"] == "ann"
    # Nothing new: nothing is written.
    version = world.versions()["decisions"]
    world.rebuild(recipe={"width": 64, "height": 64}, rules=FLAGGING)
    assert world.versions()["decisions"] == version


def test_publishing_takes_what_was_just_decided_with_its_tags(world: World) -> None:
    from data_catalog.versions import load_version, read_members

    fill(world.images, range(3))
    world.rebuild()
    with at_desk(world) as desk:
        say(desk, world.image_id("0000.jpg"), "rejected")
        say(desk, world.image_id("0001.jpg"), "undecided", tags=("mirrored", "left"))
        first = world.publish()
        say(desk, world.image_id("0001.jpg"), "undecided", tags=("mirrored",))
        second = world.publish()
    assert (first.version, first.items, second.version) == (1, 2, 2)
    rows = read_members(load_version(world.catalog).path).to_pylist()
    tags = {row["image_id"]: row["tags"] for row in rows}
    assert tags == {world.image_id("0001.jpg"): ["mirrored"], world.image_id("0002.jpg"): []}


def test_a_word_of_the_command_line_takes_no_tags_and_no_note_away(world: World) -> None:
    from data_catalog.versions import load_version, read_members

    fill(world.images, range(2))
    world.rebuild()
    item = world.image_id("0000.jpg")
    with at_desk(world) as desk:
        say(desk, item, "rejected", tags=("mirrored",), note="torn", reasons=("blurred",))
        # The catalog has not heard of that yet.
        world.decide("0000.jpg", "accepted", "bob")
        world.publish()
        with desk.database.reading() as connection:
            held = states_of(connection, [item])[item]
    assert (held.verdict, held.reviewer) == ("accepted", "bob")
    assert (held.tags, held.note, held.reasons) == (("mirrored",), "torn", ())
    rows = read_members(load_version(world.catalog).path).to_pylist()
    assert {row["image_id"]: row["tags"] for row in rows}[item] == ["mirrored"]


def test_two_exchanges_that_meet_double_nothing(world: World) -> None:
    catalog = world.catalog
    items = [f"{n:064x}" for n in range(300)]
    rows = [
        {"item_id": item, "verdict": "accepted", "reviewer": "cli", "decided_at": clock_at(n)}
        for n, item in enumerate(items[:50])
    ]
    record(catalog, pa.Table.from_pylist(rows, schema=DECISIONS))
    with at_desk(world) as desk:
        decisions = [Decision(str(uuid.uuid4()), item, "rejected") for item in items]
        desk.writer.decide(Submission("ann", "page", decisions)).result()
        begin = threading.Barrier(3)

        def meet() -> None:
            begin.wait()
            exchange_with(desk.database, catalog)

        with ThreadPoolExecutor(3) as pool:
            for future in [pool.submit(meet) for _ in range(3)]:
                future.result()
        with desk.database.reading() as connection:
            stored = len(list(exchange.rows_of(connection, whole_history=True)))
    # What the command line said is older than what the page says.
    assert (world.table("decisions").num_rows, stored) == (350, 300)


def test_a_restore_that_is_killed_goes_on_where_it_was(world: World) -> None:
    """Killed as its second piece is about to be there; many people's words, mixed."""
    count = 2 * exchange.AT_ONCE + 500
    rows = [
        {
            "item_id": f"{n % 900:064x}",
            "verdict": ("accepted", "rejected")[n % 2],
            "tags": [f"t{n % 7}"],
            "reasons": [],
            "reviewer": f"r{n % 20}",
            "decided_at": clock_at(n),
            "event": str(uuid.UUID(int=n)),
        }
        for n in range(count)
    ]
    record(world.catalog, pa.Table.from_pylist(rows, schema=DECISIONS))
    root = world.folder / world.root
    code = (
        "import os, sys\n"
        "from sqlalchemy import event\n"
        "from data_catalog.catalog import Catalog\n"
        "from flows.decisions import exchange_with\n"
        "from review_ui.store.database import open_database\n"
        "database = open_database(f'sqlite:///{sys.argv[1]}/review.sqlite')\n"
        "commits = []\n"
        "def count(connection):\n"
        "    commits.append(1)\n"
        "    if len(commits) == 2: os.kill(os.getpid(), 9)\n"
        "event.listen(database.engine, 'commit', count)\n"
        "exchange_with(database, Catalog(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", code, str(root)]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL
    database = open_database(f"sqlite:///{root}/{STORE}")

    def stored() -> list[tuple[str, str]]:
        with database.reading() as connection:
            history = exchange.rows_of(connection, whole_history=True)
            return [(row["event"], row["reviewer"]) for row in history]

    said = [(str(row["event"]), str(row["reviewer"])) for row in rows]
    assert stored() == said[: exchange.AT_ONCE]
    assert exchange_with(database, world.catalog).to_store == count - exchange.AT_ONCE
    assert stored() == said
    assert exchange_with(database, world.catalog) == Exchanged(0, 0)
    database.close()


def clock_at(minute: int) -> datetime:
    """Give a time of the first days of 2026."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)


def test_words_of_the_command_line_reach_the_page(world: World) -> None:
    fill(world.images, range(3))
    world.rebuild()
    with at_desk(world) as desk:
        say(desk, world.image_id("0000.jpg"), "rejected")
        world.decide("0000.jpg", "accepted", "bob")
        world.decide("0001.jpg", "rejected", "bob")
        for _ in range(2):
            exchanged = exchange_decisions(world.config(), world.catalog)
        assert (exchanged.to_catalog, exchanged.to_store) == (0, 0)
        found = standings(desk)
        assert found["0000.jpg"] == ("accepted", "bob")
        assert found["0001.jpg"] == ("rejected", "bob")
    world.rebuild()
    assert verdicts(world)["0000.jpg"] == "accepted"


def test_a_lost_store_is_filled_again_from_the_catalog(world: World) -> None:
    fill(world.images, range(2))
    world.rebuild()
    item = world.image_id("0000.jpg")
    with at_desk(world) as desk:
        say(desk, item, "rejected", tags=("x",), note="torn", reasons=("blurred",))
        say(desk, item, "accepted", tags=("y",))
        world.rebuild()
    for file in (world.folder / world.root).glob(f"{STORE}*"):
        file.unlink()
    with at_desk(world) as desk:
        assert standings(desk)["0000.jpg"] == ("accepted", "ann")
        with desk.database.reading() as connection:
            history = list(exchange.rows_of(connection, whole_history=True))
        assert [row["verdict"] for row in history] == ["rejected", "accepted"]
        assert (history[0]["note"], history[0]["tags"]) == ("torn", ["x"])
        assert exchange_decisions(world.config(), world.catalog).to_catalog == 0


def test_without_its_store_a_rebuild_does_not_go_on(world: World) -> None:
    fill(world.images, range(1))
    gone = {"database": "postgresql://nobody@127.0.0.1:1/review"}
    with pytest.raises(StoreError, match="cannot be reached"):
        world.rebuild(review=gone)
    assert "verdicts" not in {p.name for p in (world.folder / world.root).iterdir()}


def test_a_remote_catalog_needs_a_database_for_review(world: World) -> None:
    from flows.decisions import store_url

    config = world.config()
    remote = config.dataset.model_copy(update={"root": "s3://bucket/shoes"})
    with pytest.raises(ConfigError, match=r"review\.database"):
        store_url(config.model_copy(update={"dataset": remote}))


def test_tokens_stay_out_of_the_catalog_and_of_versions(world: World) -> None:
    fill(world.images, range(2))
    secret = "not-for-the-catalog-at-all"
    world.rebuild(review={"admin_token": secret})
    world.publish(review={"admin_token": secret})
    for file in world.folder.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_the_page_is_told_of_new_builds_and_finds_pictures_that_were_moved(world: World) -> None:
    fill(world.images, range(3))
    pipeline = CatalogPipeline(world.config(), world.folder / "nonesuch.toml")
    assert pipeline.latest_build() is None
    assert make_feed(world.config(), world.catalog) is None
    build = world.rebuild().build
    assert pipeline.latest_build() == build
    # Half way through another rebuild there is no build that is whole.
    report = (world.folder / world.root / "report.html").read_bytes()
    (world.folder / world.root / "report.html").unlink()
    assert pipeline.latest_build() is None
    (world.folder / world.root / "report.html").write_bytes(report)
    with at_desk(world) as desk:
        # Others in the same packs are written to new ones.
        forget(world.catalog, world.image_id("0001.jpg"), "asked for")
        number = desk.build().number
        for name in ("0000.jpg", "0002.jpg"):
            item = world.image_id(name)
            for kind in ("thumb", "standard", "original"):
                data, _ = desk.pictures.find(desk.database, number, item, kind)  # type: ignore[arg-type]
                assert len(data) > 100
        with pytest.raises(NotFoundError, match="any more"):
            desk.pictures.find(desk.database, number, world.image_id("0001.jpg"), "thumb")
    pipeline.close()


def test_an_original_that_is_no_picture_is_an_error_and_the_next_is_shown(world: World) -> None:
    pipeline = CatalogPipeline(world.config(), world.folder / "nonesuch.toml")
    fill(world.images, [1])
    data = (world.images / "0001.jpg").read_bytes()
    try:
        with pytest.raises(Exception, match="cannot be shown"):
            pipeline.render(b"<html>no picture</html>")
        assert pipeline.render(data)[:3] == b"\xff\xd8\xff"
    finally:
        pipeline.close()


def test_everything_known_is_told_in_json(world: World) -> None:
    fill(world.images, range(2))
    world.rebuild()
    pipeline = CatalogPipeline(world.config(), world.folder / "nonesuch.toml")
    known = pipeline.explain(world.image_id("0000.jpg"))
    assert json.dumps(known, allow_nan=False)
    assert {test["rule"] for test in known["tests"]} >= {"too_small", "too_few_bytes"}
    assert known["observations"][0]["locator"] == "0000.jpg"
    pipeline.close()


def test_the_command_serves_publishes_and_ends_in_good_order(world: World) -> None:
    fill(world.images, range(3))
    world.rebuild()
    world.write_config()
    process = world.start("review", "--port", "0", "--json")
    assert process.popen.stdout is not None
    line = json.loads(process.popen.stdout.readline())
    client = Client(line["address"])
    assert client.log_in("ann").json["role"] == "admin"
    item = world.image_id("0001.jpg")
    wait_for(lambda: client.get("/api/queues").json["sync"]["state"] == "ready")
    sent = {"uuid": str(uuid.uuid4()), "item": item, "verdict": "rejected"}
    assert client.post("/api/decisions", {"decisions": [sent]}).status == 200
    assert client.post("/api/jobs/publish", {}).status == 202
    wait_for(lambda: client.get("/api/jobs/publish").json["state"] != "running")
    state = client.get("/api/jobs/publish").json
    assert (state["state"], state["version"], state["items"]) == ("done", 1, 2), state
    assert client.get(state["report"]).status == 200
    process.popen.send_signal(signal.SIGTERM)
    outcome = process.outcome()
    assert outcome.code == 0, outcome.err
    # What it left is whole: copies, files in and out.
    copied = world.run("review", "--backup", "copy.sqlite", "--json").json
    assert copied["bytes"] == (world.folder / "copy.sqlite").stat().st_size
    assert world.run("review", "--backup", "copy.sqlite").code == 1
    assert world.run("review", "--export", "out.csv", "--json").json["decisions"] == 1
    assert item in (world.folder / "out.csv").read_text()
    other = world.image_id("0002.jpg")
    (world.folder / "in.csv").write_text(f"item,verdict\n{other},reject\nnonsense,reject\n")
    read = world.run("review", "--import", "in.csv", "--reviewer", "bob", "--json").json
    assert (read["read"], read["saved"], len(read["errors"])) == (2, 1, 1)
    assert world.run("review", "--import", "in.txt").code == 1
    world.rebuild()
    assert verdicts(world) == {
        "0000.jpg": "accepted",
        "0001.jpg": "rejected",
        "0002.jpg": "rejected",
    }


def test_the_link_with_the_token_is_shown_on_a_terminal_alone(world: World) -> None:
    fill(world.images, range(1))
    token = "only-for-the-eyes-of-the-admin"
    file = world.write_config(review={"admin_token": token})

    def greeting(stdout: int, read: int) -> str:
        command = [sys.executable, "-m", "flows.cli", "review", "--port", "0", "-c", str(file)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with subprocess.Popen(command, stdout=stdout, env=environment) as process:
            os.close(stdout)
            said = b""
            while not said.endswith(b"\n"):
                piece = os.read(read, 1_000)
                assert piece, said
                said += piece
            address = re.search(rb"http://[^/]+/", said)
            assert address is not None, said
            # It listens to signals once it answers.
            assert Client(address[0].decode()).get("/api/health").status == 200
            process.terminate()
        os.close(read)
        return said.decode()

    read, write = os.pipe()
    into_file = greeting(write, read)
    assert token not in into_file
    assert re.search(r"http://\S+:\d+/ \(log in with `review\.admin_token`", into_file)
    terminal, program = pty.openpty()
    assert f"/login#token={token} (Ctrl-C stops)" in greeting(program, terminal)


def test_a_failed_publish_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", world.server)
    fill(world.images, range(1))
    world.rebuild()
    world.write_config()
    with at_desk(world) as desk:
        say(desk, world.image_id("0000.jpg"), "rejected")
        desk.jobs.start("publish", Options(), "ann")
        wait_for(lambda: desk.jobs.state("publish").state != "running")
        state = desk.jobs.state("publish")
    assert state.state == "failed"
    assert "nothing to publish" in state.message


def test_a_public_bind_without_a_token_does_not_start(world: World) -> None:
    world.write_config()
    outcome = world.run("review", "--host", "0.0.0.0", "--port", "0")
    assert outcome.code == 1
    assert "admin_token" in outcome.err
    tokens = world.run("review", "--new-token")
    assert tokens.code == 0
    found = re.findall(r'"(\S{32})"', tokens.out)
    assert len(set(found)) == 2


def wait_for(is_so: Any, seconds: float = 90) -> None:
    """Wait until something is so."""
    import time

    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "that took too long"
        time.sleep(0.1)


def test_paths_of_a_database_are_relative_to_the_configuration(tmp_path: Path) -> None:
    from flows.settings import parse

    config = parse({"review": {"database": "sqlite:///here/r.sqlite"}}, name="x", folder=tmp_path)
    assert config.review.database is not None
    assert config.review.database.get_secret_value() == f"sqlite:///{tmp_path}/here/r.sqlite"
