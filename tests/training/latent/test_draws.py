from __future__ import annotations

import pytest
import torch

from training.errors import SetupError
from training.latent.draws import Truncation, draw_labels, draw_noises, draw_z, parse_seeds


def test_a_seed_is_the_same_whatever_is_drawn_beside_it() -> None:
    many = draw_z(range(50), 16)
    assert torch.equal(draw_z([41, 7], 16), many[[41, 7]])
    assert len(many.unique(dim=0)) == 50
    labels = draw_labels(range(60), 3)
    assert torch.equal(draw_labels([5], 3), labels[5:6])
    assert set(labels.tolist()) == {0, 1, 2}
    noises = draw_noises(range(4), [(2, 3), (4, 6)])
    assert [tuple(noise.shape) for noise in noises] == [(4, 1, 2, 3), (4, 1, 4, 6)]
    assert all(
        torch.equal(one[0], all_[3])
        for one, all_ in zip(draw_noises([3], [(2, 3), (4, 6)]), noises, strict=True)
    )


def test_latents_are_normal() -> None:
    z = draw_z(range(400), 64)
    assert abs(float(z.mean())) < 0.03
    assert abs(float(z.std()) - 1) < 0.03


def test_a_limit_draws_again_what_is_beyond_it_and_nothing_else() -> None:
    free, limited = draw_z(range(20), 64), draw_z(range(20), 64, 1.0)
    assert float(limited.abs().max()) <= 1
    within = free.abs() <= 1
    assert torch.equal(free[within], limited[within])
    assert not torch.equal(free[~within], limited[~within])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"psi": float("nan")}, "psi"),
        ({"psi": 9.0}, "psi"),
        ({"cutoff": -1}, "cutoff"),
        ({"z_limit": 0.0}, "z_limit"),
        ({"z_limit": float("inf")}, "z_limit"),
    ],
)
def test_truncation_out_of_range_is_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(SetupError, match=words):
        Truncation(**values)  # type: ignore[arg-type]


def test_seeds_are_read_in_the_order_given() -> None:
    assert list(parse_seeds("7")) == [7]
    assert list(parse_seeds("3-5, 1,9-9")) == [3, 4, 5, 1, 9]


@pytest.mark.parametrize(
    "text", ["", "a", "5-", "-5", "7-3", "1,,2", "0-99999999999", "0-9999999,0", str(2**63)]
)
def test_what_are_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match="seeds"):
        parse_seeds(text)
