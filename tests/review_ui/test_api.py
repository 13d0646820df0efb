"""The API as it documents itself: no request makes it fall over, and no answer is another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from review_ui.app import create_app
from review_ui.desk import Desk, Remembered
from review_ui.feed import Done, Tell
from review_ui.loop import Kind, Options
from review_ui.routes.common import to_cursor
from tests.review_ui.feeds import Item, blurred, copy_of, item_id, pixel_copy_of
from tests.review_ui.site import Site, opened

ITEMS = [
    *(blurred(n, 0.1 * n, source="a", tags=["x"], brand="B") for n in range(1, 5)),
    Item("keep", columns={"duplicate": item_id("keep"), "colourway": "c"}),
    copy_of("near", "keep"),
    pixel_copy_of("same", "keep"),
]
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

# The document does not depend on what is served.
SCHEMA = schemathesis.openapi.from_dict(create_app(cast("Desk", None), frozenset()).openapi())
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with opened(folder, f"sqlite:///{folder}/review.sqlite", ITEMS) as site:
        yield site


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)
def test_no_request_makes_it_fall_over(operation: Any, site: Site) -> None:
    client = site.client("ann")

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        headers = {
            "Cookie": client.cookie,
            "X-CSRF-Token": client.csrf,
            "Origin": site.address.rstrip("/"),
        }
        case.call_and_validate(base_url=site.address, headers=headers, checks=CHECKS)

    ask()


def test_the_document_knows_every_route_of_the_api(site: Site) -> None:
    labels = {operation.label for operation in OPERATIONS}
    assert len(labels) >= 20
    assert site.client("ann").get("/api/openapi.json").json["paths"].keys() == {
        label.split(" ", 1)[1] for label in labels
    }


@pytest.fixture
def fresh(tmp_path: Any, database_url: str) -> Iterator[Site]:
    """A page of its own, on either database."""
    with opened(tmp_path, database_url, ITEMS) as site:
        yield site


def test_twenty_at_once_are_all_served_and_see_no_item_twice(fresh: Site) -> None:
    shown: list[list[str]] = []
    failures: list[Any] = []

    def review(number: int) -> None:
        client = fresh.client(f"reviewer {number}")
        answer = client.post("/api/queues/blurred/page", {"limit": 2, "lease": True})
        if answer.status != 200:
            failures.append(answer)
            return
        shown.append([item["id"] for item in answer.json["items"]])

    threads = [threading.Thread(target=review, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    seen = [item for page in shown for item in page]
    assert len(seen) == len(set(seen)) == 4


def test_twenty_who_filter_are_served_and_see_no_item_twice(fresh: Site) -> None:
    shown: list[list[str]] = []

    def review(number: int) -> None:
        client = fresh.client(f"reviewer {number}")
        body = {"limit": 2, "lease": True, "filters": {"source": "a"}}
        answer = client.post("/api/queues/blurred/page", body)
        shown.append([item["id"] for item in answer.json["items"]])

    threads = [threading.Thread(target=review, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [item for page in shown for item in page]
    assert len(shown) == 20
    assert len(seen) == len(set(seen)) == 4


def test_a_range_is_of_what_the_queue_measures(fresh: Site) -> None:
    client = fresh.client("ann")
    body = {"filters": {"low": 0.15, "high": 0.35}}
    items = client.post("/api/queues/blurred/page", body).json["items"]
    assert [item["id"] for item in items] == [item_id(2), item_id(3)]


def test_wrong_requests_do_not_disturb_the_writer(
    fresh: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the writer was asked")

    client = fresh.client("ann")
    monkeypatch.setattr(fresh.desk.writer, "write", refuse)
    lease = {"lease": True}
    assert client.post("/api/queues/nope/page", lease).status == 404
    assert client.post("/api/queues/blurred/clusters", lease).status == 404
    of_items, of_clusters = to_cursor(1, (0.5, 7)), to_cursor(1, (0.5, "x"))
    for queue, other in (("blurred/page", of_clusters), ("near_duplicate/clusters", of_items)):
        for place in ("", "x", "AAAA", "bnVsbA==", other):
            answer = client.post(f"/api/queues/{queue}", {**lease, "after": place})
            assert (answer.status, answer.json["error"]) == (422, "wrong_cursor")


@pytest.mark.parametrize("lease", [False, True])
def test_who_goes_on_in_an_earlier_build_is_told(fresh: Site, lease: bool) -> None:
    client = fresh.client("ann")
    body = {"limit": 1, "lease": lease}
    after = client.post("/api/queues/blurred/page", body).json["next"]
    of_clusters = to_cursor(1, (0.5, "x"))
    known, builds = fresh.desk.builds.get(), fresh.desk.builds
    fresh.pipeline.build = "2"
    fresh.pipeline.refresh()
    builds.forget()
    for path, place in (("blurred/page", after), ("near_duplicate/clusters", of_clusters)):
        answer = client.post(f"/api/queues/{path}", {**body, "after": place})
        assert (answer.status, answer.json["error"]) == (409, "build_changed")
    # Another process read it: this one does not know yet that its build is gone.
    stale = [known]
    fresh.desk.builds = Remembered(lambda: stale.pop() if stale else builds.get(), 600)
    answer = client.post("/api/queues/blurred/page", body)
    assert (answer.status, answer.json["error"]) == (409, "build_changed")
    assert len(client.post("/api/queues/blurred/page", {"limit": 4}).json["items"]) == 4


def test_a_lease_is_shown_renewed_and_given_back(fresh: Site) -> None:
    ann, bob = fresh.client("ann"), fresh.client("bob")
    page = ann.post("/api/queues/blurred/page", {"limit": 3, "lease": True}).json
    mine = [item["id"] for item in page["items"]]
    theirs = bob.post("/api/queues/blurred/page", {"lease": True}).json
    assert len(theirs["items"]) == 1
    assert theirs["held_by_others"] == 3
    assert bob.get(f"/api/items/{mine[0]}").json["leased_by"] == "ann"
    renewed = ann.post("/api/leases", {"items": mine}).json["leased_until"]
    assert renewed > page["leased_until"]
    assert ann.post("/api/leases", {"items": mine, "release": True}).json["leased_until"] is None
    assert len(bob.post("/api/queues/blurred/page", {}).json["items"]) == 4


def test_an_item_tells_its_neighbours_and_its_history(fresh: Site) -> None:
    client = fresh.client("ann")
    near = item_id("near")
    sent = {"uuid": "0" * 8 + "-0000-4000-8000-" + "0" * 12, "item": near, "verdict": "accepted"}
    client.post("/api/decisions", {"decisions": [sent]})
    found = client.get(f"/api/items/{near}").json
    assert [event["verdict"] for event in found["history"]] == ["accepted"]
    assert found["duplicate"] == item_id("keep")
    cluster = client.get(f"/api/clusters/duplicate/{item_id('keep')}").json
    assert cluster["best"] == item_id("keep")
    assert {item["id"] for item in cluster["items"]} == {
        item_id(name) for name in ("keep", "near", "same")
    }
    assert client.get(f"/api/clusters/colourway/{item_id('none')}").status == 404
    assert client.get(f"/api/items/{item_id('none')}").json["error"] == "not_found"


def test_pages_tags_facets_statistics_and_files_on_either_database(fresh: Site) -> None:
    client = fresh.client("ann")
    first = client.post("/api/queues/blurred/page", {"limit": 2}).json
    second = client.post("/api/queues/blurred/page", {"limit": 2, "after": first["next"]}).json
    ids = [item["id"] for page in (first, second) for item in page["items"]]
    assert ids == [item_id(n) for n in (1, 2, 3, 4)]  # the least sharp first
    facets = client.get("/api/facets").json
    assert facets["tag"] == [{"value": "x", "count": 4}]
    state = client.get("/api/queues").json
    assert state["todo"] == 4
    blur = next(queue for queue in state["queues"] if queue["id"] == "blurred")
    assert (blur["open"], blur["low"], blur["order"]) == (4, 0.1, "low")
    text = f"item,verdict,tags\n{ids[0]},accept,worn|left\n"
    answer = client.post("/api/decisions/import", {"format": "csv", "text": text})
    assert (answer.json["read"], answer.json["saved"]) == (1, 1)
    assert client.get("/api/tags?prefix=WO").json["tags"] == [{"value": "worn", "count": 1}]
    assert ids[0] in client.get("/api/decisions.csv").body.decode()
    assert client.get("/api/decisions.jsonl?history=true").body.count(b"\n") == 1
    assert client.get("/api/statistics").json["left"] == 3


def test_publishing_is_told_and_happens_once(fresh: Site) -> None:
    began = threading.Event()
    may_end = threading.Event()

    def slow(kind: Kind, _options: Options, tell: Tell) -> Done:
        assert kind == "publish"
        tell("publish", 1, 2)
        began.set()
        may_end.wait(20)
        return Done("Version 7", version=7, items=5, shards=1)

    fresh.pipeline.works = slow
    client = fresh.client("ann")
    first = client.post("/api/jobs/publish", {}).json
    assert began.wait(20)
    again = client.post("/api/jobs/publish", {}).json
    assert again["id"] == first["id"]
    assert (again["state"], again["stage"], again["done"], again["total"]) == (
        "running",
        "publish",
        1,
        2,
    )
    may_end.set()
    while client.get("/api/jobs/publish").json["state"] == "running":
        pass
    done = client.get("/api/jobs/publish").json
    assert (done["state"], done["version"], done["report"]) == ("done", 7, "/versions/7/report")
