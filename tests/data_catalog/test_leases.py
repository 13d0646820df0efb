"""One writer a root on S3: a lease by conditional writes, against a real store."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from threading import Barrier, Thread
from typing import Any

import pytest

from data_catalog import conditional
from data_catalog.catalog import Catalog
from data_catalog.errors import ConflictError, StorageError
from data_catalog.leases import Lease, lease
from data_catalog.locks import LOCK_NAME
from data_catalog.storage import Root
from tests.data_catalog.test_tables import ids, images
from tests.object_store import ObjectStore

WRITERS = 4


@pytest.fixture
def root(s3: ObjectStore, request: pytest.FixtureRequest) -> Root:
    return Root(s3.url(f"leases/{request.node.name}"), s3.options)


def _race(count: int, act: Any) -> list[Any]:
    """Let several act at the same moment, each by a client of its own."""
    barrier = Barrier(count)

    def one(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_of_many_that_create_or_replace_an_object_one_wins(root: Root) -> None:
    copies = [
        Root(root.url, {**root.storage_options, "skip_instance_cache": True})
        for _ in range(WRITERS)
    ]
    for turn in range(5):
        path = f"object-{turn}"
        tags = _race(WRITERS, lambda n, p=path: conditional.put(copies[n], p, {"by": n}, None))
        (winner,) = (number for number, tag in enumerate(tags) if tag is not None)
        found = conditional.look(root, path)
        assert found is not None
        assert (found.note, found.tag) == ({"by": winner}, tags[winner])
        assert 0 <= found.age < 60
        again = _race(
            WRITERS,
            lambda n, p=path, tag=found.tag: conditional.put(copies[n], p, {"again": n}, tag),
        )
        assert sum(tag is not None for tag in again) == 1
    assert conditional.look(root, "nothing") is None
    assert conditional.put(root, "nothing", {}, found.tag) is None


def test_the_second_is_told_who_holds_it_and_then_may(s3: ObjectStore, root: Root) -> None:
    first, second = (Catalog(root.url, s3.options) for _ in range(2))
    with first.lock("rebuild of shoes"):
        with first.lock("publish"):  # a stage of the same run
            pass
        said = r"s3://data/leases/.* is in use: process \d+ on .* holds it for 'rebuild of shoes'"

        def refused() -> None:
            with pytest.raises(ConflictError, match=said), second.lock("gc"):
                pass

        thread = ThreadPoolExecutor(1)
        thread.submit(refused).result()  # another thread is another writer
        thread.shutdown()
    with second.lock("gc"):
        pass
    with pytest.raises(KeyError), first.lock("a"):
        raise KeyError
    with first.lock("b"):
        pass


def _hold(url: str, options: dict[str, Any], seconds: float, pipe: Connection) -> None:
    with lease(Root(url, options), LOCK_NAME, "rebuild", seconds):
        pipe.send("held")
        time.sleep(600)


def test_who_dies_holds_it_for_its_time_and_no_longer(s3: ObjectStore, root: Root) -> None:
    context = multiprocessing.get_context("spawn")  # another machine knows nothing of this one
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold, args=(root.url, s3.options, 4.0, theirs))
    process.start()
    assert ours.recv() == "held"
    time.sleep(5)  # longer than its time: it is renewed
    try:
        with (
            pytest.raises(ConflictError, match=f"process {process.pid} on .*in 4 s"),
            lease(root, LOCK_NAME, "gc", 4.0),
        ):
            pass
    finally:
        process.kill()
        process.join()
    died = time.monotonic()
    while True:
        try:
            with lease(root, LOCK_NAME, "gc", 4.0):
                break
        except ConflictError:
            assert time.monotonic() - died < 60
            time.sleep(0.2)


def test_who_was_cut_off_commits_nothing_more(
    s3: ObjectStore, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_catalog.locks.lease", lambda *args: lease(*args, seconds=3.0))
    catalog = Catalog(root.url, s3.options)
    table = catalog.table("images")
    with catalog.lock("rebuild"):
        table.append(images("a"))
        # It slept for long, as a machine does whose lid was closed; another one took over.
        found = conditional.look(root, LOCK_NAME)
        assert found is not None
        assert conditional.put(root, LOCK_NAME, {"holder": "x", "pid": 7, "host": "b"}, found.tag)
        _until_refused(lambda: table.append(images("b")), "process 7 on b took it over")
        with pytest.raises(ConflictError):
            table.compact()
    assert set(ids(table)) <= {"a", "b"}
    found = conditional.look(root, LOCK_NAME)
    assert found is not None
    assert found.note["holder"] == "x", "who lost it must not free it"


def _until_refused(act: Any, why: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            act()
        except ConflictError as error:
            assert why in str(error)
            assert "run the same command again" in str(error)
            return
        time.sleep(0.1)
    pytest.fail("it was never refused")


def test_a_store_that_does_not_answer_ends_the_lease(s3: ObjectStore, root: Root) -> None:
    held = Lease(root, LOCK_NAME, "rebuild", 2.0)
    held.take()
    held.check()
    held._root = Root(root.url, {**s3.options, "endpoint_url": "http://127.0.0.1:9"})
    _until_refused(held.check, "the store did not answer for 2 s")
    held._root = root
    until = time.monotonic() + 30
    while True:  # it answers again, and nobody was faster
        try:
            held.check()
            break
        except ConflictError:
            assert time.monotonic() < until
            time.sleep(0.1)
    held.release()
    held = Lease(root, LOCK_NAME, "gc", 2.0)
    held.take()
    held.release()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock that goes on in sleep")
def test_who_slept_commits_nothing_before_it_has_renewed(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Lease(root, LOCK_NAME, "rebuild", 60.0)
    held.take()
    held.check()
    read, asleep = time.clock_gettime, 55.0

    def woken(clock: int) -> float:
        return read(clock) + (asleep if clock == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", woken)
    with pytest.raises(ConflictError, match="did not answer for 60 s"):
        held.check()
    assert held._put(held._tag)  # nobody took it over
    held.check()
    held.release()


def test_an_answer_that_was_lost_is_no_other_writer(root: Root) -> None:
    held = Lease(root, LOCK_NAME, "rebuild", 60.0)
    held.take()
    stale = held._tag
    assert held._put(held._tag)
    held._tag = stale  # as if the answer to the last renewal had not come
    assert held._put(stale)
    held.check()
    held.release()


# ---- A store that knows no conditions. -----------------------------------------------------------


class _Blind(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which knows `Expect: 100-continue`
    objects: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path in self.objects else 404)
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", self.date_time_string())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        listing = b'<?xml version="1.0"?><ListBucketResult><Name>data</Name></ListBucketResult>'
        self.send_response(200)
        self.send_header("Content-Length", str(len(listing)))
        self.end_headers()
        self.wfile.write(listing)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def blind() -> Iterator[dict[str, Any]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Blind,), {"objects": {}}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield {"key": "a", "secret": "b", "endpoint_url": f"http://127.0.0.1:{server.server_port}"}
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_store_that_ignores_conditions_is_refused(blind: dict[str, Any]) -> None:
    with (
        pytest.raises(StorageError, match=r"ignores conditions on writes.*ALLOW_UNSAFE_RENAME"),
        Catalog("s3://data/x", blind).lock("rebuild"),
    ):
        pass
    told = {**blind, "AWS_S3_ALLOW_UNSAFE_RENAME": "true"}
    with Catalog("s3://data/x", told).lock("rebuild"):
        pass


def test_a_note_of_somebody_else_is_no_lease(root: Root) -> None:
    root.write_bytes(LOCK_NAME, json.dumps({"holder": "in the body only"}).encode())
    with lease(root, LOCK_NAME, "rebuild"):
        pass
