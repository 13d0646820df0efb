"""One wish is one run; what may be started again, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flows.server import page_of
from flows.settings import ConfigError
from tests.flows.deploying import config_of, register
from tests.flows.running import Server

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.xdist_group("prefect")


def test_one_wish_is_one_run(client: Any, loop_server: Server, tmp_path: Path) -> None:
    from flows.loop.starts import Starter, is_under_way

    now = datetime.now(UTC)
    register(config_of(tmp_path), tmp_path / "nonesuch.toml")
    wanted = {"published": {"version": 1, "hash": "abc"}}
    with Starter(loop_server.api, "shirts") as starter:
        first = starter.start("train", wanted, "train:abc:0")
        assert starter.start("train", wanted, "train:abc:0") == first
        assert first.address == f"{page_of(loop_server.api)}/runs/flow-run/{first.id}"
        (known,) = starter.runs_like("train", wanted)
        assert str(known.id) == first.id
        assert is_under_way([known], now)
        assert starter.runs_like("train", {"published": {"version": 1, "hash": "x"}}) == []
        assert [str(run.id) for run in starter.find(first.id)] == [first.id]
        assert starter.find(str(uuid4())) == starter.find(None) == []
        assert starter.start("train", wanted, "train:abc:1") != first
    with (
        Starter(loop_server.api, "nobody") as starter,
        pytest.raises(ConfigError, match="has no deployment train/nobody; start it with"),
    ):
        starter.start("train", {})


def past(state: str, minutes: float = 0, message: str = "") -> Any:
    from flows.loop.starts import Past

    return Past("id", state, message, NOW - timedelta(minutes=minutes))


SHUT_DOWN = "Runner is shutting down."


@pytest.mark.parametrize(
    ("before", "may"),
    [
        ([], True),
        ([("CRASHED", 0, "")], True),
        ([("CRASHED", 0, "")] * 3, True),
        ([("CRASHED", 0, "")] * 4, False),
        ([("CRASHED", 10, "")] * 4, True),
        ([("CRASHED", 0, ""), *[("CRASHED", 60, "")] * 9], True),
        ([("CRASHED", 0, ""), *[("FAILED", 1, "")] * 9], True),
        ([("CANCELLED", 0, SHUT_DOWN)], True),
        ([("CANCELLED", 0, SHUT_DOWN), ("CRASHED", 1, ""), ("FAILED", 2, "")], True),
        ([("CANCELLED", 999, "by hand")], False),
        ([("FAILED", 1, "")], False),
        ([("FAILED", 11, "")], True),
        ([("COMPLETED", 1, "")], False),
        ([("COMPLETED", 11, "")], True),
        ([("FAILED", 30, "")] * 3, False),
        ([("FAILED", 41, "")] * 3, True),
        ([("FAILED", 11, ""), ("CRASHED", 12, ""), ("FAILED", 13, "")], True),
        ([("FAILED", 60 * 24 - 1, "")] * 50, False),
        ([("FAILED", 60 * 24, "")] * 50, True),
    ],
)
def test_work_is_started_again_but_not_all_the_time(
    before: list[tuple[str, float, str]], may: bool
) -> None:
    from flows.loop.starts import may_start

    assert may_start([past(*one) for one in before], NOW) is may
