from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from training.errors import DivergedError, SetupError
from training.networks.discriminator import Discriminator
from training.presets import resolve
from training.score import (
    Batch,
    Score,
    companions,
    rank_stability,
    score_items,
    shuffled_logits,
    summarize,
)
from training.watch.grids import to_tensor


class Alone(nn.Module):
    """A discriminator that ignores companions: brightness, and a class's own offset."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.rows: list[int] = []

    def features(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.mean((1, 2, 3), keepdim=True)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        self.rows.append(len(features))
        logits = features.flatten(1).sum(1)
        return logits if labels is None else logits + 10 * labels


class Sociable(Alone):
    """One that compares: a picture counts by how it stands out from its strided group."""

    def __init__(self, group: int, own: float = 0.3) -> None:
        super().__init__()
        self.group, self.own = group, own

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        self.rows.append(len(features))
        groups = features.view(self.group, -1)
        std = groups.var(0, unbiased=False).sqrt()
        return features.flatten() * self.own + std.repeat(self.group)


def pictures(n: int, seed: int = 0) -> Tensor:
    """Give flat pictures of brightnesses that differ."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 256, (n,), generator=generator, dtype=torch.uint8)
    return values.view(n, 1, 1, 1).expand(n, 3, 4, 2).contiguous()


def batches(pixels: Tensor, size: int, labels: Tensor | None = None) -> Iterator[Batch]:
    for first in range(0, len(pixels), size):
        rows = slice(first, first + size)
        names = [f"item{i}" for i in range(first, min(first + size, len(pixels)))]
        yield names, pixels[rows], None if labels is None else labels[rows]


def scored(D: Alone, pixels: Tensor, size: int = 7, **options: int) -> list[Score]:
    given = {"seed": 0, "group": 4, "chunk": 16, **options}
    return list(score_items(D, batches(pixels, size), device="cpu", **given))


def test_companions_that_are_ignored_cost_no_certainty() -> None:
    pixels = pictures(45)
    scores = scored(Alone(), pixels)
    expected = to_tensor(pixels)[:, 0, 0, 0].double()
    assert [score.item for score in scores] == [f"item{i}" for i in range(45)]
    np.testing.assert_allclose([s.mean for s in scores], expected, atol=1e-6)
    assert {(s.standard_error, s.n) for s in scores} == {(0.0, 8)}


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 17, 31, 32, 33, 50])
def test_trunk_runs_once_a_picture_and_the_head_on_whole_groups(n: int) -> None:
    D = Sociable(4)
    scores = scored(D, pictures(n), shuffles=3)
    assert len(scores) == n
    assert D.seen == n
    assert all(rows % 4 == 0 for rows in D.rows)
    assert sum(D.rows) <= 3 * (n + 3 * (n // 16 + 1))


@given(st.integers(1, 70), st.integers(1, 9), st.integers(0, 99))
def test_everyone_has_one_place_and_other_companions(n: int, group: int, seed: int) -> None:
    rows = companions(n, group, torch.Generator().manual_seed(seed))
    assert sorted(rows.flatten()[:n].tolist()) == list(range(n))
    assert rows.shape == (-(-n // group), group)
    if n >= group:
        assert all(len(set(row)) == group for row in rows.tolist())


def test_equals_a_loop_in_float64() -> None:
    """The same companions, one group after another, by the formula."""
    n, group, shuffles = 21, 4, 5
    pixels = pictures(n)
    scores = scored(Sociable(group), pixels, shuffles=shuffles, seed=3, chunk=64)
    values = to_tensor(pixels)[:, 0, 0, 0].double().numpy()
    generator = torch.Generator().manual_seed(3)
    logits = np.full((shuffles, n), np.nan)
    for s in range(shuffles):
        places = companions(n, group, generator)
        for place, i in enumerate(places.flatten()[:n].tolist()):
            beside = values[places[place // group].numpy()]
            logits[s, i] = 0.3 * values[i] + math.sqrt(np.mean((beside - beside.mean()) ** 2))
    for i, score in enumerate(scores):
        mean = sum(logits[:, i]) / shuffles
        spread = sum((logits[:, i] - mean) ** 2) / (shuffles - 1)
        assert score.mean == pytest.approx(mean, abs=1e-6)
        assert score.standard_error == pytest.approx(math.sqrt(spread / shuffles), abs=1e-6)


def test_equals_a_whole_pass_of_the_real_discriminator() -> None:
    size = (32, 24)
    network = resolve("tiny", {}, size=size, gpus=1).network
    group = network.mbstd_group
    assert group is not None
    D = Discriminator(network, size).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (18, 3, *size), generator=generator, dtype=torch.uint8)
    ((_, logits),) = shuffled_logits(
        D, batches(pixels, 5), shuffles=1, seed=2, group=group, device="cpu"
    )
    rows = companions(18, group, torch.Generator().manual_seed(2))
    whole = D(to_tensor(pixels)[rows.T.flatten()])  # strided groups
    expected = torch.empty(18)
    expected[rows.flatten()[:18]] = whole.view(group, -1).T.flatten()[:18]
    np.testing.assert_allclose(logits[0], expected, atol=1e-5)


def test_head_in_parts_equals_the_head_at_once() -> None:
    """Over 512 rows the head is called several times; grouping and order must survive that."""
    n, group = 1200, 4
    pixels = pictures(n)
    ((_, logits),) = shuffled_logits(
        Sociable(group), batches(pixels, 100), shuffles=1, seed=5, group=group, device="cpu"
    )
    values = to_tensor(pixels)[:, 0, 0, 0].double()
    rows = companions(n, group, torch.Generator().manual_seed(5))
    expected = torch.empty(n, dtype=torch.float64)
    std = values[rows].var(1, unbiased=False).sqrt()
    expected[rows.flatten()] = 0.3 * values[rows.flatten()] + std.repeat_interleave(group)
    np.testing.assert_allclose(logits[0], expected, atol=1e-6)


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    """Give, nearly, the means over all companions for the 40 pictures of the tests that follow."""
    scores = scored(Sociable(4), pictures(40), shuffles=1000, seed=9, chunk=64)
    return np.array([score.mean for score in scores])


def test_more_shuffles_come_closer(exact: np.ndarray) -> None:
    pixels = pictures(40)

    def error(shuffles: int) -> float:
        runs = [
            [s.mean for s in scored(Sociable(4), pixels, shuffles=shuffles, seed=seed, chunk=64)]
            for seed in range(5)
        ]
        return float(np.sqrt(np.mean((np.array(runs) - exact) ** 2)))

    errors = [error(shuffles) for shuffles in (2, 8, 32, 128)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] / errors[-1] == pytest.approx(8, rel=0.4)  # the root of 64


def test_standard_error_tells_how_far_off_the_mean_is(exact: np.ndarray) -> None:
    pixels = pictures(40)
    scores = scored(Sociable(4), pixels, shuffles=16, chunk=64)
    off = (np.array([s.mean for s in scores]) - exact) / [s.standard_error for s in scores]
    assert 0.6 < float(np.sqrt(np.mean(off**2))) < 1.6


def test_order_is_found_again_under_another_seed() -> None:
    pixels = pictures(60)
    first, second = (
        [s.mean for s in scored(Sociable(4, own=1.0), pixels, shuffles=32, seed=seed)]
        for seed in (1, 2)
    )
    assert first != second
    assert rank_stability(np.array([first, second])) > 0.95


@pytest.mark.parametrize("size", [1, 7, 16, 100])
def test_sizes_of_batches_change_nothing(size: int) -> None:
    pixels = pictures(50)
    assert scored(Sociable(4), pixels, size, seed=4) == scored(Sociable(4), pixels, 50, seed=4)


def test_no_chunk_is_a_small_rest() -> None:
    """Of 33 pictures and chunks of 16, the last must not have one companion only."""
    chunks = shuffled_logits(
        Sociable(4), batches(pictures(33), 5), seed=0, group=4, device="cpu", chunk=16
    )
    sizes = [len(items) for items, _ in chunks]
    assert sum(sizes) == 33
    assert 8 <= min(sizes) <= max(sizes) <= 16


def test_features_that_wait_are_bounded() -> None:
    taken = 0

    def counted() -> Iterator[Batch]:
        nonlocal taken
        for batch in batches(pictures(200), 5):
            taken += len(batch[0])
            yield batch

    given = 0
    for items, _ in shuffled_logits(
        Alone(), counted(), shuffles=1, seed=0, group=4, device="cpu", chunk=16
    ):
        assert taken - given < 2 * 16 + 5
        given += len(items)
    assert given == 200


def test_labels_stay_with_their_pictures() -> None:
    pixels, labels = pictures(41), torch.arange(41) % 3
    scores = score_items(
        Alone(), batches(pixels, 7, labels), seed=0, group=4, device="cpu", chunk=16
    )
    expected = to_tensor(pixels)[:, 0, 0, 0] + 10 * labels
    np.testing.assert_allclose([s.mean for s in scores], expected, atol=1e-5)


def test_gradients_are_neither_taken_nor_switched_off_for_others() -> None:
    scores = score_items(Alone(), batches(pictures(40), 8), seed=0, group=4, device="cpu", chunk=8)
    next(scores)
    assert torch.is_grad_enabled()


def test_one_shuffle_has_no_standard_error() -> None:
    (score,) = summarize(["a"], np.array([[1.5]]))
    assert (score.mean, score.n) == (1.5, 1)
    assert math.isnan(score.standard_error)


def test_no_pictures_no_scores() -> None:
    assert scored(Alone(), pictures(0)) == []


@pytest.mark.parametrize("wrong", [{"shuffles": 0}, {"group": 0}, {"chunk": 7}])
def test_refuses_numbers_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(SetupError, match="at least"):
        scored(Alone(), pictures(4), **wrong)


def test_refuses_classes_for_some_only() -> None:
    mixed = [(["a"], pictures(1), None), (["b"], pictures(1), torch.zeros(1, dtype=torch.int64))]
    with pytest.raises(SetupError, match="all batches or for none"):
        list(score_items(Alone(), mixed, seed=0, group=1, device="cpu"))


def test_refuses_names_that_are_not_as_many() -> None:
    with pytest.raises(SetupError, match="1 names and 2 pictures"):
        list(score_items(Alone(), [(["a"], pictures(2), None)], seed=0, group=1, device="cpu"))


def test_scores_that_are_not_finite_are_no_scores() -> None:
    class Broken(Alone):
        def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
            return super().head(features, labels).log()  # NaN for the darker half

    with pytest.raises(DivergedError, match=r"item.* are not; take an older snapshot"):
        scored(Broken(), pictures(20))


# Rank stability


def test_equal_orders_are_stable_and_opposite_ones_are_not() -> None:
    up = np.array([0.1, 0.2, 5.0, 5.5])
    assert rank_stability(np.stack([up, np.exp(up)])) == pytest.approx(1)
    assert rank_stability(np.stack([up, -up])) == pytest.approx(-1)


def test_spearman_as_in_textbooks() -> None:
    """1 - 6 Σd² / n(n² - 1): ranks 1 2 3 4 5 and 2 1 4 3 5 give 0.8; with ties by Pearson."""
    assert rank_stability(np.array([[1, 2, 3, 4, 5], [2, 1, 4, 3, 5]], float)) == pytest.approx(0.8)
    tied = np.array([[1, 2, 2, 4], [1, 2, 3, 4]], float)
    expected = np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1]
    assert rank_stability(tied) == pytest.approx(expected)


def test_stability_is_the_mean_over_pairs() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 30))
    pairs = [rank_stability(scores[[i, j]]) for i in range(4) for j in range(4) if i != j]
    assert rank_stability(scores) == pytest.approx(np.mean(pairs))


def test_chance_has_no_stability_and_less_of_it_more() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=400)
    by_noise = [rank_stability(signal * own + rng.normal(size=(6, 400))) for own in (0.0, 1.0, 5.0)]
    assert abs(by_noise[0]) < 0.05
    assert by_noise == sorted(by_noise)
    assert by_noise[-1] > 0.9


def test_no_order_is_no_stability() -> None:
    assert rank_stability(np.ones((3, 5))) == 0


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (5,)])
def test_refuses_what_has_no_pairs(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 shuffles and 2 pictures"):
        rank_stability(np.zeros(shape))
