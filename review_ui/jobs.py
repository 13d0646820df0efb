"""Work that is started from the page: one of a kind at a time, in the background."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from review_ui.feed import Pipeline
from review_ui.loop import KINDS, Kind, Options
from review_ui.store import clock


@dataclass(frozen=True, slots=True)
class Job:
    """How far work is; `url` is where it can be watched, `by` who started it."""

    kind: Kind
    state: Literal["idle", "running", "done", "failed"] = "idle"
    id: str | None = None
    by: str | None = None
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    version: int | None = None
    items: int | None = None
    shards: int | None = None
    url: str | None = None
    started_at: int | None = None
    ended_at: int | None = None


class Jobs:
    """Has the pipeline work, each kind in a thread of its own.

    Parameters
    ----------
    ended
        Called when something has ended: the state of the loop is another then.
    """

    def __init__(self, pipeline: Pipeline, ended: Callable[[], None]) -> None:
        self._pipeline, self._ended = pipeline, ended
        self._lock = threading.Lock()
        self._jobs = {kind: Job(kind) for kind in KINDS}

    def state(self, kind: Kind) -> Job:
        """Give how far one kind is."""
        with self._lock:
            return self._jobs[kind]

    def start(self, kind: Kind, options: Options, by: str) -> Job:
        """Begin; where that kind runs already, what runs is given."""
        with self._lock:
            known = self._jobs[kind]
            if known.state == "running":
                return known
            job = self._jobs[kind] = Job(
                kind, "running", str(uuid.uuid4()), by, "starting", started_at=clock.now()
            )
            threading.Thread(
                target=self._run, args=(kind, options), name=f"review-{kind}", daemon=True
            ).start()
            return job

    def _change(self, kind: Kind, **values: Any) -> None:
        with self._lock:
            self._jobs[kind] = replace(self._jobs[kind], **values)

    def _run(self, kind: Kind, options: Options) -> None:
        def tell(stage: str, done: int, total: int, url: str | None = None) -> None:
            where = {} if url is None else {"url": url}
            self._change(kind, stage=stage, done=done, total=total, **where)

        try:
            came = self._pipeline.work(kind, options, tell)
        except Exception as error:
            said = str(error) or type(error).__name__
            end: dict[str, Any] = {"state": "failed", "message": said}
        else:
            end = {
                "state": "done",
                "message": came.message,
                "version": came.version,
                "items": came.items,
                "shards": came.shards,
            }
        self._ended()
        self._change(kind, stage="", ended_at=clock.now(), **end)
