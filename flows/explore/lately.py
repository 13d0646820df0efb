"""What was wanted lately, kept; what is being made is made once, and holds nobody else up."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _always(_value: object) -> bool:
    return True


class Lately(Generic[K, V]):
    """Values by key, the few that were used last.

    Parameters
    ----------
    most
        Values that are kept; more, as long as those that were used longest ago may not go.
    may_go
        Whether a value may be let go of.
    let_go
        Told of each that is.
    """

    def __init__(
        self,
        most: int,
        may_go: Callable[[V], bool] = _always,
        let_go: Callable[[V], object] = _always,
    ) -> None:
        self._most, self._may_go, self._let_go = most, may_go, let_go
        self._kept: OrderedDict[K, Future[V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Give a value; made by the first who wants it, others of the same key wait for that.

        What cannot be made is tried again by the next.
        """
        with self._lock:
            found = self._kept.get(key)
            is_first = found is None
            if found is None:
                found = self._kept[key] = Future()
            self._kept.move_to_end(key)
        if is_first:
            self._make(key, found, make)
        return found.result()

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            gone = [one for one in self._kept.values() if _is_made(one)]
            self._kept.clear()
        for one in gone:
            self._let_go(one.result())

    def _make(self, key: K, promised: Future[V], make: Callable[[], V]) -> None:
        try:
            promised.set_result(make())
        except BaseException as error:
            with self._lock:
                self._kept.pop(key, None)
            promised.set_exception(error)
            return
        for value in self._too_many(key):
            self._let_go(value)

    def _too_many(self, newest: K) -> list[V]:
        with self._lock:
            old = [
                key
                for key, one in self._kept.items()
                if key != newest and _is_made(one) and self._may_go(one.result())
            ]
            surplus = max(len(self._kept) - self._most, 0)
            return [self._kept.pop(key).result() for key in old[:surplus]]


def _is_made(one: Future[V]) -> bool:
    return one.done() and one.exception() is None
