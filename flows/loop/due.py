"""What is due: which version is to be trained, which model is to rank. Without Prefect.

It follows from what there is: versions, runs, models, scores, decisions, and the notes of
`flows.loop.notes`. Events and schedules only make it happen sooner, so that nothing is lost with
one of them, and nothing is done twice for two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from data_catalog.catalog import Catalog
from data_catalog.versions import Version
from flows.catalog import open_catalog
from flows.loop.notes import Begun, By, forget_declined, note_declined, read_declined
from flows.loop.settings import LoopConfig
from flows.loop.state import News, Run, State, count_news, read_state
from flows.settings import DatasetConfig
from flows.trainings.launch import TrainOptions

Kind = Literal["train", "register", "rank"]
Standing = Literal[
    "due", "training", "trained", "interrupted", "failed", "stopped", "declined", "off"
]
Compare = Callable[[Version, Version], News]

# So often in a row a run may die where it was started; then a person has to look at it.
DEATHS: Final = 5

# What a note that a version is not trained means for it.
_FOR: Final[dict[By, Standing]] = {
    "rules": "declined",
    "person": "stopped",
    "failure": "failed",
}
_ONE_FOLD: Final = re.compile(r"-fold\d+of\d+$")


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be done.

    Attributes
    ----------
    kind : str
        `train`: a version is to be trained, or a run to go on. `register`: a run has finished, and
        nobody has said that it may judge. `rank`: the current model has not scored the items.
    key : str
        The same for the same piece of work, whoever finds it.
    why : str
        For people.
    version, version_hash
        To be trained; 0 and empty otherwise.
    options : TrainOptions
        To train with.
    run : str
        That is to go on or to be registered: the path of its folder; empty for a new one.
    model : str
        Id of the model that is to rank.
    flow_run : str or None
        Id of Prefect's run that had begun the training, and may be at it still.
    """

    kind: Kind
    key: str
    why: str
    version: int = 0
    version_hash: str = ""
    options: TrainOptions = field(default_factory=TrainOptions)
    run: str = ""
    model: str = ""
    flow_run: str | None = None


@dataclass(frozen=True, slots=True)
class VersionState:
    """How a version stands: the newest of the whole set, or of a split.

    Attributes
    ----------
    standing : str
        `due`; `training`; `trained`; `interrupted`: goes on by itself; `failed`, `stopped`: a
        person has to start it; `declined`: has too little that is new, or a person did not want
        it; `off`: nothing follows a publication.
    why : str
        For people.
    by_rules : bool
        Whether it was weighed, and declined for that.
    """

    version: int
    version_hash: str
    split: str | None
    standing: Standing
    why: str
    by_rules: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """What is due, and how the newest version of each split stands.

    Attributes
    ----------
    due : tuple of Due
    versions : tuple of VersionState
    ended : tuple of str
        Paths of runs that have ended in good order although they are noted as begun.
    """

    due: tuple[Due, ...]
    versions: tuple[VersionState, ...]
    ended: tuple[str, ...] = ()

    def training(self, version_hash: str) -> Due | None:
        """Give what is to be trained for a version."""
        return next(
            (d for d in self.due if d.kind == "train" and d.version_hash == version_hash), None
        )

    def of(self, version_hash: str) -> VersionState | None:
        """Give how a version stands; None where a newer one has taken its place."""
        return next((v for v in self.versions if v.version_hash == version_hash), None)


def due(config: DatasetConfig) -> list[Due]:
    """Say what is to be done now; nothing is written."""
    return list(survey(config).due)


def survey(config: DatasetConfig) -> Survey:
    """Look at everything; nothing is written."""
    catalog = open_catalog(config)

    def compare(old: Version, new: Version) -> News:
        return count_news(catalog, old, new)

    return derive(read_state(config, catalog), config.loop, compare)


def note(catalog: Catalog, found: Survey) -> None:
    """Write down which versions are declined and why; take out those that are not any more."""
    known = read_declined(catalog)
    for version in found.versions:
        before = known.get(version.version_hash)
        if version.by_rules:
            note_declined(catalog, version.version, version.version_hash, version.why)
        elif before is not None and (
            before.by == "rules" or version.standing in ("trained", "training")
        ):
            forget_declined(catalog, version.version_hash)


def derive(state: State, loop: LoopConfig, compare: Compare) -> Survey:
    """Say what is due in a state of things.

    Parameters
    ----------
    compare
        Gives what is new in the second of two versions; called where it matters only.
    """
    out = [item for begun, run in state.begun if (item := _interrupted(begun, run)) is not None]
    noted = {item.run for item in out}
    versions = []
    for version in newest(state.versions, state.only):
        found, item = _weighed(state, loop, version, compare)
        versions.append(found)
        if item is not None and item.run not in noted:
            out.append(item)
    out += _judging(state, loop)
    ended = tuple(begun.run for begun, run in state.begun if _has_ended(begun, run))
    return Survey(tuple(out), tuple(versions), ended)


def newest(versions: Iterable[Version], only: int | None = None) -> list[Version]:
    """Give the newest version of the whole set and of each split, in the order of numbers.

    Parameters
    ----------
    only
        Number of the one version that counts; None: all do.
    """
    if only is not None:
        return [version for version in versions if version.version == only]
    last: dict[str | None, Version] = {}
    for version in sorted(versions, key=lambda v: v.version):
        last[version.split] = version
    return sorted(last.values(), key=lambda v: v.version)


def is_enough(loop: LoopConfig, base: Version | None, news: News | None) -> tuple[bool, str]:
    """Say whether a version has enough that is new to be trained, and why.

    Parameters
    ----------
    base
        The version of the same split that was trained on last; None: there is none.
    news
        What is new since then.
    """
    if base is None or news is None:
        return True, "it is the first one to be trained"
    told = f"since version {base.version}: {news.decisions} decisions, {news.changed:.1%} changed"
    if news.decisions >= loop.min_decisions or news.changed >= loop.min_changed:
        return True, told
    return False, (
        f"{told}; `loop.min_decisions` is {loop.min_decisions}, `loop.min_changed` "
        f"{loop.min_changed:g}; `nonesuch train` trains it all the same"
    )


def _interrupted(begun: Begun, run: Run | None) -> Due | None:
    """Give the training that has to go on, if a note is of one."""
    if (run is not None and run.alive) or _has_ended(begun, run):
        return None
    if _is_hopeless(begun, run):
        return None
    name = Path(begun.run).name
    return Due(
        kind="train",
        key=f"train:{begun.version_hash}:{name}",
        why=f"run {name} was interrupted at {0 if run is None else run.record.kimg:g} kimg",
        version=begun.version,
        version_hash=begun.version_hash,
        options=begun.options,
        run=begun.run,
        flow_run=begun.flow_run,
    )


def _has_ended(begun: Begun, run: Run | None) -> bool:
    """Tell whether a run has said, since it was begun, that it has finished or failed."""
    return (
        run is not None
        and not run.alive
        and run.record.status in ("finished", "failed")
        and run.record.updated >= begun.at
    )


def _is_hopeless(begun: Begun, run: Run | None) -> bool:
    """Tell whether a run has died too often without having come further."""
    further = run is not None and run.record.cur_nimg > begun.cur_nimg
    return not begun.asked and not further and begun.deaths >= DEATHS - 1


def _weighed(
    state: State, loop: LoopConfig, version: Version, compare: Compare
) -> tuple[VersionState, Due | None]:
    """Say how a version stands, and what is to be done for it."""
    runs = [run for run in state.runs if run.record.version_hash == version.hash]
    noted = [pair for pair in state.begun if pair[0].version_hash == version.hash]
    if runs or noted:
        return _of_runs(state, version, runs, noted)
    declined = state.declined.get(version.hash)
    if declined is not None and declined.by != "rules":
        return _stands(version, _FOR[declined.by], declined.why), None
    if not loop.train_on_publish:
        why = "`loop.train_on_publish` is off; `nonesuch train` trains it"
        return _stands(version, "off", why), None
    base = _trained_before(state, version)
    enough, why = is_enough(loop, base, None if base is None else compare(base, version))
    if not enough:
        return _stands(version, "declined", why, by_rules=True), None
    item = Due(
        kind="train",
        key=f"train:{version.hash}",
        why=f"version {version.version} has no run; {why}",
        version=version.version,
        version_hash=version.hash,
        options=TrainOptions(version=version.version, run=_name_for(state, version)),
    )
    return _stands(version, "due", why), item


def _stands(
    version: Version, standing: Standing, why: str, *, by_rules: bool = False
) -> VersionState:
    return VersionState(version.version, version.hash, version.split, standing, why, by_rules)


def _of_runs(
    state: State,
    version: Version,
    runs: Sequence[Run],
    noted: Sequence[tuple[Begun, Run | None]],
) -> tuple[VersionState, Due | None]:
    """Say how a version stands that has runs, or whose training was begun."""
    names = ", ".join(run.name for run in runs)
    if any(run.alive for run in runs):
        return _stands(version, "training", f"run {names}"), None
    for begun, run in noted:
        item = _interrupted(begun, run)
        if item is not None:  # it is among what is due already
            return _stands(version, "interrupted", item.why), None
        if _is_hopeless(begun, run) and (run is None or run.lost):
            return _stands(version, "failed", _hopeless(Path(begun.run).name)), None
    if any(run.record.status == "finished" for run in runs):
        return _stands(version, "trained", f"run {names}"), None
    declined = state.declined.get(version.hash)
    if declined is not None and declined.by != "rules":
        return _stands(version, _FOR[declined.by], declined.why), None
    lost = next((run for run in runs if run.lost and _is_usual(state, version, run)), None)
    if lost is not None:
        item = _go_on(version, lost)
        return _stands(version, "interrupted", item.why), item
    failed = next((run for run in runs if run.record.status == "failed"), None)
    if failed is not None:
        remedy = f"mend that, then `nonesuch train --run {failed.name}` goes on"
        why = f"run {failed.name}: {failed.record.reason}; {remedy}"
        return _stands(version, "failed", why), None
    return _stands(version, "stopped", f"run {names}; `nonesuch train --run` goes on"), None


def _hopeless(name: str) -> str:
    return (
        f"run {name} has died {DEATHS} times where it was started; see its messages, then "
        f"`nonesuch train --run {name}` goes on"
    )


def _go_on(version: Version, run: Run) -> Due:
    record = run.record
    return Due(
        kind="train",
        key=f"train:{version.hash}:{run.name}",
        why=f"run {run.name} died at {record.kimg:g} kimg",
        version=version.version,
        version_hash=version.hash,
        options=TrainOptions(
            version=version.version, run=str(record.path), preset=record.preset or None
        ),
        run=str(record.path),
    )


def _is_usual(state: State, version: Version, run: Run) -> bool:
    """Tell whether a run is called as the loop calls its own."""
    usual = {f"v{version.version}-{state.preset}"}
    if state.run_name is not None:
        usual |= {state.run_name, f"{state.run_name}-v{version.version}"}
    return run.name in usual


def _name_for(state: State, version: Version) -> str | None:
    """Give the name of a new run; None: the default one, which has the version's number.

    A name of the configuration can be of one version only; later ones have their number with it.
    """
    name = state.run_name
    taken = any(run.name == name for run in state.runs)
    return f"{name}-v{version.version}" if name is not None and taken else name


def _trained_before(state: State, version: Version) -> Version | None:
    """Give the version of the same split that was trained on last before this one."""
    trained = {run.record.version_hash for run in state.runs}
    trained |= {begun.version_hash for begun, _ in state.begun}
    older = [
        v
        for v in state.versions
        if v.split == version.split and v.version < version.version and v.hash in trained
    ]
    return max(older, key=lambda v: v.version, default=None)


def _judging(state: State, loop: LoopConfig) -> Iterator[Due]:
    """Give the run that nobody has registered, and the model that has to rank."""
    run = _unregistered(state)
    if run is not None:
        why = f"run {run.name} has finished and is not among the models"
        key = f"register:{run.name}:{run.record.newest_snapshot}"
        yield Due("register", key, why, run=str(run.record.path))
    if loop.rank_on_train and state.models and not state.ranked:
        model = state.models[0].model
        yield Due("rank", f"rank:{model}", f"model {model} has not scored all items", model=model)


def _unregistered(state: State) -> Run | None:
    """Give the newest run that has finished since a model was registered last.

    Runs of one fold are registered together, by whoever trains them.
    """
    known = {
        (name, snapshots[0])
        for model in state.models
        for name, snapshots in zip(model.runs, model.snapshots, strict=True)
    }
    since = max((model.registered_at for model in state.models), default=None)
    ours = {version.hash for version in state.versions}
    finished = [
        run
        for run in state.runs
        if run.record.status == "finished"
        and not run.alive
        and run.record.version_hash in ours
        and run.record.newest_snapshot is not None
        and not _ONE_FOLD.search(run.name)
        and (run.name, run.record.newest_snapshot) not in known
        and (since is None or run.record.updated > since)
    ]
    return max(finished, key=lambda run: run.record.updated, default=None)
