"""Processes that train together: exit codes, who speaks, and how a wish to stop gets to them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.trainings.team import Team

# Ready once the file is there; saves at SIGTERM, and says so in another.
TRAINER = """
import os, signal, sys, time
from pathlib import Path
here, rank = Path(sys.argv[1]), os.environ["RANK"]
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
(here / f"ready-{rank}").touch()
while not stop:
    time.sleep(0.01)
(here / f"saved-{rank}").touch()
"""


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """Signals as a terminal has them: below `nohup`, or in the background, some are ignored."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def outcome(code: str, *arguments: str, processes: int = 1, signals: tuple[int, ...] = ()) -> int:
    """Run a program; send this process signals once all of them are ready."""
    with Team() as team:
        team.start([sys.executable, "-c", code, *arguments], {}, processes)
        if signals:
            ready = [Path(arguments[0]) / f"ready-{rank}" for rank in range(processes)]
            threading.Thread(target=send, args=(ready, signals), daemon=True).start()
        return team.wait()


def send(ready: list[Path], signals: tuple[int, ...]) -> None:
    until = time.monotonic() + 30
    while not all(path.exists() for path in ready):
        if time.monotonic() > until:
            return
        time.sleep(0.01)
    for number in signals:
        os.kill(os.getpid(), number)
        time.sleep(0.3)


@pytest.mark.parametrize("code", [0, 1, 2])
@pytest.mark.parametrize("processes", [1, 3])
def test_the_exit_code_is_that_of_training(code: int, processes: int) -> None:
    assert outcome(f"import sys; sys.exit({code})", processes=processes) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_wish_to_stop_is_passed_on_and_waited_for(
    tmp_path: Path, number: signal.Signals, processes: int
) -> None:
    before = signal.getsignal(number)
    assert outcome(TRAINER, str(tmp_path), processes=processes, signals=(number,)) == 0
    assert len(list(tmp_path.glob("saved-*"))) == processes
    assert signal.getsignal(number) is before


def test_what_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals = (signal.SIGHUP, signal.SIGTERM)
        ended = time.monotonic()
        assert outcome(TRAINER, str(tmp_path), signals=signals) == 0
        assert time.monotonic() - ended >= 0.3  # the first did nothing
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_insists(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = TRAINER.replace("stop.append(1)", "None")  # takes its time to save
    assert outcome(code, str(tmp_path), signals=(signal.SIGINT, signal.SIGINT)) == 130
    said = capfd.readouterr().err
    assert "KeyboardInterrupt" in said
    assert "stopped before it was saved; the same command goes on from the latest" in said


def test_who_is_stopped_before_training_began_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = TRAINER.replace("signal.signal", "(lambda *_: None)")
    assert outcome(code, str(tmp_path), signals=(signal.SIGTERM,)) == 128 + signal.SIGTERM
    assert "stopped before there was anything to save; the same command" in capfd.readouterr().err


def test_one_that_fails_ends_the_others_and_tells_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failing = "if rank == '1': sys.exit('out of luck')\n"
    code = TRAINER.replace("stop = []\n", f"stop = []\n{failing}")
    assert outcome(code, str(tmp_path), processes=3) == 1
    assert capfd.readouterr().err == "out of luck\n"


def test_wrong_settings_are_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; sys.stderr.write('error: wrong\\n'); sys.exit(2)"
    assert outcome(code, processes=3) == 2
    assert capfd.readouterr().err == "error: wrong\n"


def test_who_fails_because_another_did_is_not_heard(capfd: pytest.CaptureFixture[str]) -> None:
    gone = "error: another process of this training has ended; what it has written says why"
    code = f"import os, sys; sys.exit('why' if os.environ['RANK'] == '1' else {gone!r})"
    assert outcome(code, processes=3) == 1
    said = capfd.readouterr().err.splitlines()
    assert sorted(said) in (["why"], [gone, "why"])  # the first one speaks for itself


def test_one_that_is_killed_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert outcome("import os; os.kill(os.getpid(), 9)") == 1
    assert "error: training was ended by SIGKILL; if the machine was out of memory" in (
        capfd.readouterr().err
    )


def test_processes_can_find_each_other(tmp_path: Path) -> None:
    names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT OMP_NUM_THREADS"
    code = (
        "import os, sys; from pathlib import Path\n"
        f"found = [os.environ.get(name, '-') for name in {names.split()!r}]\n"
        "(Path(sys.argv[1]) / found[0]).write_text(' '.join(found))"
    )
    assert outcome(code, str(tmp_path), processes=2) == 0
    first, second = ((tmp_path / rank).read_text().split() for rank in "01")
    assert first[:5] == ["0", "0", "2", "2", "127.0.0.1"]
    assert second[:2] == ["1", "1"]
    assert first[2:] == second[2:]
    assert int(first[5]) > 0
    assert int(first[6]) >= 1
    assert outcome(code, str(tmp_path)) == 0
    assert (tmp_path / "0").read_text().split()[:4] == ["0", "0", "1", "1"]
