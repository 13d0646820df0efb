"""A matrix of trainings: versions × presets × seeds, side by side under a limit.

The same command goes on: runs that have finished are left alone, one that another process trains
is followed, the others go on from their snapshots. Without Prefect and without torch.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from data_catalog.catalog import Catalog
from data_catalog.errors import CatalogError
from data_catalog.versions import Version, load_version
from flows.catalog import open_catalog
from flows.settings import DatasetConfig
from flows.trainings.comparison import is_begun, read_run_of, splits_of
from flows.trainings.crew import VISIBLE, Crew, Slots
from flows.trainings.launch import Start, TrainOptions, count_gpus, plan, plan_metrics
from flows.trainings.models import register_run
from training.command import nested
from training.compare.collect import Run
from training.config import TrainingConfig
from training.errors import SetupError, TrainingError
from training.presets import resolve
from training.runs.locks import is_held
from training.runs.record import RunRecord, read_run

LOGS: Final = "logs"
"""Folder beside the runs, of what each training of a matrix has said."""

_THREADS: Final = "OMP_NUM_THREADS"
_TICK: Final = 1.0  # seconds between looks at how far all are
_SAID: Final = 1000  # characters of an error that are repeated


class MatrixOptions(BaseModel):
    """What one start is told besides the configuration, over which it wins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    splits: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    presets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    at_once: int | None = Field(None, ge=0)
    settings: dict[str, Any] = Field(default_factory=dict, description="by `section.key`")


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of a matrix.

    Attributes
    ----------
    start : Start
        How it is started.
    version : Version
        That it trains on.
    settings : TrainingConfig
        That it is begun with.
    """

    start: Start
    version: Version
    settings: TrainingConfig

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.start.run

    @property
    def name(self) -> str:
        """Of the run."""
        return self.start.run.name

    def record(self) -> RunRecord | None:
        """Give the run's record; None before it has begun, or where it cannot be read."""
        return read_run(self.run) if is_begun(self.run) else None

    def is_done(self) -> bool:
        """Tell whether there is nothing left to train."""
        record = self.record()
        return (
            record is not None
            and record.status == "finished"
            and record.version_hash == self.version.hash
            and record.cur_nimg >= round(self.settings.run.total_kimg * 1000)
        )


@dataclass(frozen=True, slots=True)
class Matrix:
    """What is trained, at which places, and what is measured then."""

    cells: tuple[Cell, ...]
    slots: tuple[Mapping[str, str], ...]
    metrics: tuple[str, ...]


@dataclass(slots=True)
class State:
    """What is done about a cell now: waits, trains, follows, measures, ended; and what is wrong."""

    cell: Cell
    doing: str = "waits"
    problem: str = ""


@dataclass
class Work:
    """A matrix under way."""

    config: DatasetConfig
    matrix: Matrix
    crew: Crew = field(default_factory=Crew)

    def __post_init__(self) -> None:
        self.states = [State(cell) for cell in self.matrix.cells]
        self._slots = Slots(self.matrix.slots)
        self._registering = threading.Lock()

    def run(self, tell: Callable[[Sequence[State]], None]) -> list[State]:
        """Train all, or go on, until the end or a signal to stop.

        Parameters
        ----------
        tell
            Told every second how things are.

        Returns
        -------
        list of State
            One for each cell, in order; `problem` says why a cell failed.
        """
        # Those that are trained already come first: they take the places that they have.
        ordered = sorted(self.states, key=lambda state: not is_held(state.cell.run))
        with self.crew.signals(), ThreadPoolExecutor(len(self.matrix.slots)) as pool:
            pending: set[Future[None]] = {pool.submit(self._work, state) for state in ordered}
            try:
                while pending:
                    done, pending = wait(pending, _TICK, FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    tell(self.states)
            except BaseException:
                self.crew.ask(15)  # nobody looks after them any more
                raise
        return self.states

    def _work(self, state: State) -> None:
        if self.crew.asked:
            return
        slot = self._slots.take(state.cell.run)
        try:
            state.problem = (
                self._train(state, slot) or self._register(state) or self._measure(state, slot)
            )
        finally:
            state.doing = "ended"
            self._slots.give_back(slot)

    def _train(self, state: State, slot: Mapping[str, str]) -> str:
        """Train a run to its end; give what went wrong, or nothing."""
        cell = state.cell
        while True:
            if is_held(cell.run):
                state.doing = "follows"
                self.crew.follow(cell.run)
            if cell.is_done() or self.crew.asked:
                return ""
            state.doing = "trains"
            problem = self._process(cell, cell.start, slot)
            # Who was killed may have left a training that had not begun when it was looked for.
            if not problem or not is_held(cell.run):
                return problem

    def _register(self, state: State) -> str:
        """Let the model of a run be chosen; at once, or a running loop takes it for a judge."""
        try:
            with self._registering:
                keep_model(self.config, state.cell.run)
        except (CatalogError, TrainingError) as error:
            return f"its model is not registered: {error}"
        return ""

    def _measure(self, state: State, slot: Mapping[str, str]) -> str:
        """Take what figures the newest snapshot of a run lacks; give what went wrong."""
        cell = state.cell
        record = cell.record()
        if record is None or record.status != "finished" or self.crew.asked:
            return ""
        known = {m.name for m in record.metrics if m.snapshot == record.newest_snapshot}
        wanted = [name for name in self.matrix.metrics if _figure_of(name) not in known]
        if not wanted:
            return ""
        state.doing = "measures"
        options = [part for name in wanted for part in ("--metric", name)]
        if cell.settings.run.device == "cpu":
            options += ["--device", "cpu"]
        start = plan_metrics(self.config, str(cell.run), options)
        problem = self._process(cell, start, slot)
        return f"metrics: {problem}" if problem else ""

    def _process(self, cell: Cell, start: Start, slot: Mapping[str, str]) -> str:
        """Run a process to its end; give what it said went wrong, or nothing."""
        log = log_of(cell.run)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            begun = output.tell()
            environment = {**slot, **start.environment}
            code = self.crew.run(start.arguments, environment, start.processes, output)
        if code == 0 or (self.crew.asked and code > 128):
            return ""
        return error_in(log, begun) or f"ended with exit code {code}"


def plan_matrix(config: DatasetConfig, options: MatrixOptions) -> Matrix:
    """Say what is trained, and where. Reads the catalog and the runs; nothing is written.

    Raises
    ------
    SetupError
        If a package or a GPU is missing, or a setting is wrong.
    ConfigError
        If it is not known where runs are to be kept.
    CatalogError
        If there is no such version.
    """
    versions = _versions(open_catalog(config), config, options)
    presets = options.presets or config.matrix.presets or (config.train.preset,)
    seeds = options.seeds or config.matrix.seeds
    cells = [
        _cell(config, options, version, preset, seed)
        for version, preset, seed in itertools.product(
            versions, dict.fromkeys(presets), dict.fromkeys(seeds)
        )
    ]
    at_once = config.matrix.at_once if options.at_once is None else options.at_once
    return Matrix(tuple(cells), tuple(_slots(cells, at_once)), config.matrix.metrics)


def look(
    config: DatasetConfig, matrix: Matrix, problems: Mapping[str, str] | None = None
) -> list[Run]:
    """Read the runs of a matrix, in order; those that have not begun are among them.

    Parameters
    ----------
    problems
        By run, why it failed: one that left nothing behind does not say so itself.
    """
    splits = splits_of(open_catalog(config))
    return [_look(cell, splits, (problems or {}).get(cell.name, "")) for cell in matrix.cells]


def keep_model(config: DatasetConfig, run: Path) -> None:
    """Register the model of a run if it has finished; who judges, judges on, if anybody does."""
    if is_begun(run):
        register_run(config, [run], judges=False)


def log_of(run: Path) -> Path:
    """Give the file of what a training of a matrix has said."""
    return run.parent / LOGS / f"{run.name}.log"


def is_of_matrix(run: Path) -> bool:
    """Tell whether a run was begun by a matrix: it is compared, and chosen by people."""
    return log_of(run).exists()


def error_in(log: Path, begun: int) -> str:
    """Give the last error that a log holds from a place on; empty where it holds none."""
    with log.open("rb") as file:
        file.seek(begun)
        lines = file.read().decode(errors="replace").splitlines()
    last = next((n for n in reversed(range(len(lines))) if lines[n].startswith("error: ")), None)
    if last is not None:
        return "\n".join(lines[last:]).removeprefix("error: ")[:_SAID]
    # Nobody expected it: the last line of a traceback says the most.
    return next((line.strip()[:_SAID] for line in reversed(lines) if line.strip()), "")


def _versions(catalog: Catalog, config: DatasetConfig, options: MatrixOptions) -> list[Version]:
    """Give the versions that are trained on, each once."""
    given = options if options.splits or options.versions else config.matrix
    found = [load_version(catalog, split=split) for split in given.splits]
    found += [load_version(catalog, number) for number in given.versions]
    found = found or [load_version(catalog)]
    return list({version.version: version for version in found}.values())


def _cell(
    config: DatasetConfig, options: MatrixOptions, version: Version, preset: str, seed: int
) -> Cell:
    name = f"v{version.version}-{preset}-s{seed}"
    own = {**options.settings, "run.seed": seed}
    told = TrainOptions(
        version=version.version,
        preset=preset,
        run=name,
        gpus=config.train.gpus or 1,  # each its own, not all that there are
        settings=own,
    )
    start = plan(config, told)
    size = (version.manifest["height"], version.manifest["width"])
    given = nested({**config.train.settings(), **own})
    settings = resolve(preset, given, size=size, gpus=start.processes)
    return Cell(start, version, settings)


def _slots(cells: Sequence[Cell], at_once: int) -> Iterator[Mapping[str, str]]:
    """Give the places to train at."""
    each = max(cell.start.processes for cell in cells)
    wanted = {cell.settings.run.device for cell in cells}
    gpus = visible_gpus() if wanted - {"cpu"} else []
    if not gpus:
        if "cuda" in wanted:
            raise SetupError(
                "these trainings want a GPU, PyTorch finds none here; say `--set run.device=cpu` "
                "to train on the CPU"
            )
        count = at_once or 1
        threads = max((os.cpu_count() or 1) // (count * each), 1)
        shared = {_THREADS: str(threads)} if count > 1 and _THREADS not in os.environ else {}
        yield from itertools.repeat(shared, count)
        return
    for number in range(at_once or max(len(gpus) // each, 1)):
        own = [gpus[(number * each + i) % len(gpus)] for i in range(each)]
        yield {VISIBLE: ",".join(own)}


def visible_gpus() -> list[str]:
    """Give the names by which a process is given the GPUs that there are."""
    count = count_gpus()
    given = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return given[:count] if given else [str(number) for number in range(count)]


def _look(cell: Cell, splits: dict[tuple[int, str], str | None], problem: str) -> Run:
    if is_begun(cell.run):
        return read_run_of(cell.run, splits)
    return Run(
        name=cell.name,
        version=cell.version.version,
        split=cell.version.split,
        preset=cell.settings.preset,
        seed=cell.settings.run.seed,
        status="failed" if problem else "waiting",
        reason=problem,
        total_kimg=cell.settings.run.total_kimg,
    )


def _figure_of(metric: str) -> str:
    """Give the name of a figure that is there once a metric was taken."""
    return metric.replace("pr", "precision", 1) if metric.startswith("pr") else metric
