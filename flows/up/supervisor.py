"""Keeps the parts of `nonesuch up` alive, puts right what one that died has left, ends them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from flows.up import orphans, parts
from flows.up.parts import Part
from flows.up.prefect_api import ALIVE, ENDED, PrefectApi, Run

Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes words for people, and the same as data for machines."""

_LONGEST_PAUSE: Final = 60.0  # seconds between two starts of a part
_STEADY: Final = 60.0  # seconds after which a part counts as well started
_SHOWN_AFTER: Final = 2  # starts that failed, from which on the last lines are shown
_LOOK_EVERY: Final = 5.0  # seconds, at what runs
_LAG: Final = timedelta(seconds=30)  # between the end of a run and the server's knowing of it
_SKIP_EVERY: Final = 60.0  # seconds
_SLOW: Final = 60.0  # seconds to start in, without a word
_PATIENCE: Final = 5.0  # seconds without a word, while a part ends
# Seconds that a part may take to end: a training saves, a rebuild ends what it has begun.
_GRACE: Final = {"runner": 120.0}
_OTHERS_GRACE: Final = 15.0
_LEFT_GRACE: Final = 30.0
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """The parts of one home, from the first start to the end.

    Parameters
    ----------
    home
        Of what they leave behind.
    server, runner
        The runner is started once the server answers, and what an earlier one left is put right.
    others
        Started at once.
    tell
        Told what goes on.
    """

    def __init__(
        self,
        home: Path,
        server: Part,
        runner: Part,
        others: Sequence[Part],
        prefect: PrefectApi,
        tell: Tell,
    ) -> None:
        self._home, self._prefect, self._tell = home, prefect, tell
        self._server, self._runner = server, runner
        # In this order they end: what asks before what answers.
        self._parts = [runner, *others, server]
        self._ready = {part.name: asyncio.Event() for part in self._parts}
        self._asked: signal.Signals | None = None
        self._stop_now = asyncio.Event()
        self._insisted = asyncio.Event()

    async def run(self, say_ready: Callable[[], None]) -> None:
        """Keep all parts alive until a signal says to stop, then end them in good order.

        Parameters
        ----------
        say_ready
            Called once, when all parts are there for the first time.
        """
        async with self._signals():
            tasks = [asyncio.create_task(self._keep(part)) for part in self._parts]
            tasks.append(asyncio.create_task(self._watch(say_ready)))
            stop = asyncio.create_task(self._stop_now.wait())
            try:
                await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (*tasks, stop):
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
                await self._stop()
        for error in ends:
            if isinstance(error, Exception):
                raise error

    # ---- Keeping parts alive. --------------------------------------------------------------------

    async def _keep(self, part: Part) -> None:
        """Start a part again and again, with longer pauses where it ends at once."""
        ready = self._ready[part.name]
        pause, failed = 1.0, 0
        while True:
            if part is self._runner:
                await self._settle()
            began = time.monotonic()
            await part.start()
            if await part.until_ready():
                failed = 0
                if ready.is_set():
                    self._tell(f"{part.name} is back", {"part": part.name, "state": "ready"})
                ready.set()
            else:
                failed += 1
            code = await part.until_ended()
            if time.monotonic() - began > _STEADY:
                pause = 1.0
            self._tell_of_end(part, code, pause, shows_lines=failed >= _SHOWN_AFTER)
            await asyncio.to_thread(self._end_left_behind, part)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _tell_of_end(self, part: Part, code: int, pause: float, *, shows_lines: bool) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        words = f"{part.name} {how}; it starts again in {pause:.0f} s"
        facts: dict[str, Any] = {"part": part.name, "state": "ended", "code": code, "pause": pause}
        if shows_lines:
            facts["last_lines"] = part.last_lines
            lines = "\n".join(f"  {line}" for line in part.last_lines or ["(nothing)"])
            words += f"; the last that it said ({part.log}):\n{lines}"
        self._tell(words, facts)

    def _end_left_behind(self, part: Part) -> None:
        """End what a part that is gone has started: nobody else would."""
        left = parts.left_behind(self._home, part.name)
        if left:
            self._tell(
                f"ending what {part.name} left behind: {parts.told(left)}",
                {"part": part.name, "state": "ending", "pids": [one.pid for one in left]},
            )
            parts.end(left, _LEFT_GRACE, self._insisted.is_set)

    async def _settle(self) -> None:
        """Put right what an earlier runner has left in Prefect, once the server answers."""
        while not await self._prefect.is_healthy():
            await asyncio.sleep(0.2)
        await self._put_right()

    async def _put_right(self) -> None:
        now = datetime.now(UTC)
        alive = await asyncio.to_thread(parts.flow_runs)
        try:
            found = await orphans.settle(
                self._prefect, now, before=now, is_alive=alive.__contains__
            )
        except httpx.HTTPError as error:
            # The server died meanwhile. The automation that waits for heartbeats is left.
            self._tell(f"Prefect's runs were not looked through: {error}", {"error": str(error)})
            return
        for flow in found.crashed:
            self._tell(f"{flow} had crashed: {orphans.DIED}", {"flow": flow, "state": "Crashed"})
        self._tell_skipped(found.skipped)

    def _tell_skipped(self, flows: Sequence[str]) -> None:
        for flow, count in sorted(Counter(flows).items()):
            runs = "a missed run" if count == 1 else f"{count} missed runs"
            self._tell(
                f"{flow}: {runs} skipped, {orphans.MISSED}", {"flow": flow, "skipped": count}
            )

    # ---- Telling what runs. ----------------------------------------------------------------------

    async def _watch(self, say_ready: Callable[[], None]) -> None:
        """Say when all is ready, then what runs, and skip what piles up."""
        while missing := [name for name, event in self._ready.items() if not event.is_set()]:
            waits = [asyncio.create_task(self._ready[name].wait()) for name in missing]
            _, late = await asyncio.wait(waits, timeout=_SLOW)
            for wait in late:
                wait.cancel()
            if late:
                self._tell(f"not there yet: {', '.join(missing)}", {"waiting": missing})
        say_ready()
        known: dict[str, str] = {}
        looked, skip_at = datetime.now(UTC), time.monotonic() + _SKIP_EVERY
        while True:
            # Where the server is away it says so itself, and is back in a moment.
            with contextlib.suppress(httpx.HTTPError):
                now = datetime.now(UTC)
                runs = await self._prefect.runs(ALIVE)
                runs += await self._prefect.ended_runs(looked - _LAG)
                for run in runs:
                    if known.get(run.id) != run.called:
                        self._tell_run(run)
                known, looked = {run.id: run.called for run in runs}, now
                if time.monotonic() > skip_at:
                    skip_at = time.monotonic() + _SKIP_EVERY
                    self._tell_skipped(await orphans.skip_missed(self._prefect, now))
            await asyncio.sleep(_LOOK_EVERY)

    def _tell_run(self, run: Run) -> None:
        """Tell of a run that has begun or ended; what was put right here has been told."""
        has_ended = run.state in ENDED
        if run.message in (orphans.DIED, orphans.MISSED) or not (
            has_ended or run.state == "RUNNING"
        ):
            return
        words = f"{run.flow}: {run.called.lower()}"
        if has_ended:
            words += f" after {run.seconds:.0f} s"
        if run.state in ("FAILED", "CRASHED") and run.message:
            words += f": {run.message}"
        self._tell(
            words, {"flow": run.flow, "run": run.id, "state": run.called, "message": run.message}
        )

    # ---- The end. --------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        # What is ignored stays so: `nohup` lets it outlive its terminal.
        numbers = [n for n in _STOPPING if signal.getsignal(n) is not signal.SIG_IGN]
        for number in numbers:
            loop.add_signal_handler(number, self._told_to_stop, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _told_to_stop(self, number: signal.Signals) -> None:
        """Stop; a second Ctrl-C insists."""
        if self._asked is not None and number == signal.SIGINT:
            self._insisted.set()
        self._asked = self._asked or number
        self._stop_now.set()

    async def _stop(self) -> None:
        """End one part after the other; who takes too long is killed, and what it has started."""
        for part in self._parts:
            if part.is_running:
                await self._end(part)
            await asyncio.to_thread(self._end_left_behind, part)
            part.close()
            if part is self._runner and not self._insisted.is_set():
                await self._settle_at_last()
        self._tell("stopped", {"stopped": True})

    async def _end(self, part: Part) -> None:
        """Ask a part to end, say what it is waited for, and kill it in the end."""
        part.send(signal.SIGTERM)
        self._tell(f"stopping {part.name}", {"part": part.name, "state": "stopping"})
        ended = asyncio.create_task(part.until_ended())
        insisted = asyncio.create_task(self._insisted.wait())
        until = time.monotonic() + _GRACE.get(part.name, _OTHERS_GRACE)
        both = (ended, insisted)
        done, _ = await asyncio.wait(both, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self._tell(
                f"waiting for {await self._what_runs(part)} to end; Ctrl-C insists",
                {"part": part.name, "state": "waiting"},
            )
            await asyncio.wait(
                both, timeout=until - time.monotonic(), return_when=asyncio.FIRST_COMPLETED
            )
        insisted.cancel()
        if not ended.done():
            self._tell(f"killing {part.name}", {"part": part.name, "state": "killing"})
            part.send(signal.SIGKILL)
        await ended

    async def _what_runs(self, part: Part) -> str:
        if part is self._runner:
            with contextlib.suppress(httpx.HTTPError):
                flows = sorted({run.flow for run in await self._prefect.runs(ALIVE)})
                return ", ".join(flows) or part.name
        return part.name

    async def _settle_at_last(self) -> None:
        """Leave no run in Prefect that seems to go on, but wait for no server that has ended."""
        if not (self._server.is_running and await self._prefect.is_healthy()):
            return
        last = asyncio.create_task(self._put_right())
        insisted = asyncio.create_task(self._insisted.wait())
        gone = asyncio.create_task(self._server.until_ended())
        tasks = (last, insisted, gone)
        await asyncio.wait(tasks, timeout=_OTHERS_GRACE, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if last.cancelled():
            self._tell("Prefect's runs were not looked through at last", {"error": "no answer"})
        else:
            last.result()
