"""Processes that are kept, heard, found and ended: small real ones."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from flows.up import parts
from flows.up.parts import Part
from tests.flows.world import REPOSITORY

# Starts a part that starts a process of its own, says their ids, and waits.
_OWNER = """
import asyncio, os, sys
from pathlib import Path
from flows.up.parts import HOME, Part

async def ready(_): return True

async def main():
    home = sys.argv[1]
    part = Part("runner", [sys.executable, "-c", sys.argv[2]], {**os.environ, HOME: home},
                Path(home) / "log", ready)
    await part.start()
    while len(part.last_lines) < 1:
        await asyncio.sleep(0.01)
    print(part.process.pid, part.last_lines[0], flush=True)
    await asyncio.sleep(300)

asyncio.run(main())
"""
_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"],
                         start_new_session=True)
print(child.pid, flush=True)
time.sleep(300)
"""


async def _always(_since: datetime) -> bool:
    return True


async def _never(_since: datetime) -> bool:
    return False


def part_of(tmp_path: Path, program: str, name: str = "runner") -> Part:
    environment = {**os.environ, parts.HOME: str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    return Part(name, [sys.executable, "-c", program], environment, tmp_path / "log", _always)


async def _run(part: Part) -> int:
    await part.start()
    code = await part.until_ended()
    while part._readers:
        await asyncio.sleep(0.01)
    return code


@pytest.fixture
def owned(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A process, a part that it has started, and what that has started."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path), _CHILD],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as owner:
        assert owner.stdout is not None
        part, child = map(int, owner.stdout.readline().split())
        try:
            yield owner, part, child
        finally:
            owner.kill()
            parts.end(parts.left_behind(tmp_path), 0)


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 30
    while not _is_gone(pid):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_it_says_is_kept_and_its_code_given(tmp_path: Path) -> None:
    program = "import sys; print('one'); print('two', file=sys.stderr); print('three', end='')"
    part = part_of(tmp_path, f"{program}; sys.exit(3)")
    assert asyncio.run(_run(part)) == 3
    assert sorted(part.last_lines) == ["one", "three", "two"]
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["one", "three", "two"]


def test_the_log_stays_small_whatever_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_LOG_BYTES", 10_000)
    part = part_of(tmp_path, "print('x' * 90_000); [print(number) for number in range(9_000)]")
    assert asyncio.run(_run(part)) == 0
    assert part.last_lines[-1] == "8999"
    logs = sorted(tmp_path.glob("log*"))
    assert [log.name for log in logs] == ["log", "log.1", "log.2"]
    assert all(log.stat().st_size <= 30_000 for log in logs)


def test_one_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    part = part_of(tmp_path, "pass")
    part.is_ready = _never

    async def start() -> bool:
        await part.start()
        return await part.until_ready()

    assert asyncio.run(start()) is False


def test_it_ends_with_its_owner_and_the_rest_is_found(
    tmp_path: Path, owned: tuple[subprocess.Popen[str], int, int]
) -> None:
    owner, part, child = owned
    found = {process.pid for process in parts.left_behind(tmp_path, "runner")}
    assert found == {part, child}
    owner.kill()
    if sys.platform == "linux":
        _wait_until_gone(part)
    left = parts.left_behind(tmp_path, "runner")
    assert child in {process.pid for process in left}
    assert parts.left_behind(tmp_path, "review") == []
    assert parts.left_behind(tmp_path / "elsewhere") == []
    parts.end(left, 10)
    _wait_until_gone(child)
    assert parts.left_behind(tmp_path) == []


def test_one_that_does_not_want_to_end_is_killed(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{program}; time.sleep(300)"],
        stdout=subprocess.PIPE,
        env={**os.environ, parts.HOME: str(tmp_path)},
    ) as deaf:
        assert deaf.stdout is not None
        assert deaf.stdout.readline() == b"deaf\n"
        parts.end(parts.left_behind(tmp_path), 0.2)
        assert _is_gone(deaf.pid)


def test_runs_are_known_by_their_environment() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(300)"],
        env={**os.environ, "PREFECT__FLOW_RUN_ID": "run-1"},
    ) as process:
        until = time.monotonic() + 30
        while "run-1" not in parts.flow_runs():  # its environment is there once it has begun
            assert time.monotonic() < until
            time.sleep(0.02)
        process.kill()
        process.wait()
    assert "run-1" not in parts.flow_runs()
