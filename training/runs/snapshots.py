"""Snapshots: everything that a run goes on from, whole or not at all.

A snapshot is a folder `kimg-000004.096` with `weights.safetensors` (G, D, G_ema),
`optimizers.safetensors` (the rest) and `state.json` (values, and what the files must be). It is
written under another name, put on the disk, and renamed, so that a killed run leaves a whole
snapshot or a leftover that the next `save` removes. Reading never changes the folder: other
programs read while a run saves.

A damaged snapshot is named, passed over, never counted, and stays where it is until `save` writes
one of its name or `prune` comes to its age.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from torch import Tensor

from training.errors import SnapshotError
from training.runs import states, tensorfile
from training.runs.files import sync_folder
from training.runs.states import State

Part = Literal["weights", "optimizers"]
PARTS: Final[tuple[Part, ...]] = ("weights", "optimizers")

_NAME: Final = re.compile(r"kimg-(\d{6,}\.\d{3})")
_WEIGHTS: Final = ("G.", "D.", "G_ema.")
_TEMPORARY: Final = ".tmp-"  # not yet a snapshot, or no more
_REPLACED: Final = ".old-"  # one that makes room for another of its name: whole until that is there
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SLACK: Final = 1 << 20  # bytes left over; folders and small files take some


@dataclass(frozen=True)
class Snapshot:
    """What a run goes on from.

    Attributes
    ----------
    tensors : mapping of str to Tensor
        `G.…`, `D.…` and `G_ema.…` are the weights; all others, as `G_opt.…` and random states, go
        with the optimizers. Of any layout and device; on the processor when loaded.
    values : mapping of str to what JSON holds
        Counters, the configuration, and so on. Floats keep every bit; tuples come back as lists.
    path : Path or None
        Where it was loaded from.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    path: Path | None = field(default=None, compare=False)


def name_of(cur_nimg: int) -> str:
    """Name the snapshot of a run that was trained on so many images; names sort by age."""
    return f"kimg-{cur_nimg // 1000:06d}.{cur_nimg % 1000:03d}"


def names(folder: Path) -> list[str]:
    """Give the names of the snapshots in a folder, damaged ones too, oldest first."""
    return list(_found(folder))


def save(folder: Path, name: str, snapshot: Snapshot) -> Path:
    """Save a snapshot; one of the same name is replaced.

    It gets a sequence number, one more than the highest in the folder: `prune` keeps every M-th
    for good by it. The newest snapshot is never pruned, so that the numbers go on after a restart.

    Parameters
    ----------
    folder
        Made if missing. One process at a time saves in it.
    name
        From `name_of`.

    Returns
    -------
    Path
        Of the snapshot.

    Raises
    ------
    SnapshotError
        If the disk is too full, or cannot be written to, or a tensor is of a type that cannot be
        saved. Earlier snapshots are as they were.
    """
    assert _NAME.fullmatch(name), f"{name!r} is no name of a snapshot"
    needed = sum(tensorfile.size_of(part) for part in _parts(snapshot).values())
    temporary, target = folder / f"{_TEMPORARY}{name}", folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tidy(folder)
        _check_space(folder, name, needed + len(json.dumps(snapshot.values)) + _SLACK)
        temporary.mkdir()
        _write(temporary, snapshot, _sequence_for(folder, name))
        _put(temporary, target)
    except OSError as error:
        raise SnapshotError(_unwritable(folder, name, needed, error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def load(path: Path, parts: Sequence[Part] = PARTS) -> Snapshot:
    """Load a snapshot, or some of its parts, and check every byte of what is loaded.

    Raises
    ------
    SnapshotError
        If anything is missing or damaged, or of another format; names the file and what it is.
    """
    state = states.read(path)
    tensors: dict[str, Tensor] = {}
    for part in parts:
        file = path / f"{part}.safetensors"
        tensorfile.verify(file, state.files[file.name])
        tensors |= tensorfile.read(file)
    return Snapshot(tensors, state.values, path)


def load_weights(path: Path) -> Snapshot:
    """Load what pictures are made with: weights and values, without the optimizers.

    Raises
    ------
    SnapshotError
        As `load`.
    """
    return load(path, ("weights",))


def newest(folder: Path, parts: Sequence[Part] = PARTS) -> tuple[Snapshot | None, list[str]]:
    """Load the newest snapshot that is whole.

    Parameters
    ----------
    folder
        May be missing.
    parts
        To load, and to check.

    Returns
    -------
    snapshot : Snapshot or None
        None if there is none.
    damage : list of str
        A message for every newer one that was passed over.
    """
    damage: list[str] = []
    for path in reversed(_found(folder).values()):
        try:
            return load(path, parts), damage
        except SnapshotError as error:
            if not path.is_dir():  # pruned, or renamed, while we read: look again
                return newest(folder, parts)
            damage.append(str(error))
    return None, damage


def find(path: Path) -> Path:
    """Give the snapshot that a path means: itself, or the newest whole one of a run.

    Parameters
    ----------
    path
        A snapshot's folder, a run's, or a run's `snapshots`.

    Raises
    ------
    SnapshotError
        If there is none, or all are damaged.
    """
    if (path / states.STATE_FILE).is_file() or _NAME.fullmatch(path.name):
        return path
    folder = path / "snapshots" if (path / "snapshots").is_dir() else path
    for candidate in reversed(_found(folder).values()):
        if not _damage(candidate):
            return candidate
    damaged = f"only damaged ones ({', '.join(names(folder))})" if names(folder) else "none"
    raise SnapshotError(
        f"{path} must be a snapshot or a run with snapshots, has {damaged}; give another"
    )


def prune(folder: Path, keep_last: int, keep_every: int) -> list[str]:
    """Remove old snapshots.

    Kept are the newest `keep_last` that are whole, whatever is newer than the oldest of these, and
    those whose sequence number is a multiple of `keep_every`. A folder without as many whole
    snapshots loses nothing. The newest `keep_last` are read from end to end to know that.

    Parameters
    ----------
    keep_last
        At least 1: the last good one is never removed.
    keep_every
        0: none is kept for good.

    Returns
    -------
    list of str
        Names of those removed, oldest first.
    """
    assert keep_last >= 1, f"keep_last must be at least 1, got {keep_last}"
    good = 0
    removed = []
    for name, path in reversed(_found(folder).items()):
        if good < keep_last:
            good += not _damage(path)
        elif not _is_for_good(path, keep_every):
            _remove(path)
            removed.append(name)
    return removed[::-1]


def tidy(folder: Path) -> None:
    """Remove what a killed run left; `save` does so by itself.

    Only for the process that may save in the folder.
    """
    for path in list(folder.glob(f"{_TEMPORARY}*")):
        shutil.rmtree(path, ignore_errors=True)
    for path in list(folder.glob(f"{_REPLACED}*")):
        name = path.name.removeprefix(_REPLACED)
        if (folder / name).exists():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.rename(folder / name)


def _found(folder: Path) -> dict[str, Path]:
    """Give snapshots by name, oldest first, with those that a killed run was about to replace."""
    paths = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    by_name = {path.name.removeprefix(_REPLACED): path for path in paths}
    by_name |= {path.name: path for path in paths}
    known = [name for name in by_name if _NAME.fullmatch(name)]
    return {name: by_name[name] for name in sorted(known, key=_age)}


def _age(name: str) -> float:
    match = _NAME.fullmatch(name)
    assert match
    return float(match[1])


def _parts(snapshot: Snapshot) -> dict[Part, dict[str, Tensor]]:
    parts: dict[Part, dict[str, Tensor]] = {part: {} for part in PARTS}
    for name, tensor in snapshot.tensors.items():
        parts["weights" if name.startswith(_WEIGHTS) else "optimizers"][name] = tensor
    return parts


def _write(folder: Path, snapshot: Snapshot, sequence: int) -> None:
    files = {}
    for part, tensors in _parts(snapshot).items():
        file = folder / f"{part}.safetensors"
        files[file.name] = tensorfile.write(file, tensors)
    states.write(folder, State(sequence=sequence, files=files, values=dict(snapshot.values)))
    sync_folder(folder)


def _put(temporary: Path, target: Path) -> None:
    """Give a finished snapshot its name; at every moment one of that name can be found."""
    replaced = target.with_name(f"{_REPLACED}{target.name}")
    if target.exists():
        target.rename(replaced)
    temporary.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _remove(path: Path) -> None:
    """Take a snapshot's name away before its files, so that no half of it is ever found."""
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    try:
        path.rename(temporary)
    except OSError as error:
        raise SnapshotError(f"{path} cannot be removed: {error.strerror}") from error
    shutil.rmtree(temporary, ignore_errors=True)


def _damage(path: Path) -> str | None:
    """Say what is wrong with a snapshot, without loading it; None if it is whole."""
    try:
        for name, facts in states.read(path).files.items():
            tensorfile.verify(path / name, facts)
    except SnapshotError as error:
        return str(error)
    return None


def _is_for_good(path: Path, keep_every: int) -> bool:
    try:
        return keep_every > 0 and states.read(path).sequence % keep_every == 0
    except SnapshotError:
        return False


def _sequence_for(folder: Path, name: str) -> int:
    known = dict(_sequences(folder))
    return known.get(name) or max(known.values(), default=0) + 1


def _sequences(folder: Path) -> Iterator[tuple[str, int]]:
    for name, path in _found(folder).items():
        try:
            yield name, states.read(path).sequence
        except SnapshotError:
            continue  # its number is lost with it; the next one takes it


def _check_space(folder: Path, name: str, needed: int) -> None:
    usage = shutil.disk_usage(folder)
    if usage.total and usage.free < needed:  # some network file systems tell nothing: all zero
        raise SnapshotError(_full(folder, name, needed, usage.free))


def _full(folder: Path, name: str, needed: int, free: int) -> str:
    return (
        f"snapshot {name} needs {needed / 1e6:.1f} MB in {folder}, {free / 1e6:.1f} MB are free; "
        f"make room, or keep fewer (`run.keep_last`, `run.keep_every`); earlier snapshots are whole"
    )


def _unwritable(folder: Path, name: str, needed: int, error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return f"{error.strerror}: {_full(folder, name, needed, shutil.disk_usage(folder).free)}"
    return (
        f"snapshot {name} cannot be written in {folder}: {error.strerror}; mend that and start "
        f"again; earlier snapshots are whole"
    )
