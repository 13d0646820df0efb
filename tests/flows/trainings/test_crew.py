"""Who trains side by side: places, and trainings that go on without their command."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.trainings.crew import Crew, Slots, devices_of, trainer_of
from tests.flows.world import REPOSITORY
from training.runs.locks import is_held

# Trains, as far as the lock tells, until it is asked to stop.
TRAINER = """
import signal, sys, time
from pathlib import Path
from training.runs.locks import hold
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
with hold(Path(sys.argv[1])):
    Path(sys.argv[1], "ready").touch()
    while not stop:
        time.sleep(0.01)
Path(sys.argv[1], "saved").touch()
"""


@contextmanager
def training_in(run: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    run.mkdir(exist_ok=True)
    command = [sys.executable, "-c", TRAINER, str(run)]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
        try:
            wait_for(run / "ready")
            yield process
        finally:
            process.kill()


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_run_that_is_trained_gets_the_place_that_it_is_trained_at(tmp_path: Path) -> None:
    places = [{"CUDA_VISIBLE_DEVICES": name} for name in ("0", "1", "2")]
    slots = Slots(places)
    with training_in(tmp_path / "run", CUDA_VISIBLE_DEVICES="1") as process:
        assert trainer_of(tmp_path / "run") == process.pid
        assert devices_of(tmp_path / "run") == "1"
        assert slots.take(tmp_path / "run") == places[1]
        assert slots.take(tmp_path / "run") == places[0]  # that one is taken
    assert devices_of(tmp_path / "run") is None
    assert slots.take(tmp_path / "other") == places[2]
    slots.give_back(places[0])
    assert slots.take(tmp_path / "other") == places[0]


def test_a_training_is_followed_to_its_end_and_told_of_a_wish_to_stop(tmp_path: Path) -> None:
    crew = Crew()
    crew.follow(tmp_path)  # nobody trains there
    with training_in(tmp_path / "run") as process:
        follower = threading.Thread(target=crew.follow, args=(tmp_path / "run",))
        follower.start()
        follower.join(1.2)
        assert follower.is_alive()
        crew.ask(signal.SIGINT)
        assert process.wait(60) == 0
        follower.join(60)
        assert not follower.is_alive()
    assert (tmp_path / "run" / "saved").exists()
    assert not is_held(tmp_path / "run")


def test_after_a_wish_to_stop_nothing_is_begun(tmp_path: Path) -> None:
    crew = Crew()
    crew.ask(signal.SIGTERM)
    assert crew.asked
    with (tmp_path / "log").open("ab") as output:
        code = crew.run(["--no-such-option"], {}, 1, output)
    assert code == 128 + signal.SIGTERM
    assert (tmp_path / "log").read_bytes() == b""


def test_what_a_training_says_goes_to_its_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as output:
        assert Crew().run(["nowhere", "--run"], {}, 1, output) == 2
    assert "expected one argument" in (tmp_path / "log").read_text()
