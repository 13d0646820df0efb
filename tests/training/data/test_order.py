from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.order import Order, positions_of


def at(order: Order, start: int, stop: int) -> list[tuple[int, bool]]:
    samples, mirrored = order.at(np.arange(start, stop))
    return list(zip(samples.tolist(), mirrored.tolist(), strict=True))


sizes = st.integers(1, 40)
seeds = st.integers(0, 2**40)


@settings(max_examples=40)
@given(sizes, seeds, st.integers(0, 1000))
def test_every_epoch_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    samples, _ = Order(n, seed=seed).at(np.arange(epoch * n, (epoch + 1) * n))
    assert sorted(samples.tolist()) == list(range(n))


@settings(max_examples=40)
@given(sizes, seeds, st.integers(0, 200), st.integers(0, 60), st.booleans())
def test_a_position_is_a_pure_function(
    n: int, seed: int, start: int, length: int, mirror: bool
) -> None:
    order = Order(n, seed=seed, mirror=mirror)
    whole = at(order, 0, start + length)
    assert at(order, start, start + length) == whole[start:]  # used before, and going back
    assert at(Order(n, seed=seed, mirror=mirror), start, start + length) == whole[start:]


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 50))
def test_processes_share_the_batch_of_a_step(world: int, each: int, step: int) -> None:
    batch = world * each
    rows = np.full(batch, -1)
    for rank in range(world):
        rows[rank::world] = positions_of(step, batch=batch, rank=rank, world=world)
    assert rows.tolist() == list(range(step * batch, (step + 1) * batch))


def test_seeds_and_epochs_differ() -> None:
    orders = {
        tuple(Order(20, seed=seed).at(np.arange(start, start + 20))[0])
        for seed in range(4)
        for start in (0, 20, 40)
    }
    assert len(orders) == 12


def test_half_is_mirrored_and_the_order_stays() -> None:
    plain, mirrored = Order(1000, seed=3), Order(1000, seed=3, mirror=True)
    positions = np.arange(4000)
    assert np.array_equal(plain.at(positions)[0], mirrored.at(positions)[0])
    assert not plain.at(positions)[1].any()
    flags = mirrored.at(positions)[1].reshape(4, 1000)
    assert (abs(flags.mean(axis=1) - 0.5) < 0.08).all()
    assert not np.array_equal(flags[0], flags[1])


def test_first_places_are_taken_by_all_alike() -> None:
    firsts = [int(Order(4, seed=seed).at(np.array([0]))[0][0]) for seed in range(400)]
    assert np.bincount(firsts, minlength=4).min() > 60


def test_the_order_never_changes() -> None:
    # Runs that are resumed after an update must go on as before.
    samples, mirrored = Order(8, seed=7, mirror=True).at(np.arange(8))
    assert samples.tolist() == [6, 3, 4, 0, 2, 7, 5, 1]
    assert np.flatnonzero(mirrored).tolist() == [7]


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="`samples` must be >= 1, got samples=0"):
        Order(0, seed=0)
