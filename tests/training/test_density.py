"""Density on features: far-off points score lower, and streaming changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.density import (
    Batch,
    Reference,
    density_scores,
    neighbour_distances,
    sample_reference,
)
from training.encoder import Encoder, OwnEncoder
from training.errors import SetupError

RNG = np.random.default_rng(0)
PICTURES = torch.from_numpy(RNG.integers(100, 130, (40, 3, 8, 6), dtype=np.uint8))
KEYS = [f"item-{number}" for number in range(40)]


class Corners(Encoder):
    """Features that can be reckoned by hand: the first two pixels, the second of them × 1000."""

    name = "corners"
    suffix = "_corners"
    num_features = 3

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.float()[:, 0, 0]
        return torch.stack([x[:, 0], 1000 * x[:, 1], torch.full_like(x[:, 0], 7.0)], dim=1)


def batches(
    pictures: Tensor = PICTURES, keys: Sequence[str] = KEYS, size: int = 7
) -> Iterator[Batch]:
    for at in range(0, len(keys), size):
        yield keys[at : at + size], pictures[at : at + size]


def scores(reference: Reference, k: int = 3, **pictures: Tensor) -> dict[str, float]:
    return dict(density_scores(batches(**pictures), reference, Corners(), k=k))


def itself(count: int) -> NDArray[np.int64]:
    return np.full(count, -1, np.int64)


def test_the_mean_of_the_nearest_is_taken_and_the_point_itself_is_not() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    own = np.arange(4, dtype=np.int64)
    assert neighbour_distances(line, line, own, 2) == pytest.approx([2, 1.5, 2.5, 5])
    assert neighbour_distances(line, line, itself(4), 1) == pytest.approx([0, 0, 0, 0])


def test_of_fewer_neighbours_than_asked_for_all_are_taken() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0]])
    found = neighbour_distances(line, line, np.array([0, -1, -1]), 9)
    assert found == pytest.approx([2, 1, (3 + 2 + 0) / 3])


def test_many_points_are_as_all_by_themselves() -> None:
    points = torch.randn(600, 5, generator=torch.Generator().manual_seed(0))
    found = neighbour_distances(points, points[:50], itself(600), 4)
    one = [neighbour_distances(points[i : i + 1], points[:50], itself(1), 4)[0] for i in (0, 599)]
    assert found[[0, 599]] == pytest.approx(one, rel=1e-4)


def test_a_picture_unlike_all_others_scores_lowest() -> None:
    pictures = PICTURES.clone()
    pictures[17, 0, 0, 0] = 255
    reference = sample_reference(batches(pictures), Corners())
    found = scores(reference, pictures=pictures)
    assert list(found) == KEYS
    assert min(found, key=lambda key: found[key]) == "item-17"
    assert max(found.values()) < 0


def test_the_unit_of_a_feature_has_no_influence() -> None:
    odd = PICTURES.clone()
    odd[3, 0, 0, 0] = 200  # as far off in the small feature as the other in the large one
    odd[4, 0, 0, 1] = 200
    found = scores(sample_reference(batches(odd), Corners()), pictures=odd)
    lowest = sorted(found, key=lambda key: found[key])[:2]
    assert set(lowest) == {"item-3", "item-4"}
    assert found["item-3"] == pytest.approx(found["item-4"], rel=0.3)


def test_the_order_and_the_batches_of_the_stream_change_nothing() -> None:
    one = sample_reference(batches(size=40), Corners(), most=10)
    turned = [*range(39, -1, -1)]
    other = sample_reference(
        batches(PICTURES[turned], [KEYS[i] for i in turned], size=3), Corners(), most=10
    )
    assert one.keys == other.keys
    assert len(one.keys) == 10
    assert torch.allclose(one.points, other.points, atol=1e-5)
    assert one.mean == pytest.approx(other.mean)
    assert scores(one) == pytest.approx(scores(other), rel=1e-4)


def test_the_spread_is_that_of_all_pictures_not_of_the_sample() -> None:
    features = Corners()(PICTURES).double()
    found = sample_reference(batches(), Corners(), most=5)
    assert torch.allclose(found.mean, features.mean(0))
    assert torch.allclose(found.scale[:2], features.std(0)[:2])
    assert found.scale[2] == 1  # never changes: tells nothing, and divides by nothing


def test_samples_of_growing_size_hold_each_other() -> None:
    small = sample_reference(batches(), Corners(), most=5)
    large = sample_reference(batches(), Corners(), most=20)
    assert large.keys[:5] == small.keys
    assert sample_reference(batches(), Corners(), most=100).points.shape == (40, 3)


def test_pictures_that_are_not_in_the_sample_are_scored_by_all_of_it() -> None:
    reference = sample_reference(batches(), Corners())
    copy = dict(density_scores([(["new"], PICTURES[:1])], reference, Corners(), k=1))
    assert copy["new"] == pytest.approx(0, abs=1e-3)  # its equal is in the set
    own = dict(density_scores([(["item-0"], PICTURES[:1])], reference, Corners(), k=1))
    assert own["item-0"] < -1e-3


def test_a_blurred_picture_scores_lower_by_our_own_encoder() -> None:
    rng = np.random.default_rng(1)
    pictures = torch.from_numpy(rng.integers(0, 256, (20, 3, 32, 24), dtype=np.uint8))
    smooth = torch.nn.functional.avg_pool2d(pictures[:1].float(), 7, 1, 3).to(torch.uint8)
    pictures = torch.cat([smooth, pictures[1:]])
    keys = KEYS[:20]
    encoder = OwnEncoder()
    reference = sample_reference([(keys, pictures)], encoder)
    found = dict(density_scores([(keys, pictures)], reference, encoder))
    assert min(found, key=lambda key: found[key]) == "item-0"


def test_what_cannot_be_done_is_refused() -> None:
    reference = sample_reference(batches(), Corners())
    with pytest.raises(SetupError, match="taken with corners"):
        list(density_scores(batches(), reference, OwnEncoder()))
    with pytest.raises(SetupError, match="`k` must be at least 1"):
        scores(reference, k=0)
    with pytest.raises(SetupError, match="at least 2 pictures, got 1"):
        sample_reference([(["one"], PICTURES[:1])], Corners())
    with pytest.raises(SetupError, match="at least 2 pictures, got 0"):
        sample_reference([], Corners())
    with pytest.raises(SetupError, match="`most` must be at least 2"):
        sample_reference(batches(), Corners(), most=1)
    with pytest.raises(SetupError, match="as many keys as pictures, got 1 and 2"):
        sample_reference([(["one"], PICTURES[:2])], Corners())
    with pytest.raises(SetupError, match="another picture than the one"):
        neighbour_distances(torch.zeros(1, 2), torch.zeros(1, 2), np.zeros(1, np.int64), 1)
