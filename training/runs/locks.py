"""One trainer a run: a lock that the operating system frees when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from training.errors import SetupError, TrainingError

LOCK_NAME: Final = ".lock"

_PATIENCE: Final = 1.0  # seconds; a reader that asks `is_held` has the lock for an instant
_handles: set[int] = set()


def _close_in_child() -> None:
    """Drop inherited locks after a fork: a loader that outlives its trainer must not hold them."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only trainer in a folder while the body runs.

    Raises
    ------
    SetupError
        If another process, or this one, trains in it: its process id is named. Also if the folder
        cannot be written to, or lies on a file system without locks.
    """
    path = folder / LOCK_NAME
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be written: {error.strerror}; give a run folder that can be"
        ) from error
    try:
        _take(handle, path)
        _handles.add(handle)
        try:
            yield
        finally:
            _handles.discard(handle)
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
    finally:
        os.close(handle)


@contextlib.contextmanager
def editing(path: Path) -> Iterator[None]:
    """Wait for one's turn to read, change and replace a file; for moments only."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        handle = os.open(path.with_name(f".{path.name}.lock"), flags, 0o666)
    except OSError as error:
        raise TrainingError(f"{path} cannot be changed: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool:
    """Tell whether a trainer runs in a folder, whatever its files say."""
    try:
        handle = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _take(handle: int, path: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                raise SetupError(_taken(handle, path)) from None
            time.sleep(0.02)
        except OSError as error:
            raise SetupError(
                f"{path} cannot be locked: {error.strerror}; give a run folder on another disk"
            ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def _taken(handle: int, path: Path) -> str:
    pid = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
    return (
        f"{path.parent} is being trained in by process {pid}; wait for it or stop it "
        f"(`kill {pid}` saves first), or give another run folder"
    )
