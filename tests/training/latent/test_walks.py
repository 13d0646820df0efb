"""Paths through latent space: they pass what they must, close, and have no corner."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.errors import SetupError
from training.latent.walks import (
    Circle,
    closed_slerp,
    closed_spline,
    slerp,
    straight,
    turns,
)

Curve = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def keys(count: int, width: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("curve", [closed_spline, closed_slerp])
def test_closed_curves_pass_every_key_and_return(curve: Curve, count: int) -> None:
    points = keys(count)
    torch.testing.assert_close(curve(points, turns(count)), points)
    torch.testing.assert_close(curve(points, turns(count) + 3), points)
    torch.testing.assert_close(curve(points, turns(count) - 1), points)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_spline_has_no_corner_and_no_jerk_at_keys(count: int) -> None:
    points, step = keys(count), 1e-3
    at = turns(count)
    near = [closed_spline(points, at + i * step) for i in (-3, -2, -1, 0, 1, 2, 3)]
    speed_before, speed_after = (near[3] - near[2]) / step, (near[4] - near[3]) / step
    bend_before = (near[3] - 2 * near[2] + near[1]) / step**2
    bend_after = (near[5] - 2 * near[4] + near[3]) / step**2
    torch.testing.assert_close(speed_before, speed_after, rtol=0.02, atol=0.5)
    torch.testing.assert_close(
        bend_before, bend_after, rtol=0.1, atol=0.05 * float(bend_after.abs().max())
    )


def test_a_spline_through_a_circle_is_nearly_the_circle() -> None:
    angle = 2 * math.pi * turns(16)
    round_ = torch.stack([angle.cos(), angle.sin()], dim=1)
    radius = closed_spline(round_, turns(1000)).norm(dim=1)
    assert float((radius - 1).abs().max()) < 2e-4


@given(shift=st.floats(-3, 3), scale=st.floats(-3, 3), count=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_a_spline_moves_with_its_keys(shift: float, scale: float, count: int) -> None:
    points, at = keys(count), turns(13)
    moved = closed_spline(points * scale + shift, at)
    torch.testing.assert_close(moved, closed_spline(points, at) * scale + shift)


def test_a_spline_keeps_the_shape_and_the_type_of_its_keys() -> None:
    points = torch.randn(3, 2, 4)
    curve = closed_spline(points, turns(10))
    assert curve.shape == (10, 2, 4)
    assert curve.dtype == torch.float32
    torch.testing.assert_close(curve[:, 1], closed_spline(points[:, 1], turns(10)))


def test_slerp_turns_at_an_even_speed() -> None:
    at = torch.linspace(0, 1, 10).double()
    start = torch.tensor([[2.0, 0, 0]]).double().expand(10, -1)
    end = torch.tensor([[0.0, 2, 0]]).double().expand(10, -1)
    angle = at * math.pi / 2
    expected = 2 * torch.stack([angle.cos(), angle.sin(), torch.zeros(10).double()], dim=1)
    torch.testing.assert_close(slerp(start, end, at), expected)


def test_slerp_of_one_direction_changes_the_length_alone() -> None:
    start = torch.tensor([[1.0, 1.0]])
    middle = slerp(start, 3 * start, torch.tensor([0.5]))
    torch.testing.assert_close(middle, 2 * start)


def test_a_slerp_walk_stays_on_the_sphere() -> None:
    points = torch.nn.functional.normalize(keys(4), dim=1)
    torch.testing.assert_close(closed_slerp(points, turns(50)).norm(dim=1), torch.ones(50).double())


def test_a_straight_way_has_its_ends_and_equal_steps() -> None:
    start, end = torch.zeros(2, 3), torch.full((2, 3), 6.0)
    way = straight(start, end, 4)
    torch.testing.assert_close(way[:, 0, 0], torch.tensor([0.0, 2, 4, 6]))
    with pytest.raises(ValueError, match="`count` must be at least 2, got 1"):
        straight(start, end, 1)


def test_turns_leave_out_the_last_which_is_the_first() -> None:
    assert turns(4).tolist() == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("z_dim", [2, 8, 512])
def test_a_circle_is_as_far_out_as_latents_are(z_dim: int) -> None:
    circle = Circle.of_seed(3, z_dim)
    product = circle.axes @ circle.axes.T
    torch.testing.assert_close(product, z_dim * torch.eye(2).double())
    points = circle.z(turns(40))
    torch.testing.assert_close(points.norm(dim=1), torch.full((40,), math.sqrt(z_dim)))
    chords = (points - points.roll(-1, 0)).norm(dim=1)
    torch.testing.assert_close(chords, chords[:1].expand(40), rtol=1e-4, atol=0)


def test_a_seed_has_one_circle_and_another_seed_another() -> None:
    assert torch.equal(Circle.of_seed(1, 8).axes, Circle.of_seed(1, 8).axes)
    assert not torch.allclose(Circle.of_seed(1, 8).axes, Circle.of_seed(2, 8).axes)


def test_a_circle_needs_two_dimensions() -> None:
    with pytest.raises(SetupError, match="`z_dim` of at least 2, the model has 1"):
        Circle.of_seed(0, 1)
