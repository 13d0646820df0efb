"""A part of `nonesuch up`: a process of its own, what it says, and what it leaves behind."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

import psutil

# In the environment of all that a part starts, so that it is found whoever its parent is by now.
HOME: Final = "NONESUCH_UP_HOME"
NAME: Final = "NONESUCH_UP_PART"

_LOG_BYTES: Final = 5_000_000
_OLD_LOGS: Final = 2
_LAST_LINES: Final = 12
_LONGEST_LINE: Final = 20_000
_LOOK_EVERY: Final = 0.2  # seconds
_KILLED_WITHIN: Final = 10.0  # seconds; one that waits for a disk takes long to be gone


IsReady = Callable[[datetime], Awaitable[bool]]
"""Tells whether a part that was started at a time is ready."""


@dataclass
class Part:
    """One of the processes that `nonesuch up` keeps alive.

    Parameters
    ----------
    name
        What it is called, and its log, too.
    command, environment
        How it is started; `environment` is all that it gets.
    log
        File for what it says; it and two older ones hold 5 MB each.
    is_ready
        Asked time and again after the start.
    descriptors
        Open files that it inherits.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    is_ready: IsReady
    descriptors: Sequence[int] = ()
    process: asyncio.subprocess.Process | None = None
    started_at: datetime | None = None
    _said: collections.deque[str] = field(
        default_factory=lambda: collections.deque(maxlen=_LAST_LINES)
    )
    _readers: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def last_lines(self) -> list[str]:
        """What it said last, of this start only."""
        return list(self._said)

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Start the process. It ends when this one does."""
        self._said.clear()
        self.started_at = datetime.now(UTC)
        ours, theirs = os.pipe()
        try:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "flows.up.leash",
                str(os.getpid()),
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                env={**self.environment, NAME: self.name},
                pass_fds=self.descriptors,
                # A terminal's Ctrl-C and its end are told in good order, by this process alone.
                start_new_session=True,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        reader = asyncio.create_task(self._read(ours))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)

    async def until_ready(self) -> bool:
        """Wait until it is ready; False where it ends before."""
        assert self.started_at is not None, "it was started"
        while self.is_running:
            if await self.is_ready(self.started_at):
                return True
            await asyncio.sleep(_LOOK_EVERY)
        return False

    async def until_ended(self) -> int:
        """Wait for its end; give its exit code, negative for a signal."""
        assert self.process is not None, "it was started"
        return await self.process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self.process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def close(self) -> None:
        """Read no more of what is said."""
        for reader in self._readers:
            reader.cancel()

    async def _read(self, descriptor: int) -> None:
        """Copy what is said into the log, until nobody is left who could say more."""
        handler = RotatingFileHandler(
            self.log, maxBytes=_LOG_BYTES, backupCount=_OLD_LOGS, encoding="utf-8"
        )
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
        )
        rest = b""
        try:
            while data := await reader.read(65_536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._note(handler, line)
                if len(rest) > _LONGEST_LINE:
                    self._note(handler, rest)
                    rest = b""
            if rest:
                self._note(handler, rest)
        finally:
            transport.close()
            handler.close()

    def _note(self, handler: RotatingFileHandler, line: bytes) -> None:
        text = line[:_LONGEST_LINE].decode(errors="replace").rstrip()
        if text:
            self._said.append(text)
            handler.handle(logging.makeLogRecord({"msg": text}))


def left_behind(home: Path, part: str | None = None) -> list[psutil.Process]:
    """Find processes that parts of this home, or one part, have started, and theirs.

    Their parent may be gone, and their session another one: they are known by their environment.
    """
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(HOME) != str(home) or process.pid == os.getpid():
                continue
            if part in (None, environment.get(NAME)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # another user's, or gone by now
            continue
    return found


def flow_runs() -> set[str]:
    """Give the ids of the flow runs that have a process on this machine."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.environ().get("PREFECT__FLOW_RUN_ID", ""))
    return found - {""}


def told(processes: Iterable[psutil.Process]) -> str:
    """Name processes for people."""
    numbers = [str(process.pid) for process in processes]
    return f"{'process' if len(numbers) == 1 else 'processes'} {', '.join(numbers)}"


def end(
    processes: Iterable[psutil.Process], grace: float, in_haste: Callable[[], bool] = bool
) -> None:
    """Ask processes to end; kill those that need more than `grace` seconds, or all in haste."""
    left = list(processes)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    until = time.monotonic() + grace
    while left and time.monotonic() < until and not in_haste():
        _, left = psutil.wait_procs(left, timeout=_LOOK_EVERY)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=_KILLED_WITHIN)
