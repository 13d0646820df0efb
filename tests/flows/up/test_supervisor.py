"""How parts are started again, and ended: with small processes in place of the real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from flows.up import parts, supervisor
from flows.up.parts import Part
from flows.up.prefect_api import PrefectApi
from flows.up.supervisor import Supervisor
from tests.flows.world import REPOSITORY

WAITS = "import time; print('here', flush=True); time.sleep(300)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"
FAILS = "print('no such thing'); raise SystemExit(7)"


class Watched:
    """A supervisor of small processes, and what it says."""

    def __init__(self, home: Path, prefect: PrefectApi, **programs: str) -> None:
        self.home, self.facts = home, list[dict[str, Any]]()
        self._programs = {"server": WAITS, "runner": WAITS, "review": WAITS, **programs}
        made = {name: self._part(name) for name in self._programs}
        self.parts = made
        self.supervisor = Supervisor(
            home, made["server"], made["runner"], [made["review"]], prefect, self._tell
        )

    def _part(self, name: str) -> Part:
        async def is_ready(_since: datetime) -> bool:
            return "here" in self.parts[name].last_lines

        environment = {**os.environ, parts.HOME: str(self.home), "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-c", self._programs[name]]
        return Part(name, command, environment, self.home / f"{name}.log", is_ready)

    def _tell(self, _words: str, facts: Mapping[str, Any]) -> None:
        self.facts.append(dict(facts))

    async def until(self, what: Callable[[], Any]) -> Any:
        """Wait until something is so; give it."""
        ends = time.monotonic() + 60
        while not (found := what()):
            assert time.monotonic() < ends, self.facts
            await asyncio.sleep(0.02)
        return found

    def said(self, **facts: Any) -> list[dict[str, Any]]:
        """Give what it said of something."""
        return [one for one in self.facts if facts.items() <= one.items()]


class _Healthy(PrefectApi):
    """A server that answers and knows of nothing: these tests are about processes."""

    async def is_healthy(self) -> bool:
        return True

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return []


class _Hanging(_Healthy):
    """One that takes requests once everything ends, and dies before it answers them."""

    hangs = False

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        if self.hangs:
            await asyncio.sleep(1_000)
        return []


def supervise(
    home: Path,
    work: Callable[[Watched], Awaitable[None]],
    server_api: type[PrefectApi] = _Healthy,
    **programs: str,
) -> Watched:
    """Run a supervisor while `work` watches; both end."""

    async def run() -> Watched:
        async with server_api("http://127.0.0.1:9/api") as prefect:
            watched = Watched(home, prefect, **programs)
            ready: list[bool] = []
            supervising = asyncio.create_task(watched.supervisor.run(lambda: ready.append(True)))
            try:
                await asyncio.wait_for(work(watched), 100)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                await supervising
        return watched

    try:
        return asyncio.run(run())
    finally:
        parts.end(parts.left_behind(home), 0)


def test_one_that_fails_starts_again_later_and_later_and_its_words_are_shown(
    tmp_path: Path,
) -> None:
    async def work(watched: Watched) -> None:
        await watched.until(lambda: len(watched.said(part="review", state="ended")) > 2)

    watched = supervise(tmp_path, work, review=FAILS)
    ended = watched.said(part="review", state="ended")
    assert [one["pause"] for one in ended[:3]] == [1, 2, 4]
    assert {one["code"] for one in ended} == {7}
    assert "last_lines" not in ended[0]
    assert ended[1]["last_lines"] == ["no such thing"]
    assert not watched.said(state="ended", part="server")


def test_they_end_one_after_the_other_what_asks_before_what_answers(tmp_path: Path) -> None:
    async def work(watched: Watched) -> None:
        await watched.until(lambda: all(part.is_running for part in watched.parts.values()))

    watched = supervise(tmp_path, work)
    stopped = [one["part"] for one in watched.said(state="stopping")]
    assert stopped == ["runner", "review", "server"]
    assert watched.facts[-1] == {"stopped": True}
    assert not watched.said(state="killing")
    assert parts.left_behind(tmp_path) == []


@pytest.mark.parametrize("part", ["runner", "server"])
def test_who_insists_has_them_killed(tmp_path: Path, part: str) -> None:
    async def work(watched: Watched) -> None:
        await watched.until(lambda: "here" in watched.parts[part].last_lines)
        os.kill(os.getpid(), signal.SIGINT)
        await watched.until(lambda: watched.said(part=part, state="stopping"))
        os.kill(os.getpid(), signal.SIGINT)

    watched = supervise(tmp_path, work, **{part: DEAF})
    assert watched.said(part=part, state="killing")
    assert parts.left_behind(tmp_path) == []


def test_a_server_that_dies_at_the_very_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(watched: Watched) -> None:
        await watched.until(lambda: "here" in watched.parts["runner"].last_lines)
        monkeypatch.setattr(_Hanging, "hangs", True)
        os.kill(os.getpid(), signal.SIGTERM)
        await watched.until(lambda: not watched.parts["runner"].is_running)
        watched.parts["server"].send(signal.SIGKILL)

    # Longer than the test may take: it is seen that the server has gone.
    monkeypatch.setattr(supervisor, "_OTHERS_GRACE", 1_000.0)
    watched = supervise(tmp_path, work, _Hanging)
    assert watched.said(error="no answer")
    assert watched.facts[-1] == {"stopped": True}
