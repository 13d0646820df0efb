"""One Prefect server for all flow tests; started by the first that needs it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from tests.flows.running import Server, serve
from tests.flows.world import Outcome, World


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """URL of a server of the tests' own."""
    from flows import environment

    environment.prepare()
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    # The heartbeat alone makes every flow take a second.
    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def loop_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as `nonesuch up` has one, with schedules and automations."""
    with serve(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture
def client(loop_server: Server) -> Iterator[Any]:
    """Prefect's own, at the server of the tests, which all of Prefect uses meanwhile."""
    from flows import environment

    environment.prepare()
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: loop_server.api}),
        SyncPrefectClient(loop_server.api) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def _warm_workers() -> None:
    """Let workers have imported what they need before they are forked: a second less for each."""
    preload = ["curation.stages.standardize", "curation.stages.relate", "threadpoolctl"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
    forkserver.ensure_running()


@pytest.fixture
def world(tmp_path: Path, prefect_server: str, _warm_workers: None) -> World:
    """An empty dataset."""
    (tmp_path / "images").mkdir()
    return World(tmp_path, prefect_server)


@pytest.fixture
def in_this_process() -> Callable[..., Outcome]:
    """Run `nonesuch` without starting a process."""
    from typer.testing import CliRunner

    from flows.cli.app import app

    def run(*arguments: str) -> Outcome:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run
