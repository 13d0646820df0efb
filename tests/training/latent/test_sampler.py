from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.draws import Truncation
from training.latent.sampler import Sampler
from training.models import load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=4)


@pytest.fixture(scope="module")
def conditional(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.conditional), batch=4)


def test_a_seed_gives_the_same_bytes_whatever_is_made_beside_it(sampler: Sampler) -> None:
    many = {
        seed: picture
        for seeds, pixels in sampler.pictures(range(10))
        for seed, picture in zip(seeds, pixels, strict=True)
    }
    for seeds in ([9], [3, 9, 1], [9, 0, 1, 2, 3]):
        for part, pixels in sampler.pictures(seeds, noise="fixed"):
            for seed, picture in zip(part, pixels, strict=True):
                assert picture.tobytes() == many[seed].tobytes()
    assert sampler.render(sampler.ws([9])).tobytes() == many[9].tobytes()
    assert many[0].shape == (*sampler.size, 3)
    assert len({picture.tobytes() for picture in many.values()}) == 10


def test_pictures_are_those_of_the_generator_turned_back(sampler: Sampler) -> None:
    model = sampler.model
    assert model.inverted
    from training.latent.draws import draw_z

    images = model.G(draw_z([5], model.G.z_dim), psi=0.6)
    seen = ((1 - images[0].permute(1, 2, 0)) * 127.5).clamp(0, 255).numpy()
    (picture,) = sampler.render(sampler.ws([5], Truncation(0.6)))
    assert np.abs(picture - seen).max() < 1


def test_psi_0_is_the_mean_picture_and_a_cutoff_leaves_the_rest(sampler: Sampler) -> None:
    ws = sampler.ws([1, 2], Truncation(0.0))
    assert torch.equal(ws, sampler.model.G.w_avg.expand_as(ws))
    first, second = sampler.render(ws)
    assert np.array_equal(first, second)
    free, cut = sampler.ws([1]), sampler.ws([1], Truncation(0.0, cutoff=3))
    assert torch.equal(cut[:, 3:], free[:, 3:])
    assert torch.equal(cut[:, :3], ws[:1, :3])
    with pytest.raises(SetupError, match="`cutoff` must be at most"):
        sampler.ws([1], Truncation(0.5, cutoff=sampler.num_ws + 1))


def test_noise_is_of_the_seed_or_of_nobody(sampler: Sampler) -> None:
    fixed, random = sampler.noises("fixed", [1, 2]), sampler.noises("random", [1, 2])
    assert all(torch.equal(noise[0], noise[1]) for noise in fixed)
    assert not any(torch.equal(noise[0], noise[1]) for noise in random)
    assert torch.equal(sampler.noises("random", [2])[-1][0], random[-1][1])
    assert not any(noise.any() for noise in sampler.noises("none", [1]))


def test_a_class_is_asked_for_or_the_seeds_own(conditional: Sampler) -> None:
    own = conditional.w(range(12))
    asked = [conditional.w(range(12), label) for label in range(3)]
    same = torch.stack([(own == w).all(1) for w in asked])
    assert same.sum(0).tolist() == [1] * 12
    assert same.any(1).all()
    assert conditional.label("shoe") == conditional.label("1") == 1
    assert conditional.label(None) is None


def test_a_class_that_there_is_not_is_refused(sampler: Sampler, conditional: Sampler) -> None:
    with pytest.raises(SetupError, match="no class 'hat'; it has boot, shoe"):
        conditional.label("hat")
    with pytest.raises(SetupError, match="none: it was trained without"):
        sampler.label("shoe")
    with pytest.raises(SetupError, match="`label` must be one of 0 classes"):
        sampler.w([1], 0)


def test_a_batch_of_none_is_refused(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="`batch` must be at least 1"):
        Sampler(sampler.model, 0)
