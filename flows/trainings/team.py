"""Runs `python -m training` in processes of its own: one, or several that train together.

Several are started as torchrun starts them. It is not used itself: it ends with 1 whatever a
process ended with, and kills processes that need more than half a minute to save.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO, Final

_GRACE: Final = 15.0  # seconds that the others have to end in when one has failed
_LOOK_EVERY: Final = 0.1  # seconds
# What `training.distributed` says where it is another process that failed.
_BEREAVED: Final = "error: another process of this training has ended"
_GOES_ON: Final = "the same command goes on from the latest snapshot"
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    processes: int = 1,
    heard: Callable[[signal.Signals], None] | None = None,
) -> int:
    """Run `python -m training` to its end; a wish to stop is passed on to it, and waited for.

    Parameters
    ----------
    arguments
        Of `training.command`. Others of this machine can read them.
    environment
        Added to that of this process. For secrets.
    processes
        That train together.
    heard
        Told of the first wish to stop.

    Returns
    -------
    int
        Its exit code; 128 + the signal's number where it was stopped before it had begun.
    """
    with Team(heard) as team:
        team.start([sys.executable, "-m", "training", *arguments], environment, processes)
        return team.wait()


@contextlib.contextmanager
def passing_on(ask: Callable[[int], None]) -> Iterator[None]:
    """Tell of signals to stop while the body runs; in another thread than the main one, of none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        ask(number)

    # What is ignored stays so: `nohup` lets a training outlive its terminal.
    numbers = [n for n in _STOPPING if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Team:
    """The processes of one training. Only the first one speaks, unless another one fails.

    In another thread than the main one, whoever gets the signals has to pass them on by `ask`.

    Parameters
    ----------
    heard
        Told of the first wish to stop.
    output
        File that what they say is added to. None: standard error.
    """

    def __init__(
        self,
        heard: Callable[[signal.Signals], None] | None = None,
        output: IO[bytes] | None = None,
    ) -> None:
        self._heard = heard
        self._output = output
        self._members: list[subprocess.Popen[bytes]] = []
        self._asides: list[IO[bytes]] = []
        self._asked: signal.Signals | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Team:
        self._stack.enter_context(passing_on(self.ask))
        self._stack.callback(self._end)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, command: Sequence[str], environment: Mapping[str, str], count: int) -> None:
        """Start as many processes."""
        shared = {**os.environ, **_meeting(count), **environment}
        for rank in range(count):
            self._members.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=self._output,
                    stderr=self._aside() if rank else self._output,
                    env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    # The terminal's Ctrl-C comes to this process alone: twice would insist.
                    process_group=0,
                )
            )
        if self._asked is not None:
            self._tell(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until all have ended; where one fails, end the others."""
        failed = None
        while failed is None and any(member.poll() is None for member in self._members):
            failed = next((m for m in self._members if m.poll()), None)
            time.sleep(_LOOK_EVERY)
        if failed is None:
            failed = next((m for m in self._members if m.returncode), None)
        if failed is None:
            return 0
        self._end()
        return self._explained(failed)

    def _explained(self, failed: subprocess.Popen[bytes]) -> int:
        """Say what the first process has not said itself; give the exit code of all."""
        code = failed.returncode
        if code > 0:
            if self._members[0].returncode != 2:  # wrong settings are wrong for all of them
                self._show_asides()
            return code
        if self._asked is not None and code == -signal.SIGTERM:
            self._say("stopped before there was anything to save; the same command begins anew\n")
            return 128 + self._asked
        if self._asked is not None and code == -signal.SIGINT:
            self._say(f"stopped before it was saved; {_GOES_ON}\n")
            return 128 + self._asked
        self._show_asides()
        self._say(
            f"error: training was ended by {signal.Signals(-code).name}; if the machine was out of "
            f"memory, lower `data.workers` or `optimizer.batch_gpu`; {_GOES_ON}\n"
        )
        return 1

    def _show_asides(self) -> None:
        for aside in self._asides:
            aside.seek(0)
            said = aside.read().decode(errors="replace")
            if not said.startswith(_BEREAVED):
                self._say(said)

    def _say(self, text: str) -> None:
        if self._output is None:
            sys.stderr.write(text)
        else:
            self._output.write(text.encode())
            self._output.flush()

    def _aside(self) -> IO[bytes]:
        """Where a process writes what is seen only if it fails: all say the same of a failure."""
        file = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._asides.append(file)
        return file

    def ask(self, number: int) -> None:
        """Ask to save and end, in the name of a signal; a second Ctrl-C insists."""
        insists = self._asked is not None and number == signal.SIGINT
        if self._asked is None:
            self._asked = signal.Signals(number)
            if self._heard is not None:
                self._heard(self._asked)
        self._tell(signal.SIGINT if insists else signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for member in self._members:
            member.send_signal(number)

    def _end(self) -> None:
        """End whoever is left."""
        self._tell(signal.SIGTERM)
        until = time.monotonic() + _GRACE
        for member in self._members:
            try:
                member.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()


def _meeting(count: int) -> dict[str, str]:
    """Give the environment in which processes find each other; a cluster may have set another."""
    meeting = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    if count > 1:
        with socket.create_server(("127.0.0.1", 0)) as server:
            meeting |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.getsockname()[1])}
        if "OMP_NUM_THREADS" not in os.environ:
            meeting["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // count, 1))
    return meeting
