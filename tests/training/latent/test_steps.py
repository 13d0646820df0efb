"""Equal visual steps: of curves with a known speed, and of a real model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.conftest import Trained
from training.latent.sampler import Sampler
from training.latent.steps import (
    Way,
    appearance,
    equal_steps,
    measure_walk,
    unevenness,
)
from training.latent.walks import Circle, turns
from training.models import load_model


def chords(points: Tensor) -> Tensor:
    return torch.linalg.vector_norm(points.roll(-1, 0) - points, dim=1)


def hurried(at: Tensor, purpose: str = "") -> Tensor:
    """Steps of a walk round a circle that goes 19 times as fast at one place as at another."""
    angle = 2 * math.pi * at + 0.9 * (2 * math.pi * at).sin()
    return chords(torch.stack([angle.cos(), angle.sin()], dim=1))


def flat(value: float, height: int = 16, width: int = 12) -> Tensor:
    return torch.full((1, 3, height, width), value / 127.5)


def distance(a: Tensor, b: Tensor) -> float:
    return float((appearance(a) - appearance(b)).norm())


# -- the way that is covered ----------------------------------------------------------------------


def way(*steps: float) -> Way:
    return Way.of_steps(turns(len(steps)), torch.tensor(steps).double())


def test_points_move_to_equal_parts_of_the_way() -> None:
    torch.testing.assert_close(way(3, 1).evened(2), torch.tensor([0, 1 / 3]).double())


def test_equal_steps_stay() -> None:
    torch.testing.assert_close(way(2, 2, 2, 2, 2).evened(5), turns(5))


def test_points_never_meet_where_a_part_of_the_way_stands_still() -> None:
    found = way(0, 0, 5, 0, 0, 1).evened(6)
    assert bool((found.diff() > 0).all())
    assert 0 == float(found[0]) < float(found[-1]) < 1


def test_a_way_is_corrected_between_points_alone() -> None:
    corrected = way(1, 1, 1, 1).corrected(turns(2), torch.tensor([6.0, 2.0]).double())
    torch.testing.assert_close(corrected.knots, torch.arange(5).double() / 4)
    torch.testing.assert_close(corrected.covered, torch.tensor([0.0, 3, 6, 7, 8]).double())


def test_where_nothing_moves_points_stay() -> None:
    found = equal_steps(lambda at, _: torch.zeros(len(at)).double(), 5)
    assert torch.equal(found.turns, turns(5))
    assert (found.before, found.after, found.rounds) == (1, 1, 0)


def test_a_hurried_walk_becomes_even() -> None:
    found = equal_steps(hurried, 60, band=1.01)
    assert found.before > 1.8
    assert found.after < 1.01
    assert unevenness(hurried(found.turns)) == pytest.approx(found.after)
    assert float(found.turns[0]) == 0
    assert bool((found.turns.diff() > 0).all())


def star(at: Tensor, purpose: str = "") -> Tensor:
    """Steps of a walk with bends, which they cut off."""
    angle = 2 * math.pi * at
    radius = 1 + 0.5 * (5 * angle).sin()
    return chords(torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))


def test_more_rounds_even_out_steps_across_bends() -> None:
    found = [equal_steps(star, 48, band=1.001, rounds=rounds).after for rounds in (0, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.3
    assert 1.02 < found[1] < 1.1
    assert found[3] < 1.01


def test_without_rounds_the_walk_is_left_as_it_is() -> None:
    found = equal_steps(hurried, 60, rounds=0)
    assert torch.equal(found.turns, turns(60))
    assert found.before == found.after > 1.8


def test_the_best_round_is_given_though_a_later_one_is_worse() -> None:
    steps = {
        "equal angles": [1.0, 3.0],
        "the way": [1.0, 1, 1, 1, 3, 3, 3, 3],
        "round 1": [1.0, 1.5],
        "round 2": [1.0, 9.0],
    }
    found = equal_steps(
        lambda _, purpose: torch.tensor(steps[purpose]).double(), 2, band=1.01, rounds=2
    )
    assert found.before == pytest.approx(1.5)
    assert found.after == pytest.approx(1.2)
    assert found.rounds == 2


# -- how far pictures are apart -------------------------------------------------------------------


def test_a_change_of_brightness_counts_its_grey_levels_at_every_scale() -> None:
    # 16, 8 and 4 px
    assert distance(flat(20), flat(50)) == pytest.approx(30 * math.sqrt(3), rel=1e-4)


def test_a_change_of_colour_counts_less_than_one_of_brightness() -> None:
    grey, brighter, bluer = flat(0), flat(20), flat(0)
    bluer[:, 2] = 20 / 127.5
    assert 0 < distance(grey, bluer) < distance(grey, brighter)


def test_what_moves_further_is_further_apart() -> None:
    def square(left: int) -> Tensor:
        picture = torch.full((1, 3, 32, 32), -1.0)
        picture[..., 12:20, left : left + 8] = 1
        return picture

    assert 0 < distance(square(8), square(9)) < distance(square(8), square(12))


def test_inverted_pictures_are_as_far_apart() -> None:
    a, b = torch.rand(2, 1, 3, 15, 13, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert distance(-a, -b) == pytest.approx(distance(a, b), rel=1e-5)


def test_large_pictures_are_compared_at_256_px() -> None:
    assert appearance(torch.zeros(1, 3, 1024, 512)).shape == (
        appearance(torch.zeros(1, 3, 256, 128)).shape
    )


# -- a model --------------------------------------------------------------------------------------


def walk_of(run: Path, batch: int) -> tuple[Sampler, Circle]:
    sampler = Sampler(load_model(run), batch)
    return sampler, Circle.of_seed(5, sampler.model.G.z_dim)


def test_a_circle_of_a_model_is_evened_out(trained: Trained) -> None:
    sampler, circle = walk_of(trained.plain, 16)
    told: list[tuple[str, int, int]] = []
    measure = measure_walk(
        sampler,
        lambda at: sampler.spread(sampler.map(circle.z(at), None))[:, None],
        progress=lambda *what: told.append(what),
    )
    found = equal_steps(measure, 48)
    assert found.before > 1.3
    assert found.after < 1.1
    again = equal_steps(measure, 48)
    assert torch.equal(found.turns, again.turns)
    assert told[2:4] == [("measure equal angles", 48, 48), ("measure the way", 16, 192)]
    assert told[15] == ("measure round 1", 16, 48)


def test_steps_are_the_same_however_many_are_seen_at_once(trained: Trained) -> None:
    found = []
    for batch in (5, 16, 64):
        sampler, circle = walk_of(trained.plain, batch)
        measure = measure_walk(
            sampler,
            lambda at, s=sampler, c=circle: s.spread(s.map(c.z(at), None))[:, None],  # type: ignore[misc]
        )
        found.append(measure(turns(17), ""))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[0], found[2], rtol=1e-3, atol=1e-3)
