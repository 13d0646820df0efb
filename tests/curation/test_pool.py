"""A picture that crashes or hangs its worker is given up alone; the others go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from curation.pool import CHUNK, WorkerPool
from data_catalog.schema import Reason


def work(chunk: Sequence[str]) -> list[tuple[str, str]]:
    """Double words; some words are hostile."""
    out = []
    for word in chunk:
        if word == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if word == "exit":
            os._exit(3)
        if word == "hang":
            time.sleep(600)
        if word == "raise":
            raise ValueError(word)
        out.append((word, word * 2))
    return out


def give_up(word: str, reason: Reason, detail: str) -> tuple[str, str]:
    assert detail
    return word, reason.value


def test_results_come_in_order() -> None:
    words = [f"w{i}" for i in range(5 * CHUNK + 1)]
    with WorkerPool(2) as pool:
        results = list(pool.map(work, words, seconds=30, give_up=give_up))
    assert results == [(word, word * 2) for word in words]


def test_a_crash_and_a_hang_cost_only_themselves() -> None:
    words = [f"w{i}" for i in range(2 * CHUNK)]
    words[3], words[7], words[CHUNK + 2] = "crash", "exit", "hang"
    with WorkerPool(2) as pool:
        results = dict(pool.map(work, words, seconds=1.0, give_up=give_up))
    assert results.pop("crash") == Reason.CRASHED_WORKER.value
    assert results.pop("exit") == Reason.CRASHED_WORKER.value
    assert results.pop("hang") == Reason.TIMED_OUT.value
    assert all(results[word] == word * 2 for word in results)
    assert len(results) == 2 * CHUNK - 3


def test_our_own_mistakes_are_not_swallowed() -> None:
    with WorkerPool(1) as pool, pytest.raises(ValueError, match="raise"):
        list(pool.map(work, ["raise"], seconds=30, give_up=give_up))


def test_tasks_are_taken_as_results_are(tmp_path: Path) -> None:
    taken = 0

    def words() -> object:
        nonlocal taken
        for i in range(100 * CHUNK):
            taken += 1
            yield f"w{i}"

    with WorkerPool(1) as pool:
        results = pool.map(work, words(), seconds=30, give_up=give_up)  # type: ignore[arg-type]
        next(results)
        assert taken <= 4 * CHUNK
        results.close()  # type: ignore[attr-defined]
