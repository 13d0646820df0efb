"""Publishing from the page: one at a time, in the background, its progress to be looked at."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, replace
from typing import Literal

from review_ui.feed import Pipeline
from review_ui.store import clock


@dataclass(frozen=True, slots=True)
class PublishState:
    """How far publishing is."""

    state: Literal["idle", "running", "done", "failed"] = "idle"
    id: str | None = None
    stage: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    version: int | None = None
    items: int | None = None
    shards: int | None = None
    started_at: int | None = None
    ended_at: int | None = None


class Publishing:
    """Runs the pipeline's publish in a thread of its own."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._lock = threading.Lock()
        self._state = PublishState()

    def state(self) -> PublishState:
        """Give how far it is."""
        with self._lock:
            return self._state

    def start(self) -> PublishState:
        """Begin; where it is running already, that run is given."""
        with self._lock:
            if self._state.state == "running":
                return self._state
            self._state = PublishState(
                "running", str(uuid.uuid4()), stage="starting", started_at=clock.now()
            )
            threading.Thread(target=self._run, name="review-publish", daemon=True).start()
            return self._state

    def _tell(self, stage: str, done: int, total: int) -> None:
        with self._lock:
            self._state = replace(self._state, stage=stage, done=done, total=total)

    def _run(self) -> None:
        try:
            published = self._pipeline.publish(self._tell)
        except Exception as error:
            with self._lock:
                self._state = replace(
                    self._state,
                    state="failed",
                    message=str(error) or type(error).__name__,
                    ended_at=clock.now(),
                )
            return
        with self._lock:
            self._state = replace(
                self._state,
                state="done",
                stage="",
                version=published.version,
                items=published.items,
                shards=published.shards,
                ended_at=clock.now(),
            )
