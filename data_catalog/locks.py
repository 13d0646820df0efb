"""One writer a root: a lock that the operating system frees when its holder dies.

On S3 a lease stands for it (`leases`), which runs out some time after its holder has died.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from data_catalog import conditional
from data_catalog.errors import ConflictError
from data_catalog.leases import Lease, lease
from data_catalog.storage import Root, naming

LOCK_NAME: Final = ".lock"

# Roots held by the code that is running now, with the lease where it is one, so that a stage may
# take the lock that the whole run holds. A context variable, not a flag: another thread is another
# writer.
_held: ContextVar[Mapping[str, Lease | None]] = ContextVar("_held", default={})  # noqa: B039
_handles: set[int] = set()


def _close_in_child() -> None:
    """Drop inherited locks after a fork: a worker that outlives its parent must not hold them."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()
    _held.set({})


os.register_at_fork(after_in_child=_close_in_child)


@contextlib.contextmanager
def lock(root: Root, purpose: str) -> Iterator[None]:
    """Hold the root while the body runs; inside it, the same lock may be taken again.

    Roots that are neither local nor on S3 have no lock, so this does nothing: there the guard is
    Delta Lake alone, which lets only one of two commits to one version through.

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
    if root.path in _held.get():
        yield
    elif root.is_local:
        with _flock(root, purpose), _holding(root, None):
            yield
    elif conditional.supported(root):
        with lease(root, LOCK_NAME, purpose) as held, _holding(root, held):
            yield
    else:
        yield


def check(root: Root) -> None:
    """See that what this code holds is still its own; nothing happens where it holds nothing.

    Raises
    ------
    ConflictError
        If a lease ran out, or somebody took it over: what this code does now, it must not commit.
    """
    held = _held.get().get(root.path)
    if held is not None:
        held.check()


@contextlib.contextmanager
def _holding(root: Root, held: Lease | None) -> Iterator[None]:
    token = _held.set({**_held.get(), root.path: held})
    try:
        yield
    finally:
        _held.reset(token)


@contextlib.contextmanager
def _flock(root: Root, purpose: str) -> Iterator[None]:
    path = Path(root.join(LOCK_NAME))
    with naming(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(handle, path, purpose)
        _handles.add(handle)
        try:
            yield
        finally:
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
