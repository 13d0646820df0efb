"""Many who want pictures, one network: what waits is made together, what is urgent comes first."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

import torch

from training.errors import TrainingError
from training.latent.looks import Between, Known, compose
from training.latent.sampler import Pixels, Sampler
from training.models import Model

_URGENT: Final = 0.1  # seconds that a batch may take where somebody waits
_PATIENT: Final = 0.3  # and where a page fills
_MOST: Final = 64  # pictures in a batch
_SMOOTHING: Final = 0.3  # share of the last batch in what a picture is thought to take


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Bench:
    """A model that pictures are made with, and where the names in looks are looked up."""

    model: Model
    known: Known


class TooManyError(TrainingError):
    """More pictures wait than will be made before everybody has gone."""


@dataclass(order=True, slots=True)
class _Order:
    place: tuple[bool, int]  # urgent ones first, then as they came
    bench: Bench = field(compare=False)
    picture: Between = field(compare=False)
    future: Future[Pixels] = field(compare=False)


class Batcher:
    """Makes pictures in a thread of its own.

    How many are made at once follows from how long they take: on a CPU an urgent one is not held
    up by more than a fraction of a second, on a GPU dozens are made together.

    Parameters
    ----------
    waiting
        Orders that may wait; more are refused.
    """

    def __init__(self, waiting: int = 1_000) -> None:
        self._limit = waiting
        self._orders: list[_Order] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        # That a picture takes; models that nobody uses any more are not kept for it.
        self._seconds: WeakKeyDictionary[Bench, float] = WeakKeyDictionary()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        self._thread.start()

    def submit(self, bench: Bench, picture: Between, *, urgent: bool = False) -> Future[Pixels]:
        """Order a picture; cancelled before its turn, it costs nothing.

        Returns
        -------
        Future of ndarray of shape (H, W, 3), uint8
            Raises `SetupError` where the look asks for what there is not.

        Raises
        ------
        TooManyError
            If too many wait already.
        """
        future: Future[Pixels] = Future()
        with self._changed:
            if self._is_closed or len(self._orders) >= self._limit:
                self._orders = [order for order in self._orders if not order.future.cancelled()]
                heapq.heapify(self._orders)
            if self._is_closed or len(self._orders) >= self._limit:
                raise TooManyError(f"{self._limit:,} pictures wait already; try again in a moment")
            place = (not urgent, next(self._number))
            heapq.heappush(self._orders, _Order(place, bench, picture, future))
            self._changed.notify()
        return future

    @property
    def waiting(self) -> int:
        """How many pictures wait that somebody still wants."""
        with self._changed:
            return sum(not order.future.cancelled() for order in self._orders)

    def close(self) -> None:
        """Make what is begun, cancel what waits, and end."""
        with self._changed:
            self._is_closed = True
            for order in self._orders:
                order.future.cancel()
            self._orders.clear()
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while orders := self._take():
            took = _make(orders)
            if took is not None:
                self._learn(orders[0].bench, took)
            del orders  # or a model would be kept until the next one comes

    def _take(self) -> Sequence[_Order]:
        """Wait for orders; give the first, and those that can be made with it."""
        with self._changed:
            while True:
                while not self._orders and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return []
                if taken := self._pick():
                    return taken

    def _pick(self) -> Sequence[_Order]:
        taken: list[_Order] = []
        passed: list[_Order] = []
        room = _MOST
        while self._orders and len(taken) < room:
            order = heapq.heappop(self._orders)
            if taken and (order.bench is not taken[0].bench or order.place[0] > taken[0].place[0]):
                passed.append(order)
            elif order.future.set_running_or_notify_cancel():
                taken.append(order)
                room = self._room(order)
        for order in passed:
            heapq.heappush(self._orders, order)
        return taken

    def _room(self, order: _Order) -> int:
        """How many are made at once, by how long one took."""
        may_take = _PATIENT if order.place[0] else _URGENT
        took = self._seconds.get(order.bench, may_take)
        return min(max(int(may_take / took), 1), _MOST)

    def _learn(self, bench: Bench, took: float) -> None:
        before = self._seconds.get(bench, took)
        self._seconds[bench] = before + (took - before) * _SMOOTHING


def _make(orders: Sequence[_Order]) -> float | None:
    """Make pictures; an order that cannot be made fails alone.

    Returns
    -------
    float or None
        Seconds that each took; None where none was made.
    """
    bench = orders[0].bench
    alone = Sampler(bench.model, batch=1)
    composed = []
    for order in orders:
        try:
            composed.append((order, compose(alone, [order.picture], bench.known)))
        except Exception as error:
            order.future.set_exception(error)
    if not composed:
        return None
    began = time.perf_counter()
    try:
        ws = torch.cat([ws for _, (ws, _) in composed])
        each = (noises for _, (_, noises) in composed)
        noises = [torch.cat(layer) for layer in zip(*each, strict=True)]
        pixels = Sampler(bench.model, batch=len(composed)).render(ws, noises)
    except Exception as error:
        for order, _ in composed:
            order.future.set_exception(error)
        return None
    for (order, _), picture in zip(composed, pixels, strict=True):
        order.future.set_result(picture)
    return (time.perf_counter() - began) / len(composed)
