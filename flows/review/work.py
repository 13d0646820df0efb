"""Work that people start from the review page: by Prefect where it serves, else by a process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from curation.scorers import Scorer
from flows.progress import AS_JSON, FORM
from flows.review.prefect import PrefectServer, ServerAwayError, ServerError
from review_ui.errors import ReviewError
from review_ui.feed import Done, Tell
from review_ui.loop import FlowTold, Kind, LoopTold, Options

T = TypeVar("T")

_LOOK_EVERY: Final = 1.0  # seconds
# A server that is busy, or started anew, answers by then; what runs there is waited for longer.
_TRY_FOR: Final = 20.0
_GIVE_UP_AFTER: Final = 600.0
_SILENT: Final = "Prefect's server does not answer; it is asked again"
# Of what a process says that is no progress: trainings say a line each tick.
_LINES_KEPT: Final = 200


class Worker:
    """Does one part of the loop at a time, for as long as it takes.

    Parameters
    ----------
    file
        The configuration, that the command line is run with.
    look
        Tells where the loop stands, freshly.
    """

    def __init__(self, file: Path, server: PrefectServer, look: Callable[[], LoopTold]) -> None:
        self._file, self._server, self._look = file, server, look
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._children: set[int] = set()

    def __call__(self, kind: Kind, options: Options, tell: Tell) -> Done:
        """Do it; see `review_ui.feed.Pipeline.work`.

        Raises
        ------
        ReviewError
            If it failed; says why.
        """
        if self._closed.is_set():
            raise ReviewError("the server is stopping; ask again when it is back")
        is_served = self._patiently(lambda: self._server.starts(kind), tell)
        work = self._by_prefect if is_served else self._by_process
        return work(kind, options, tell)

    def close(self) -> None:
        """End processes; whatever they did will be done again. What Prefect runs goes on."""
        self._closed.set()
        with self._lock:
            for child in self._children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, 15)

    @contextlib.contextmanager
    def tracked(self, child: int | None) -> Iterator[None]:
        """Have a process ended by `close`, as long as the body runs."""
        assert child is not None
        with self._lock:
            self._children.add(child)
        try:
            yield
        finally:
            with self._lock:
                self._children.discard(child)

    # ---- A process. ------------------------------------------------------------------------------

    def _by_process(self, kind: Kind, options: Options, tell: Tell) -> Done:
        tell("starting", 0, 0)
        with (
            subprocess.Popen(
                (sys.executable, "-m", "flows.cli", *self._command(kind, options)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, FORM: AS_JSON},
            ) as child,
            self.tracked(child.pid),
        ):
            assert child.stdout is not None
            assert child.stderr is not None
            said = follow(child.stderr, tell)
            answer = child.stdout.read()
        if child.returncode != 0:
            raise ReviewError("\n".join(said) or f"{kind} ended with exit code {child.returncode}")
        return done(kind, _last_object(answer))

    def _command(self, kind: Kind, options: Options) -> list[str]:
        told = [part for key, value in _given(options).items() for part in (f"--{key}", str(value))]
        return [kind, "--json", "--config", str(self._file), *told]

    # ---- Prefect. --------------------------------------------------------------------------------

    def _by_prefect(self, kind: Kind, options: Options, tell: Tell) -> Done:
        before = self._look()
        key = str(uuid.uuid4())
        flow = self._patiently(lambda: self._server.start(kind, _given(options), key), tell)
        tell("handed to Prefect", 0, 0, flow.url)
        flow = self._ended(flow, tell)
        if flow.state != "done":
            said = flow.message.rstrip(".") or f"it was {flow.state}"
            raise ReviewError(f"{said}; Prefect's page tells more: {flow.url}")
        return came_of(kind, before, self._look())

    def _patiently(self, ask: Callable[[], T], tell: Tell) -> T:
        """Ask the server again for a while, where it is busy or starts anew."""
        until = time.monotonic() + _TRY_FOR
        while True:
            try:
                return ask()
            except ServerAwayError as error:
                if time.monotonic() > until or self._closed.wait(_LOOK_EVERY):
                    raise ReviewError(f"{error}; try again in a moment") from error
                tell(_SILENT, 0, 0)
            except ServerError as error:
                raise ReviewError(str(error)) from error

    def _ended(self, flow: FlowTold, tell: Tell) -> FlowTold:
        """Wait until a flow run has ended; a server that is away for a while is waited for."""
        silent = 0.0
        while not self._closed.wait(_LOOK_EVERY):
            try:
                now = self._server.progress(flow.id, flow.kind)
            except ServerError as error:
                silent += _LOOK_EVERY
                if silent > _GIVE_UP_AFTER:
                    raise ReviewError(f"{error}; what became of it is not known here") from error
                tell(_SILENT, 0, 0)
                continue
            silent = 0.0
            if now.flow.state not in ("waiting", "running"):
                return now.flow
            known = now.percent is not None
            tell(now.stage, round(now.percent or 0.0), 100 if known else 0, now.flow.url)
        raise ReviewError("the review server is stopping; Prefect goes on")


def _given(options: Options) -> dict[str, Any]:
    return options.model_dump(exclude_none=True)


def done(kind: Kind, found: Mapping[str, Any]) -> Done:
    """Say what came of work, from what its command has answered."""
    match kind:
        case "publish":
            return published(found.get("versions") or [found])
        case "rebuild":
            return Done(rebuilt(found))
        case "train":
            return Done(trained(found))
        case "rank":
            return Done(ranked(found))


def came_of(kind: Kind, before: LoopTold, after: LoopTold) -> Done:
    """Say what came of work, from how the loop has changed by it."""
    if kind == "publish":
        known = {version.version for version in before.versions}
        new = [found.model_dump() for found in after.versions if found.version not in known]
        if not new:
            return Done("Nothing is new: what is accepted is published already")
        return published(new[::-1])
    if kind == "rebuild" and after.build is not None:
        return Done(rebuilt(after.build.model_dump()))
    if kind == "train" and after.runs:
        latest = max(after.runs, key=lambda run: run.updated_at)
        return Done(trained(latest.model_dump()))
    if kind == "rank" and after.rankings:
        return Done(ranked({"rankings": [found.model_dump() for found in after.rankings]}))
    return Done("Done")


def published(versions: Sequence[Mapping[str, Any]]) -> Done:
    """Say which versions were published; the last one is the one to look at."""
    said = "; ".join(map(_version, versions))
    last = versions[-1]
    return Done(said[0].upper() + said[1:], last["version"], last["items"], last["shards"])


def _version(found: Mapping[str, Any]) -> str:
    split = f" ({found['split']})" if found.get("split") else ""
    shards = f"{found['shards']:,} shard{'' if found['shards'] == 1 else 's'}"
    return f"version {found['version']}{split}: {found['items']:,} items in {shards}"


def rebuilt(found: Mapping[str, Any]) -> str:
    """Say what a rebuild came to."""
    parts = [f"{found[name]:,} {name}" for name in ("accepted", "flagged", "rejected", "failed")]
    return f"{found['items']:,} items: {', '.join(parts)}"


def trained(found: Mapping[str, Any]) -> str:
    """Say how a training ended."""
    said = (
        f"{found['name']}: {found['status']} at {found['kimg']:g} of {found['total_kimg']:g} kimg"
    )
    reason = found.get("reason")
    return f"{said} ({reason})" if reason and found["status"] != "finished" else said


def ranked(found: Mapping[str, Any]) -> str:
    """Say what was ranked, by each scorer."""
    return "; ".join([*map(_ranked, found["rankings"]), *found.get("notes", ())])


def _ranked(found: Mapping[str, Any]) -> str:
    said = f"{found['scored']:,} items ranked by {Scorer(found['scorer']).called}"
    ends = [f"{found[end]:,} {end}" for end in ("low", "high") if found.get(end)]
    return f"{said} ({', '.join(ends)} to look at)" if ends else said


def follow(lines: Iterable[str], tell: Tell) -> list[str]:
    """Tell the progress that is written in JSON; give the error at the end of the other lines."""
    said: deque[str] = deque(maxlen=_LINES_KEPT)
    for line in lines:
        try:
            found = json.loads(line)
            tell(found["stage"], found["done"], found["total"] or 0)
        except (ValueError, TypeError, KeyError):
            if line.strip():
                said.append(line.strip())
    kept = list(said)
    # Ours come in words of several lines; of others, the last line says what it was.
    ours = next((n for n, line in enumerate(kept) if line.startswith("error: ")), None)
    return kept[-1:] if ours is None else [kept[ours].removeprefix("error: "), *kept[ours + 1 :]]


def _last_object(text: str) -> dict[str, Any]:
    """Read the last line, which `--json` promises to be one object."""
    lines = text.strip().splitlines()
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return found
