from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.draws import Truncation
from training.latent.looks import Between, Edit, Known, Look, Mix, compose, mix
from training.latent.sampler import Sampler
from training.models import load_snapshot


class Shift:
    """Direction k adds the amount to number k of every w."""

    def move(self, ws: Tensor, index: int, amount: float) -> Tensor:
        moved = ws.clone()
        moved[:, index] += amount
        return moved


def unknown(name: str) -> Any:
    raise SetupError(f"there is no {name}")


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=1)


@pytest.fixture
def made(sampler: Sampler) -> Callable[..., Tensor]:
    known = Known(lambda _: Shift(), lambda _: sampler.ws([99])[0])

    def make(*pictures: Between) -> Tensor:
        return compose(sampler, pictures, known)[0]

    return make


def test_a_look_of_a_seed_is_its_picture(sampler: Sampler, made: Callable[..., Tensor]) -> None:
    looks = [Between(look=Look(seed=3, psi=0.5, cutoff=2)), Between(look=Look(seed=4))]
    expected = torch.cat([sampler.ws([3], Truncation(0.5, 2)), sampler.ws([4])])
    assert torch.equal(made(*looks), expected)


def test_styles_come_from_another_seed_in_some_layers(
    sampler: Sampler, made: Callable[..., Tensor]
) -> None:
    (ws,) = made(Between(look=Look(seed=3, mix=Mix(seed=4, first=1, last=3))))
    a, b = sampler.ws([3, 4])
    assert torch.equal(ws, torch.cat((a[:1], b[1:3], a[3:])))
    (whole,) = made(Between(look=Look(seed=3, mix=Mix(seed=4, first=0, last=sampler.num_ws))))
    assert torch.equal(whole, b)


def test_edits_add_up_and_none_is_nothing(sampler: Sampler, made: Callable[..., Tensor]) -> None:
    edits = (Edit(set="x", index=0, amount=2), Edit(set="x", index=1, amount=0))
    (ws,) = made(Between(look=Look(seed=3, edits=edits)))
    (plain,) = sampler.ws([3])
    assert torch.equal(ws[:, 1:], plain[:, 1:])
    assert torch.allclose(ws[:, 0], plain[:, 0] + 2)


def test_between_two_looks(sampler: Sampler, made: Callable[..., Tensor]) -> None:
    a, b = Look(seed=1), Look(seed=2)
    found = made(*(Between(look=a, other=b, share=share) for share in (0.0, 0.25, 1.0)))
    first, second = sampler.ws([1, 2])
    for ws, expected in zip(found, (first, torch.lerp(first, second, 0.25), second), strict=True):
        assert torch.equal(ws, expected)


def test_a_projection_takes_the_place_of_the_seed(
    sampler: Sampler, made: Callable[..., Tensor]
) -> None:
    (ws,) = made(Between(look=Look(projection="mine")))
    assert torch.equal(ws, sampler.ws([99])[0])
    (mean,) = made(Between(look=Look(projection="mine", psi=0)))
    assert torch.equal(mean, sampler.model.G.w_avg.expand_as(mean))


def test_each_picture_has_its_own_noise(sampler: Sampler) -> None:
    pictures = [Between(look=Look(seed=seed, noise="random")) for seed in (1, 2)]
    _, noises = compose(sampler, pictures, Known(unknown, unknown))
    expected = sampler.noises("random", [1, 2])
    assert all(torch.equal(a, b) for a, b in zip(noises, expected, strict=True))


def test_what_there_is_not_is_told(sampler: Sampler) -> None:
    known = Known(unknown, unknown)
    for look in (
        Look(projection="gone"),
        Look(edits=(Edit(set="gone", index=0, amount=1),)),
        Look(mix=Mix(seed=1, first=0, last=99)),
        Look(label=3),
    ):
        with pytest.raises(SetupError, match=r"there is no gone|`mix` must be|`label` must be"):
            compose(sampler, [Between(look=look)], known)


@pytest.mark.parametrize(
    "look",
    [
        {"seed": -1},
        {"seed": 2**63},
        {"psi": np.nan},
        {"noise": "loud"},
        {"edits": [{"set": "x", "index": 0, "amount": 1e9}]},
        {"other": 1},
    ],
)
def test_a_look_that_says_nothing_sensible_is_refused(look: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Look.model_validate(look)


def test_a_share_needs_where_it_leads(sampler: Sampler) -> None:
    with pytest.raises(ValidationError, match="`share` needs `other`"):
        Between(look=Look(), share=0.5)


def test_mixing_takes_layers_of_all_pictures_alike() -> None:
    ws, other = torch.zeros(2, 1, 4, 3), torch.arange(5.0).view(1, 5, 1, 1).expand(1, 5, 4, 3)
    mixed = mix(ws, other, (1, 3))
    assert mixed.shape == (2, 5, 4, 3)
    assert torch.equal(mixed[:, :, 1:3], other[:, :, 1:3].expand(2, -1, -1, -1))
    assert not mixed[:, :, [0, 3]].any()
    assert torch.equal(mix(ws[0], other[0], (2, 2)), ws[0].expand(5, -1, -1))
