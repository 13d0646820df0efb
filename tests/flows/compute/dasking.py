"""A Dask cluster of processes of their own, as on other machines, and what tests do to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from distributed import Client
from distributed.diagnostics.plugin import WorkerPlugin

from tests.object_store import free_ports

REPOSITORY: Final = Path(__file__).parents[3]
NAMES: Final = ("anvil", "beech")
DASK: Final = str(Path(sys.executable).with_name("dask"))


@dataclass
class Hosts:
    """A scheduler, and workers of one thread each that are started anew when they die."""

    folder: Path
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Start a worker below a nanny, as the command does by default."""
        options = ["--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--name", name]
        where = ["--host", "127.0.0.1", "--local-directory", str(self.folder)]
        self.workers[name] = _start(self.folder, name, "worker", self.address, *options, *where)

    def pids(self) -> dict[str, int]:
        """Give the process that works, below each nanny."""
        with Client(self.address, set_as_default=False) as client:
            found: dict[str, int] = client.run(_pid)
        return dict(found.values())

    def do(self, plugin: WorkerPlugin) -> None:
        """Prepare each worker, also those that are started anew."""
        with Client(self.address, set_as_default=False) as client:
            client.register_plugin(plugin)

    def wait_for_workers(self) -> None:
        """Wait until all are there."""
        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers), timeout=120)

    def log(self, name: str) -> str:
        """What a process said."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """End all of them."""
        for process in (*self.workers.values(), self.scheduler):
            process.terminate()
        for process in (*self.workers.values(), self.scheduler):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def hosts(folder: Path, names: tuple[str, ...] = NAMES) -> Iterator[Hosts]:
    """Start a cluster; workers may still be on their way."""
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    options = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    scheduler = _start(folder, "scheduler", "scheduler", *options)
    cluster = Hosts(folder, f"tcp://127.0.0.1:{port}", scheduler)
    try:
        for name in names:
            cluster.add(name)
        yield cluster
    finally:
        cluster.end()


def _start(folder: Path, name: str, *command: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        # A second death is enough to blame a part: more take long, and show nothing else.
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        "OMP_NUM_THREADS": "1",
    }
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [DASK, *command], env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )


def _pid(dask_worker: Any = None) -> tuple[str, int]:
    return str(dask_worker.name), os.getpid()
