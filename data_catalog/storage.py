"""A folder, on the disk or on any fsspec URL, with writes that are whole or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, cast

import fsspec
from fsspec.core import url_to_fs

from data_catalog.errors import StorageError

TEMPORARY_PREFIX: Final = ".tmp-"
"""What every unfinished file and folder is called by; `garbage` removes abandoned ones."""

_REMEDIES: Final = {
    errno.ENOSPC: "free some space there, or run `nonesuch gc`, then run the same command again",
    errno.EDQUOT: "the quota is used up; free some space, then run the same command again",
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`), then run it again",
    errno.EROFS: "it is mounted read-only; mount it writable, or set `root` to another folder",
    errno.EACCES: "give this user the right to write there, or set `root` to another folder",
    errno.EPERM: "give this user the right to write there, or set `root` to another folder",
    errno.ENOENT: "it is missing; was it removed by hand, or is a disk not mounted?",
    errno.ENOTDIR: "a part of the path is a file, not a folder; set `root` to another folder",
}

# Object stores give no numbers with their errors.
_NUMBERS: Final = ((FileNotFoundError, errno.ENOENT), (PermissionError, errno.EACCES))
_REMOTE: Final = ("botocore", "aiobotocore", "aiohttp")
CHECK_STORE: Final = (
    "check `dataset.root` and `dataset.storage_options` (endpoint_url, key, secret), and that the "
    "store can be reached from here"
)


def remedy_for(number: int | None) -> str | None:
    """Say what to do about an error number of the operating system, if that is known."""
    return _REMEDIES.get(number or 0)


def storage_error(path: str, error: Exception) -> StorageError:
    """Put an error of a disk or an object store in words: which path, what it said, what to do."""
    number = error.errno if isinstance(error, OSError) else None
    for kind, standard in _NUMBERS:
        if number is None and isinstance(error, kind):
            number = standard
    said = error.strerror if isinstance(error, OSError) else None
    if said is None and str(error) != path:
        said = str(error)
    said = said or (os.strerror(number) if number else type(error).__name__)
    remedy = remedy_for(number) if isinstance(error, OSError) else CHECK_STORE
    return StorageError(f"{path}: {said}" + (f"; {remedy}" if remedy else ""))


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Turn every error of a disk or an object store into a StorageError that names `path`."""
    try:
        yield
    except Exception as error:
        if not (isinstance(error, OSError) or _is_remote(error)):
            raise
        raise storage_error(path, error) from error


def _is_remote(error: Exception) -> bool:
    """Tell errors of clients of object stores, which derive from Exception alone."""
    return type(error).__module__.partition(".")[0] in _REMOTE


def temporary_name(suffix: str = "") -> str:
    """Name for something unfinished: unique, hidden, known to the garbage collector."""
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{suffix}"


def sync_folder(path: str) -> None:
    """Make renames inside a local folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Root:
    """A folder of a file system. All methods take paths relative to it, with `/` between parts.

    Parameters
    ----------
    url
        A local path, or a URL that fsspec knows (`s3://bucket/folder`, `memory://x`).
    storage_options
        Handed to fsspec as they are.
    """

    def __init__(
        self, url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
    ) -> None:
        self.storage_options = dict(storage_options or {})
        text = os.fspath(url)
        # What another process has written since must be seen: no listing is kept.
        options = {"use_listings_cache": False} | self.storage_options
        fs, path = url_to_fs(text, **options)
        self.fs: fsspec.AbstractFileSystem = fs
        self.is_local = "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)
        self.path: str = str(Path(path).absolute()) if self.is_local else path.rstrip("/")
        self.url: str = self.path if self.is_local else fs.unstrip_protocol(self.path)

    def __repr__(self) -> str:
        return f"Root({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "storage_options": self.storage_options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Root.__init__(self, state["url"], state["storage_options"])

    def join(self, *parts: str) -> str:
        """Full path below the root, as the file system wants it."""
        return "/".join([self.path, *(part.strip("/") for part in parts if part)])

    def address(self, path: str) -> str:
        """Where something is, for people and browsers: full path, or URL."""
        return self.join(path) if self.is_local else f"{self.url}/{path.strip('/')}"

    def child(self, *parts: str) -> Root:
        """Give a folder below this one. It need not exist."""
        below = "/".join([self.url, *(part.strip("/") for part in parts)])
        return Root(below, self.storage_options)

    def exists(self, path: str = "") -> bool:
        """Tell whether there is a file or folder."""
        with naming(self.join(path)):
            return bool(self.fs.exists(self.join(path)))

    def ls(self, path: str = "") -> list[str]:
        """Names of what lies directly in a folder, sorted; empty where there is no folder."""
        full = self.join(path)
        with naming(full):
            if self.is_local:
                return (
                    sorted(entry.name for entry in os.scandir(full)) if Path(full).is_dir() else []
                )
            try:
                found = self.fs.ls(full, detail=False, refresh=True)
            except FileNotFoundError:
                return []
            paths = {str(entry).rstrip("/") for entry in found}
            return sorted(path.rsplit("/", 1)[-1] for path in paths - {full})  # not its own mark

    def walk(self, path: str = "") -> Iterator[str]:
        """Yield every file below a folder, relative to the root, sorted inside each folder."""
        for name in self.ls(path):
            below = f"{path}/{name}" if path else name
            if self.is_folder(below):
                yield from self.walk(below)
            else:
                yield below

    def is_folder(self, path: str = "") -> bool:
        """Tell whether there is a folder (symbolic links to folders do not count)."""
        full = self.join(path)
        if self.is_local:
            return Path(full).is_dir() and not Path(full).is_symlink()
        return bool(self.fs.isdir(full))

    def makedirs(self, path: str = "") -> None:
        """Create a folder and its parents; nothing happens where it is there."""
        full = self.join(path)
        with naming(full):
            self.fs.makedirs(full, exist_ok=True)

    def open(self, path: str, mode: str = "rb") -> IO[bytes]:
        """Open a file in a binary mode. The caller closes it."""
        full = self.join(path)
        with naming(full):
            if self.is_local:
                return cast("IO[bytes]", Path(full).open(mode))
            return cast("IO[bytes]", self.fs.open(full, mode))

    def read_bytes(self, path: str) -> bytes:
        """Read a whole file."""
        with naming(self.join(path)), self.open(path) as file:
            return file.read()

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a whole file; a reader sees the old bytes or the new ones, never a part."""
        full = self.join(path)
        with naming(full):
            if not self.is_local:
                self.fs.pipe_file(full, data)  # object stores show an object when it is complete
                return
            target = Path(full)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(temporary_name())
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            sync_folder(str(target.parent))

    def move(self, source: str, target: str) -> None:
        """Rename a file or folder; on local disks this happens in one step.

        Elsewhere a folder is copied, what lies deepest first: the file that makes a folder whole
        lies at its top.
        """
        old, new = self.join(source), self.join(target)
        with naming(new):
            if self.is_local:
                Path(new).parent.mkdir(parents=True, exist_ok=True)
                Path(old).replace(new)
                sync_folder(str(Path(new).parent))
            else:
                self._copy_and_remove(old, new)

    def _copy_and_remove(self, old: str, new: str) -> None:
        if not self.fs.isdir(old):
            self.fs.mv(old, new)
            return
        by_depth: dict[int, list[str]] = {}
        for path in self.fs.find(old):
            by_depth.setdefault(path.count("/"), []).append(path)
        for depth in sorted(by_depth, reverse=True):
            paths = by_depth[depth]
            self.fs.copy(paths, [new + path.removeprefix(old) for path in paths], on_error="raise")
        self.fs.rm(old, recursive=True)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens where none is."""
        full = self.join(path)
        with naming(full):
            if self.is_local:
                local = Path(full)
                if local.is_dir() and not local.is_symlink():
                    shutil.rmtree(local)
                else:
                    local.unlink(missing_ok=True)
            elif self.fs.exists(full):
                self.fs.rm(full, recursive=True)

    def size(self, path: str) -> int:
        """Size of a file, bytes."""
        full = self.join(path)
        with naming(full):
            return Path(full).stat().st_size if self.is_local else int(self.fs.size(full))

    def modified(self, path: str) -> float:
        """When a file or folder was last written, seconds since 1970; 0 where that is not known.

        Object stores know no folders: there it is when a file below was.
        """
        full = self.join(path)
        with naming(full):
            if self.is_local:
                return Path(full).lstat().st_mtime
            try:
                if not self.fs.isdir(full):
                    return float(self.fs.modified(full).timestamp())
                below = (self.fs.modified(path).timestamp() for path in self.fs.find(full))
                return max(map(float, below), default=0.0)
            except (NotImplementedError, FileNotFoundError):
                return 0.0
