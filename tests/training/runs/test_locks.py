from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.errors import SetupError
from training.runs import locks

# Imports no torch, so starts at once. A child that it forks inherits its files.
HOLDER = """
import os, sys
from pathlib import Path
from training.runs import locks
with locks.hold(Path(sys.argv[1])):
    child = os.fork()
    if not child:
        sys.stdin.close()
        os.read(int(sys.argv[2]), 1)  # until the test lets it go
        os._exit(0)
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
os.waitpid(child, 0)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock, with a child that outlives it."""
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), str(reading)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[reading],
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        os.close(writing)  # the child goes
        process.kill()
    os.close(reading)


def test_one_holds_it_and_others_see_that(tmp_path: Path) -> None:
    assert not locks.is_held(tmp_path)
    with locks.hold(tmp_path):
        assert locks.is_held(tmp_path)
        with (
            pytest.raises(SetupError, match=rf"trained in by process {os.getpid()};.*another run"),
            locks.hold(tmp_path),
        ):
            pass
        assert locks.is_held(tmp_path)
    assert not locks.is_held(tmp_path)
    with locks.hold(tmp_path):
        pass


def test_another_process_is_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert locks.is_held(tmp_path)
    with (
        pytest.raises(SetupError, match=rf"process {holder.pid};.*`kill {holder.pid}` saves first"),
        locks.hold(tmp_path),
    ):
        pass


def test_it_is_free_when_the_holder_is_killed(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    # Its loader lives on, and has not inherited the lock.
    assert not locks.is_held(tmp_path)
    with locks.hold(tmp_path):
        assert (tmp_path / locks.LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_it_is_free_when_the_body_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locks.hold(tmp_path):
        raise KeyError
    assert not locks.is_held(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(SetupError, match=r"\.lock cannot be written: No such file"),
        locks.hold(tmp_path / "gone"),
    ):
        pass
    assert not locks.is_held(tmp_path / "gone")
