"""Fetching a version from object storage to a folder that training reads from."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from training.data.files import TEMPORARY_PREFIX, written_whole
from training.errors import SetupError, ShardError
from training.shards import MANIFEST, SHARDS, ShardEntry, parse_manifest

_PIECE: Final = 1 << 20
_AT_ONCE: Final = 4
_SPARE: Final = 64 << 20  # bytes of disk to leave

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


def fetch(
    location: str | Path,
    cache: Path,
    *,
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Give a local folder of a version, copied from object storage where it has to be.

    What was fetched before is not fetched again, nor is what a killed one had finished.

    Parameters
    ----------
    location
        Folder of a published version: a local one, which is given back as it is, or a URL that
        fsspec knows (`s3://bucket/versions/3`).
    cache
        Folder that copies are kept in, each below the hash of its content.
    storage_options
        Handed to fsspec as they are.
    progress
        Called with bytes that are here and bytes in all, from several threads, one at a time.

    Raises
    ------
    ShardError
        If there is no version at `location`, or it cannot be read, or has other bytes than its
        manifest says.
    SetupError
        If a package is missing that reads from there, or the disk has not enough space.
    """
    if "://" not in str(location):
        return Path(location).expanduser()
    source = _Source.at(str(location), storage_options or {})
    data = source.read(MANIFEST)
    _, manifest = parse_manifest(data, f"{location}/{MANIFEST}")
    folder = cache.expanduser() / manifest.hash
    try:
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            _remove_all_but(folder / SHARDS, {entry.name for entry in manifest.shards})
            _fetch_shards(source, folder / SHARDS, manifest.shards, progress or _ignore)
            with written_whole(folder / MANIFEST) as file:  # last: it makes a folder a version
                file.write(data)
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be written: {error.strerror or error}; "
            + ("free some space there" if error.errno == errno.ENOSPC else "give another folder")
            + " and start again, what is there is not fetched again"
        ) from error
    return folder


def _ignore(done: int, total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Source:
    """A folder that fsspec reads."""

    url: str
    fs: Any
    path: str

    @classmethod
    def at(cls, url: str, options: Mapping[str, Any]) -> _Source:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise SetupError(
                f"{url} needs the package `fsspec`; install it (`pip install fsspec`), or copy the "
                "version to a local folder"
            ) from error
        try:
            fs, path = url_to_fs(url, **options)
        except ImportError as error:
            raise SetupError(
                f"{url} needs a package that is not installed: {error}; or copy the version to a "
                "local folder"
            ) from error
        except ValueError as error:
            raise SetupError(
                f"{url} is no location that fsspec knows: {error}; give a folder or a URL like "
                "s3://bucket/versions/3"
            ) from error
        return cls(url.rstrip("/"), fs, str(path).rstrip("/"))

    def read(self, name: str) -> bytes:
        """Give a small file."""
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Give a file piece by piece.

        Raises
        ------
        ShardError
            If it is missing or cannot be read.
        """
        try:
            with self.fs.open(f"{self.path}/{name}", "rb") as file:
                while piece := file.read(_PIECE):
                    yield piece
        except FileNotFoundError as error:
            raise ShardError(
                f"{self.url}/{name} is missing; give the location of a published version"
            ) from error
        except GeneratorExit:
            raise
        except Exception as error:  # each kind of storage has errors of its own
            raise ShardError(
                f"{self.url}/{name} cannot be read: {str(error) or type(error).__name__:.300}; "
                "start again, what is here is not fetched again"
            ) from error


@dataclass(slots=True)
class _Count:
    """Bytes that are here, told by several threads."""

    total: int
    tell: Progress
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int) -> None:
        with self.lock:
            self.done += size
            self.tell(self.done, self.total)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into a folder."""
    with (folder / ".lock").open("wb") as file:
        with contextlib.suppress(OSError):  # some network disks know no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_all_but(folder: Path, names: set[str]) -> None:
    """Remove what killed fetches left, and shards that the version has no more."""
    for path in folder.iterdir():
        if path.name not in names and (
            path.name.startswith(TEMPORARY_PREFIX) or path.suffix == ".tar"
        ):
            path.unlink()


def _fetch_shards(
    source: _Source, folder: Path, entries: Sequence[ShardEntry], progress: Progress
) -> None:
    count = _Count(sum(entry.bytes for entry in entries), progress)
    with _threads() as threads:
        here = list(threads.map(lambda entry: _is_here(folder / entry.name, entry), entries))
    wanted = [entry for entry, known in zip(entries, here, strict=True) if not known]
    if count.total:
        count.add(count.total - sum(entry.bytes for entry in wanted))
    _check_space(folder, sum(entry.bytes for entry in wanted))
    with _threads() as threads:
        for _ in threads.map(lambda entry: _fetch_shard(source, folder, entry, count), wanted):
            pass  # raises what a thread raised


@contextlib.contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch")
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


def _is_here(path: Path, entry: ShardEntry) -> bool:
    try:
        if path.stat().st_size != entry.bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except FileNotFoundError:
        return False


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed and needed + _SPARE > free:
        raise SetupError(
            f"{folder} must have {(needed + _SPARE) / 1e9:,.2f} GB free for the shards that are "
            f"not there yet, has {free / 1e9:,.2f} GB; free some, or give another cache folder"
        )


def _fetch_shard(source: _Source, folder: Path, entry: ShardEntry, count: _Count) -> None:
    digest = hashlib.sha256()
    size = 0
    with written_whole(folder / entry.name) as file:
        for piece in source.pieces(f"{SHARDS}/{entry.name}"):
            size += len(piece)
            if size > entry.bytes:
                break
            digest.update(piece)
            file.write(piece)
            count.add(len(piece))
        if size != entry.bytes or digest.hexdigest() != entry.sha256:
            raise ShardError(
                f"{source.url}/{SHARDS}/{entry.name} has other bytes than the manifest says; "
                "publish the version again"
            )
