from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from training.encoder import Encoder, OwnEncoder
from training.errors import SetupError
from training.neighbours import Neighbours, draw, nearest


class Quarters(Encoder):
    """Mean colours of the four quarters of a picture."""

    name, suffix, num_features = "quarters-1", "_own", 12

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(pixels.float() / 255, 2).flatten(1)


ENCODER = Quarters()


def pictures(count: int, seed: int) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 6, 4), generator=draws).to(torch.uint8)


REAL = pictures(60, seed=0)
SAMPLES = pictures(5, seed=1)


def brute_force(samples: Tensor, real: Tensor) -> tuple[Tensor, Tensor, float]:
    """All distances in float64, sorted; and the median between real pictures."""
    a, b = ENCODER(samples).double(), ENCODER(real).double()
    distances, order = (a[:, None] - b[None]).norm(dim=2).sort(dim=1, stable=True)
    between = (b[:, None] - b[None]).norm(dim=2)
    between.fill_diagonal_(torch.inf)
    return distances, order, float(np.median(between.amin(1).numpy()))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 20), max_size=10), st.integers(1, 6))
def test_neighbours_are_exact_however_the_stream_is_cut(cuts: list[int], k: int) -> None:
    real = pictures(sum(cuts) + 7, seed=2)
    found = nearest(SAMPLES, real.split([*cuts, 7]), ENCODER, k=k)
    distances, order, between = brute_force(SAMPLES, real)
    assert np.allclose(found.distances, distances[:, :k].numpy(), atol=1e-12)
    assert np.array_equal(found.indices, order[:, :k].numpy())
    expected = real.permute(0, 2, 3, 1).numpy()[found.indices]
    assert np.array_equal(found.pixels, expected)
    assert found.between_reals == pytest.approx(between, rel=1e-9)


@pytest.mark.parametrize("compared", [1, 10, 25, 1000])
def test_the_first_real_pictures_are_compared_with_all(compared: int) -> None:
    found = nearest(SAMPLES, REAL.split(7), ENCODER, compared=compared)
    b = ENCODER(REAL).double()
    between = (b[:, None] - b[None]).norm(dim=2)
    between.fill_diagonal_(torch.inf)
    expected = np.median(between.amin(1)[:compared].numpy())
    assert found.between_reals == pytest.approx(float(expected), rel=1e-9)


def test_of_equally_near_ones_the_first_comes_first() -> None:
    real = torch.cat([REAL[3:4], REAL[:2], REAL[3:4], REAL[3:4]])
    found = nearest(REAL[3:4], real.split(2), ENCODER, k=3)
    assert found.indices[0].tolist() == [0, 3, 4]
    assert found.distances[0].tolist() == [0, 0, 0]


def test_a_copy_is_at_distance_0_and_a_new_picture_is_as_far_as_real_ones() -> None:
    memorized = nearest(REAL[10:20], REAL.split(9), ENCODER)
    assert memorized.ratio == 0
    assert memorized.indices[:, 0].tolist() == list(range(10, 20))
    assert nearest(pictures(40, seed=5), REAL.split(9), ENCODER).ratio == pytest.approx(1, abs=0.2)


def test_the_nearer_to_copies_the_lower_the_ratio() -> None:
    new = pictures(20, seed=6).float()
    mixes = [torch.lerp(REAL[:20].float(), new, t).to(torch.uint8) for t in (0.0, 0.1, 0.3, 1.0)]
    ratios = [nearest(mix, [REAL], ENCODER).ratio for mix in mixes]
    assert ratios == sorted(ratios)
    assert ratios[1] < 0.5


def test_copies_among_the_real_ones_make_no_division_by_0() -> None:
    real = torch.cat([REAL[:10], REAL[:10]])
    assert nearest(SAMPLES, [real], ENCODER).ratio == float("inf")


def test_the_own_encoder_finds_the_picture_behind_some_noise() -> None:
    rough = (REAL[:4].float() + 4 * torch.randn(4, 3, 6, 4)).clamp(0, 255).to(torch.uint8)
    found = nearest(rough, REAL[:12].split(5), OwnEncoder(), k=2)
    assert found.indices[:, 0].tolist() == [0, 1, 2, 3]
    assert found.encoder == "own-1"


def test_progress_is_told() -> None:
    told: list[int] = []
    nearest(SAMPLES, REAL.split(25), ENCODER, report=told.append)
    assert told == [25, 50, 60]


@pytest.mark.parametrize(("count", "k"), [(3, 4), (1, 1), (0, 1)])
def test_too_few_real_pictures_are_named(count: int, k: int) -> None:
    with pytest.raises(SetupError, match=f"got {count}"):
        nearest(SAMPLES, [REAL[:count]] if count else [], ENCODER, k=k)


def test_no_neighbours_at_all_are_refused() -> None:
    with pytest.raises(SetupError, match="at least 1"):
        nearest(SAMPLES, [REAL], ENCODER, k=0)


def plain(levels: list[int], k: int) -> tuple[Tensor, Neighbours]:
    """Samples of one colour each, (level, 0, 200); neighbours redder by 1, 2, …."""
    reds = np.array(levels)[:, None] + np.arange(k + 1)
    colours = np.stack([reds, 0 * reds, 0 * reds + 200], axis=-1)[:, :, None, None]
    pixels = np.broadcast_to(colours, (len(levels), k + 1, 40, 30, 3)).astype(np.uint8)
    samples = torch.from_numpy(pixels[:, 0]).permute(0, 3, 1, 2)
    distances = np.ones((len(levels), k))
    return samples, Neighbours(distances, reds[:, 1:], pixels[:, 1:], 2.0, "quarters-1")


def cells(sheet: NDArray[np.uint8], red: int) -> NDArray[np.bool_]:
    return np.asarray((sheet == (red, 0, 200)).all(2))


def test_the_sheet_has_a_row_for_each_sample_and_its_neighbours_to_the_right() -> None:
    sheet = np.asarray(draw(*plain([50, 100, 150], k=4)))
    tops = [int(np.argmax(cells(sheet, red).any(1))) for red in (50, 100, 150)]
    assert tops == sorted(set(tops))
    for red in (50, 100, 150):
        lefts = [int(np.argmax(cells(sheet, red + j).any(0))) for j in range(5)]
        assert lefts == sorted(set(lefts))
        assert [int(cells(sheet, red + j).sum()) for j in range(5)] == [40 * 30] * 5
    assert (sheet[:20] < 128).all(2).any()  # the captions


def test_large_pictures_are_drawn_smaller() -> None:
    small, large = (np.asarray(draw(*plain([50, 90], k=2), side=side)) for side in (20, 400))
    assert small.shape < large.shape
    assert cells(small, 50).sum() == 20 * 15
    assert cells(large, 50).sum() == 40 * 30
