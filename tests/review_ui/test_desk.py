"""What routes share: values kept for a moment, new builds found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
from sqlalchemy import update

from review_ui.desk import Remembered
from review_ui.store import projection
from review_ui.store.models import build
from tests.review_ui.feeds import blurred, feed
from tests.review_ui.site import Site


class Slow:
    """Counts up, each time only when it is let go on."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def __call__(self) -> int:
        self.count += 1
        found = self.count
        self.begun.release()
        assert self.may_end.acquire(timeout=20)
        return found


def test_one_finds_out_while_the_others_are_given_what_was_known() -> None:
    find = Slow()
    value = Remembered(find, 0.0)
    find.may_end.release()
    assert value.get() == 1
    assert find.begun.acquire(timeout=20)
    given: list[int] = []
    renewing = threading.Thread(target=lambda: given.append(value.get()))
    renewing.start()
    assert find.begun.acquire(timeout=20)
    assert [value.get() for _ in range(5)] == [1] * 5
    find.may_end.release()
    renewing.join(20)
    assert given == [2]


def test_a_value_that_takes_long_is_fresh_when_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("review_ui.desk.time.monotonic", lambda: clock[0])
    found = []

    def find() -> int:
        clock[0] += 5.0
        found.append(1)
        return len(found)

    value = Remembered(find, 1.0)
    assert [value.get() for _ in range(3)] == [1, 1, 1]
    assert value.at_hand() == 1
    clock[0] += 1.0
    assert value.at_hand() is None
    assert value.get() == 2


def test_what_was_found_before_it_was_forgotten_is_not_kept() -> None:
    find = Slow()
    value = Remembered(find, 60.0)
    finding = threading.Thread(target=value.get)
    finding.start()
    assert find.begun.acquire(timeout=20)
    value.forget()
    find.may_end.release()
    finding.join(20)
    assert value.at_hand() is None
    find.may_end.release()
    assert value.get() == 2


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    return open_site([blurred(n, 0.4) for n in range(3)])


def test_a_failure_is_over_when_the_catalog_comes_back(site: Site) -> None:
    client = site.client("ann")

    def state() -> str:
        site.desk.builds.forget()
        return str(client.get("/api/queues").json["sync"]["state"])

    site.pipeline.build, site.pipeline.items = "2", [blurred("x", 0.4, width=None)]
    with pytest.raises(Exception, match=r"null|NOT NULL|Invalid"):
        site.desk.look()
    assert state() == "failed"
    site.pipeline.build = "build-1"
    site.desk.look()
    assert state() == "ready"


def test_what_another_server_reads_is_left_to_it(site: Site) -> None:
    """Both have the same store; this one looks while the other is at it."""
    read: list[str] = []

    def look() -> None:
        site.desk.builds.forget()
        site.desk.look()

    def batches() -> Iterator[pa.RecordBatch]:
        whole = feed([blurred(n, 0.4) for n in range(2)], "2")
        for batch in whole.items:
            site.pipeline.build = "2"
            look()
            read.append(str(site.desk.builds.get()))
            yield batch

    projection.replace(site.desk.database, replace(feed([], "2"), items=batches()))
    assert len(read) == 1
    site.desk.builds.forget()
    assert site.desk.build().build_id == "2"


def test_what_another_server_left_half_read_is_read(site: Site) -> None:
    database = site.desk.database
    site.pipeline.build = "2"
    with database.writing() as connection:
        values = {"build_id": "2", "built_at": 1, "state": "reading", "queues": "[]"}
        connection.execute(build.insert().values(**values, progressed_at=1))
    site.desk.builds.forget()
    site.desk.look()
    assert site.desk.build().build_id == "2"
    with database.writing() as connection:
        assert not connection.execute(
            update(build).where(build.c.state == "reading").values(size=0)
        ).rowcount
