"""From what somebody asks for to a training under way: version, settings, run folder, networks."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from training import distributed
from training.build import Networks, build
from training.command_tools import say
from training.config import TrainingConfig
from training.cost import memory_explained
from training.data.check import check
from training.data.remote import fetch
from training.data.select import Selection, select
from training.data.stream import Stream
from training.distributed import Team
from training.errors import SetupError, ShardError, SnapshotError
from training.loop import Loop
from training.presets import PRESETS, overlay, resolve
from training.request import Request
from training.runs import live, snapshots, transfer
from training.runs.folder import (
    RunFolder,
    RunRecord,
    VersionFacts,
    changes,
    compatible,
    same_version,
)
from training.runs.folder import resumed as resumed_config
from training.runs.record import RUN_FILE
from training.runs.snapshots import Snapshot
from training.shards import PublishedVersion
from training.trainer import Trainer

CACHE: Final = Path("~/.cache/nonesuch/versions")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be trained, resolved and checked."""

    version: PublishedVersion
    selection: Selection
    facts: VersionFacts
    config: TrainingConfig
    saved: TrainingConfig | None


def train(request: Request) -> RunRecord | None:
    """Train, or go on, until the end or a signal to stop.

    Returns
    -------
    RunRecord or None
        None in all processes but the first.

    Raises
    ------
    TrainingError
        See `training.errors`; `run.json` says why, too.
    """
    team = distributed.join(distributed.pick_device(_device(request)))
    say = _speaker(team)
    is_new = not request.run.exists()
    try:
        folder = RunFolder(request.run)
        with folder.lock() if team.leads else contextlib.nullcontext():
            try:
                plan = _plan(request, folder, team, say)
                _prepare_torch(plan.config, team)
                return _train(request, plan, folder, team, say)
            except (SetupError, ShardError):
                # Nothing was begun. Under the lock, so that it is nobody else's folder.
                if is_new and team.leads and not (request.run / RUN_FILE).exists():
                    shutil.rmtree(request.run, ignore_errors=True)
                raise
    finally:
        distributed.leave()


def plan_only(request: Request) -> tuple[Plan, torch.device]:
    """Give what would be trained, and on what; the run's folder stays as it is."""
    device = distributed.pick_device(_device(request))
    team = Team(0, distributed.world_size(), device)
    saved = _read_saved(request.run)
    return _plan_of(request, saved, None, team, _speaker(team)), device


def _train(
    request: Request, plan: Plan, folder: RunFolder, team: Team, say: Say
) -> RunRecord | None:
    config, size, classes = plan.config, plan.facts.size, len(plan.selection.classes)
    snapshot = _newest(folder, say)
    with memory_explained(config, size, classes, team.device):
        networks = build(
            config.network,
            size,
            classes,
            team.device,
            seed=config.run.seed,
            fold_filters=config.speed.fold_filters,
        )
    at_once, group = config.optimizer.batch_gpu or 0, config.network.mbstd_group or 0
    if at_once < group:
        say(
            f"note: minibatch groups are of the {at_once} images at once on a GPU, not of {group} "
            "as set; losses differ from those of whole groups"
        )
    if snapshot is None and request.transfer is not None:
        say(_transfer(request.transfer, networks, plan.facts))
    frozen = transfer.freeze_d(networks.D, config.optimizer.freeze_d)
    if frozen and snapshot is None and request.transfer is None:
        raise SetupError(
            "`optimizer.freeze_d` leaves layers as they are, which makes sense for a transfer "
            "only; give `--transfer`"
        )
    labels = plan.selection.labels
    numbers = None if labels is None else torch.from_numpy(labels)
    with memory_explained(config, size, classes, team.device):
        trainer = Trainer(config, networks, team, numbers)
        if snapshot is not None:
            trainer.restore(snapshot.tensors, snapshot.values)
            say(f"going on from {snapshot.path}")
    if snapshot is None and plan.saved is None and team.leads:
        folder.live.unlink(missing_ok=True)  # what an aborted start left
    if snapshot is not None and request.transfer is not None:
        say(f"note: --transfer counts for a new run only; this one goes on from {snapshot.path}")
    if trainer.cur_nimg >= round(config.run.total_kimg * 1000) and snapshot is not None:
        return _already_there(plan, folder, team, trainer.cur_nimg / 1000, say)
    if team.leads and not folder.live.exists():
        live.write_initial(folder.live, trainer.live)
    with memory_explained(config, size, classes, team.device):
        trainer.warm_up(say)
    with Stream(
        plan.version,
        plan.selection,
        batch=trainer.batch,
        rank=team.rank,
        world=team.world,
        seed=config.run.seed,
        mirror=config.data.mirror,
        workers=config.data.workers,
        start_step=trainer.step,
        pin_memory=team.device.type == "cuda",
    ) as stream:
        loop = Loop(trainer, stream, folder, plan.facts, plan.version, plan.selection, say)
        if snapshot is not None:
            loop.restore(snapshot.values)
        return loop.run()


def _already_there(
    plan: Plan, folder: RunFolder, team: Team, kimg: float, say: Say
) -> RunRecord | None:
    say(f"{folder.path} has been trained on its {kimg:g} kimg; `--kimg` beyond that goes on")
    if not team.leads:
        return None
    if plan.saved is not None:  # a smaller total is nothing to remember
        folder.write_config(plan.saved, plan.facts)
    return folder.update(status="finished")


def _newest(folder: RunFolder, say: Say) -> Snapshot | None:
    """Load what the run goes on from; None if nothing was saved yet."""
    snapshot, damage = snapshots.newest(folder.snapshots)
    if snapshot is None and damage:
        named = "\n".join(f"  {message}" for message in damage)
        raise SnapshotError(
            f"none of the {len(damage)} snapshots in {folder.snapshots} is whole, so the run "
            f"cannot go on:\n{named}\n"
            "put back a copy of one of them; to begin the run anew, take them all out of there"
        )
    for message in damage:
        say(f"passed over: {message}")
    return snapshot


def _plan(request: Request, folder: RunFolder, team: Team, say: Say) -> Plan:
    """Plan in the first process, which checks the version; the others take what it kept."""
    saved = (folder.read_config(), folder.read_version())
    plan = None
    if team.leads:
        plan = _plan_of(request, saved, folder, team, say)
        folder.write_config(plan.config, plan.facts)
    team.wait()
    if plan is None:
        plan = _plan_of(request, saved, folder, team, say)
    return plan


def _plan_of(
    request: Request,
    saved: tuple[TrainingConfig | None, VersionFacts | None],
    folder: RunFolder | None,
    team: Team,
    say: Say,
) -> Plan:
    config, facts = saved
    version, selection_of = _open_version(request, folder, say)
    if config is None or facts is None or _begins_anew(request):
        preset = request.preset or (config.preset if config else "stylegan2-ada")
        fresh = resolve(preset, request.overrides, size=version.shape, gpus=team.world)
        if request.transfer is not None and "ema_ramp" not in request.overrides.get(
            "optimizer", {}
        ):
            # The average begins as a good one, which an early G must not replace.
            optimizer = fresh.optimizer.model_copy(update={"ema_ramp": None})
            fresh = fresh.model_copy(update={"optimizer": optimizer})
        if config not in (None, fresh):
            say("nothing of this run was saved yet: it begins anew with what is asked for now")
        selection = selection_of(fresh)
        kept = config if config == fresh else None
        return Plan(version, selection, _facts(request, version, selection), fresh, kept)
    asked = _asked(request, config, version.shape, team.world)
    refused = compatible(config, asked)
    selection = selection_of(asked)
    found = _facts(request, version, selection)
    refused += same_version(facts, found)
    if refused:
        raise SetupError("\n".join(refused))
    for message in changes(config, asked):
        say(message)
    return Plan(version, selection, found, resumed_config(config, asked), config)


def _begins_anew(request: Request) -> bool:
    """Tell whether settings that a run was first started with bind it no more: none were trained.

    Without any settings of its own, a start takes those.
    """
    return not snapshots.names(request.run / "snapshots") and bool(
        request.overrides or request.preset
    )


def _asked(
    request: Request, saved: TrainingConfig, size: tuple[int, int], gpus: int
) -> TrainingConfig:
    if request.preset not in (None, saved.preset):
        resolve(request.preset or "", {}, size=size, gpus=1)  # a typing error comes first
        raise SetupError(
            f"`preset` is {saved.preset!r} in this run and cannot change, got {request.preset!r}; "
            "train in another folder (--run), and start from this run's networks (--transfer)"
        )
    return overlay(saved, request.overrides, gpus=gpus)


def _open_version(
    request: Request, folder: RunFolder | None, say: Say
) -> tuple[PublishedVersion, Callable[[TrainingConfig], Selection]]:
    cache = request.cache or CACHE
    local = fetch(
        request.version,
        cache,
        storage_options=request.storage_options,
        progress=_percent(say, "fetched"),
    )
    version = PublishedVersion(local)
    index = check(
        version,
        cache=folder.path if folder is not None else None,
        progress=_percent(say, "checked"),
    )
    return version, lambda config: select(index, config.data)


def _percent(say: Say, what: str) -> Callable[[int, int], None]:
    """Say how far something is, at every tenth."""
    told = -1

    def progress(done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // max(total, 1)
        if tenth != told and total > 1 << 28:
            told = tenth
            say(f"{what} {done / 1e9:.1f} of {total / 1e9:.1f} GB of the version")

    return progress


def _lasting(location: str) -> str:
    """Give a location that means the same from another folder."""
    return location if "://" in location else str(Path(location).expanduser().resolve())


def _facts(request: Request, version: PublishedVersion, selection: Selection) -> VersionFacts:
    return VersionFacts(
        dataset=_lasting(request.version),
        version=version.version,
        version_hash=version.hash,
        inverted=version.inverted,
        size=version.shape,
        labels=selection.classes,
    )


def _transfer(source: Path, networks: Networks, facts: VersionFacts) -> str:
    """Take over weights of another run; both generators begin as its average."""
    try:
        snapshot = snapshots.load_weights(snapshots.find(source))
    except SnapshotError as error:
        raise SetupError(f"`--transfer`: {error}") from error
    prefixed = dict(snapshot.tensors)
    report = transfer.transfer(prefixed, {"G_ema": networks.G, "D": networks.D})
    transfer.transfer(prefixed, {"G_ema": networks.G_ema})
    lines = [f"starting from {snapshot.path}: {report.summary()}"]
    if snapshot.values.get("inverted") not in (None, facts.inverted):
        lines.append(
            "note: one of the two is trained on inverted pictures and the other is not; "
            "colours have to be learned anew"
        )
    return "\n".join(lines)


def _device(request: Request) -> str:
    asked = request.overrides.get("run", {}).get("device")
    if asked is not None:
        return str(asked)
    saved, _ = _read_saved(request.run)
    if saved is not None:
        return saved.run.device
    preset = PRESETS.get(request.preset or "stylegan2-ada", {})
    return str(preset.get("run", {}).get("device", "cuda"))


def _read_saved(run: Path) -> tuple[TrainingConfig | None, VersionFacts | None]:
    """Read what a run was begun with, and make no folder where there is none."""
    if not (run / "config.json").is_file():
        return None, None
    folder = RunFolder(run)
    return folder.read_config(), folder.read_version()


def _prepare_torch(config: TrainingConfig, team: Team) -> None:
    if team.device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # every shape comes thousands of times
        torch.backends.cuda.matmul.allow_tf32 = config.speed.tf32
        torch.backends.cudnn.allow_tf32 = config.speed.tf32


def _speaker(team: Team) -> Say:
    return say if team.leads else lambda _message: None
