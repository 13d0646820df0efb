"""Serves the deployments of a dataset: `python -m flows.serving.runner nonesuch.toml`.

Registers deployments and automations at the server of PREFECT_API_URL, starts what is to run, each
run a process of its own, and looks now and then for what is due although nobody has told. SIGTERM
ends it: trainings save first and go on with the next start; schedules stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from flows import environment
from flows.server import API, heartbeat_seconds
from flows.settings import ConfigError, DatasetConfig, load

if TYPE_CHECKING:
    from prefect.runner import Runner
    from prefect.runner._scheduled_run_poller import ScheduledRunPoller

RECONCILE_EVERY: Final = 30.0  # seconds

_POLL: Final = "2"  # seconds between looks for runs that are to start; 10 by default
_PATIENCE: Final = 5.0  # seconds between two tries to reach a server that is away
_GLANCE: Final = 0.1
# Seconds, once it is told to stop: for the server's word on a run, and for the run to end, of
# which Prefect gives its process 30.
_ANSWERED_BY: Final = 5.0
_ENDED_BY: Final = 45.0
_SETTINGS: Final = {
    "PREFECT_RUNNER_POLL_FREQUENCY": _POLL,
    # Of runs: Prefect's page shows what they say.
    "PREFECT_LOGGING_LEVEL": "INFO",
}


class ServerAwayError(Exception):
    """The runner ends because the server did not answer for a while."""


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM; gives the exit code."""
    if len(arguments) != 1:
        _say("usage: python -m flows.serving.runner CONFIG")
        return 2
    file = Path(arguments[0]).resolve()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        _prepare(file)
        return _serve(load(file), file, stop)
    except ConfigError as error:
        _say(f"error: {error}")
        return 2


def _prepare(file: Path) -> None:
    """Set up the environment, which runs inherit. Before Prefect is imported."""
    if not os.environ.get(API):
        raise ConfigError(
            f"{API} is not set: it must be the address of a Prefect server's API; "
            f"`nonesuch up -c {file}` starts a server and this runner"
        )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # Runs are started in another folder maybe, and import `flows` all the same.
    here = str(Path(__file__).resolve().parents[2])
    known = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([here, *known]))
    environment.prepare()


def _serve(config: DatasetConfig, file: Path, stop: threading.Event) -> int:
    from prefect.runner import Runner

    from flows.serving import automations, deployments

    # It tells of each look at a run that waits.
    logging.getLogger("prefect.runner").setLevel(logging.WARNING)
    for name in deployments.remove_renamed(config, file):
        automations.remove(name)
    deployments.ensure_limit(config)
    runner = Runner(
        name=f"nonesuch-{config.dataset.name}",
        pause_on_shutdown=False,
        heartbeat_seconds=heartbeat_seconds(config),
        # A run that waits for its turn is asked for when its time has come, not all the time.
        prefetch_seconds=0,
        limit=None,
    )
    deployed = {
        str(deployment.flow_name): cast("UUID", runner.add_deployment(deployment))
        for deployment in deployments.deployments(config, file)
    }
    automations.register(config, deployed)
    _say(f"serving {', '.join(f'{flow}/{config.dataset.name}' for flow in deployed)}")
    return _run(runner, config, file, stop)


def _run(runner: Runner, config: DatasetConfig, file: Path, stop: threading.Event) -> int:
    """Start runs in one thread, look for what is due in this one, until told to stop."""
    ended: list[BaseException] = []

    def serve() -> None:
        try:
            asyncio.run(_poll(runner, stop))
        except BaseException as error:
            if not stop.is_set():
                ended.append(error)
        finally:
            stop.set()

    thread = threading.Thread(target=serve, name="runner")
    thread.start()
    ripe: frozenset[str] | None = None
    said: list[str] = []
    while not stop.is_set():
        ripe, told = _reconcile(config, file, ripe)
        for line in told:
            if line not in said:  # what cannot be done now is looked at again, and not said again
                _say(line)
        said = told
        stop.wait(RECONCILE_EVERY)
    thread.join()
    if ended:
        _say(f"error: the runner has ended: {ended[0] or type(ended[0]).__name__}")
    return int(bool(ended))


async def _poll(runner: Runner, stop: threading.Event) -> None:
    """Start what is to run until told to stop; then end what runs, in good order.

    Prefect's own loop gives up when the server is away for some seconds, and ends all runs with it.
    Here they go on. After that the runner does not hear of cancellations any more: once nothing
    runs, it ends, to be started anew.

    Raises
    ------
    ServerAwayError
        If it ends because the server was away.
    """
    away = False

    def is_over() -> bool:
        return stop.is_set() or (away and not _at_work(runner))

    async with runner:
        while not is_over():
            if await _poll_until(runner._scheduled_run_poller, is_over) and not stop.is_set():
                away = True
                _say("the server does not answer; what runs goes on")
                await asyncio.sleep(_PATIENCE)
        await asyncio.gather(*(_cancel(runner, run) for run in _at_work(runner)))
    if not stop.is_set():
        raise ServerAwayError("the server was away; start the runner again")


def _at_work(runner: Runner) -> set[UUID]:
    return runner._process_manager.flow_run_ids()


async def _cancel(runner: Runner, run: UUID) -> None:
    """End a run. Prefect ends one after the other, and waits half a minute for each."""
    from flows.loop.starts import SHUT_DOWN

    try:
        async with asyncio.timeout(_ENDED_BY):
            flow_run = await asyncio.wait_for(runner._client.read_flow_run(run), _ANSWERED_BY)
            await runner._cancellation_manager.cancel(flow_run, state_msg=SHUT_DOWN)
    except Exception as error:  # the server is away, or the run is gone
        _say(f"run {run} could not be set to cancelled: {type(error).__name__}: {error}")
        if runner._process_manager.get(run) is not None:
            await runner._process_manager.kill(run)


async def _poll_until(poller: ScheduledRunPoller, is_over: Callable[[], bool]) -> bool:
    """Start runs until it is over; give whether the poller gave up before."""
    polling = asyncio.ensure_future(poller.run())
    while not (polling.done() or is_over()):
        await asyncio.sleep(_GLANCE)
    gave_up = polling.done()
    poller.stopping = not gave_up
    polling.cancel()
    await asyncio.wait([polling])
    if not polling.cancelled():
        polling.exception()  # it has been said, on standard error
    return gave_up


def _reconcile(
    config: DatasetConfig, file: Path, ripe: frozenset[str] | None
) -> tuple[frozenset[str] | None, list[str]]:
    """Start what is due and was before; gives what is due, and what there is to be said."""
    from flows.loop.reconcile import reconcile

    try:
        # A person may have changed it since; schedules take a restart.
        with contextlib.suppress(ConfigError):
            config = load(file)
        found = reconcile(config, ripe)
    except Exception as error:
        return ripe, [f"looking for what is due failed: {type(error).__name__}: {error}"]
    return found.due, [*found.told, *found.refused]


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
