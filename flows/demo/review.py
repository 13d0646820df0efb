"""Decides about flagged pictures by the API of the review page, as the page itself does."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from review_ui.errors import ReviewError

# Of an item as the page gives it: accepted or rejected.
Judge = Callable[[dict[str, Any]], str]

_PAGE: Final = 100
_PATIENCE: Final = 120.0  # seconds to start, and to read a build


def decide_flagged(config_file: Path, judge: Judge, reviewer: str = "demo") -> dict[str, int]:
    """Open the page, decide about every open item of every queue of flagged ones, close it.

    Parameters
    ----------
    config_file
        Of a dataset that was rebuilt. Run again, nothing is open any more.
    judge
        Gives ``accepted`` or ``rejected`` for an item (`review_ui.schemas.ItemOut`).

    Returns
    -------
    dict
        How many were accepted and rejected.

    Raises
    ------
    ReviewError
        If the page does not start, or does not take a decision.
    """
    with _serving(config_file) as address, _logged_in(address, reviewer) as client:
        said: Counter[str] = Counter()
        for queue in _queues(client):
            if queue["action"] == "flag":
                items = _clusters if queue["kind"] == "clusters" else _items
                for page in items(client, queue["id"]):
                    said.update(_decide(client, page, judge))
    return {verdict: said[verdict] for verdict in ("accepted", "rejected")}


@contextlib.contextmanager
def _serving(config_file: Path) -> Iterator[str]:
    """Serve the page on a free port; give its address."""
    command = [sys.executable, "-m", "flows.cli", "review", "--json", "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--config", str(config_file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                raise ReviewError(f"the review page ended with exit code {server.wait()}")
            yield str(json.loads(line)["address"])
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()


@contextlib.contextmanager
def _logged_in(address: str, reviewer: str) -> Iterator[httpx.Client]:
    origin = address.rstrip("/")
    with httpx.Client(base_url=origin, timeout=60, headers={"Origin": origin}) as client:
        session = _answer(client.post("/api/session", json={"name": reviewer}))
        client.headers["X-CSRF-Token"] = session["csrf"]
        yield client


def _queues(client: httpx.Client) -> list[dict[str, Any]]:
    """Give the queues, once the page has read the last build."""
    until = time.monotonic() + _PATIENCE
    while True:
        found = _answer(client.get("/api/queues"))
        state = found["sync"]["state"]
        if state == "ready" and found["build"] is not None:
            return list(found["queues"])
        if state == "failed" or time.monotonic() > until:
            raise ReviewError(f"the page has read no build: {found['sync']['message'] or state}")
        time.sleep(0.2)


def _items(client: httpx.Client, queue: str) -> Iterator[list[dict[str, Any]]]:
    """Give page after page; what was decided is in no later one."""
    while True:
        body = {"standing": "open", "limit": _PAGE}
        items = _answer(client.post(f"/api/queues/{queue}/page", json=body))["items"]
        if not items:
            return
        yield items


def _clusters(client: httpx.Client, queue: str) -> Iterator[list[dict[str, Any]]]:
    """Give the items of cluster after cluster that nobody has decided about."""
    after = None
    while True:
        body = {"standing": "open", "limit": 10, "after": after}
        found = _answer(client.post(f"/api/queues/{queue}/clusters", json=body))
        for cluster in found["clusters"]:
            # Only what the rule flags: the others of a cluster are in already.
            flagged = [i for i in cluster["items"] if i["rule"] == "flagged" and not i["verdict"]]
            if flagged:
                yield flagged
        after = found["next"]
        if after is None:
            return


def _decide(client: httpx.Client, items: list[dict[str, Any]], judge: Judge) -> list[str]:
    batch = str(uuid.uuid4())
    decisions = [
        {
            "uuid": str(uuid.uuid4()),
            "item": item["id"],
            "verdict": judge(item),
            "base": item["head"],
            "tags": item["tags"],
            "note": item["note"],
            "batch": batch,
        }
        for item in items
    ]
    outcomes = _answer(client.post("/api/decisions", json={"decisions": decisions}))["outcomes"]
    refused = [outcome for outcome in outcomes if outcome["outcome"] == "conflict"]
    if refused:
        raise ReviewError(
            f"{len(refused)} decisions came too late: somebody else has decided; run it again"
        )
    return [str(decision["verdict"]) for decision in decisions]


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise ReviewError(f"{response.request.url} answers {response.status_code}: {response.text}")
    return dict(response.json())
