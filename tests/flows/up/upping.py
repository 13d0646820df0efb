"""A real `nonesuch up` in another process, and what tests do to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from data_catalog import models
from flows.server import FILE
from flows.up import parts
from review_ui.store.settling import ALL
from tests.flows.trainable import TRAIN
from tests.flows.world import Outcome, Process, World
from training.runs.record import RunRecord, list_runs

SECONDS = 240.0  # a machine that does other things, too
ITEMS = 12
# A dataset that goes round the whole loop in seconds.
RAW: dict[str, Any] = {
    "sources": [{"kind": "folder", "path": "images"}],
    "recipe": {"width": 12, "height": 16, "format": "png"},
    "rules": {name: {"action": "off"} for name in ("too_small", "too_few_bytes", "near_duplicate")},
    "run": {"workers": 1},
    "rank": {"device": "cpu", "shuffles": 2},
    "train": {**TRAIN, "run": {**TRAIN["run"], "total_kimg": 0.32, "snapshot_ticks": 1}},
    "server": {"port": 0},
    "review": {"port": 0},
}


@dataclass
class Up:
    """`nonesuch up --json` under way."""

    world: World
    process: Process
    facts: list[dict[str, Any]] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """Where its database, logs and address are."""
        return self.world.folder / self.world.root / "prefect"

    @property
    def ready(self) -> dict[str, Any]:
        """What it said when it was ready."""
        return next(fact for fact in self.facts if fact.get("ready"))

    def pids(self, part: str | None = None) -> list[int]:
        """Give the process ids of what a part has started, it among them, or of all parts."""
        return sorted(process.pid for process in parts.left_behind(self.home, part))

    def pid(self, part: str) -> int:
        """Give the process id of a part itself."""
        word = {
            "server": "flows.up.prefect_server",
            "runner": "flows.serving.runner",
            "review": "review",
        }
        (found,) = [
            process.pid
            for process in parts.left_behind(self.home, part)
            if word[part] in process.cmdline()
        ]
        return found

    def wait_for(self, what: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Wait until something is so; give what it gave."""
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx.TransportError, StopIteration):
                if found := what():
                    return found
            ended = self.process.popen.poll()
            if time.monotonic() > until or ended is not None:
                raise AssertionError((ended, self.facts, self._said, self.logs()))
            time.sleep(0.05)

    def sleep(self, seconds: float) -> None:
        """Let time pass, in which it must not end."""
        time.sleep(seconds)
        assert self.process.popen.poll() is None, self.logs()

    @contextlib.contextmanager
    def says(self, **facts: Any) -> Iterator[None]:
        """Wait after the body until it has said something in or after it."""
        seen = len(self.facts)
        yield
        self.wait_for(lambda: any(facts.items() <= one.items() for one in self.facts[seen:]))

    def post(self, path: str, **body: Any) -> Any:
        """Ask Prefect."""
        return self._ask("POST", path, body)

    def get(self, path: str) -> Any:
        """Ask Prefect."""
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        def ask() -> httpx.Response | None:
            url = f"{self.ready['prefect']}/api{path}"
            answer = httpx.request(method, url, json=body, timeout=60)
            if answer.status_code in (500, 503):  # its database is busy, or away
                return None
            answer.raise_for_status()
            return answer

        return self.wait_for(ask).json()

    def runs(self) -> list[dict[str, Any]]:
        """Give all flow runs that Prefect knows."""
        return list(self.post("/flow_runs/filter", sort="EXPECTED_START_TIME_DESC"))

    def decide(self, verdict: str) -> str:
        """Decide about an item that the rules accepted on the review page; give its id."""
        with self._reviewing() as client:
            item = self.wait_for(lambda: self._items(client, "accepted"))[0]
            decision = {"uuid": str(uuid.uuid4()), "item": item["id"], "verdict": verdict}
            decision |= {"base": item["head"], "tags": [], "note": "", "batch": str(uuid.uuid4())}
            answer = client.post("/api/decisions", json={"decisions": [decision]})
            answer.raise_for_status()
        return str(item["id"])

    def decisions(self) -> dict[str, str]:
        """Give what was decided on the review page, by item."""
        with self._reviewing() as client:
            items = self.wait_for(
                lambda: self._items(client, "accepted") + self._items(client, "rejected")
            )
            return {one["id"]: one["verdict"] for one in items if one["verdict"]}

    @contextlib.contextmanager
    def _reviewing(self) -> Iterator[httpx.Client]:
        origin = self.ready["review"].rstrip("/")
        with httpx.Client(base_url=origin, timeout=60, headers={"Origin": origin}) as client:
            session = client.post("/api/session", json={"name": "ann"}).raise_for_status().json()
            client.headers["X-CSRF-Token"] = session["csrf"]
            yield client

    def _items(self, client: httpx.Client, standing: str) -> list[dict[str, Any]]:
        body = {"standing": standing, "limit": 50}
        answer = client.post(f"/api/queues/{ALL}/page", json=body)
        if answer.status_code == 404:  # the build is being read
            return []
        return list(answer.raise_for_status().json()["items"])

    def deployment(self, flow: str) -> dict[str, Any]:
        """Give a deployment."""
        return dict(self.get(f"/deployments/name/{flow}/shoes"))

    def start_run(self, flow: str, **parameters: Any) -> str:
        """Have a deployment run; give the id of the run."""
        found = self.post(
            f"/deployments/{self.deployment(flow)['id']}/create_flow_run", parameters=parameters
        )
        return str(found["id"])

    def state(self, run: str) -> str:
        """Give the name of a run's state."""
        return str(self.get(f"/flow_runs/{run}")["state"]["name"])

    def wait_for_state(self, run: str, *states: str) -> None:
        """Wait until a run is in one of these states."""
        self.wait_for(lambda: self.state(run) in states)

    def runs_of(self, flow: str) -> list[dict[str, Any]]:
        """Give the runs of a flow, the last one first."""
        found = self.post("/flow_runs/filter", flows={"name": {"any_": [flow]}})
        return sorted(found, key=lambda one: str(one["created"]), reverse=True)

    def working(self, flow: str) -> str | None:
        """Give the id of the run of a flow that is under way: of a training with a snapshot."""
        if flow == "train" and not any(run.snapshots for run in self.trainings()):
            return None
        alive = [one["id"] for one in self.runs_of(flow) if one["state_type"] == "RUNNING"]
        return str(alive[0]) if alive else None

    def is_done(self, flow: str) -> bool:
        """Whether a step of the loop has come to its end, and nothing of it runs any more."""
        table = self.world.table
        finished: dict[str, Callable[[], bool]] = {
            "rebuild": lambda: table("builds").num_rows > 0,
            "publish": lambda: table("versions").num_rows > 0,
            "train": lambda: models.current(self.world.catalog) is not None,
            "rank": lambda: len(self.scored()) == ITEMS,
        }
        alive = ("PENDING", "RUNNING", "CANCELLING")
        return finished[flow]() and not any(
            one["state_type"] in alive for one in self.runs_of(flow)
        )

    def trainings(self) -> list[RunRecord]:
        """Give the runs of trainings."""
        folder = self.world.folder / self.world.root / "models"
        return list_runs(folder) if folder.exists() else []

    def scored(self) -> list[str]:
        """Give the ids of the items that the trained model has scored to the end."""
        model = models.current(self.world.catalog)
        return [
            one["item_id"]
            for one in self.world.table("scores").to_pylist()
            if model is not None and one["model"] == model.model and one["percentile"] is not None
        ]

    def pid_of_run(self, run: str) -> int:
        """Give the process id of a run."""

        def find() -> int | None:
            for process in parts.left_behind(self.home, "runner"):
                with contextlib.suppress(psutil.Error):
                    if process.environ().get("PREFECT__FLOW_RUN_ID") == run:
                        return process.pid
            return None

        return int(self.wait_for(find))

    def logs(self) -> str:
        """Give the end of all logs, for a test that failed."""
        return "\n".join(
            f"{file.name}: {file.read_text(errors='replace')[-2000:]}"
            for file in sorted((self.home / "logs").glob("*.log"))
        )

    def stop(self, number: signal.Signals = signal.SIGINT) -> Outcome:
        """Ask it to end; wait until nothing of it is left."""
        self.process.popen.send_signal(number)
        self.process.popen.wait(SECONDS)
        assert self.pids() == []
        assert not (self.home / FILE).exists()
        return Outcome(self.process.popen.returncode, "", "".join(self._said))

    def kill(self) -> None:
        """Kill -9 it alone."""
        self.process.popen.kill()
        self.process.popen.wait()

    def kill_all(self, part: str | None = None) -> None:
        """Kill -9 it, all parts or one, and all that they have started, at once."""
        self.process.popen.send_signal(signal.SIGSTOP)  # lest it start one again
        for pid in (self.process.popen.pid, *self.pids(part)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.popen.wait()

    def wait_until_gone(self) -> None:
        """Wait until nothing of it is left, though nobody has ended it."""
        until = time.monotonic() + SECONDS
        while left := self.pids():
            assert time.monotonic() < until, left
            time.sleep(0.1)

    def clear_away(self) -> None:
        """End whatever is left, after tests that failed, too."""
        if self.process.popen.poll() is None:
            self.kill_all()
        parts.end(parts.left_behind(self.home), 0)

    def read(self) -> None:
        """Take in what it says, until it ends."""
        assert self.process.popen.stdout is not None
        with self.process.popen.stdout as lines:
            for line in lines:
                self.facts.append(json.loads(line))

    def hear(self) -> None:
        """Take in what it complains of."""
        assert self.process.popen.stderr is not None
        with self.process.popen.stderr as lines:
            for line in lines:
                self._said.append(line)


def start_up(world: World) -> Up:
    """Start it; it may not be ready yet."""
    up = Up(world, world.start("up", "--json"))
    for work in (up.read, up.hear):
        threading.Thread(target=work, daemon=True).start()
    return up
