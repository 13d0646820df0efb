from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from training.augment.draws import Draws
from training.augment.geometry import geometry_matrices, moves_pixels
from training.augment.sampler import sample
from training.augment.warp import moved, resampled, warped

SIZES = [(32, 24), (24, 32), (24, 24), (21, 18)]
N = 2


def noise(size: tuple[int, int]) -> Tensor:
    return torch.randn(N, 3, *size, generator=torch.Generator().manual_seed(0))


def smooth(size: tuple[int, int]) -> Tensor:
    """Waves of ten pixels and more, in no way symmetric."""
    y, x = torch.meshgrid(
        *(torch.arange(side, dtype=torch.float32) for side in size), indexing="ij"
    )
    waves = [torch.sin(x / 3 + y / 5 + i) + 0.02 * y + 0.5 * torch.cos(x / 4) for i in range(3)]
    return torch.stack(waves).expand(N, -1, -1, -1)


def matrices(**values: float) -> Tensor:
    drawn = {name: torch.full((N,), values.get(name, 0.0)) for name in Draws._fields}
    return geometry_matrices(Draws(**drawn))


def reflected_shift(images: Tensor, right: int, down: int) -> Tensor:
    """Shift by reflecting a wide margin, and cutting out."""
    height, width = images.shape[2:]
    array = np.pad(images.numpy(), ((0, 0), (0, 0), (down, 0), (right, 0)), "reflect")
    return torch.from_numpy(array[:, :, :height, :width])


EXACT: list[tuple[dict[str, float], Callable[[Tensor], Tensor]]] = [
    ({}, lambda x: x),
    ({"mirror": 1.0}, lambda x: x.flip(3)),
    ({"quarter_turns": 2.0}, lambda x: x.flip(2, 3)),
    ({"quarter_turns": 2.0, "mirror": 1.0}, lambda x: x.flip(2)),
    ({"shift_x": 3.0, "shift_y": 2.0}, lambda x: reflected_shift(x, 3, 2)),
    ({"mirror": 1.0, "shift_x": 3.0}, lambda x: reflected_shift(x.flip(3), 3, 0)),
    ({"turn_before": math.pi}, lambda x: x.flip(2, 3)),
    ({"turn_before": 1.0, "turn_after": -1.0}, lambda x: x),
    ({"drift_x": 4.0}, lambda x: reflected_shift(x, 4, 0)),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("values", "expected"), EXACT)
def test_whole_pixels_are_moved_to_the_last_bit(
    size: tuple[int, int], values: dict[str, float], expected: Callable[[Tensor], Tensor]
) -> None:
    x = noise(size)
    assert torch.equal(warped(x, matrices(**values)), expected(x))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_of_a_square(turns: int) -> None:
    x = noise((24, 24))
    expected = torch.rot90(x, turns, (2, 3))
    assert torch.equal(warped(x, matrices(quarter_turns=float(turns))), expected)
    assert torch.equal(warped(x, matrices(turn_after=turns * math.pi / 2)), expected)


def test_a_quarter_turn_of_an_oblong_turns_its_middle_and_reflects_the_rest() -> None:
    x = noise((32, 24))
    turned = warped(x, matrices(quarter_turns=1.0))
    assert torch.equal(turned[:, :, 4:-4], torch.rot90(x[:, :, 4:-4], 1, (2, 3)))
    assert torch.equal(turned[:, :, :4], turned[:, :, 5:9].flip(2))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("values", "expected"), EXACT)
def test_sampling_agrees_with_moving(
    size: tuple[int, int], values: dict[str, float], expected: Callable[[Tensor], Tensor]
) -> None:
    x = smooth(size)
    off = (resampled(x, matrices(**values)) - expected(x)).abs()
    # Reflection breaks a slope, which the filters round off within a few pixels of the edge.
    assert off.mean() < 0.01 and off.max() < 0.15


def test_sampling_in_place_is_exact_but_at_the_edges() -> None:
    x = noise((32, 24))
    within = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(resampled(x, matrices())[within], x[within], rtol=0, atol=1e-4)


def test_a_shift_by_half_a_pixel() -> None:
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(24.0), indexing="ij")

    def wave(y: Tensor, x: Tensor) -> Tensor:
        return torch.sin(x / 2 + y / 3).expand(N, 3, -1, -1)

    shifted = warped(wave(y, x), matrices(drift_x=0.5, drift_y=-1.25))
    within = (..., slice(4, -4), slice(4, -4))
    expected = wave(y + 1.25, x - 0.5)
    torch.testing.assert_close(shifted[within], expected[within], rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("values", "there"),
    [
        # where a blob at 5 px to the right of, and 3 px below the centre goes
        ({"log2_scale": 0.5}, (5 * 2**0.5, 3 * 2**0.5)),
        ({"log2_stretch": 0.5}, (5 * 2**0.5, 3 / 2**0.5)),
        ({"turn_before": 0.5}, (5.826, 0.236)),
        ({"turn_after": 0.5}, (5.826, 0.236)),
        ({"turn_before": math.pi / 2, "log2_stretch": 0.3}, (3 * 2**0.3, -5 / 2**0.3)),
        ({"log2_stretch": 0.3, "turn_after": math.pi / 2}, (3 / 2**0.3, -5 * 2**0.3)),
        ({"shift_x": 2.0, "log2_scale": 0.5}, (7 * 2**0.5, 3 * 2**0.5)),
        ({"log2_scale": 0.5, "drift_x": 2.0}, (5 * 2**0.5 + 2, 3 * 2**0.5)),
    ],
)
def test_where_things_go(values: dict[str, float], there: tuple[float, float]) -> None:
    # Wide enough for its reflections to stay out of sight.
    y, x = torch.meshgrid(torch.arange(56) - 27.5, torch.arange(48) - 23.5, indexing="ij")
    blob = torch.exp(-((x - 5) ** 2 + (y - 3) ** 2) / 4).expand(N, 3, -1, -1)
    result = warped(blob, matrices(**values))[0, 0]
    centre = (float((result * x).sum() / result.sum()), float((result * y).sum() / result.sum()))
    assert centre == pytest.approx(there, abs=0.05)


def test_a_rotation_does_not_shear_an_oblong() -> None:
    geometry = matrices(turn_before=0.7)[:, :2, :2]
    torch.testing.assert_close(geometry @ geometry.mT, torch.eye(2).expand(N, 2, 2))
    y, x = torch.meshgrid(torch.arange(48) - 23.5, torch.arange(32) - 15.5, indexing="ij")
    disc = torch.sigmoid(9 - torch.hypot(x, y)).expand(N, 3, -1, -1)
    # Further out, its reflection comes into sight.
    near = torch.hypot(x, y) < 13
    turned = warped(disc, matrices(turn_before=0.7))
    torch.testing.assert_close(turned[..., near], disc[..., near], rtol=0, atol=0.02)


def test_turning_there_and_back() -> None:
    x = smooth((32, 24))
    back = warped(warped(x, matrices(turn_before=0.4)), matrices(turn_before=-0.4))
    within = (..., slice(10, -10), slice(9, -9))
    torch.testing.assert_close(back[within], x[within], rtol=0, atol=0.05)


def test_shrinking_leaves_less_of_what_cannot_be_seen_than_bare_sampling() -> None:
    stripes = (torch.arange(32) % 2 * 2.0 - 1).expand(N, 3, 32, 32)
    geometry = matrices(log2_scale=-0.7)
    grid = F.affine_grid(geometry[:, :2], [N, 3, 32, 32], align_corners=False)
    within = (..., slice(13, -13), slice(13, -13))
    filtered, bare = warped(stripes, geometry)[within], sample(stripes, grid)[within]
    assert filtered.std() < 0.5 * bare.std()


@pytest.mark.parametrize(
    "values",
    [{"turn_before": 1.0}, {"log2_scale": -4.0}, {"drift_x": 400.0, "drift_y": -900.5}],
)
def test_a_constant_stays_one_however_far_it_reaches(values: dict[str, float]) -> None:
    white = torch.ones(N, 3, 32, 24)
    torch.testing.assert_close(warped(white, matrices(**values)), white, rtol=0, atol=1e-5)


def test_a_far_shift_reflects_again_and_again() -> None:
    x = noise((32, 24))
    period = 2 * (24 - 1)
    assert torch.equal(warped(x, matrices(shift_x=3.0 * period)), x)
    assert torch.equal(
        warped(x, matrices(shift_x=float(period + 3))), warped(x, matrices(shift_x=3.0))
    )


@pytest.mark.parametrize(
    "values",
    [
        {"turn_before": 0.01},
        {"log2_scale": 1.0},
        {"log2_stretch": 1.0},
        {"drift_x": 0.01},
        {"quarter_turns": 1.0},  # (32, 23): pixels come to lie between pixels
    ],
)
def test_what_does_not_only_move_pixels_is_sampled(values: dict[str, float]) -> None:
    assert not moves_pixels(matrices(**values), (32, 23)).any()
    x = smooth((32, 23))
    geometry = matrices(**values)
    assert torch.equal(warped(x, geometry), resampled(x, geometry))
    assert not torch.equal(warped(x, geometry), moved(x, geometry))


def test_every_picture_has_its_own() -> None:
    x = noise((32, 24))
    geometry = torch.cat([matrices()[:1], matrices(turn_before=0.5)[:1]])
    result = warped(x, geometry)
    assert torch.equal(result[0], x[0])
    assert (result[1] - x[1]).abs().mean() > 0.1
