"""The same version here and on a cluster: three worker hosts, root on an object store, a kill.

Workers run in network namespaces of their own where root may make them, so that they reach nothing
but the scheduler and the store. By default the first 1,000 photographs at 48×64.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from distributed import Client

from benchmarks.common import (
    REPOSITORY,
    FlowTimes,
    Row,
    Skipped,
    finished,
    fresh,
    photographs,
    prefect_server,
    run_flow,
    say,
    start_flow,
)
from benchmarks.hosts import Host, Network, network
from data_catalog.catalog import Catalog
from tests.object_store import ObjectStore, StoreMissingError, free_ports, object_store

_IMAGES: Final = 1000
_HOSTS: Final = ("ash", "birch", "cedar")
_RECIPE: Final = "[recipe]\nwidth = 48\nheight = 64\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What rebuild and publish came to."""

    hash: str
    items: int
    accepted: int
    seconds: float
    killed: int = 0

    def __str__(self) -> str:
        counts = f"{self.accepted} of {self.items} items"
        return f"{self.hash[:12]}, {counts}, {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Dask:
    """A scheduler, and a worker on each host."""

    address: str

    def pids(self) -> dict[str, int]:
        """Give the process that works on each host."""
        with Client(self.address, set_as_default=False) as client:
            found: dict[str, int] = client.run(os.getpid)
            names = client.scheduler_info(n_workers=-1)["workers"]
        return {names[worker]["name"]: pid for worker, pid in found.items()}


def run() -> list[Row]:
    """Rebuild and publish here, on the cluster, and on the cluster with a worker killed."""
    pictures = _pictures()
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(network(_HOSTS))
        try:
            store = stack.enter_context(object_store(fresh("cluster-s3"), net.here))
        except StoreMissingError as error:
            raise Skipped(str(error)) from error
        environment = stack.enter_context(prefect_server())
        dask = stack.enter_context(_dask(net))
        where = "network namespaces" if net.separate else "ports of one host"
        say(f"{len(_HOSTS)} workers as separate hosts ({where}), scheduler {dask.address}")
        count = len(list(pictures.iterdir()))
        here = _here(environment, pictures)
        say(f"here: version {here.hash}, {here.items} items in {here.seconds:.1f} s")
        there = _there(environment, pictures, store, dask, "whole")
        say(f"cluster: version {there.hash}, {there.items} items in {there.seconds:.1f} s")
        killed = _there(environment, pictures, store, dask, "killed", kill=count // 2)
        say(f"worker killed: version {killed.hash} in {killed.seconds:.1f} s")
    return [
        _row(f"{count} photographs on {len(_HOSTS)} hosts ({where}), root on S3", there, here),
        _row(f"the same, a worker killed -9 after {killed.killed}", killed, here),
    ]


def _row(what: str, there: Outcome, here: Outcome) -> Row:
    return Row(
        f"cluster: {what}",
        f"version {there}",
        f"here {here}",
        reach="same hash",
        met=there.hash == here.hash and there.items == here.items,
        numbers={"hash": there.hash, "here": here.hash},
    )


def _pictures() -> Path:
    """Give a folder with the photographs that count."""
    found = photographs()
    chosen = found if os.environ.get("NONESUCH_BENCH_IMAGES") else found[:_IMAGES]
    folder = fresh("cluster-images")
    for path in chosen:
        shutil.copy(path, folder / path.name)
    return folder


def _here(environment: dict[str, str], pictures: Path) -> Outcome:
    folder = fresh("cluster-here")
    file = _config(folder, pictures, root=json.dumps(str(folder / "catalog")))
    return _outcome(run_flow(environment, "rebuild", str(file)), environment, file)


def _there(
    environment: dict[str, str],
    pictures: Path,
    store: ObjectStore,
    dask: Dask,
    name: str,
    kill: int | None = None,
) -> Outcome:
    """Rebuild on the cluster; kill a worker once so many images are committed."""
    url = store.url(f"{name}-{time.time_ns()}")
    options = ", ".join(f"{key} = {json.dumps(value)}" for key, value in store.options.items())
    compute = f'[compute]\nrunner = "dask"\naddress = "{dask.address}"\n'
    file = _config(
        fresh(f"cluster-{name}"),
        pictures,
        root=f'"{url}"\nstorage_options = {{ {options} }}',
        more=compute,
    )
    catalog = Catalog(url, store.options)
    began = time.perf_counter()
    flow = start_flow(environment, "rebuild", str(file))
    done = 0
    if kill is not None:
        done = _kill_half_way(flow, catalog, dask, kill)
    out, _ = flow.communicate()
    times = finished(flow, out, time.perf_counter() - began)
    return _outcome(times, environment, file, killed=done)


def _kill_half_way(flow: subprocess.Popen[str], catalog: Catalog, dask: Dask, images: int) -> int:
    """Kill a worker once so many images are committed; give how many there were."""
    victim = dask.pids()[_HOSTS[0]]
    while flow.poll() is None:
        done = catalog.table("features").read(["item_id"]).num_rows
        if done >= images:
            os.kill(victim, 9)
            return done
        time.sleep(0.1)
    raise RuntimeError("it had ended before half of the images were committed")


def _outcome(
    rebuilt: FlowTimes, environment: dict[str, str], file: Path, killed: int = 0
) -> Outcome:
    published = run_flow(environment, "publish", str(file)).summary
    return Outcome(
        published["hash"],
        rebuilt.summary["items"],
        rebuilt.summary["accepted"],
        rebuilt.call,
        killed,
    )


def _config(folder: Path, pictures: Path, *, root: str, more: str = "") -> Path:
    file = folder / "nonesuch.toml"
    file.write_text(
        f'[dataset]\nname = "bench"\nroot = {root}\n\n'
        f'[[sources]]\nkind = "folder"\nname = "photographs"\npath = "{pictures}"\n\n'
        f"{_RECIPE}\n{more}",
        encoding="utf-8",
    )
    return file


@contextlib.contextmanager
def _dask(net: Network) -> Iterator[Dask]:
    """Start a scheduler here and a worker on each host, as the documents say."""
    folder = fresh("cluster-dask")
    program = str(Path(sys.executable).with_name("dask"))
    (port,) = free_ports(1, net.here)
    address = f"tcp://{net.here}:{port}"
    with contextlib.ExitStack() as stack:
        options = ("--host", net.here, "--port", str(port), "--no-dashboard")
        stack.enter_context(_running(folder / "scheduler.log", program, "scheduler", *options))
        for host in net.hosts:
            command = (*host.prefix, program, "worker", address, *_options(host, folder))
            stack.enter_context(_running(folder / f"{host.name}.log", *command))
        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(len(net.hosts), timeout=120)
        yield Dask(address)


def _options(host: Host, folder: Path) -> tuple[str, ...]:
    scratch = ("--local-directory", str(folder / host.name))
    return ("--name", host.name, "--host", host.address, "--nthreads", "1", *scratch)


@contextlib.contextmanager
def _running(log: Path, *command: str) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
