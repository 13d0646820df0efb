from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from training.errors import SetupError
from training.metrics_distances import (
    frechet_distance,
    kernel_distance,
    precision_recall,
    trimmed_mean,
)
from training.statistics import Collector, Statistics


def normal(count: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(count, d, generator=draw)


def statistics(features: Tensor) -> Statistics:
    collector = Collector(keep=len(features))
    collector.add(features)
    return collector.result()


def gaussian(mean: NDArray[np.float64], covariance: NDArray[np.float64], n: int) -> Statistics:
    """Sums that have exactly this mean and covariance."""
    products = covariance * (n - 1) + n * np.outer(mean, mean)
    return Statistics(
        n, torch.from_numpy(n * mean), torch.from_numpy(products), torch.empty(0, len(mean))
    )


def root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def closed_form(
    m1: NDArray[np.float64],
    c1: NDArray[np.float64],
    m2: NDArray[np.float64],
    c2: NDArray[np.float64],
) -> float:
    """Fréchet distance by symmetric roots: another way than by the eigenvalues of a product."""
    middle = root(root(c1) @ c2 @ root(c1))
    return float(((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * middle))


def test_frechet_of_diagonal_gaussians_is_known() -> None:
    m1, m2 = np.zeros(3), np.array([3.0, 0, 4])
    c1, c2 = np.diag([1.0, 4, 9]), np.diag([4.0, 4, 1])
    # 25 + (1-2)² + (2-2)² + (3-1)²
    assert frechet_distance(gaussian(m1, c1, 100), gaussian(m2, c2, 50)) == pytest.approx(30)


@pytest.mark.parametrize("count", [500, 8])  # also where the covariance is singular
def test_frechet_is_the_closed_form_of_the_samples(count: int) -> None:
    mix = normal(10, 10, seed=1)
    real = normal(500, 10, seed=2) @ mix
    fake = normal(count, 10, seed=3, shift=0.3) @ mix * 1.2
    a, b = real.double().numpy(), fake.double().numpy()
    expected = closed_form(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))
    found = frechet_distance(statistics(real), statistics(fake))
    assert found == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(statistics(fake), statistics(real)) == pytest.approx(found, rel=1e-5)


class Means(torch.nn.Module):
    """Features of a picture for torchmetrics itself: means of its columns."""

    num_features = 12

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.double() / 255).mean(2).flatten(1)


def test_frechet_is_that_of_torchmetrics_fed_with_pictures() -> None:
    draw = torch.Generator().manual_seed(0)
    real = torch.randint(0, 200, (60, 3, 6, 4), generator=draw).to(torch.uint8)
    fake = torch.randint(40, 256, (50, 3, 6, 4), generator=draw).to(torch.uint8)
    metric = FrechetInceptionDistance(feature=Means())
    for part in real.split(25):
        metric.update(part, real=True)
    metric.update(fake, real=False)
    ours = frechet_distance(statistics(Means()(real)), statistics(Means()(fake)))
    assert ours == pytest.approx(float(metric.compute()), rel=1e-9)


def test_the_same_sets_are_at_distance_0() -> None:
    same = normal(100, 6, seed=0)
    assert frechet_distance(statistics(same), statistics(same)) == pytest.approx(0, abs=1e-6)
    assert precision_recall(same, same) == (1.0, 1.0)


def test_kernel_is_the_unbiased_estimate_by_hand() -> None:
    a, b = normal(9, 4, seed=0).double(), normal(7, 4, seed=1, shift=0.5).double()
    b = b[:7]
    a = a[:7]

    def kernel(x: Tensor, y: Tensor) -> float:
        return float((x @ y / 4 + 1) ** 3)

    n = 7
    within = sum(
        kernel(s[i], s[j]) for s in (a, b) for i in range(n) for j in range(n) if i != j
    ) / (n * (n - 1))
    between = sum(kernel(x, y) for x in a for y in b) / n**2
    mean, deviation = kernel_distance(a, b, subset=7, subsets=2)
    assert mean == pytest.approx(within - 2 * between, rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_0_on_average_and_grows() -> None:
    real = normal(600, 4, seed=0)
    near, same = (normal(600, 4, seed=1, shift=shift) for shift in (0.3, 0.0))
    far = normal(600, 4, seed=1, shift=0.6)
    values = [kernel_distance(real, fake, subset=200, subsets=20)[0] for fake in (same, near, far)]
    assert abs(values[0]) < 0.05
    assert values == sorted(values)
    assert values[2] > 4 * values[1] > 0


def test_subsets_are_drawn_by_the_seed_and_the_random_state_is_left_alone() -> None:
    real, fake = normal(60, 4, seed=0), normal(50, 4, seed=1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = kernel_distance(real, fake, subset=20, subsets=5)
    assert torch.equal(torch.rand(3), expected)
    torch.rand(7)
    assert kernel_distance(real, fake, subset=20, subsets=5) == first
    assert kernel_distance(real, fake, subset=20, subsets=5, seed=1) != first


def test_precision_and_recall_of_known_sets() -> None:
    real = normal(200, 3, seed=0)
    apart = normal(200, 3, seed=1, shift=100)
    assert precision_recall(real, apart) == (0.0, 0.0)
    # half of the generated ones far off: precision halves; what is real is found all the same
    half = torch.cat([real[:100], apart[:100]])
    precision, recall = precision_recall(real, half)
    assert precision == 0.5
    assert recall > 0.8
    # half of the modes missing: all good, but not all there
    modes = torch.cat([real[:100], normal(100, 3, seed=2, shift=100)])[torch.randperm(200)]
    precision, recall = precision_recall(modes, normal(200, 3, seed=3))
    assert precision > 0.8
    assert recall == pytest.approx(0.5, abs=0.1)


def test_precision_and_recall_change_places_with_the_sets() -> None:
    real, fake = normal(120, 3, seed=0), normal(120, 3, seed=1, scale=0.5)
    precision, recall = precision_recall(real, fake)
    assert precision_recall(fake, real) == (recall, precision)
    assert precision > recall


def by_hand(real: Tensor, fake: Tensor, k: int) -> tuple[float, float]:
    def covered(points: Tensor, centres: Tensor) -> float:
        inside = 0
        for point in points:
            for centre in centres:
                radius = sorted(float((centre - other).norm()) for other in centres)[k]
                if float((point - centre).norm()) <= radius:
                    inside += 1
                    break
        return inside / len(points)

    return covered(fake, real), covered(real, fake)


def test_precision_and_recall_are_those_by_hand() -> None:
    real, fake = normal(25, 2, seed=4).double(), normal(25, 2, seed=5, shift=0.8).double()
    found = precision_recall(real, fake, neighbours=2)
    assert found == by_hand(real, fake, 2)
    assert 0 < found[0] < 1


def test_as_many_are_taken_of_each() -> None:
    real, fake = normal(90, 3, seed=0), normal(50, 3, seed=1)
    assert precision_recall(real, fake) == precision_recall(real[:50], fake)


def test_too_few_for_the_neighbours_is_named() -> None:
    with pytest.raises(SetupError, match="more than 3 pictures of each, got 3"):
        precision_recall(normal(3, 2, seed=0), normal(9, 2, seed=0))


def test_trimmed_mean_leaves_out_the_extremes() -> None:
    values = torch.cat([torch.full((98,), 2.0), torch.tensor([-1e9, 1e9])])
    assert trimmed_mean(values) == pytest.approx(2.0)
    assert trimmed_mean(torch.tensor([3.0])) == 3.0


@pytest.mark.parametrize("distance", ["frechet", "kernel"])
def test_a_machine_without_torchmetrics_is_told_so(
    monkeypatch: pytest.MonkeyPatch, distance: str
) -> None:
    # None in its place: what Python itself takes for "cannot be imported"
    monkeypatch.setitem(sys.modules, "torchmetrics.image", None)
    features = normal(10, 2, seed=0)
    calls: dict[str, Callable[[], object]] = {
        "frechet": lambda: frechet_distance(statistics(features), statistics(features)),
        "kernel": lambda: kernel_distance(features, features),
    }
    with pytest.raises(SetupError, match="pip install torchmetrics"):
        calls[distance]()
    assert precision_recall(features, features) == (1.0, 1.0)
