from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.hamming import near_pairs, near_pairs_between

Hashes = NDArray[np.uint64]


def clustered(seed: int, count: int) -> Hashes:
    """Hashes of which many are near others, and some are equal."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 1 << 63, max(1, count // 5)).astype(np.uint64)
    hashes = centres[rng.integers(0, len(centres), count)]
    for _ in range(4):
        turn = rng.random(count) < 0.7
        hashes[turn] ^= np.uint64(1) << rng.integers(0, 64, int(turn.sum())).astype(np.uint64)
    return hashes


def all_pairs(a: Hashes, b: Hashes, radius: int) -> list[tuple[int, int, int]]:
    distance = np.bitwise_count(a[:, None] ^ b[None, :])
    i, j = np.nonzero(distance <= radius)
    return [(int(x), int(y), int(distance[x, y])) for x, y in zip(i, j, strict=True)]


def as_list(pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]) -> list[object]:
    return list(zip(*(part.tolist() for part in pairs), strict=True))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(0, 200), radius=st.integers(0, 8))
def test_finds_what_brute_force_finds(seed: int, count: int, radius: int) -> None:
    hashes = clustered(seed, count)
    expected = [pair for pair in all_pairs(hashes, hashes, radius) if pair[0] < pair[1]]
    assert as_list(near_pairs(hashes, radius)) == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), split=st.integers(0, 150), radius=st.integers(0, 8))
def test_finds_between_what_brute_force_finds(seed: int, split: int, radius: int) -> None:
    hashes = clustered(seed, 150)
    a, b = hashes[:split], hashes[split:]
    assert as_list(near_pairs_between(a, b, radius)) == all_pairs(a, b, radius)


def test_one_bucket_of_many_keys() -> None:
    hashes = np.arange(3000, dtype=np.uint64)  # all agree in the upper bits
    expected = [pair for pair in all_pairs(hashes, hashes, 2) if pair[0] < pair[1]]
    assert as_list(near_pairs(hashes, 2)) == expected


def test_many_identical_hashes_become_a_star() -> None:
    hashes = np.full(50_000, 7, np.uint64)
    i, j, d = near_pairs(hashes, 6)
    assert (i == 0).all() and len(j) == 49_999 and not d.any()


def test_near_groups_stay_connected_when_written_as_stars() -> None:
    hashes = np.repeat(np.array([1, 3], np.uint64), 100)
    i, j, _ = near_pairs(hashes, 1, max_product=50)
    reached = {0}
    for _ in range(4):
        reached |= {int(y) for x, y in zip(i, j, strict=True) if int(x) in reached}
        reached |= {int(x) for x, y in zip(i, j, strict=True) if int(y) in reached}
    assert reached == set(range(200))


@pytest.mark.parametrize("radius", [-1, 17])
def test_refuses_a_radius_out_of_range(radius: int) -> None:
    with pytest.raises(ValueError, match="radius"):
        near_pairs(np.zeros(2, np.uint64), radius)


def test_refuses_other_arrays() -> None:
    with pytest.raises(ValueError, match="uint64"):
        near_pairs(np.zeros(2, np.int64), 1)  # type: ignore[arg-type]
