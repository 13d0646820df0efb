"""Holding a version against its manifest before the first step, and learning where its samples lie.

One pass over every shard: its bytes are hashed, its members found, and the header of every picture
looked at. All bad shards are named at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from training.data.index import (
    IndexPart,
    PackedPart,
    SampleIndex,
    join_parts,
    load_index,
    stamp,
)
from training.data.pictures import PictureError, check_picture
from training.data.processes import forking, leave_signals_to_parent, usable_processors
from training.data.tarball import RawSample, TarballError, read_samples
from training.errors import SetupError, ShardError
from training.shards import PublishedVersion, ShardEntry, parse_meta

INDEX: Final = "index.npz"

_FORMAT: Final = 1  # of the index; another one makes old files unfit
_PIECE: Final = 1 << 20
_NAMED: Final = 20

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    entry: ShardEntry
    shape: tuple[int, int]


class _Hashing:
    """A file that is hashed while it is read from front to back."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def finish(self) -> str:
        """Read what is left; SHA-256 of all of it, hex."""
        while self.read(_PIECE):
            pass
        return self._digest.hexdigest()


def check(
    version: PublishedVersion,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    processes: int | None = None,
) -> SampleIndex:
    """Check every shard of a version, and give the index of its samples.

    Parameters
    ----------
    version
        What to check.
    cache
        Folder that the index is kept in (`index.npz`). It is taken from there, and nothing is
        read, while the manifest says the same and the size and time of every shard are the same.
    progress
        Called with bytes checked and bytes in all.
    processes
        How many read; by default one a processor.

    Raises
    ------
    ShardError
        If a shard is missing, has other bytes than the manifest says, or holds anything but
        pictures of the version's size; all such shards are named.
    """
    fingerprint = _fingerprint(version)
    if cache is not None and fingerprint is not None:
        known = load_index(cache / INDEX, fingerprint)
        if known is not None and len(known) == version.items:
            return known
    index = _checked(version, progress or _ignore, processes or usable_processors())
    if cache is not None and fingerprint is not None:
        with contextlib.suppress(
            OSError
        ):  # kept to save time only: a full disk is no reason to stop
            index.save(cache / INDEX, fingerprint)
    return index


def _ignore(done: int, total: int) -> None:
    pass


def _fingerprint(version: PublishedVersion) -> str | None:
    """Hash of everything that an index depends on; None where a shard cannot even be looked at."""
    try:
        shards = [
            [*entry.model_dump().values(), *stamp(path)]
            for entry, path in zip(version.entries, version.shards, strict=True)
        ]
    except OSError:
        return None
    text = json.dumps([_FORMAT, version.hash, version.shape, shards])
    return hashlib.sha256(text.encode()).hexdigest()


def _checked(version: PublishedVersion, progress: Progress, processes: int) -> SampleIndex:
    tasks = [
        _Task(path, entry, version.shape)
        for path, entry in zip(version.shards, version.entries, strict=True)
    ]
    total = sum(entry.bytes for entry in version.entries)
    done = 0
    parts: list[PackedPart] = []
    problems: list[str] = []
    for task, found in zip(tasks, _scan_all(tasks, processes), strict=True):
        if isinstance(found, PackedPart):
            parts.append(found)
        else:
            problems.append(f"{task.path.name}: {found}")
        done += task.entry.bytes
        progress(done, total)
    if problems:
        raise ShardError(_report(version, problems))
    index = join_parts([entry.name for entry in version.entries], parts)
    if (key := index.twice()) is not None:
        raise ShardError(f"{version.folder}: `{key}` is in it twice; publish the version again")
    return index


def _report(version: PublishedVersion, problems: Sequence[str]) -> str:
    lines = [f"  {problem}" for problem in problems[:_NAMED]]
    if len(problems) > _NAMED:
        names = ", ".join(problem.partition(":")[0] for problem in problems[_NAMED:])
        lines.append(f"  and also {names}")
    return "\n".join(
        [
            f"{version.folder}: {len(problems)} of {len(version.entries)} shards cannot be trained "
            "on; copy them again from where the version was published, or publish it again:",
            *lines,
        ]
    )


def _scan_all(tasks: Sequence[_Task], processes: int) -> Iterator[PackedPart | str]:
    workers = min(processes, len(tasks))
    if workers <= 1:
        yield from map(_scan, tasks)
        return
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("fork"), initializer=leave_signals_to_parent
    )
    try:
        with forking():
            found = pool.map(_scan, tasks)
        yield from found
    except BrokenProcessPool as error:
        raise SetupError(
            f"one of {workers} processes that check shards was killed, likely for want of memory; "
            "free some and start again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _scan(task: _Task) -> PackedPart | str:
    """Go through one shard; gives its samples, or what is wrong with it."""
    try:
        size = stamp(task.path)[0]
        if size != task.entry.bytes:
            return f"has {size:,} bytes, must have {task.entry.bytes:,}"
        with task.path.open("rb", buffering=_PIECE) as file:
            source = _Hashing(file)
            found = _samples(read_samples(source, size), task)
            if source.finish() != task.entry.sha256:  # says more than what came of it
                return "its SHA-256 is not the one in the manifest: its bytes were changed"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return found


def _samples(samples: Iterator[RawSample], task: _Task) -> PackedPart | str:
    part = IndexPart()
    try:
        for raw in samples:
            try:
                check_picture(raw.image, task.shape)
                label, tags = parse_meta(raw.meta)
            except PictureError as error:
                return f"the picture `{raw.key}` {error}"
            except ValueError as error:
                return f"`{raw.key}.json` {error}"
            part.add(raw.key, raw.offset, len(raw.image), label, tags)
    except TarballError as error:
        return f"is no shard: {error}"
    if len(part.keys) != task.entry.samples:
        return f"has {len(part.keys):,} samples, must have {task.entry.samples:,}"
    return part.packed()
