"""The loop through the page's API: what it tells, what it starts, what it refuses."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from review_ui.errors import ReviewError
from review_ui.feed import Done, Tell
from review_ui.loop import KINDS, Kind, LoopTold, Options
from tests.review_ui import loops
from tests.review_ui.feeds import blurred, item_id
from tests.review_ui.site import Client, Site

Open = Callable[..., Site]
TOKEN, ADMIN = "reviewers-may-come-in", "admins-may-publish-too"


@pytest.fixture
def site(open_site: Open) -> Site:
    """A loop that has gone round."""
    site = open_site([blurred(n, n / 10) for n in range(1, 4)])
    site.pipeline.told = loops.loop()
    return site


class Held:
    """Work that goes on until the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Kind, Options]] = []
        self.may_end = threading.Event()

    def __call__(self, kind: Kind, options: Options, tell: Tell) -> Done:
        self.calls.append((kind, options))
        tell("half-way", 1, 2, "http://127.0.0.1:4200/runs/flow-run/x")
        assert self.may_end.wait(30)
        return Done("it is done")


@pytest.fixture
def held(site: Site) -> Iterator[Held]:
    work = Held()
    site.pipeline.works = work
    yield work
    work.may_end.set()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- What it tells. ------------------------------------------------------------------------------


def test_it_tells_where_the_loop_stands(site: Site) -> None:
    told = site.client("ann").get("/api/loop").json
    assert told["build"]["accepted"] == 26
    assert [version["version"] for version in told["versions"]] == [2, 1]
    assert [run["status"] for run in told["runs"]] == ["failed", "finished"]
    assert told["runs"][0]["reason"] == "losses were not finite"
    assert told["models"][0]["is_current"]
    assert told["rankings"][0]["scored"] == 28
    assert told["server"] is None
    assert [job["kind"] for job in told["jobs"]] == list(KINDS)


def test_what_is_no_number_is_told_as_none(site: Site) -> None:
    run = loops.run("v1-tiny", pace=float("nan"))
    site.pipeline.told = LoopTold(runs=[run.model_copy(update={"metrics": {"fid": None}})])
    [told] = site.client("ann").get("/api/loop").json["runs"]
    assert told["sec_per_kimg"] is None
    assert told["metrics"] == {"fid": None}


def test_decisions_count_since_the_newest_version(site: Site) -> None:
    client = site.client("ann")
    assert client.get("/api/loop").json["decisions"] == 0
    sent = [
        {"uuid": str(uuid.uuid4()), "item": item_id(n), "verdict": said}
        for n, said in ((1, "accepted"), (2, "rejected"), (2, "accepted"))
    ]
    assert client.post("/api/decisions", {"decisions": sent}).status == 200
    until(lambda: client.get("/api/loop").json["decisions"] == 2)  # one word about each item
    newer = loops.version(3).model_copy(update={"published_at": loops.NOW.replace(year=2200)})
    site.pipeline.told = LoopTold(versions=[newer])
    until(lambda: client.get("/api/loop").json["decisions"] == 0)
    site.pipeline.told = LoopTold()
    until(lambda: client.get("/api/loop").json["decisions"] is None)


def test_nothing_is_sent_that_the_browser_has_already(site: Site) -> None:
    client = site.client("ann")
    for path in ("/api/loop", "/api/loop/runs/v1-tiny"):
        first = client.get(path)
        known = {"If-None-Match": first.headers["etag"]}
        again = client.ask("GET", path, headers=known)
        assert (again.status, again.body) == (304, b"")
        assert first.headers["cache-control"] == "private, no-cache"
    site.pipeline.told = LoopTold()
    until(lambda: client.ask("GET", "/api/loop", headers=known).status == 200)


def test_twenty_who_look_have_it_read_once_a_second(site: Site) -> None:
    times: list[float] = []
    told = site.pipeline.told

    def look() -> LoopTold:
        times.append(time.monotonic())
        return told

    site.desk.loop._find = look
    client = site.client("ann")
    threads = [
        threading.Thread(target=lambda: [client.get("/api/loop") for _ in range(10)])
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))


def test_a_run_tells_its_curves_and_grids(site: Site) -> None:
    client = site.client("ann")
    found = client.get("/api/loop/runs/v1-tiny").json
    assert [curve["name"] for curve in found["curves"]] == ["loss_G", "loss_D", "ada_p"]
    assert found["curves"][0]["values"] == [1.0, 1.4, None, 1.5]
    assert found["grids"][-1]["kimg"] is None
    assert client.get("/api/loop/runs/none").json["error"] == "not_found"


def test_a_grid_is_a_picture_of_our_own(site: Site) -> None:
    client = site.client("ann")
    url = client.get("/api/loop").json["runs"][0]["grid"]["url"]
    kept = client.get(f"{url}&size=small")
    assert (kept.status, kept.headers["content-type"]) == (200, "image/jpeg")
    assert "immutable" in kept.headers["cache-control"]
    assert client.get(url.partition("?")[0]).headers["cache-control"] == "private, no-cache"
    assert client.get("/runs/none/grids/reals").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/runs/..%2f..%2fetc/grids/passwd",
        "/runs/../grids/reals",
        "/runs/v1-tiny/grids/..%2frun.json",
        "/runs/v1-tiny/grids/.hidden",
        "/runs/.lock/grids/reals",
        "/runs/v1-tiny/grids/reals?size=huge",
        "/api/loop/runs/..%2f..%2fx",
    ],
)
def test_no_path_comes_from_an_address(site: Site, path: str) -> None:
    assert site.client("ann").get(path).status in (404, 422)


# ---- What it starts. -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_started_once_and_says_what_came_of_it(
    site: Site, held: Held, kind: Kind
) -> None:
    client = site.client("ann")
    first = client.post(f"/api/jobs/{kind}", {})
    assert (first.status, first.json["state"], first.json["by"]) == (202, "running", "ann")
    until(lambda: len(held.calls) == 1)
    again = site.client("bob").post(f"/api/jobs/{kind}", {}).json
    assert (again["id"], again["by"]) == (first.json["id"], "ann")
    assert (again["stage"], again["done"], again["total"]) == ("half-way", 1, 2)
    assert again["url"].endswith("/flow-run/x")
    held.may_end.set()
    until(lambda: client.get(f"/api/jobs/{kind}").json["state"] == "done")
    assert client.get(f"/api/jobs/{kind}").json["message"] == "it is done"
    assert held.calls == [(kind, Options())]


def test_different_kinds_run_beside_one_another(site: Site, held: Held) -> None:
    client = site.client("ann")
    for kind in ("train", "rebuild"):
        assert client.post(f"/api/jobs/{kind}", {}).status == 202
    until(lambda: len(held.calls) == 2)
    running = [job["kind"] for job in client.get("/api/loop").json["jobs"] if job["url"]]
    assert running == ["rebuild", "train"]


def test_a_training_is_told_version_and_preset(site: Site, held: Held) -> None:
    asked = {"version": 1, "preset": "stylegan2-ada"}
    assert site.client("ann").post("/api/jobs/train", asked).status == 202
    until(lambda: held.calls == [("train", Options.model_validate(asked))])


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("train", {"version": 9}, "must be published, got 9; there are 2, 1"),
        ("train", {"preset": "huge"}, "must be one of stylegan2-ada, tiny"),
        ("train", {"preset": "--config=/etc/passwd"}, "preset"),
        ("train", {"version": 0}, "version"),
        ("train", {"gpus": 1}, "gpus"),
        ("publish", {"version": 1}, "for `train` alone"),
        ("drop", {}, "kind"),
    ],
)
def test_what_makes_no_sense_starts_nothing(
    site: Site, held: Held, kind: str, body: dict[str, Any], words: str
) -> None:
    answer = site.client("ann").post(f"/api/jobs/{kind}", body)
    assert (answer.status, answer.json["error"]) == (422, "wrong_input")
    assert words in answer.json["message"]
    assert held.calls == []


def test_who_is_no_admin_looks_and_starts_nothing(open_site: Open) -> None:
    site = open_site([blurred(1, 0.1)], token=TOKEN, admin_token=ADMIN)
    site.pipeline.told, site.pipeline.works = loops.loop(), Held()
    client = site.client("ann", TOKEN)
    assert client.get("/api/loop").status == 200
    assert client.get("/api/loop/runs/v1-tiny").status == 200
    for kind in KINDS:
        answer = client.post(f"/api/jobs/{kind}", {})
        assert (answer.status, answer.json["error"]) == (403, "admins_only")
    assert Client(site.address).post("/api/jobs/train", {}).status in (401, 403)
    assert site.pipeline.works.calls == []


def test_what_failed_says_why_and_may_be_tried_again(site: Site) -> None:
    def fail(*_: object) -> Done:
        raise ReviewError("the catalog is in use: process 7 holds it")

    site.pipeline.works = fail
    client = site.client("ann")
    client.post("/api/jobs/rebuild", {})
    until(lambda: client.get("/api/jobs/rebuild").json["state"] == "failed")
    assert "process 7 holds it" in client.get("/api/jobs/rebuild").json["message"]
    site.pipeline.works = lambda *_: Done("well")
    client.post("/api/jobs/rebuild", {})
    until(lambda: client.get("/api/jobs/rebuild").json["state"] == "done")


def test_what_has_ended_is_seen_at_once(site: Site, held: Held) -> None:
    client = site.client("ann")
    client.post("/api/jobs/publish", {})
    until(lambda: len(held.calls) == 1)
    client.get("/api/loop")
    site.pipeline.told = LoopTold(versions=[loops.version(3)])
    held.may_end.set()
    until(lambda: client.get("/api/jobs/publish").json["state"] == "done")
    assert client.get("/api/loop").json["versions"][0]["version"] == 3
