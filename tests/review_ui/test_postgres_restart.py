"""PostgreSQL restarts under the page: it says so, and goes on with all that was decided."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from review_ui.store.models import decision_event
from tests.review_ui import postgres
from tests.review_ui.feeds import blurred, item_id
from tests.review_ui.site import Client, opened


@pytest.fixture
def switched(postgres_server: str) -> Iterator[tuple[str, postgres.Switch]]:
    """A PostgreSQL of this test alone, and what stops and starts it."""
    assert postgres_server  # it tells where there is none
    with postgres.switched() as server:
        yield server


def decide(client: Client, number: int) -> Any:
    decision = {"uuid": str(uuid.uuid4()), "item": item_id(number), "verdict": "rejected"}
    return client.post("/api/decisions", {"decisions": [decision]})


def test_it_restarts_under_the_page(tmp_path: Path, switched: tuple[str, postgres.Switch]) -> None:
    url, switch = switched
    with opened(tmp_path, url, [blurred(n, 0.4) for n in range(4)]) as site:
        client = site.client("ann")
        assert decide(client, 0).status == 200
        switch("stop")
        answer = decide(client, 1)
        assert answer.status == 503, answer.body
        assert "Traceback" not in answer.body.decode()
        switch("start")
        # A pool may still hand out a connection or two of the server that is gone.
        until = time.monotonic() + 60
        while (answer := decide(client, 2)).status != 200:
            assert answer.status == 503, answer.body
            assert time.monotonic() < until
            time.sleep(0.1)
        page = client.post("/api/queues/blurred/page", {})
        assert {item["id"] for item in page.json["items"]} == {item_id(1), item_id(3)}
        with site.desk.database.reading() as connection:
            stored = connection.execute(select(decision_event.c.item_id)).scalars().all()
    assert sorted(stored) == sorted([item_id(0), item_id(2)])
