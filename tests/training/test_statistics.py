from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.encoder import Encoder
from training.errors import SetupError
from training.statistics import Collector, Statistics, StatisticsCache, collect


class Quarters(Encoder):
    """Mean colours of the four quarters of a picture."""

    name, suffix, num_features = "quarters-1", "_own", 12

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(pixels.float() / 255, 2).flatten(1)


class OtherQuarters(Quarters):
    name = "quarters-2"


def pictures(count: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 6, 4), generator=draw).to(torch.uint8)


def test_sums_are_those_of_numpy_in_float64() -> None:
    # far from 0, where float32 would lose the covariance
    features = 1000 + torch.rand(300, 5, generator=torch.Generator().manual_seed(0)).float()
    collector = Collector(keep=10)
    for part in features.split(7):
        collector.add(part)
    found = collector.result()
    exact = features.double().numpy()
    assert found.count == 300
    assert np.allclose(found.mean.numpy(), exact.mean(0), rtol=1e-12)
    assert np.allclose(found.covariance.numpy(), np.cov(exact.T), rtol=1e-5, atol=1e-8)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(0, 30))
def test_a_stream_is_all_at_once(cuts: list[int], keep: int) -> None:
    total = sum(cuts) + 2
    features = torch.rand(total, 3, generator=torch.Generator().manual_seed(total))
    whole, stream = Collector(keep), Collector(keep)
    whole.add(features)
    for part in features.split([*cuts, 2]):
        stream.add(part)
    a, b = whole.result(), stream.result()
    assert torch.allclose(a.total, b.total, rtol=1e-12)
    assert torch.allclose(a.products, b.products, rtol=1e-12)
    assert torch.equal(a.kept, b.kept)
    assert len(a.kept) == min(keep, total)


def test_what_is_kept_is_a_uniform_sample_in_random_order() -> None:
    counts, first = np.zeros(40), np.zeros(40)
    for seed in range(200):
        collector = Collector(keep=10, seed=seed)
        for part in torch.arange(40.0)[:, None].split(9):
            collector.add(part)
        kept = collector.result().kept[:, 0].long().numpy()
        assert len(set(kept)) == 10
        counts[kept] += 1
        first[kept[0]] += 1
    # binomial, 200 × 1/4: 50 ± 5 standard deviations of 6.1
    assert counts.min() > 19
    assert counts.max() < 81
    assert first.max() < 25


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_are_named(count: int) -> None:
    with pytest.raises(SetupError, match=f"at least 2 pictures, got {count}"):
        collect(pictures(3)[:count].split(1) if count else [], Quarters(), keep=3)


def test_progress_is_told() -> None:
    told: list[int] = []
    collect(pictures(10).split(4), Quarters(), keep=0, report=told.append)
    assert told == [4, 8, 10]


class Counted:
    """Makes statistics, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Statistics:
        self.times += 1
        return collect([pictures(20)], Quarters(), keep=8)


def test_the_cache_is_used_only_for_the_same_key(tmp_path: Path) -> None:
    make = Counted()
    parts = {"version": "abc", "selection": ("shoe",)}
    cache = StatisticsCache(tmp_path / "cache", parts)

    def ask(cache: StatisticsCache, encoder: Encoder, keep: int = 8, seed: int = 0) -> Statistics:
        return cache.get(encoder, keep=keep, seed=seed, make=make)

    made, again = ask(cache, Quarters()), ask(cache, Quarters())
    assert make.times == 1
    assert again.count == made.count
    for name in ("total", "products", "kept"):
        assert torch.equal(getattr(made, name), getattr(again, name))
    ask(cache, OtherQuarters())
    ask(cache, Quarters(), keep=9)
    ask(cache, Quarters(), seed=1)
    ask(StatisticsCache(tmp_path / "cache", {**parts, "version": "abd"}), Quarters())
    ask(StatisticsCache(tmp_path / "cache", {**parts, "selection": ("boot",)}), Quarters())
    assert make.times == 6
    ask(StatisticsCache(tmp_path / "cache", dict(reversed(parts.items()))), Quarters())
    assert make.times == 6


def test_a_file_under_a_wrong_name_or_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    make = Counted()
    one, two = (StatisticsCache(tmp_path, {"version": v}) for v in "ab")
    one.get(Quarters(), keep=8, seed=0, make=make)
    (first,) = tmp_path.glob("*.npz")
    two.get(Quarters(), keep=8, seed=0, make=make)
    (second,) = set(tmp_path.glob("*.npz")) - {first}
    second.write_bytes(first.read_bytes())
    two.get(Quarters(), keep=8, seed=0, make=make)
    assert make.times == 3
    first.write_bytes(first.read_bytes()[:-200])
    found = one.get(Quarters(), keep=8, seed=0, make=make)
    assert (make.times, found.count) == (4, 20)
    assert sorted(tmp_path.iterdir()) == sorted((first, second))  # nothing half-written is left
