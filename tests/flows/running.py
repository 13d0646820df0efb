"""A Prefect server and a runner, both real processes, for tests of deployments."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flows.server import SETTINGS
from tests.flows.world import REPOSITORY

# A busy machine takes its time; no test waits for it without looking.
PATIENCE = 240.0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Give the first true value; fails where there is none in time."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.1)
    return found


@dataclass
class Server:
    """A Prefect server with a database of its own."""

    api: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Of processes that use it."""
        return {
            **_plain(os.environ),
            "PREFECT_API_URL": self.api,
            "PREFECT_HOME": str(self.home),
            "PYTHONPATH": str(REPOSITORY),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }


@contextlib.contextmanager
def serve(home: Path) -> Iterator[Server]:
    """Run a server while the body runs."""
    home.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}/api", home)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    environment = {**server.environment, **SETTINGS, "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    with (
        (home / "server.log").open("wb") as log,
        _process([*command, "--port", str(port)], environment, log, home) as process,
    ):

        def answers() -> bool:
            assert process.poll() is None, (home / "server.log").read_text()
            with contextlib.suppress(OSError):
                return bool(urllib.request.urlopen(f"{server.api}/health", timeout=2))
            return False

        wait_for(answers, "the server")
        yield server


@dataclass
class Runner:
    """A runner at work."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """Ask it to end; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    @property
    def said(self) -> str:
        """Everything it has said."""
        return self.log.read_text(errors="replace")


@contextlib.contextmanager
def run(server: Server, config: Path) -> Iterator[Runner]:
    """Run a runner while the body runs, in a folder that has nothing to do with it."""
    path = server.home / "runner.log"
    command = [sys.executable, "-m", "flows.serving.runner", str(config)]
    with path.open("wb") as log, _process(command, server.environment, log, server.home) as process:
        runner = Runner(process, path)

        def serves() -> bool:
            assert process.poll() is None, runner.said
            return "serving" in runner.said

        wait_for(serves, "the runner")
        yield runner


@contextlib.contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], log: IO[bytes], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out what tests have set for servers of their own."""
    return {key: value for key, value in environment.items() if not key.startswith("PREFECT_")}
