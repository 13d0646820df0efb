"""A lease on a root in an object store: what stands there for the lock of a local disk.

An object names its holder, who writes it anew all the while. Whoever finds it older than its time
may take it over: the holder is dead, or has been cut off from the store and may write no more. Age
is told by the store's clock, and a holder goes by a clock that nobody sets: clocks that are wrong
do no harm.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from data_catalog import conditional
from data_catalog.conditional import Found
from data_catalog.errors import ConflictError, StorageError
from data_catalog.storage import Root

SECONDS: Final = 60.0
"""How long the lease of a dead holder lasts."""

_RENEWALS: Final = 5  # in the time of a lease
_MARGIN: Final = 1 / 6  # of its time, by which a holder stops before others may begin


class Lease:
    """A lease that is held, or was.

    Parameters
    ----------
    root, name
        Where its object lies.
    purpose
        What for; shown to whoever comes second.
    seconds
        How long it lasts without being renewed. All that meet must go by the same.
    """

    def __init__(self, root: Root, name: str, purpose: str, seconds: float) -> None:
        self._root = root
        self._name = name
        self._purpose = purpose
        self._seconds = seconds
        self._note: dict[str, Any] = {
            "holder": secrets.token_hex(8),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "purpose": purpose,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "renewals": 0,
        }
        self._tag = ""
        self._until = 0.0
        self._lost = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def take(self) -> None:
        """Become the holder, and stay it until `release`.

        Raises
        ------
        ConflictError
            If somebody holds it.
        StorageError
            If the store cannot be reached, or has no conditional writes.
        """
        found = conditional.look(self._root, self._name)
        if found is not None and self._is_held(found):
            raise self._conflict(found)
        if not self._put(None if found is None else found.tag):
            raise self._conflict(conditional.look(self._root, self._name))
        self._refuse_blind_store()
        self._thread.start()

    def check(self) -> None:
        """See that it is still held; called before each commit.

        Raises
        ------
        ConflictError
            If it ran out, or somebody took it over.
        """
        if self._lost or _now() > self._until:
            why = self._lost or f"the store did not answer for {self._seconds:g} s"
            raise ConflictError(
                f"{self._root.url} is no longer held for {self._purpose!r}: {why}; what was "
                "committed stays, run the same command again"
            )

    def release(self) -> None:
        """Let go. Where the store does not answer, it runs out by itself."""
        self._stop.set()
        self._thread.join()
        if not self._lost:
            with contextlib.suppress(StorageError):
                conditional.put(self._root, self._name, {"free": True}, self._tag)

    def _put(self, tag: str | None) -> bool:
        """Write it with a new time to run; False if it is not ours to write."""
        sent = _now()
        self._note["renewals"] += 1
        new = conditional.put(self._root, self._name, self._note, tag)
        if new is None:
            # A try of ours may have arrived, and its answer been lost.
            found = conditional.look(self._root, self._name)
            if found is None or found.note.get("holder") != self._note["holder"]:
                return False
            new = found.tag
        self._tag = new
        self._until = sent + self._seconds * (1 - _MARGIN)
        return True

    def _keep(self) -> None:
        """Renew it now and then."""
        while not self._stop.wait(self._seconds / _RENEWALS):
            try:
                if not self._put(self._tag):
                    found = conditional.look(self._root, self._name)
                    self._lost = f"{_words(found)} took it over" if found else "it was removed"
                    return
            except StorageError:
                pass  # it may answer the next time; `check` looks at the clock

    def _is_held(self, found: Found) -> bool:
        return "holder" in found.note and found.age <= self._seconds

    def _refuse_blind_store(self) -> None:
        """See that the store compares: a second one that wants to be first must be refused."""
        if conditional.put(self._root, self._name, self._note, None) is not None:
            with contextlib.suppress(StorageError):
                self._root.remove(self._name)
            raise StorageError(
                f"{self._root.url} ignores conditions on writes (If-None-Match), so that two "
                "writers could overwrite each other's commits; use a store that has them, or, if "
                "only one process ever writes there, say so by AWS_S3_ALLOW_UNSAFE_RENAME = "
                '"true" in `dataset.storage_options`'
            )

    def _conflict(self, found: Found | None) -> ConflictError:
        who = f"{_words(found)} holds it" if found else "another process holds it"
        if found is not None and "since" in found.note:
            who += f" for {found.note.get('purpose')!r} since {found.note['since']}"
        return ConflictError(
            f"{self._root.url} is in use: {who}; wait until it ends, then run the same command "
            f"again (if it has died, in {self._seconds:g} s)"
        )


@contextlib.contextmanager
def lease(root: Root, name: str, purpose: str, seconds: float = SECONDS) -> Iterator[Lease]:
    """Hold a lease while the body runs; parameters and errors are those of `Lease`."""
    held = Lease(root, name, purpose, seconds)
    held.take()
    try:
        yield held
    finally:
        held.release()


def _now() -> float:
    """Read a clock that nobody sets, seconds; where there is one, it counts sleep as well.

    A machine that sleeps does not renew its lease, so that another one takes it over meanwhile.
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


def _words(found: Found) -> str:
    note = found.note
    if "pid" not in note:
        return "another process"
    return f"process {note['pid']} on {note.get('host')}"
