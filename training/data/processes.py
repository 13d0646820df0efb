"""Processes that share what was read before them."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Iterator
from typing import Final

_GROUP: Final = (signal.SIGINT, signal.SIGTERM)
"""What a terminal or a scheduler sends to all processes of a group."""


@contextlib.contextmanager
def forking() -> Iterator[None]:
    """Fork, without the warnings that Python 3.12 and torch have for it.

    Forked processes share the index and need no `__main__` guard. They only read files and decode:
    no lock that a thread of the parent may hold at that moment is one they would wait for.

    They begin with the signals of the group held back, until `leave_signals_to_parent`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _GROUP)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*multi-threaded, use of fork", DeprecationWarning)
            warnings.filterwarnings("ignore", r"This DataLoader will create", UserWarning)
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent() -> None:
    """Ignore the signals of the group in a forked process: its parent saves first, then ends it."""
    for number in _GROUP:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _GROUP)


def usable_processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
