"""Once round the loop under `nonesuch up`, while one part after the other is killed.

The tests build upon each other: a dataset and a server are too dear to be made for each.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from data_catalog import models
from flows.cli.up import _tell, _tell_in_json
from flows.server import find_server
from flows.settings import ConfigError, DatasetConfig
from flows.up import parts
from flows.up.command import keep_up
from flows.up.ports import UpError
from flows.up.prefect_api import ALIVE
from review_ui.errors import AccessError
from tests.flows.up.upping import ITEMS, RAW, Up, start_up
from tests.flows.world import World, fill

pytestmark = [pytest.mark.xdist_group("up"), pytest.mark.timeout(900)]

PARTS = ("server", "runner", "review")
PLAN = {"rebuild": "7 3 * * *", "time_zone": "Europe/Vienna"}
PLANNED = ("7 3 * * *", "Europe/Vienna", True)


class Site:
    """A dataset, and the `nonesuch up` that serves it now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.up = start_up(world)

    def again(self) -> Up:
        """Start another one, after the one that is gone."""
        self.up = start_up(self.world)
        self.up.wait_for(lambda: self.up.ready)
        return self.up


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    world = World(tmp_path_factory.mktemp("up"), raw={**RAW, "schedules": PLAN})
    fill(world.images, range(ITEMS))
    world.write_config()
    (world.folder / "uvicorn.py").write_text("raise SystemExit('a file of the user')")
    site = Site(world)
    try:
        yield site
    finally:
        site.up.clear_away()


@pytest.fixture
def up(site: Site) -> Up:
    """The one that runs; a new one where a test has ended it."""
    if site.up.process.popen.poll() is not None:
        return site.again()
    site.up.wait_for(lambda: site.up.ready)
    return site.up


def _plan(up: Up) -> list[tuple[str, str, bool]]:
    found = up.deployment("rebuild")["schedules"]
    return [(one["schedule"]["cron"], one["schedule"]["timezone"], one["active"]) for one in found]


def _slots(up: Up) -> int:
    return int(up.deployment("rebuild")["global_concurrency_limit"]["active_slots"])


def _alive(up: Up) -> int:
    return sum(run["state_type"] in ALIVE for run in up.runs_of("rebuild"))


# ---- It is there. --------------------------------------------------------------------------------


def test_both_pages_answer_and_others_find_the_server(up: Up) -> None:
    page = httpx.get(up.ready["prefect"], follow_redirects=True, timeout=60)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert httpx.get(f"{up.ready['review']}api/health", timeout=60).json()["ok"]
    assert find_server(up.world.config()) == f"{up.ready['prefect']}/api"
    assert up.ready["root"] == str(up.world.folder / "catalog")
    for part in PARTS:
        assert (Path(up.ready["logs"]) / f"{part}.log").exists()


def test_other_pages_may_not_ask_the_server(up: Up) -> None:
    origin = {"Origin": "https://elsewhere.example"}
    answer = httpx.get(f"{up.ready['prefect']}/api/health", headers=origin, timeout=60)
    assert "access-control-allow-origin" not in answer.headers


def test_the_plan_is_there(up: Up) -> None:
    assert {one["name"] for one in up.post("/deployments/filter")} == {"shoes"}
    assert _plan(up) == [PLANNED]


# ---- It is refused. ------------------------------------------------------------------------------


def test_a_second_one_of_the_same_home_is_refused(up: Up) -> None:
    before = [up.pid(part) for part in PARTS]
    outcome = up.world.run("up")
    assert outcome.code == 1
    assert f"process {up.process.popen.pid}" in outcome.err
    assert up.ready["prefect"] in outcome.err
    assert outcome.out == ""
    assert [up.pid(part) for part in PARTS] == before


def _said_by(config: DatasetConfig) -> list[str]:
    """Start it in this process; give what it said before it was refused."""
    said: list[str] = []
    work = keep_up(config, Path("none"), lambda words, _: said.append(words), in_private=False)
    try:
        asyncio.run(work)
    finally:
        assert config.server.home is not None
        assert parts.left_behind(config.server.home) == []
        assert said == []
    raise AssertionError("it should be refused")


@pytest.mark.parametrize("section", ["server", "review"])
def test_a_port_that_another_one_has_is_told_before_anything_starts(
    up: Up, tmp_path: Path, section: str
) -> None:
    address = up.ready["prefect" if section == "server" else "review"]
    ports: dict[str, Any] = {"server": {"port": 0}, "review": {"port": 0}}
    ports[section] = {"port": httpx.URL(address).port}
    with pytest.raises(UpError, match=f"set `{section}.port` to another") as told:
        _said_by(World(tmp_path).config(**ports))
    assert f"the `nonesuch up` of {up.home}" in str(told.value)


def test_a_port_that_a_stranger_has_is_told_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        config = World(tmp_path).config(server={"port": stranger.getsockname()[1]})
        with pytest.raises(UpError, match=f"is taken by process {os.getpid()} "):
            _said_by(config)


def test_a_page_for_others_needs_a_password(tmp_path: Path) -> None:
    open_to_all = {"port": 0, "host": "0.0.0.0"}
    with pytest.raises(ConfigError, match="PREFECT_SERVER_API_AUTH_STRING=name:password"):
        _said_by(World(tmp_path).config(server=open_to_all))
    with pytest.raises(AccessError, match=r"review\.admin_token"):
        _said_by(World(tmp_path).config(server={"port": 0}, review=open_to_all))


class _Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, _text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_words_that_nobody_hears_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", _Gone())
    _tell("stopping runner", {})
    _tell_in_json("", {"part": "runner"})


# ---- Its parts are killed. -----------------------------------------------------------------------


def test_a_run_outlives_the_server_but_not_its_runner(up: Up) -> None:
    with up.world.catalog.lock("a test"):  # the run waits for it
        run = up.start_run("rebuild")
        up.wait_for_state(run, "Running")
        pid = up.pid_of_run(run)
        with up.says(part="server", state="ready"):
            os.kill(up.pid("server"), signal.SIGKILL)
            # Who asks meanwhile waits: nobody hears that there is no server.
            assert up.state(run) == "Running"
        assert psutil.pid_exists(pid)
        assert (up.state(run), _slots(up)) == ("Running", 1)
        with up.says(part="runner", state="ready"):
            os.kill(up.pid("runner"), signal.SIGKILL)
        assert not psutil.pid_exists(pid)
        assert up.state(run) == "Crashed"
        # Its slot is free, or held by the run that does its work instead.
        up.wait_for(lambda: _slots(up) == _alive(up))
    assert _plan(up) == [PLANNED]


def test_a_run_from_the_page_does_its_work_and_is_told_of(up: Up) -> None:
    with up.says(flow="rebuild", state="Completed"):
        up.start_run("rebuild")
    assert up.is_done("rebuild")


def test_a_run_of_another_window_is_seen_too(up: Up) -> None:
    with up.says(flow="rebuild", state="Completed"):
        outcome = up.world.run("rebuild", "--json")
    assert (outcome.code, outcome.json["items"]) == (0, ITEMS)
    run = up.runs_of("rebuild")[0]
    assert (run["deployment_id"], run["state_name"], run["tags"]) == (None, "Completed", ["shoes"])


def test_a_killed_review_page_comes_back_with_all_decisions(up: Up) -> None:
    before, address = up.pid("review"), up.ready["review"]
    decided = up.decide("rejected")
    with up.says(part="review", state="ready"):
        os.kill(before, signal.SIGKILL)
    assert up.pid("review") != before
    assert httpx.get(f"{address}api/health", timeout=60).json()["ok"]
    assert up.decisions() == {decided: "rejected"}


def test_a_killed_run_has_crashed_and_the_next_one_starts(up: Up) -> None:
    with up.world.catalog.lock("a test"):
        run = up.start_run("publish")
        up.wait_for_state(run, "Running")
        os.kill(up.pid_of_run(run), signal.SIGKILL)
        up.wait_for_state(run, "Crashed")
    up.start_run("publish")
    up.wait_for(lambda: up.is_done("publish"))


# ---- It is killed itself, and up again: the loop goes on. ----------------------------------------


def test_killed_in_a_training_and_days_later_up_again(site: Site, up: Up) -> None:
    """The training goes on, one missed run makes up for all, the plan goes on."""
    deployments = {one["id"] for one in up.post("/deployments/filter")}
    run = up.wait_for(lambda: up.working("train"))
    up.wait_for(lambda: sum(map(_is_to_come, up.runs())) > 1)
    # The server and the page are left, and end by themselves.
    up.kill_all("runner")
    up.wait_until_gone()
    missed = _shift(up.home / "prefect.db", days=400)
    up = site.again()
    assert {"flow": "train", "state": "Crashed"} in up.facts
    assert {"flow": "rebuild", "skipped": missed - 1} in up.facts
    assert up.state(run) == "Crashed"
    (last, *others) = [one for one in up.runs() if _was_missed(one)]
    assert [one["state_name"] for one in others] == ["Skipped"] * (missed - 1)
    up.wait_for_state(last["id"], "Completed")
    up.wait_for(lambda: [one for one in up.runs() if _is_to_come(one)])
    assert {one["id"] for one in up.post("/deployments/filter")} == deployments
    assert _plan(up) == [PLANNED]


def test_nothing_is_trained_twice_and_no_decision_is_lost(up: Up) -> None:
    for flow in ("train", "rank"):
        up.wait_for(lambda flow=flow: up.is_done(flow))
    (training,) = up.trainings()
    assert training.status == "finished"
    assert len(models.all_models(up.world.catalog)) == 1
    assert up.world.table("versions").num_rows == 1
    ((decided, word),) = up.decisions().items()
    assert word == "rejected"
    assert decided not in up.world.published()
    assert sorted(up.scored()) == sorted(up.world.table("verdicts")["item_id"].to_pylist())


# ---- It is ended. --------------------------------------------------------------------------------


def test_it_ends_in_good_order(up: Up) -> None:
    with up.world.catalog.lock("a test"):
        run = up.start_run("rebuild")
        up.wait_for_state(run, "Running")
        outcome = up.stop()
    assert (outcome.code, outcome.err) == (0, "")
    stopped = [one["part"] for one in up.facts if one.get("state") == "stopping"]
    assert stopped == ["runner", "review", "server"]
    assert up.facts[-1] == {"stopped": True}
    assert find_server(up.world.config()) is None
    with sqlite3.connect(up.home / "prefect.db") as database:
        rows = database.execute("SELECT DISTINCT state_type FROM flow_run").fetchall()
    database.close()
    assert not {"RUNNING", "PENDING", "CANCELLING"} & {state for (state,) in rows}


def _shift(database: Path, days: int) -> int:
    """Let a plan be of some days ago, as if nothing had run since; give the number of runs."""
    with sqlite3.connect(database) as connection:
        back = f"strftime('%Y-%m-%d %H:%M:%f000', {{}}, '-{days} days')"
        shifted = connection.execute(
            "UPDATE flow_run SET "
            f"expected_start_time = {back.format('expected_start_time')}, "
            f"next_scheduled_start_time = {back.format('next_scheduled_start_time')}, "
            "idempotency_key = idempotency_key || ' before' "
            "WHERE auto_scheduled AND state_type = 'SCHEDULED'"
        ).rowcount
    connection.close()
    return shifted


def _was_missed(run: dict[str, Any]) -> bool:
    return run["auto_scheduled"] and _due(run) < datetime.now(UTC) - timedelta(days=1)


def _is_to_come(run: dict[str, Any]) -> bool:
    later = _due(run) > datetime.now(UTC)
    return run["auto_scheduled"] and run["state_name"] == "Scheduled" and later


def _due(run: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(run["expected_start_time"])
