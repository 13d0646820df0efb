"""Principal components of w, and of activations, as directions in w."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.ganspace import activations, ganspace
from training.latent.sampler import Sampler
from training.models import load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain), batch=16)


def test_components_of_w_are_those_of_numpy(sampler: Sampler) -> None:
    found = ganspace(sampler, samples=300, count=8, seed=5)
    w = sampler.w(range(5, 305)).double().numpy()
    _, singular, vt = np.linalg.svd(w - w.mean(0), full_matrices=False)
    for direction, value, axis in zip(found.directions, singular, vt, strict=True):
        assert abs(float(direction.vector.numpy() @ axis)) == pytest.approx(1, abs=1e-3)
        assert direction.scale == pytest.approx(value / np.sqrt(299), rel=1e-4)
        assert direction.share == pytest.approx(value**2 / (singular**2).sum(), rel=1e-4)


def test_activations_are_those_that_pictures_are_made_of(sampler: Sampler) -> None:
    """The highest resolution's activations, given to its picture layer, end the picture."""
    G, ws = sampler.model.G, sampler.ws([0, 1])
    seen = []
    hook = G.synthesis.levels["16x12"].rgb.register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    G.synthesis(ws, G.fixed_noise(2))
    hook.remove()
    assert torch.equal(activations(G, ws, "16x12"), seen[0])


def test_directions_of_activations_are_least_squares(sampler: Sampler) -> None:
    found = ganspace(sampler, at="8x6", samples=200, count=3)
    G, w = sampler.model.G, sampler.w(range(200))
    features = activations(G, G.spread(w), "8x6").flatten(1).double().numpy()
    features = features - features.mean(0)
    _, singular, vt = np.linalg.svd(features, full_matrices=False)
    centred = (w - w.mean(0)).double().numpy()
    for i, direction in enumerate(found.directions):
        slope, *_ = np.linalg.lstsq((features @ vt[i])[:, None], centred, rcond=None)
        cosine = direction.vector.numpy() @ slope[0] / np.linalg.norm(slope[0])
        assert abs(float(cosine)) == pytest.approx(1, abs=1e-3)
        assert direction.share == pytest.approx(singular[i] ** 2 / (singular**2).sum(), rel=1e-3)
        assert direction.layers == (0, 3)


def test_the_same_every_time_and_however_it_is_batched(trained: Trained, sampler: Sampler) -> None:
    other = Sampler(sampler.model, batch=7)
    for at in ("w", "4x3"):
        one, two, three = (
            ganspace(each, at=at, samples=100, count=2) for each in (sampler, sampler, other)
        )
        for a, b, c in zip(one.directions, two.directions, three.directions, strict=True):
            assert torch.equal(a.vector, b.vector)
            assert torch.allclose(a.vector, c.vector, atol=1e-3)


def test_tells_how_far_it_is(sampler: Sampler) -> None:
    told: list[tuple[str, int, int]] = []
    ganspace(sampler, at="4x3", samples=50, count=1, progress=lambda *all_: told.append(all_))
    assert told[-1] == ("activations", 50, 50)


def test_refuses_what_there_is_not(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="w or one of 4x3, 8x6, 16x12, got '5x5'"):
        ganspace(sampler, at="5x5", count=1)
    for at in ("w", "4x3"):
        with pytest.raises(SetupError, match="`samples` must be more than `count`, 6, got 3"):
            ganspace(sampler, at=at, samples=3, count=6)
    with pytest.raises(SetupError, match="`count` must be from 1 to 8"):
        ganspace(sampler, count=0)


def varying(trained: Trained, numbers: int) -> Sampler:
    """A model in whose w so many numbers vary, all others standing still."""
    model = load_snapshot(trained.plain)
    with torch.no_grad():
        model.G.mapping.layers[-1].weight[numbers:] = 0
    return Sampler(model, batch=16)


def test_what_does_not_vary_is_no_direction(trained: Trained) -> None:
    found = ganspace(varying(trained, 2), samples=60, count=6)
    assert [direction.name for direction in found.directions] == ["pc-1", "pc-2"]
    assert all(not direction.vector[2:].any() for direction in found.directions)
    for at in ("w", "4x3"):
        with pytest.raises(SetupError, match=r"not (vary|change)"):
            ganspace(varying(trained, 0), at=at, samples=60, count=6)


def test_few_samples_give_no_direction_of_rounding_noise(sampler: Sampler) -> None:
    for at in ("w", "8x6"):
        found = ganspace(sampler, at=at, samples=7, count=6)
        assert len(found.directions) == 6
        shares = [direction.share or 0 for direction in found.directions]
        assert min(shares) > 1e-10 * max(shares)
        assert min(direction.scale for direction in found.directions) > 1e-5
