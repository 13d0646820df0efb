from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.encoder import OwnEncoder, area_resize, exact
from training.errors import SetupError
from training.metrics_distances import frechet_distance
from training.statistics import Statistics, collect

ENCODER = OwnEncoder()
COUNT = 64
COLOURS = torch.tensor([[200, 40, 40], [40, 160, 60], [40, 60, 190], [220, 200, 60]])


def discs(count: int, seed: int, colours: int = 4) -> Tensor:
    """Striped discs of some colours on white, uint8 (count, 3, 32, 24)."""
    draw = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(24.0), indexing="ij")
    centre = torch.tensor([16.0, 12.0]) + torch.randn(count, 2, generator=draw) * 1.5
    radius = 6 + 3 * torch.rand(count, 1, 1, generator=draw)
    apart = (rows - centre[:, 0, None, None]).square() + (
        columns - centre[:, 1, None, None]
    ).square()
    inside = (apart < radius.square())[:, None]
    stripes = 25 * torch.sin((rows + columns) * 1.3)
    colour = COLOURS[torch.randint(0, colours, (count,), generator=draw)][:, :, None, None]
    grain = 3 * torch.randn(count, 3, 32, 24, generator=draw)
    return (torch.where(inside, colour + stripes, 235.0) + grain).clamp(0, 255).to(torch.uint8)


def blurred(pixels: Tensor, severity: float) -> Tensor:
    smooth = F.avg_pool2d(pixels.float(), 3, 1, 1, count_include_pad=False)
    return torch.lerp(pixels.float(), smooth, severity / 3).to(torch.uint8)


def noisy(pixels: Tensor, severity: float) -> Tensor:
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(9))
    return (pixels + noise * 5 * severity).clamp(0, 255).to(torch.uint8)


def tinted(pixels: Tensor, severity: float) -> Tensor:
    tint = torch.tensor([1.0, -0.5, -1.0]).reshape(3, 1, 1)
    return (pixels + tint * 8 * severity).clamp(0, 255).to(torch.uint8)


def shifted(pixels: Tensor, severity: float) -> Tensor:
    return pixels.roll(int(2 * severity), dims=2)


def narrowed(pixels: Tensor, severity: float) -> Tensor:
    """The same number of pictures, of fewer colours."""
    return discs(len(pixels), seed=1, colours=4 - int(severity))


def statistics(pixels: Tensor) -> Statistics:
    return collect(pixels.split(32), ENCODER, keep=0)


@pytest.fixture(scope="module")
def real() -> Statistics:
    return statistics(discs(COUNT, seed=0))


@pytest.fixture(scope="module")
def floor(real: Statistics) -> float:
    """FD-own between two draws of one distribution."""
    return frechet_distance(real, statistics(discs(COUNT, seed=1)))


@pytest.mark.parametrize("damage", [blurred, noisy, tinted, shifted, narrowed])
def test_more_damage_is_farther_than_less_and_less_than_none(
    real: Statistics, floor: float, damage: Callable[[Tensor, float], Tensor]
) -> None:
    other = discs(COUNT, seed=1)
    mild, strong = (
        frechet_distance(real, statistics(damage(other, severity))) for severity in (1, 3)
    )
    assert floor < mild < strong
    assert strong > 2 * floor


def test_what_is_in_the_picture_is_compared_not_its_order(real: Statistics) -> None:
    again = statistics(discs(COUNT, seed=0).flip(0))
    assert frechet_distance(real, again) == pytest.approx(0, abs=1e-4)


def test_features_are_those_of_version_1() -> None:
    """If this fails, features have changed: give them a new name, old figures are not theirs."""
    rows, columns = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    picture = torch.stack([rows * 5 % 256, columns * 3 % 256, rows * columns % 256]).to(torch.uint8)
    features = ENCODER(picture[None])[0]
    assert OwnEncoder.name == "own-1"
    assert features.shape == (305,) == (ENCODER.num_features,)
    picked = features[[0, 30, 100, 150, 200, 250, 300, 304]]
    expected = torch.tensor([0.0634, 0.8266, 0.7655, 0.0178, 1.423, -0.7843, 0.8694, 1.2908])
    assert torch.allclose(picked, expected, atol=1e-3), picked.tolist()
    assert features.double().norm().item() == pytest.approx(14.4362, abs=0.01)


def test_pictures_are_encoded_one_by_one() -> None:
    pixels = discs(11, seed=2)
    single = torch.cat([ENCODER(picture[None]) for picture in pixels])
    assert torch.allclose(ENCODER(pixels), single, atol=1e-5)


def test_whole_numbers_and_floating_point_are_the_same() -> None:
    pixels = discs(2, seed=3)
    assert torch.equal(ENCODER(pixels), ENCODER(pixels.float()))
    assert ENCODER(pixels.double()).dtype == torch.float32


def test_automatic_16_bit_changes_nothing() -> None:
    pixels = discs(2, seed=3)
    outside = ENCODER(pixels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ENCODER(pixels), outside)


def test_settings_of_training_come_back() -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        with pytest.raises(RuntimeError, match="inside"), exact("cpu"):
            assert not matmul.allow_tf32
            assert not cudnn.allow_tf32
            raise RuntimeError("inside")
        assert matmul.allow_tf32
        assert cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (512, 384)])
def test_any_size_is_encoded(size: tuple[int, int]) -> None:
    pixels = torch.full((1, 3, *size), 100, dtype=torch.uint8)
    assert ENCODER(pixels).isfinite().all()


@pytest.mark.parametrize(
    "pixels", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(0, 3, 8, 8)]
)
def test_what_is_no_picture_is_refused(pixels: Tensor) -> None:
    with pytest.raises(SetupError, match=r"\(N, 3, H, W\)"):
        ENCODER(pixels)


def test_whole_numbers_of_another_kind_are_refused() -> None:
    with pytest.raises(SetupError, match="uint8"):
        ENCODER(torch.zeros(1, 3, 8, 8, dtype=torch.int64))


@settings(deadline=None, max_examples=25)
@given(st.tuples(*[st.integers(1, 40)] * 4))
def test_areas_keep_the_mean(sides: tuple[int, int, int, int]) -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).random((2, *sides[:2])))
    small = area_resize(pixels, sides[2:])
    assert small.shape == (2, *sides[2:])
    assert torch.allclose(small.mean((1, 2)), pixels.mean((1, 2)))


def test_whole_factors_are_plain_averages() -> None:
    pixels = torch.rand(2, 3, 24, 18, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(area_resize(pixels, (8, 6)), F.avg_pool2d(pixels, 3), atol=1e-6)
