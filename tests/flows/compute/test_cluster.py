"""Partitions on a Dask cluster come to what they come to here, whatever dies in between."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from distributed import Client

from data_catalog.catalog import Catalog
from data_catalog.errors import StorageError
from flows import tasks
from flows.compute.cluster import Cluster, code, open_cluster, own, pieces
from flows.compute.settings import ComputeConfig, ComputeError
from tests.curation.stages.conftest import HostilePool
from tests.flows.compute import dask_work, dasking
from tests.flows.compute.dask_work import Attacked
from tests.flows.compute.dasking import Hosts, hosts
from tests.flows.world import World, fill
from tests.object_store import SECRET, ObjectStore
from training.data.remote import fetch

pytestmark = pytest.mark.xdist_group("prefect")

PARTS = [[1, 2], [3], [4, 5], [6, 7, 8]]
DOUBLED = [[2, 4], [6], [8, 10], [12, 14, 16]]


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with hosts(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.wait_for_workers()
        yield cluster


def at(dask: Hosts, **changes: Any) -> ComputeConfig:
    return ComputeConfig(runner="dask", address=dask.address, **changes)


@pytest.fixture
def cluster(dask: Hosts) -> Iterator[Cluster]:
    dask.wait_for_workers()
    with open_cluster(at(dask)) as cluster:
        yield cluster


def test_every_part_is_done_once(cluster: Cluster) -> None:
    assert cluster.processors == len(dasking.NAMES)
    done = list(cluster.map(dask_work.double, PARTS))
    assert sorted(done) == sorted(zip(PARTS, DOUBLED, strict=True))
    assert set(cluster.done) <= set(dasking.NAMES)
    assert cluster.done.total() == len(PARTS)
    assert list(cluster.map(dask_work.double, [])) == []


def test_workers_score_with_the_pytorch_that_is_here_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(list(cluster.map(dask_work.double, PARTS, whole_worker=True))) == len(PARTS)
    monkeypatch.setattr("flows.compute.cluster.networks", lambda: {"torch": "1.0"})
    with pytest.raises(ComputeError, match=r"has torch \S+ in place of 1\.0"):
        list(cluster.map(dask_work.double, PARTS, whole_worker=True))
    # Who only makes pixels needs none.
    assert len(list(cluster.map(dask_work.double, PARTS))) == len(PARTS)


def test_all_are_told_and_who_does_not_answer_is_not_waited_for(
    cluster: Cluster, dask: Hosts, tmp_path: Path
) -> None:
    leave_mark = partial(dask_work.leave_mark, str(tmp_path))
    cluster.tell_all(leave_mark)
    pids = sorted(dask.pids().values())
    assert sorted(int(mark.name) for mark in tmp_path.iterdir()) == pids
    os.kill(pids[0], signal.SIGSTOP)
    try:
        cluster.tell_all(leave_mark)
    finally:
        os.kill(pids[0], signal.SIGCONT)


def test_a_worker_that_dies_once_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    done = list(cluster.map(partial(dask_work.die_once, str(mark)), PARTS))
    assert mark.exists()
    assert sorted(result for _, result in done) == DOUBLED


def test_what_kills_every_worker_is_found_and_costs_only_itself(cluster: Cluster) -> None:
    done = list(
        cluster.map(dask_work.die_always, PARTS, split=dask_work.halves, give_up=dask_work.zeros)
    )
    found = {n: r for part, result in done for n, r in zip(part, result, strict=True)}
    assert found == {n: 0 if n == 5 else 2 * n for n in range(1, 9)}


def test_what_cannot_be_split_is_an_error(cluster: Cluster) -> None:
    with pytest.raises(ComputeError, match="every worker that had one of the partitions died"):
        list(cluster.map(dask_work.die_always, [[5]]))


def test_what_a_worker_says_is_heard(cluster: Cluster, dask: Hosts) -> None:
    with pytest.raises(StorageError, match=r"disk of \[8\] is full"):
        list(cluster.map(dask_work.refuse, [[8]]))
    with pytest.raises(ComputeError, match=r"lacks a package: .*no_such_package.*; install on"):
        list(cluster.map(dask_work.lack, [[8]]))
    cluster._code = {**code(), "pillow": "1.0"}
    with pytest.raises(ComputeError, match=r"worker \w+ has pillow [\d.]+ in place of 1\.0, which"):
        list(cluster.map(dask_work.double, [[8]]))


def test_a_run_that_is_stopped_leaves_the_cluster_free(cluster: Cluster, tmp_path: Path) -> None:
    mark = str(tmp_path / "go")
    answers = cluster.map(partial(dask_work.wait_for, mark), [[n] for n in range(8)])
    timer = threading.Timer(1.0, Path(mark).touch)
    timer.start()
    assert next(answers)[0] in [[n] for n in range(8)]
    answers.close()  # type: ignore[attr-defined]
    timer.join()
    assert sorted(cluster.map(dask_work.double, [[1]])) == [([1], [2])]


def test_nobody_there_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    with (
        pytest.raises(ComputeError, match=r"no Dask scheduler at tcp://127.0.0.1:9 .*to local"),
        open_cluster(ComputeConfig(runner="dask", address="tcp://127.0.0.1:9", wait=0.5)),
    ):
        pass
    with (
        pytest.raises(ComputeError, match=r"no Dask scheduler at nonsense://x"),
        open_cluster(ComputeConfig(runner="dask", address="nonsense://x", wait=0.5)),
    ):
        pass


def test_no_worker_and_a_scheduler_that_dies(tmp_path: Path) -> None:
    with hosts(tmp_path, names=()) as lonely, Client(lonely.address, timeout=60) as client:
        with (
            pytest.raises(ComputeError, match=r"no worker for 0.5 s; start some with `dask worker"),
            open_cluster(at(lonely, wait=0.5)),
        ):
            pass
        answers = Cluster(client, lonely.address, wait=60).map(dask_work.double, [[1]])
        timer = threading.Timer(1.0, lonely.scheduler.kill)
        timer.start()
        with pytest.raises(ComputeError, match=r"connection to .* was lost; .*same command again"):
            next(answers)
        timer.join()


def test_a_cluster_is_made_here_where_none_is_named() -> None:
    with open_cluster(ComputeConfig(runner="dask", workers=1)) as cluster:
        assert list(cluster.map(dask_work.double, [[2]])) == [([2], [4])]


def test_a_slice_is_sent_without_the_rest() -> None:
    import pickle

    table = pa.table({"image_id": [f"{n:064x}" for n in range(10_000)]})
    part = own(table.slice(100, 10))
    assert part.equals(table.slice(100, 10))
    assert len(pickle.dumps(part)) < 5_000
    cut = pieces(table.slice(0, 10))
    assert [piece.num_rows for piece in cut] == [3, 3, 3, 1]
    assert pa.concat_tables(cut).equals(table.slice(0, 10))
    assert [piece.num_rows for piece in pieces(table.slice(0, 1))] == [1]


# ---- The whole job. ------------------------------------------------------------------------------


def test_the_same_version_on_s3_by_a_cluster_whose_worker_is_killed(
    world: World, s3: ObjectStore, dask: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world.images, range(30))
    (world.images / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    attacks = {world.image_id("0007.jpg"): partial(os._exit, 7)}
    monkeypatch.setattr(tasks, "WorkerPool", lambda _: HostilePool(attacks))
    here = world.rebuild()
    published = world.publish()
    assert here.failed == 2

    dask.wait_for_workers()
    dask.do(Attacked(attacks))
    monkeypatch.setattr("curation.stages.standardize.SMALLEST", 4)
    remote = {
        "dataset": {"name": "shoes", "root": s3.url("whole-job"), "storage_options": s3.options},
        "compute": {"runner": "dask", "address": dask.address},
    }
    catalog = Catalog(s3.url("whole-job"), s3.options)
    with _killing_a_worker(dask, lambda: catalog.table("features").version() >= 0) as killed:
        there = world.rebuild_at(catalog, **remote)
    assert killed
    again = world.publish(**remote)

    assert again.hash == published.hash
    counts = ("seen", "items", "accepted", "flagged", "rejected", "failed", "reasons", "build")
    assert all(getattr(there, name) == getattr(here, name) for name in counts)
    assert _features(catalog).equals(_features(world.catalog))
    verdicts = [c.table("verdicts").read().sort_by("item_id") for c in (catalog, world.catalog)]
    assert verdicts[0].equals(verdicts[1])
    assert world.rebuild_at(catalog, **remote).standardized == 0

    folder = fetch(again.path, world.folder / "cache", storage_options=s3.options)
    assert len(list((folder / "shards").iterdir())) == again.shards
    _assert_secret_is_kept(dask)


def _features(catalog: Catalog) -> pa.Table:
    """All that is known of items but where their bytes lie, and how a process died."""
    places = ["pack", "offset", "length", "thumb_offset", "thumb_length", "detail"]
    rows = catalog.table("features").read()
    assert len(set(rows["item_id"].to_pylist())) == rows.num_rows
    return rows.drop_columns(places).sort_by("item_id")


class _killing_a_worker:
    """Kill -9 a worker as soon as something is so, while the body runs."""

    def __init__(self, dask: Hosts, condition: Callable[[], bool]) -> None:
        self._pid = dask.pids()[dasking.NAMES[0]]
        self._condition = condition
        self._over = threading.Event()
        self._killed: list[int] = []
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> list[int]:
        self._thread.start()
        return self._killed

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            if self._condition():
                os.kill(self._pid, signal.SIGKILL)
                self._killed.append(self._pid)
                return


def _assert_secret_is_kept(dask: Hosts) -> None:
    """No key is in Prefect's database, nor in a log of the cluster."""
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

    database = Path(str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition("///")[2])
    files = [path for path in database.parent.iterdir() if path.name.startswith(database.name)]
    assert any(b"whole-job" in path.read_bytes() for path in files), "it is the right one"
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    for name in ("scheduler", *dasking.NAMES):
        assert SECRET not in dask.log(name)
