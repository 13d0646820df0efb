from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.batcher import Batcher, Bench, TooManyError
from training.latent.looks import Between, Edit, Known, Look
from training.latent.sampler import Sampler
from training.models import load_snapshot


def unknown(name: str) -> Any:
    raise SetupError(f"there is no {name}")


@pytest.fixture(scope="module")
def bench(trained: Trained) -> Bench:
    return Bench(load_snapshot(trained.plain), Known(unknown, unknown))


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    made = Batcher(waiting=20)
    yield made
    made.close()


def look(seed: int) -> Between:
    return Between(look=Look(seed=seed))


class Gate:
    """Directions that hold the one who makes pictures up, and say in which order they are made."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.order: list[float] = []

    def move(self, ws: Tensor, index: int, amount: float) -> Tensor:
        self.order.append(amount)
        self.entered.set()
        assert self.open.wait(30)
        return ws


def gated(trained: Trained) -> tuple[Gate, Bench]:
    gate = Gate()
    return gate, Bench(load_snapshot(trained.plain), Known(lambda _: gate, unknown))


def ordered(number: float) -> Between:
    return Between(look=Look(edits=(Edit(set="gate", index=0, amount=number),)))


def test_pictures_are_those_of_the_looks(batcher: Batcher, bench: Bench) -> None:
    futures = [batcher.submit(bench, look(seed)) for seed in range(12)]
    sampler = Sampler(bench.model, batch=4)
    expected = sampler.render(sampler.ws(range(12)))
    for future, picture in zip(futures, expected, strict=True):
        assert np.abs(future.result(30).astype(int) - picture).max() <= 1


def test_one_that_cannot_be_made_fails_alone(batcher: Batcher, bench: Bench) -> None:
    wrong = batcher.submit(bench, Between(look=Look(projection="gone")))
    right = batcher.submit(bench, look(1))
    with pytest.raises(SetupError, match="there is no gone"):
        wrong.result(30)
    assert right.result(30).shape == (*bench.model.size, 3)


def test_a_model_is_let_go_of(batcher: Batcher, trained: Trained) -> None:
    bench = Bench(load_snapshot(trained.plain), Known(unknown, unknown))
    batcher.submit(bench, look(1)).result(30)
    gone = weakref.ref(bench)
    del bench
    end = time.monotonic() + 30
    while gone() is not None:
        gc.collect()
        assert time.monotonic() < end


def test_ones_that_fail_do_not_make_it_promise_more(
    batcher: Batcher, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    render, sizes = Sampler.render, []

    def slow(self: Sampler, *arguments: Any) -> Any:
        sizes.append(self.batch)
        time.sleep(0.2 * self.batch)
        return render(self, *arguments)

    monkeypatch.setattr(Sampler, "render", slow)
    batcher.submit(bench, look(1)).result(30)
    wrong = [batcher.submit(bench, Between(look=Look(label=9))) for _ in range(15)]
    for future in wrong:
        with pytest.raises(SetupError):
            future.result(30)
    for future in [batcher.submit(bench, look(seed)) for seed in range(4)]:
        future.result(30)
    assert max(sizes) == 1


def test_urgent_ones_come_first_and_cancelled_ones_never(
    batcher: Batcher, trained: Trained
) -> None:
    gate, bench = gated(trained)
    first = batcher.submit(bench, ordered(0))
    assert gate.entered.wait(30)
    patient = [batcher.submit(bench, ordered(number)) for number in (1, 2, 3)]
    urgent = batcher.submit(bench, ordered(9), urgent=True)
    assert patient[1].cancel()
    gate.open.set()
    for future in (first, urgent, patient[0], patient[2]):
        future.result(30)
    assert gate.order == [0, 9, 1, 3]


def test_too_many_are_refused_and_cancelled_ones_make_room(
    batcher: Batcher, trained: Trained
) -> None:
    gate, bench = gated(trained)
    batcher.submit(bench, ordered(0))
    assert gate.entered.wait(30)
    waiting = [batcher.submit(bench, ordered(1)) for _ in range(20)]
    with pytest.raises(TooManyError, match="20 pictures wait already"):
        batcher.submit(bench, ordered(2))
    waiting[7].cancel()
    batcher.submit(bench, ordered(3))
    gate.open.set()


def test_whoever_waits_at_the_end_is_told(bench: Bench, trained: Trained) -> None:
    gate, slow = gated(trained)
    batcher = Batcher()
    begun = batcher.submit(slow, ordered(0))
    assert gate.entered.wait(30)
    waiting = batcher.submit(bench, look(1))
    ending = threading.Thread(target=batcher.close)
    ending.start()
    with pytest.raises(CancelledError):
        waiting.result(30)
    gate.open.set()
    ending.join(30)
    assert begun.result(30) is not None
    with pytest.raises(TooManyError):
        batcher.submit(bench, look(1))
