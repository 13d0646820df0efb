"""What is acknowledged is kept: through kill -9, a locked store, a full disk."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from review_ui.store import database as store
from review_ui.store import projection
from review_ui.store.database import open_database
from review_ui.store.models import decision_event, item_state
from tests.review_ui.feeds import blurred, feed, item_id
from tests.review_ui.serving import serve_store
from tests.review_ui.site import Client, Site

# NONESUCH_KILLS=20 takes more of them, which is a quarter of a minute longer.
KILLS = int(os.environ.get("NONESUCH_KILLS", "3"))
REVIEWERS = 6
ITEMS = 1_000 * KILLS  # more than they get done


# A process that has imported the page already: each start takes a tenth of a second, not seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.review_ui.serving"])


@dataclass
class Server:
    """A page in a process that can be killed and started again at the same address."""

    folder: Path
    port: int = 0
    process: BaseProcess | None = None

    def start(self) -> str:
        """Start it; give its address once it can be reached."""
        heard, ready = PROCESSES.Pipe(duplex=False)
        self.process = PROCESSES.Process(
            target=serve_store, args=(self.folder, self.port, "b", ready), daemon=True
        )
        self.process.start()
        ready.close()
        with heard:
            address: str = heard.recv()
        self.port = int(address.rstrip("/").rpartition(":")[2])
        return address

    def end(self, how: int = signal.SIGKILL) -> None:
        """End it."""
        assert self.process is not None
        assert self.process.pid is not None
        os.kill(self.process.pid, how)
        self.process.join()
        self.process.close()


@dataclass
class Reviewer:
    """Decides without a pause, and sends again what was not acknowledged, as the page does."""

    client: Client
    numbers: list[int]
    acknowledged: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    resent: int = 0

    def work(self, stop: Callable[[], bool]) -> None:
        """Decide until told to stop; what is under way then is still seen to its end."""
        while not stop() and self.numbers:
            taken = [
                self.numbers.pop() for _ in range(min(len(self.numbers), random.randint(1, 4)))
            ]
            batch = [
                {"uuid": str(uuid.uuid4()), "item": item_id(number), "verdict": "rejected"}
                for number in taken
            ]
            self._send(batch)

    def _send(self, batch: list[dict[str, Any]]) -> None:
        while True:
            try:
                answer = self.client.post("/api/decisions", {"decisions": batch})
                break
            except OSError:
                self.resent += 1
                time.sleep(0.05)
            except Exception:  # an answer that was cut short
                self.resent += 1
                time.sleep(0.05)
        assert answer.status == 200, answer.body
        for found in answer.json["outcomes"]:
            self.acknowledged[found["uuid"]] = self.acknowledged.get(found["uuid"], 0) + 1
            self.outcomes[found["outcome"]] = self.outcomes.get(found["outcome"], 0) + 1


@pytest.mark.timeout(280)
def test_kill_9_under_load_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    projection.replace(database, feed([blurred(n, 0.4) for n in range(ITEMS)], "b"))
    database.close()
    server = Server(tmp_path)
    address = server.start()
    reviewers = []
    for number in range(REVIEWERS):
        client = Client(address)
        assert client.log_in(f"reviewer {number}").status == 200
        reviewers.append(Reviewer(client, list(range(number, ITEMS, REVIEWERS))))
    is_over = threading.Event()
    # Where the test fails, they wait for the server for good; the process may end all the same.
    threads = [
        threading.Thread(target=r.work, args=(is_over.is_set,), daemon=True) for r in reviewers
    ]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        time.sleep(random.uniform(0.1, 0.5))
        server.end()
        server.start()
    time.sleep(0.5)
    is_over.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    server.end()

    acknowledged: dict[str, int] = {}
    for reviewer in reviewers:
        acknowledged.update(reviewer.acknowledged)
    outcomes = {
        word: sum(r.outcomes.get(word, 0) for r in reviewers)
        for word in ("saved", "replayed", "conflict", "unknown_item")
    }
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    with database.reading() as connection:
        events = connection.execute(select(decision_event.c.uuid, decision_event.c.item_id)).all()
        states = connection.execute(select(item_state.c.item_id, item_state.c.head)).all()
        whole = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
    database.close()
    # Shown by `pytest -s`.
    sys.stdout.write(
        f"\n{KILLS} kills: {len(acknowledged):,} decisions acknowledged, {len(events):,} stored, "
        f"{sum(r.resent for r in reviewers)} requests sent again, {outcomes}\n"
    )
    stored = [row.uuid for row in events]
    assert whole == "ok"
    assert set(acknowledged) - set(stored) == set()  # none lost
    assert len(stored) == len(set(stored)) == len(acknowledged)  # none doubled, none made up
    assert len({row.item_id for row in events}) == len(events)
    assert {(row.item_id, row.head) for row in states} == {(r.item_id, r.uuid) for r in events}
    assert outcomes["conflict"] == outcomes["unknown_item"] == 0
    assert outcomes["replayed"] + outcomes["saved"] == len(acknowledged)
    assert sum(reviewer.resent for reviewer in reviewers) > 0
    assert all(reviewer.numbers for reviewer in reviewers)  # none ran out of work


def decision(name: object) -> dict[str, Any]:
    return {"uuid": str(uuid.uuid4()), "item": item_id(name), "verdict": "rejected"}


def test_a_locked_store_is_said_and_works_again(
    open_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_BUSY_MS", 100)
    site = open_site([blurred(n, 0.4) for n in range(3)])
    client = site.client("ann")
    assert site.desk.database.path is not None
    with closing(sqlite3.connect(site.desk.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post("/api/decisions", {"decisions": [decision(0)]})
        assert (answer.status, answer.json["error"]) == (503, "store_busy")
        assert "locked by another program" in answer.json["message"]
        assert int(answer.headers["retry-after"]) > 0
        # Looking goes on.
        assert client.post("/api/queues/blurred/page", {}).status == 200
        other.execute("ROLLBACK")
    assert client.post("/api/decisions", {"decisions": [decision(0)]}).status == 200


def test_a_full_disk_is_said_and_works_again(open_site: Callable[..., Site]) -> None:
    site = open_site([blurred(n, 0.4) for n in range(400)])
    client = site.client("ann")
    engine = site.desk.database.engine
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def limit(plain: sqlite3.Connection, *_: object) -> None:
        plain.execute(f"PRAGMA max_page_count = {pages}")

    store.event.listen(engine, "checkout", limit)
    sent = [{**decision(n), "note": "x" * 1_500} for n in range(300)]
    answer = client.post("/api/decisions", {"decisions": sent})
    assert (answer.status, answer.json["error"]) == (507, "disk_full")
    assert "free some room" in answer.json["message"]
    store.event.remove(engine, "checkout", limit)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")
    engine.dispose()
    outcomes = client.post("/api/decisions", {"decisions": sent}).json["outcomes"]
    assert {found["outcome"] for found in outcomes} == {"saved"}


def test_a_stopped_server_writes_what_it_took(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/review.sqlite")
    projection.replace(database, feed([blurred(n, 0.4) for n in range(500)], "b"))
    server = Server(tmp_path)
    client = Client(server.start())
    client.log_in("ann")
    saved: list[str] = []

    def decide() -> None:
        with suppress(OSError):
            for n in range(500):
                answer = client.post("/api/decisions", {"decisions": [decision(n)]})
                saved.extend(found["uuid"] for found in answer.json["outcomes"])

    thread = threading.Thread(target=decide)
    thread.start()
    while len(saved) < 20:
        time.sleep(0.01)
    server.end(signal.SIGTERM)
    thread.join(30)
    with database.reading() as connection:
        stored = set(connection.execute(select(decision_event.c.uuid)).scalars())
    database.close()
    assert set(saved) <= stored
    assert len(stored) - len(saved) <= 1  # one may have been on its way back


def test_a_catalog_that_cannot_be_read_is_said_and_read_later(
    open_site: Callable[..., Site],
) -> None:
    site = open_site([blurred(n, 0.4) for n in range(3)])
    client = site.client("ann")
    whole = site.pipeline.items
    site.pipeline.build, site.pipeline.items = "2", [blurred("x", 0.4, width=None)]
    with pytest.raises(Exception, match=r"null|NOT NULL|Invalid"):
        site.desk.look()
    # The earlier build is still there to be worked on.
    assert len(client.post("/api/queues/blurred/page", {}).json["items"]) == 3
    site.pipeline.items = whole[:2]
    site.desk.look()
    site.desk.builds.forget()
    assert client.get("/api/queues").json["build"]["id"] == "2"
    assert len(client.post("/api/queues/blurred/page", {}).json["items"]) == 2
