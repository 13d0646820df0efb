"""One writer a root: a lock that the operating system frees when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from data_catalog.errors import ConflictError
from data_catalog.storage import Root, naming

LOCK_NAME: Final = ".lock"

# Locks held by the code that is running now, so that a stage may take the lock that the whole
# run holds. A context variable, not a flag: another thread is another writer.
_held: ContextVar[frozenset[str]] = ContextVar("_held", default=frozenset())
_handles: set[int] = set()


def _close_in_child() -> None:
    """Drop inherited locks after a fork: a worker that outlives its parent must not hold them."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()
    _held.set(frozenset())


os.register_at_fork(after_in_child=_close_in_child)


@contextlib.contextmanager
def lock(root: Root, purpose: str) -> Iterator[None]:
    """Hold the root while the body runs; inside it, the same lock may be taken again.

    Object stores have no locks, so this does nothing for roots that are not local: there the
    guard is Delta Lake, which lets only one of two commits to one version through.

    Parameters
    ----------
    root
        What to hold.
    purpose
        What for; shown to whoever comes second.

    Raises
    ------
    ConflictError
        If another process or thread holds it; names its process id, purpose and since when.
    StorageError
        If the root cannot be written to.
    """
    if not root.is_local or root.path in _held.get():
        yield
        return
    path = Path(root.join(LOCK_NAME))
    with naming(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(handle, path, purpose)
        _handles.add(handle)
        token = _held.set(_held.get() | {root.path})
        try:
            yield
        finally:
            _held.reset(token)
            _handles.discard(handle)
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int, path: Path, purpose: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConflictError(
            f"{path.parent} is in use: {_holder(handle)}; wait until it ends, then run the same "
            "command again"
        ) from None
    note = {
        "pid": os.getpid(),
        "purpose": purpose,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with naming(str(path)):
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(note).encode(), 0)


def _holder(handle: int) -> str:
    """Who holds it, from the note in the file; the holder may not have written it yet."""
    try:
        note = json.loads(os.pread(handle, 4096, 0))
        return f"process {note['pid']} holds it for {note['purpose']!r} since {note['since']}"
    except (ValueError, KeyError, TypeError, OSError):
        return "another process holds it"
