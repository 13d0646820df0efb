"""Pictures that people give to the explorer, projected one after the other in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from flows.explore.models import Loaded
from review_ui.errors import BusyError, NotFoundError
from review_ui.explore.studio import Which
from review_ui.explore.told import ProjectionTold
from training.latent.descent import Descent
from training.latent.encode import encode
from training.latent.perceptual import JudgedPerceiver
from training.latent.projection_files import (
    FOLDER,
    ProjectionFacts,
    list_projections,
    name_of,
    project_into,
)
from training.latent.sampler import Sampler
from training.latent.targets import Target, open_target

WAITING: Final = 4
"""Pictures that are projected or wait for it; more are refused."""

STEPS: Final = 300
CANDIDATES: Final = 200
"""Samples, of which the nearest is where a projection begins."""

_BEGINNING: Final = 20
"""Steps that looking through them counts as, for who watches."""

_FAILED: Final = 8  # that are still told of


@dataclass(slots=True)
class _Job:
    """A picture, and how far it is."""

    run: Path
    snapshot: str
    name: str
    target: Target
    state: Literal["waiting", "working", "failed"] = "waiting"
    step: int = 0
    message: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def told(self) -> ProjectionTold:
        return ProjectionTold(
            name=self.name,
            state=self.state,
            step=self.step,
            steps=_BEGINNING + STEPS,
            message=self.message,
            target=f"{_place(self.run, self.name)}/target",
        )


class Projecting:
    """Projects in a thread of its own.

    Parameters
    ----------
    load
        Gives a snapshot by the names of run and snapshot.
    """

    def __init__(self, load: Callable[[str, str], Loaded]) -> None:
        self._load = load
        self._jobs: list[_Job] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def begin(self, run: Path, snapshot: str, name: str, data: bytes) -> ProjectionTold:
        """Take a picture; one that is known already is not projected again.

        Raises
        ------
        SetupError
            If it is none, or one that is not taken.
        BusyError
            If too many wait.
        """
        model = self._load(run.name, snapshot).model
        target = open_target(data, model.size, name)
        called = name_of(target, Sampler(model, batch=1), _how(), JudgedPerceiver(model))
        with self._changed:
            known = self._find(run, called)
            if known is not None and known.state != "failed":
                return known.told()
            done = next((one for one in list_projections(run) if one.name == called), None)
            if done is not None:
                return _saved(run, done)
            if sum(job.state != "failed" for job in self._jobs) >= WAITING:
                raise BusyError(f"{WAITING} pictures are being projected; wait for one of them")
            job = _Job(run, snapshot, called, target)
            others = [one for one in self._jobs if one is not known]
            failed = [one for one in others if one.state == "failed"][-_FAILED:]
            self._jobs = [*failed, *(one for one in others if one.state != "failed"), job]
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="projecting", daemon=True)
                self._thread.start()
            return job.told()

    def told(self, run: Path) -> Sequence[ProjectionTold]:
        """Tell of those under way, then of those that are done."""
        with self._changed:
            jobs = [job.told() for job in self._jobs if job.run == run]
        return [*jobs, *(_saved(run, done) for done in list_projections(run))]

    def stop(self, run: Path, name: str) -> None:
        """End one that is under way, or forget one that has failed."""
        with self._changed:
            job = self._find(run, name)
            if job is None:
                return
            job.stop.set()
            if job.state != "working":
                self._jobs.remove(job)

    def picture(self, run: Path, name: str, which: Which) -> bytes:
        """Give a picture of one that is done, as PNG, or what another is looking for.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        with self._changed:
            job = self._find(run, name)
        if job is not None and which == "target":
            return encode(job.target.pixels, "png", {})
        if all(name != done.name for done in list_projections(run)):
            raise NotFoundError(f"there is no projection {name[:80]!r}")
        return (run / FOLDER / name / f"{which}.png").read_bytes()

    def close(self) -> None:
        """End what is under way."""
        with self._changed:
            self._is_closed = True
            for job in self._jobs:
                job.stop.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _find(self, run: Path, name: str) -> _Job | None:
        return next((job for job in self._jobs if (job.run, job.name) == (run, name)), None)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._project(job)
            except Exception as error:  # told on the page; the others go on
                with self._changed:
                    job.state, job.message = "failed", str(error) or type(error).__name__
            else:
                with self._changed:
                    if job in self._jobs:
                        self._jobs.remove(job)

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._is_closed:
                for job in self._jobs:
                    if job.state == "waiting":
                        job.state = "working"
                        return job
                self._changed.wait()
            return None

    def _project(self, job: _Job) -> None:
        sampler = Sampler(self._load(job.run.name, job.snapshot).model, batch=1)

        def tell(what: str, done: int, total: int) -> None:
            is_begun = what == "projection"
            job.step = _BEGINNING + done if is_begun else done * _BEGINNING // max(total, 1)

        project_into(
            job.run, sampler, [job.target], _how(), progress=tell, should_stop=job.stop.is_set
        )


def _how() -> Descent:
    # Noise stays as it is, so that a look of what is found shows the same.
    return Descent(steps=STEPS, candidates=CANDIDATES, noise=False)


def _saved(run: Path, found: ProjectionFacts) -> ProjectionTold:
    place = _place(run, found.name)
    return ProjectionTold(
        name=found.name,
        state="done",
        step=found.steps,
        steps=found.steps,
        distance=found.distance,
        start_distance=found.start_distance,
        target=f"{place}/target",
        start=f"{place}/start",
        end=f"{place}/end",
    )


def _place(run: Path, name: str) -> str:
    return f"/explore/{run.name}/projections/{name}"
