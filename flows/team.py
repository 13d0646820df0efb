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
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import IO, Final

_GRACE: Final = 15.0  # seconds that the others have to end in when one has failed
_LOOK_EVERY: Final = 0.1  # seconds
# What `training.distributed` says where it is another process that failed.
_BEREAVED: Final = "error: another process of this training has ended"
_GOES_ON: Final = "the same command goes on from the latest snapshot"
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(arguments: Sequence[str], environment: Mapping[str, str], processes: int = 1) -> int:
    """Run `python -m training` to its end; a wish to stop is passed on to it, and waited for.

    Parameters
    ----------
    arguments
        Of `training.command`. Others of this machine can read them.
    environment
        Added to that of this process. For secrets.
    processes
        That train together.

    Returns
    -------
    int
        Its exit code; 128 + the signal's number where it was stopped before it had begun.
    """
    with Team() as team:
        team.start([sys.executable, "-m", "training", *arguments], environment, processes)
        return team.wait()


class Team:
    """The processes of one training. Only the first one speaks, unless another one fails."""

    def __init__(self) -> None:
        self._members: list[subprocess.Popen[bytes]] = []
        self._asides: list[IO[bytes]] = []
        self._asked: signal.Signals | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Team:
        self._stack.enter_context(self._signals())
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
                    stderr=self._aside() if rank else None,
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
            sys.stderr.write(
                "stopped before there was anything to save; the same command begins anew\n"
            )
            return 128 + self._asked
        if self._asked is not None and code == -signal.SIGINT:
            sys.stderr.write(f"stopped before it was saved; {_GOES_ON}\n")
            return 128 + self._asked
        self._show_asides()
        sys.stderr.write(
            f"error: training was ended by {signal.Signals(-code).name}; if the machine was out of "
            f"memory, lower `data.workers` or `optimizer.batch_gpu`; {_GOES_ON}\n"
        )
        return 1

    def _show_asides(self) -> None:
        for aside in self._asides:
            aside.seek(0)
            said = aside.read().decode(errors="replace")
            if not said.startswith(_BEREAVED):
                sys.stderr.write(said)

    def _aside(self) -> IO[bytes]:
        """Where a process writes what is seen only if it fails: all say the same of a failure."""
        file = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._asides.append(file)
        return file

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # What is ignored stays so: `nohup` lets a training outlive its terminal.
        numbers = [n for n in _STOPPING if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Ask to save and end; a second Ctrl-C insists."""
        insists = self._asked is not None and number == signal.SIGINT
        self._asked = self._asked or signal.Signals(number)
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
