"""The fault table: each victim is killed in each phase of the loop, and after `up` it goes on.

A round walks once through the loop, from the first rebuild to the ranking, and kills another
victim in each phase; seven rounds are all pairs. Nothing is started again by hand.
`test_command.py` has one walk for every day.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import psutil
import pytest

from data_catalog import models
from flows.up import parts
from tests.flows.up.upping import ITEMS, RAW, Up, start_up
from tests.flows.world import World, fill

pytestmark = [
    pytest.mark.xdist_group("up"),
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        int(os.environ.get("NONESUCH_KILLS", "2")) < 10,
        reason="takes minutes; NONESUCH_KILLS=10 runs it",
    ),
]

PHASES: Final = ("rebuild", "publish", "train", "rank")
VICTIMS: Final = ("run", "runner", "everything", "up", "server", "review", "children")


class Loop:
    """A dataset and the `nonesuch up` that serves it now."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, raw=RAW)
        fill(self.world.images, range(ITEMS))
        self.world.write_config()
        self.up = self._up()

    def _up(self) -> Up:
        up = start_up(self.world)
        up.wait_for(lambda: up.ready)
        return up

    def kill(self, victim: str, run: str) -> None:
        """Kill -9, and have it up again."""
        if victim == "everything":
            self.up.kill_all()
            self.up = self._up()
        elif victim == "up":
            self.up.kill()
            self.up.wait_until_gone()
            self.up = self._up()
        elif victim == "run":
            self._kill_run(run)
        elif victim == "children":
            self._kill_children(run)
        else:
            with self.up.says(part=victim, state="ready"):
                os.kill(self.up.pid(victim), signal.SIGKILL)

    def _kill_run(self, run: str) -> None:
        """Kill the process of a run, and all that it has started."""
        for process in parts.left_behind(self.up.home, "runner"):
            if process.environ().get("PREFECT__FLOW_RUN_ID") == run:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
        self.up.wait_for_state(run, "Crashed", "Completed")

    def _kill_children(self, run: str) -> None:
        """Kill what a run has started, such as its training; it lives to see that."""
        for process in psutil.Process(self.up.pid_of_run(run)).children(recursive=True):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


@pytest.mark.parametrize("number", range(len(VICTIMS)))
def test_killed_in_each_phase_the_loop_goes_on(tmp_path: Path, number: int) -> None:
    loop = Loop(tmp_path)
    try:
        decided = ""
        for phase, flow in enumerate(PHASES):
            victim = VICTIMS[(number + phase) % len(VICTIMS)]
            if flow in ("rebuild", "publish"):  # the others follow by themselves
                loop.up.start_run(flow)
            loop.kill(victim, loop.up.wait_for(lambda flow=flow: loop.up.working(flow)))
            loop.up.wait_for(lambda flow=flow: loop.up.is_done(flow))
            if flow == "rebuild":
                decided = loop.up.decide("rejected")
        (training,) = loop.up.trainings()
        assert training.status == "finished"
        assert len(models.all_models(loop.world.catalog)) == 1
        assert loop.world.table("versions").num_rows == 1
        assert len(set(loop.up.scored())) == ITEMS
        assert loop.up.decisions() == {decided: "rejected"}
        assert decided not in loop.world.published()
        for part in ("server", "runner", "review"):
            assert loop.up.pid(part)  # one, and no more
        assert loop.up.stop().code == 0
    finally:
        loop.up.clear_away()
