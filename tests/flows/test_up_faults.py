"""The fault table: everything is killed in every phase of the loop, and after `up` it goes on.

A round walks once through the loop, from the first rebuild to the ranking, and is killed in each
phase. `NONESUCH_KILLS=10` makes five rounds of one: then each victim is killed in each phase.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from data_catalog import models
from flows import parts
from tests.flows.trainable import TRAIN
from tests.flows.upping import Up, start_up
from tests.flows.world import World, fill
from training.runs.record import RunRecord, list_runs

pytestmark = [pytest.mark.xdist_group("up"), pytest.mark.timeout(900)]

PHASES: Final = ("rebuild", "publish", "train", "rank")
VICTIMS: Final = ("run", "runner", "everything", "up", "server")
ROUNDS: Final = 5 if int(os.environ.get("NONESUCH_KILLS", "4")) >= 10 else 1
ITEMS: Final = 12
RAW: Final[dict[str, Any]] = {
    "sources": [{"kind": "folder", "path": "images"}],
    "recipe": {"width": 12, "height": 16, "format": "png"},
    "rules": {name: {"action": "off"} for name in ("too_small", "too_few_bytes", "near_duplicate")},
    "run": {"workers": 1},
    "rank": {"device": "cpu", "shuffles": 2},
    "train": {**TRAIN, "run": {**TRAIN["run"], "total_kimg": 0.32, "snapshot_ticks": 1}},
    "server": {"port": 0},
    "review": {"port": 0},
}


class Loop:
    """A dataset and the `nonesuch up` that serves it now."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, raw=RAW)
        fill(self.world.images, range(ITEMS))
        self.world.write_config()
        self.up = start_up(self.world)
        self.up.wait_for(lambda: self.up.ready)

    def runs_of(self, flow: str) -> list[dict[str, Any]]:
        """Give the runs of a flow, the last first."""
        found = self.up.post("/flow_runs/filter", flows={"name": {"any_": [flow]}}, limit=50)
        return sorted(found, key=lambda one: one["created"], reverse=True)

    def working(self, flow: str) -> str | None:
        """Give the id of the run of a flow that is under way: a training with a snapshot."""
        if flow == "train" and not any(run.snapshots for run in self.trainings()):
            return None
        alive = [one["id"] for one in self.runs_of(flow) if one["state_type"] == "RUNNING"]
        return alive[0] if alive else None

    def trainings(self) -> list[RunRecord]:
        """Give the runs of trainings."""
        folder = self.world.folder / self.world.root / "models"
        return list_runs(folder) if folder.exists() else []

    def kill(self, victim: str, run: str) -> None:
        """Kill -9, and have it up again."""
        if victim == "everything":
            self.up.kill_all()
            self.again()
        elif victim == "up":
            self.up.kill()
            self.up.wait_until_gone()
            self.again()
        elif victim == "run":
            for process in parts.left_behind(self.up.home, "runner"):
                if process.environ().get("PREFECT__FLOW_RUN_ID") == run:
                    process.kill()
            self.up.wait_for_state(run, "Crashed", "Completed")
        else:
            with self.up.says(part=victim, state="ready"):
                os.kill(self.up.pid(victim), signal.SIGKILL)

    def again(self) -> None:
        """Start the next one."""
        self.up = start_up(self.world)
        self.up.wait_for(lambda: self.up.ready)

    def scored(self) -> list[str]:
        """Give the ids of the items that the trained model has scored to the end."""
        model = models.current(self.world.catalog)
        return [
            one["item_id"]
            for one in self.world.table("scores").to_pylist()
            if model is not None and one["model"] == model.model and one["percentile"] is not None
        ]

    def done(self, flow: str) -> bool:
        """Whether a phase has come to its end, and nothing of it runs any more."""
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


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_in_each_phase_the_loop_goes_on(tmp_path: Path, number: int) -> None:
    loop = Loop(tmp_path)
    try:
        decided = ""
        for phase, flow in enumerate(PHASES):
            victim = VICTIMS[(number + phase) % len(VICTIMS)]
            if flow in ("rebuild", "publish"):  # the others follow by themselves
                loop.up.start_run(flow)
            run = loop.up.wait_for(lambda flow=flow: loop.working(flow))
            loop.kill(victim, run)
            if flow in ("rebuild", "publish") and victim != "server":
                loop.up.start_run(flow)
            loop.up.wait_for(lambda flow=flow: loop.done(flow))
            if flow == "rebuild":
                decided = loop.up.decide("rejected")
        (training,) = loop.trainings()
        assert training.status == "finished"
        assert len(models.all_models(loop.world.catalog)) == 1
        assert loop.world.table("versions").num_rows == 1
        assert len(set(loop.scored())) == ITEMS
        assert loop.up.decisions() == {decided: "rejected"}
        assert decided not in loop.world.published()
        assert {one["part"] for one in _processes(loop.up)} == {"server", "runner", "review"}
        assert loop.up.stop().code == 0
    finally:
        loop.up.clear_away()


def _processes(up: Up) -> list[dict[str, Any]]:
    """Give the parts that run, each once."""
    return [{"part": part, "pid": up.pid(part)} for part in ("server", "runner", "review")]
