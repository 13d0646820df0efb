from __future__ import annotations

import threading

import pytest

from flows.explore.lately import Lately


def test_the_ones_used_last_are_kept_and_made_once() -> None:
    gone: list[int] = []
    kept: Lately[int, int] = Lately(2, let_go=gone.append)
    made: list[int] = []

    def get(key: int) -> int:
        return kept.get(key, lambda: made.append(key) or -key)  # type: ignore[func-returns-value]

    assert [get(1), get(2), get(1), get(3), get(1)] == [-1, -2, -1, -3, -1]
    assert made == [1, 2, 3]
    assert gone == [-2]
    kept.clear()
    assert sorted(gone) == [-3, -2, -1]


def test_one_that_is_being_made_holds_up_nobody_else() -> None:
    kept: Lately[str, str] = Lately(2)
    begun, may_end = threading.Event(), threading.Event()
    calls: list[str] = []

    def slow() -> str:
        calls.append("slow")
        begun.set()
        assert may_end.wait(30)
        return "slow"

    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(kept.get("a", slow))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    assert kept.get("b", lambda: "quick") == "quick"
    assert found == []
    may_end.set()
    for thread in threads:
        thread.join(30)
    assert found == ["slow"] * 3
    assert calls == ["slow"]


def test_what_cannot_be_made_is_tried_again() -> None:
    kept: Lately[str, int] = Lately(2)

    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept.get("a", fail)
    assert kept.get("a", lambda: 7) == 7


def test_what_may_not_go_stays() -> None:
    kept: Lately[int, int] = Lately(1, may_go=lambda value: value != 1)
    made: list[int] = []
    for key in (1, 2, 3, 1):
        kept.get(key, lambda key=key: made.append(key) or key)  # type: ignore[misc]
    assert made == [1, 2, 3]
