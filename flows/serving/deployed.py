"""The flows that deployments run: told where the configuration is, they read it and do the work.

Prefect's database gets the path of the configuration, never what is in it: it may hold secrets.

Prefect reads parameters and results of flows off their annotations, so all of these are imported
when the module is: with one that is not, no parameter would be checked.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from prefect import flow, get_run_logger, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed
from pydantic import BaseModel, ConfigDict, Field

from flows import progress
from flows.catalog import open_catalog
from flows.loop import due, notes
from flows.serving.alone import alone
from flows.settings import ConfigError, DatasetConfig, load
from flows.trainings.finish import finish
from flows.trainings.launch import EndedError, Start, TrainOptions, plan, run_start
from training.errors import SetupError
from training.runs.record import RunRecord, read_run

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

    from data_catalog.catalog import Catalog
    from flows.trainings.runs import RunSummary

Wait = Annotated[
    float, Field(ge=0, description="seconds to wait for the dataset, where others work on it")
]

WAIT: Final = 3600.0

_REFUSED: Final = 2  # exit code of a training that does not begin with such settings


class Published(BaseModel):
    """A version that was published, as an event tells of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    hash: str = Field(min_length=1)


def _called() -> str:
    """Name a run: what it does, to which dataset."""
    return f"{runtime.flow_run.flow_name} {runtime.deployment.name or ''}".strip()


@flow(name="rebuild", flow_run_name=_called, description="Bring the catalog up to date.")
def rebuild(config_file: str, wait: Wait = WAIT) -> BaseModel:
    """Bring the catalog up to date with its sources, judge it, write the report."""
    from flows.rebuild import rebuild as work

    config = load(config_file)
    with _told(), alone(config, "rebuild", wait):
        return work.fn(config)


@flow(name="publish", flow_run_name=_called, description="Freeze what is accepted.")
def publish(
    config_file: str,
    splits: Annotated[tuple[str, ...], Field(description="none: all that are configured")] = (),
    whole: Annotated[bool, Field(description="the whole set besides splits")] = False,
    wait: Wait = WAIT,
) -> BaseModel:
    """Freeze what is accepted into a version, or into one for each split."""
    from flows.publish import publish as work

    config = load(config_file)
    with _told(), alone(config, "publish", wait):
        return work.fn(config, splits, whole)


@flow(name="rank", flow_run_name=_called, description="Score all items, for what stands out.")
def rank(
    config_file: str,
    model: Annotated[str | None, Field(description="without it, the current one")] = None,
    wait: Wait = WAIT,
) -> BaseModel:
    """Score all items that have no score yet, and judge by the scores what people see next."""
    from flows.rank import rank as work
    from flows.rebuild import judge_again

    config = load(config_file)
    with _told(), alone(config, "rank", wait):
        summary = work.fn(config, model)
        judge_again(config)
    return summary


@flow(name="reconcile", flow_run_name=_called, description="Start what is due and does not run.")
def reconcile(config_file: str) -> list[str]:
    """Start what is due, whatever became of the events about it.

    Raises
    ------
    ConfigError
        If something was refused; everything else was started before.
    """
    from flows.loop.reconcile import reconcile as work

    found = work(load(config_file))
    if found.refused:
        raise ConfigError("; ".join([*found.refused, *found.told]))
    return found.told


def _give_up(flow: Any, flow_run: FlowRun, state: State) -> None:
    """Leave a training that a person has cancelled as it is; one that was shut down goes on.

    What Prefect knew of the run before tells them apart: `state` is the same for both.
    """
    before = flow_run.state
    if before is None or not (before.is_cancelling() or before.is_cancelled()):
        return
    catalog = open_catalog(load(flow_run.parameters["config_file"]))
    for begun in notes.read_begun(catalog):
        if begun.flow_run == str(flow_run.id):
            notes.take_out(catalog, begun.run)
            name = Path(begun.run).name
            why = f"the training was cancelled by hand; `nonesuch train --run {name}` goes on"
            notes.note_declined(catalog, begun.version, begun.version_hash, why, "person")


@flow(
    name="train",
    flow_run_name=_called,
    description="Train on a published version, or go on.",
    on_cancellation=[_give_up],
)
def train(
    config_file: str,
    version: Annotated[int | None, Field(ge=0, description="0 is the newest")] = None,
    split: Annotated[str | None, Field(description="that the version is of")] = None,
    preset: Annotated[str | None, Field(description="settings to start from")] = None,
    run: Annotated[str | None, Field(description="one that is there goes on")] = None,
    gpus: Annotated[int | None, Field(ge=0, description="0 is all there are")] = None,
    transfer: Annotated[Path | None, Field(description="run to take weights from")] = None,
    settings: Annotated[dict[str, Any], Field(description="by `section.key`")] = {},  # noqa: B006
    published: Annotated[
        Published | None, Field(description="train it if it is due; nothing else counts then")
    ] = None,
) -> BaseModel | State:
    """Train as a person asks, or the version of an event if it is due."""
    config = load(config_file)
    catalog = open_catalog(config)
    if published is None:
        options = TrainOptions(
            version=version,
            split=split,
            preset=preset,
            run=run,
            gpus=gpus,
            transfer=transfer,
            settings=settings,
        )
    else:
        found = due.survey(config)
        due.note(catalog, found)
        item = found.training(published.hash)
        if item is None:
            return Completed(message=_not_due(found, published))
        get_run_logger().info("%s", item.why)
        options = item.options
    return _train(config, catalog, options, published)


def _train(
    config: DatasetConfig, catalog: Catalog, options: TrainOptions, published: Published | None
) -> RunSummary | State:
    """Train, with a note of it for as long as it has not ended in good order.

    One that dies without a word has crashed, as a run of Prefect's that is killed has: both are
    started again at once.
    """
    from flows.artifacts import show_end, watching

    start = _planned(config, catalog, options, published)
    begun = _begin(catalog, start, options)
    heard: list[signal.Signals] = []
    try:
        with watching(start.run):
            summary = run_start(start, heard.append)
    except EndedError as error:
        _stop_if_asked(catalog, begun, heard)
        why = _reason_of(start.run, error)
        if why is None:
            return Crashed(message=f"run {start.run.name} died with exit code {error.code}")
        notes.take_out(catalog, begun.run)
        if published is not None:  # what a person asked for says nothing of the version
            notes.note_declined(catalog, published.version, published.hash, why, "failure")
        raise
    if summary.status == "stopped":
        _stop_if_asked(catalog, begun, heard)
    finish(config, [start.run])
    notes.take_out(catalog, begun.run)
    show_end(summary)
    return summary


def _planned(
    config: DatasetConfig, catalog: Catalog, options: TrainOptions, published: Published | None
) -> Start:
    """Plan; a version that the loop cannot even begin to train is not tried again by itself."""
    try:
        return plan(config, options)
    except Exception as error:
        if published is not None:
            why = f"it cannot be trained: {error}"
            notes.note_declined(catalog, published.version, published.hash, why, "failure")
        raise


def _begin(catalog: Catalog, start: Start, options: TrainOptions) -> notes.Begun:
    """Write down that a training begins, or goes on."""
    known = notes.find_begun(catalog, str(start.run))
    record = _record_of(start.run)
    reached = 0 if record is None else record.cur_nimg
    died = known is not None and not known.asked and reached <= known.cur_nimg
    begun = notes.Begun(
        run=str(start.run),
        version=start.version,
        version_hash=start.version_hash,
        # By the time that it goes on, there may be a newer version.
        options=options.model_copy(update={"version": start.version, "run": str(start.run)}),
        flow_run=runtime.flow_run.id,
        at=datetime.now(UTC).replace(microsecond=0),
        cur_nimg=reached,
        deaths=known.deaths + 1 if known is not None and died else 0,
    )
    notes.note_begun(catalog, begun)
    notes.forget_declined(catalog, start.version_hash)
    return begun


def _stop_if_asked(catalog: Catalog, begun: notes.Begun, heard: list[signal.Signals]) -> None:
    """Hand a wish to stop on to Prefect, now that the training has ended for it."""
    if heard:
        notes.note_begun(catalog, begun.model_copy(update={"asked": True}))
        signal.raise_signal(heard[0])


def _reason_of(run: Path, error: EndedError) -> str | None:
    """Give why a training failed, in its own words; None where it died without any."""
    record = _record_of(run)
    if record is not None and record.status == "failed":
        return f"run {run.name}: {record.reason}"
    return f"run {run.name} was refused: {error}" if error.code == _REFUSED else None


def _record_of(run: Path) -> RunRecord | None:
    try:
        return read_run(run)
    except SetupError:
        return None


def _not_due(found: due.Survey, published: Published) -> str:
    state = found.of(published.hash)
    if state is None:
        return f"version {published.version} is not trained: there is a newer one, or it is gone"
    return f"version {published.version} is not trained, it is {state.standing}: {state.why}"


class _Logged(progress.Lines):
    """Progress as lines of the run's log, which Prefect's page shows."""

    def _print(self, line: str) -> None:
        get_run_logger().info("%s", line)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    with progress.watch(_Logged()):
        yield
