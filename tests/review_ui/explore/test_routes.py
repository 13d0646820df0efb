from __future__ import annotations

import http.client
import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from flows.explore import projecting
from review_ui.explore import desk
from review_ui.security import MAX_UPLOAD
from tests.review_ui.explore.conftest import Explorer, Open
from tests.review_ui.site import Answer, Client
from training.latent.batcher import Bench
from training.latent.directions import save_set
from training.latent.draws import Truncation
from training.latent.looks import Between, Edit, Known, Look
from training.latent.sampler import Sampler
from training.latent.sefa import sefa
from training.models import load_snapshot


def newest(client: Client, run: str = "plain") -> dict[str, Any]:
    """The newest snapshot of a run, as the page is told of it."""
    runs = {told["name"]: told for told in client.get("/api/explore/models").json["runs"]}
    told: dict[str, Any] = client.get(
        f"/api/explore/models/{run}/{runs[run]['snapshots'][0]['name']}"
    ).json
    return told


def picture(client: Client, look: Any, run: str = "plain", **query: Any) -> Answer:
    told = newest(client, run)
    asked = {"look": look if isinstance(look, str) else json.dumps(look), **query}
    text = "&".join(f"{key}={quote(str(value))}" for key, value in asked.items())
    return client.get(f"/explore/{run}/{told['snapshot']}/picture?{text}")


def pixels(answer: Answer) -> np.ndarray[Any, Any]:
    assert answer.status == 200, answer.body
    with Image.open(io.BytesIO(answer.body)) as image:
        found: np.ndarray[Any, Any] = np.asarray(image.convert("RGB")).astype(int)
    return found


def upload(client: Client, data: bytes, name: str = "mine.png", **headers: str) -> Answer:
    told = newest(client)
    return client.ask(
        "POST",
        f"/api/explore/projections/plain/{told['snapshot']}?name={quote(name)}",
        raw=data,
        headers={"Content-Type": "application/octet-stream", **headers},
    )


def a_png(seed: int = 0, size: tuple[int, int] = (32, 24)) -> bytes:
    out = io.BytesIO()
    draw = np.random.default_rng(seed)
    Image.fromarray(draw.integers(0, 256, (*size, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def ended(client: Client, name: str, state: str = "done") -> dict[str, Any]:
    """Wait until a projection is as it should be."""
    end = time.monotonic() + 120
    while True:
        told = {one["name"]: one for one in client.get("/api/explore/projections/plain").json}
        if told[name]["state"] == state:
            return told[name]
        assert told[name]["state"] in ("waiting", "working"), told[name]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_tells_what_there_is_to_look_into(open_explorer: Open) -> None:
    client = open_explorer().client("Ada")
    told = client.get("/api/explore/models").json
    assert told["dataset"] == "boots"
    runs = {run["name"]: run for run in told["runs"]}
    assert set(runs) == {"plain", "classes"}
    assert (runs["plain"]["height"], runs["plain"]["width"]) == (16, 12)
    assert [s["kimg"] for s in runs["plain"]["snapshots"]] == [0.032, 0.016]
    model = newest(client, "classes")
    assert model["labels"] == ["boot", "shoe", "unlabelled"]
    assert model["num_ws"] == len(model["layers"])
    kinds = {found["kind"] for found in model["directions"]}
    assert kinds == {"sefa", "ganspace"}
    keys = {s["key"] for run in runs.values() for s in run["snapshots"]}
    assert len(keys) == 4


def test_a_picture_is_that_of_the_look(open_explorer: Open) -> None:
    explorer = open_explorer()
    client = explorer.client("Ada")
    sampler = Sampler(load_snapshot(explorer.models / "plain"), batch=1)
    look = {"look": {"seed": 3, "psi": 0.5}}
    answer = picture(client, look, form="png")
    (expected,) = sampler.render(sampler.ws([3], Truncation(0.5)))
    assert np.abs(pixels(answer) - expected).max() <= 1
    assert "attachment" in answer.headers["content-disposition"]
    with Image.open(io.BytesIO(answer.body)) as image:
        said = json.loads(image.info["nonesuch"])
    assert (said["run"], said["look"]["seed"]) == ("plain", 3)
    shown = picture(client, look)
    assert np.abs(pixels(shown) - expected).mean() < 12
    assert shown.headers["content-type"] == "image/jpeg"
    moved = {"look": {"seed": 3, "psi": 0.5, "edits": [{"set": "sefa", "index": 0, "amount": 3}]}}
    assert np.abs(pixels(picture(client, moved, form="png")) - expected).max() > 5


def test_browsers_keep_a_picture_of_a_key(open_explorer: Open) -> None:
    client = open_explorer().client("Ada")
    look = {"look": {"seed": 1}}
    kept = picture(client, look, v=newest(client)["key"]).headers["cache-control"]
    assert "immutable" in kept
    for other in ("", "another"):
        assert "no-cache" in picture(client, look, v=other).headers["cache-control"]


def test_a_run_that_is_trained_again_gives_other_pictures(open_explorer: Open) -> None:
    explorer = open_explorer(runs=("plain",))
    client = explorer.client("Ada")
    before = newest(client)
    first = picture(client, {"look": {"seed": 1}}, form="png").body
    snapshots = explorer.models / "plain" / "snapshots"
    old, new = sorted(path.name for path in snapshots.iterdir())
    shutil.rmtree(snapshots / new)
    shutil.copytree(snapshots / old, snapshots / new)
    assert newest(client)["key"] != before["key"]
    assert picture(client, {"look": {"seed": 1}}, form="png").body != first


@pytest.mark.parametrize(
    ("look", "words"),
    [
        ("", "look"),
        ("[]", "look"),
        ('{"look": {"seed": -1}}', "seed"),
        ('{"look": {"psi": "x"}}', "psi"),
        ({"look": {"label": 5}}, "label"),
        ({"look": {"projection": "../../x"}}, "x"),
        ({"look": {"projection": "gone"}}, "gone"),
        ({"look": {"edits": [{"set": "gone", "index": 0, "amount": 1}]}}, "gone"),
        ({"look": {"edits": [{"set": "sefa", "index": 99, "amount": 1}]}}, "99"),
        ({"look": {"mix": {"seed": 1, "first": 0, "last": 99}}}, "mix"),
    ],
)
def test_a_look_that_cannot_be_made_is_told(open_explorer: Open, look: Any, words: str) -> None:
    client = open_explorer(runs=("plain",)).client("Ada")
    answer = picture(client, look)
    assert answer.status == 422
    assert words in answer.json["message"]


def test_runs_and_snapshots_that_there_are_not(open_explorer: Open) -> None:
    client = open_explorer(runs=("plain",)).client("Ada")
    snapshot = newest(client)["snapshot"]
    for path in (
        f"/api/explore/models/gone/{snapshot}",
        "/api/explore/models/plain/kimg-999999.000",
        f"/explore/gone/{snapshot}/picture?look=%7B%22look%22%3A%7B%7D%7D",
        "/api/explore/projections/gone",
        "/explore/plain/projections/gone/end",
        "/explore/plain/real/99999",
    ):
        answer = client.get(path)
        assert answer.status == 404, path
        assert answer.json["error"] == "not_found"
    for path in ("/api/explore/models/..%2Fplain/x", "/api/explore/models/.hidden/x"):
        assert client.get(path).status in (404, 422)


def test_without_a_run_there_is_nothing(open_explorer: Open) -> None:
    client = open_explorer(runs=()).client("Ada")
    assert client.get("/api/explore/models").json["runs"] == []


def test_a_damaged_snapshot_is_told(open_explorer: Open) -> None:
    explorer = open_explorer(runs=("plain",))
    client = explorer.client("Ada")
    name = client.get("/api/explore/models").json["runs"][0]["snapshots"][0]["name"]
    weights = explorer.models / "plain" / "snapshots" / name / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    answer = client.get(f"/api/explore/models/plain/{name}")
    assert answer.status == 404
    assert "weights.safetensors" in answer.json["message"]


def test_nobody_gets_in_without_the_token(open_explorer: Open) -> None:
    token = "t" * 20
    explorer = open_explorer(runs=("plain",), admin_token=token)
    stranger = explorer.client()
    for path in ("/api/explore/models", "/api/explore/projections/plain", "/explore/plain/real/0"):
        assert stranger.get(path).status == 401, path
    assert stranger.get("/").status == 303
    assert stranger.get("/random").status == 303
    assert explorer.client("Ada", token).get("/api/explore/models").status == 200


def test_pages_have_their_policy(open_explorer: Open) -> None:
    client = open_explorer(runs=("plain",)).client("Ada")
    for path in ("/", "/random"):
        answer = client.get(path)
        assert answer.status == 200
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_nearest_real_pictures(open_explorer: Open) -> None:
    client = open_explorer(runs=("plain",)).client("Ada")
    told = newest(client)
    look = quote(json.dumps({"look": {"seed": 1}}))
    end = time.monotonic() + 60
    while True:
        near = client.get(f"/api/explore/nearest/plain/{told['snapshot']}?look={look}").json
        if near["state"] == "done":
            break
        assert near["total"] == 21
        assert time.monotonic() < end
        time.sleep(0.05)
    distances = [one["distance"] for one in near["neighbours"]]
    assert distances == sorted(distances)
    assert near["between"] > 0
    assert pixels(client.get(near["neighbours"][0]["url"])).shape == (16, 12, 3)


def test_a_picture_from_outside_is_projected(open_explorer: Open) -> None:
    explorer = open_explorer(runs=("plain",))
    client = explorer.client("Ada")
    begun = upload(client, a_png(), "My <picture>.png")
    assert begun.status == 202
    name = begun.json["name"]
    told = ended(client, name)
    assert told["distance"] <= told["start_distance"]
    for which in ("target", "start", "end"):
        assert pixels(client.get(told[which])).shape == (16, 12, 3)
    look = {"look": {"projection": name, "psi": 1}}
    near = np.abs(pixels(picture(client, look, form="png")) - pixels(client.get(told["end"])))
    assert near.mean() < 40
    assert upload(client, a_png(), "My <picture>.png").json["state"] == "done"  # not again


def test_a_projection_is_ended(open_explorer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "STEPS", 100_000)
    client = open_explorer(runs=("plain",)).client("Ada")
    name = upload(client, a_png()).json["name"]
    second = upload(client, a_png(1)).json["name"]
    under_way = ended(client, name, "working")
    assert pixels(client.get(under_way["target"])).shape == (16, 12, 3)
    assert under_way["end"] is None
    for one in (second, name):
        assert client.ask("DELETE", f"/api/explore/projections/plain/{one}").status == 204
    end = time.monotonic() + 60
    while client.get("/api/explore/projections/plain").json:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_only_so_many_wait_to_be_projected(
    open_explorer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projecting, "STEPS", 100_000)
    client = open_explorer(runs=("plain",)).client("Ada")
    answers = [upload(client, a_png(seed)).status for seed in range(projecting.WAITING + 3)]
    assert answers[: projecting.WAITING] == [202] * projecting.WAITING
    assert answers[-1] == 503
    for told in client.get("/api/explore/projections/plain").json:
        client.ask("DELETE", f"/api/explore/projections/plain/{told['name']}")


def test_what_is_no_picture_is_refused(open_explorer: Open) -> None:
    client = open_explorer(runs=("plain",)).client("Ada")
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")  # 400 megapixels in some kilobytes
    for data in (b"", b"GIF89a", b"<svg/>", a_png()[:60], out.getvalue()):
        answer = upload(client, data)
        assert answer.status == 422, data[:20]
        assert answer.json["error"] == "wrong_input"
    assert client.get("/api/explore/projections/plain").json == []


def test_an_upload_is_limited_and_comes_from_the_page(open_explorer: Open) -> None:
    client = open_explorer(runs=("plain",)).client("Ada")
    too_long = client.ask(
        "POST",
        f"/api/explore/projections/plain/{newest(client)['snapshot']}",
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Length": str(MAX_UPLOAD + 1),
        },
        raw=b"x",
    )
    assert too_long.status == 413
    assert upload(client, a_png(), **{"Content-Type": "application/json"}).status == 415
    assert upload(client, a_png(), **{"Sec-Fetch-Site": "cross-site"}).status == 403
    client.csrf = "wrong"
    assert upload(client, a_png()).status == 403


class Gate:
    """Directions that hold up who makes pictures."""

    def __init__(self) -> None:
        self.open, self.entered = threading.Event(), threading.Event()

    def move(self, ws: Tensor, index: int, amount: float) -> Tensor:
        self.entered.set()
        assert self.open.wait(60)
        return ws


@pytest.fixture
def gated(open_explorer: Open) -> Iterator[Explorer]:
    """An explorer whose pictures are held up."""
    explorer = open_explorer(runs=("plain",))
    gate = Gate()
    bench = Bench(load_snapshot(explorer.models / "plain"), Known(lambda _: gate, _no_projection))
    look = Look(edits=(Edit(set="gate", index=0, amount=1),))
    explorer.studio.batcher.submit(bench, Between(look=look), urgent=True)
    assert gate.entered.wait(60)
    yield explorer
    gate.open.set()


def _no_projection(name: str) -> Tensor:
    raise AssertionError(name)


def ask_and_leave_open(explorer: Explorer, client: Client, seed: int) -> http.client.HTTPConnection:
    parts = urlsplit(explorer.address)
    snapshot = newest(client)["snapshot"]
    look = quote(json.dumps({"look": {"seed": seed}}))
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    path = f"/explore/plain/{snapshot}/picture?look={look}"
    connection.request("GET", path, headers={"Cookie": client.cookie})
    return connection


def until(explorer: Explorer, waiting: int) -> None:
    end = time.monotonic() + 60
    while explorer.studio.batcher.waiting != waiting:
        assert time.monotonic() < end, explorer.studio.batcher.waiting
        time.sleep(0.01)


def test_who_has_gone_is_not_worked_for(gated: Explorer) -> None:
    client = gated.client("Ada")
    connections = [ask_and_leave_open(gated, client, seed) for seed in range(3)]
    until(gated, 3)
    for connection in connections[:2]:
        connection.close()
    until(gated, 1)
    connections[2].close()
    until(gated, 0)


def test_one_person_does_not_fill_the_queue(
    gated: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "_MOST_WAITING", 2)
    ada, bob = gated.client("Ada"), gated.client("Bob")
    connections = [ask_and_leave_open(gated, ada, seed) for seed in range(2)]
    until(gated, 2)
    refused = picture(ada, {"look": {"seed": 9}})
    assert (refused.status, refused.json["error"]) == (503, "busy")
    connections.append(ask_and_leave_open(gated, bob, 9))
    until(gated, 3)
    for connection in connections:
        connection.close()
    until(gated, 0)


def test_directions_that_are_found_meanwhile_are_there(open_explorer: Open) -> None:
    explorer = open_explorer(runs=("plain",))
    client = explorer.client("Ada")
    before = newest(client)
    sampler = Sampler(load_snapshot(explorer.models / "plain"))
    save_set(explorer.models / "plain", sefa(sampler, count=1, samples=50, name="mine"))
    after = newest(client)
    assert "mine" in [found["name"] for found in after["directions"]]
    assert before["key"] != after["key"]


def test_what_has_failed_is_tried_again_once(
    open_explorer: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_explorer(runs=("plain",)).client("Ada")
    monkeypatch.setattr(projecting, "project_into", _fail)
    name = upload(client, a_png()).json["name"]
    failed = ended(client, name, "failed")
    assert failed["message"] == "out of luck"
    monkeypatch.undo()
    monkeypatch.setattr(projecting, "STEPS", 20)
    again = [upload(client, a_png()).json["name"] for _ in range(3)]
    assert len(client.get("/api/explore/projections/plain").json) == 2 - (again[0] == name)
    ended(client, again[0])


def _fail(*_arguments: Any, **_options: Any) -> None:
    raise RuntimeError("out of luck")
