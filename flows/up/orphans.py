"""Runs that nobody runs any more, and runs that nobody needs any more.

Prefect learns after minutes that the process of a run is gone; until then the run holds its slot,
and the next one waits. It also starts every run that a schedule had planned for the time in which
nothing ran, one after the other, although the last of them does the work of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flows.up.prefect_api import ALIVE, PrefectApi, Run

DIED: Final = "its process is gone"
MISSED: Final = "a later run of the same schedule does its work"


@dataclass(frozen=True)
class Settled:
    """What was put right: names of flows, one for each run."""

    crashed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


async def settle(
    api: PrefectApi,
    now: datetime,
    *,
    before: datetime,
    is_alive: Callable[[str], bool],
) -> Settled:
    """End runs whose process is gone, free their slots, and skip what schedules had planned twice.

    Parameters
    ----------
    before
        Runs that changed since are left alone: their process may be starting now.
    is_alive
        Whether a run of this id has a process. Only runs of runners are looked at: those of
        workers are elsewhere.
    """
    deployments = {one.id: one for one in await api.deployments() if one.is_served}
    alive = [run for run in await api.runs(ALIVE) if run.deployment in deployments]
    dead = [run for run in alive if run.since < before and not is_alive(run.id)]
    for run in dead:
        if run.state == "CANCELLING":
            await api.set_state(run.id, "CANCELLED", "Cancelled", DIED)
        else:
            await api.set_state(run.id, "CRASHED", "Crashed", DIED)
    await _free_slots(api)
    return Settled(tuple(run.flow for run in dead), await skip_missed(api, now))


async def _free_slots(api: PrefectApi) -> None:
    """Take no more slots for taken than there are runs: a server that was killed may have lost one.

    Several deployments may share a limit.
    """
    deployments = [one for one in await api.deployments() if one.is_served and one.limit]
    runs = await api.runs(ALIVE)
    for limit in {one.limit for one in deployments if one.limit}:
        mine = [one for one in deployments if one.limit == limit]
        held = sum(run.deployment in {one.id for one in mine} for run in runs)
        if mine[0].slots > held:
            await api.set_slots(limit, held)


async def skip_missed(api: PrefectApi, now: datetime) -> tuple[str, ...]:
    """Skip all runs of schedules that are due and wait, but the last of each deployment."""
    missed = superfluous(await api.due_runs(now), now)
    for run in missed:
        await api.set_state(run.id, "CANCELLED", "Skipped", MISSED)
    return tuple(run.flow for run in missed)


def superfluous(waiting: Iterable[Run], now: datetime) -> list[Run]:
    """Choose, of the runs that wait, those whose work a later one does that is due as well.

    Runs that a person or an event started are never among them, nor are runs of the future: a clock
    that is put back makes nothing superfluous.
    """
    due: dict[str, list[tuple[datetime, Run]]] = defaultdict(list)
    for run in waiting:
        if run.is_scheduled and run.deployment and run.due and run.due <= now:
            due[run.deployment].append((run.due, run))
    return [
        run
        for runs in due.values()
        for _, run in sorted(runs, key=lambda pair: (pair[0], pair[1].id))[:-1]
    ]
