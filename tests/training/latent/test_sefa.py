"""Directions from weights are the singular vectors of the style layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.conftest import Trained
from training.errors import SetupError
from training.latent.directions import apply
from training.latent.sampler import Sampler
from training.latent.sefa import factorize, sefa, stacked_styles, style_weights
from training.models import load_snapshot


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_snapshot(trained.plain))


def test_equals_the_singular_vectors_of_numpy() -> None:
    A = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    rows = A.double().numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    _, singular, vt = np.linalg.svd(rows)
    vectors, shares = factorize(A, 8)
    np.testing.assert_allclose(np.abs((vectors.numpy() * vt).sum(1)), 1, atol=1e-5)
    np.testing.assert_allclose(shares, singular**2 / (singular**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(8), atol=1e-5)


def test_scale_of_rows_and_dead_rows_change_nothing() -> None:
    A = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    factors = torch.linspace(0.1, 9, 20)[:, None]
    dead = torch.cat([A * factors, torch.zeros(3, 6)])
    assert torch.allclose(factorize(A, 6)[0], factorize(dead, 6)[0], atol=1e-5)


def test_each_w_changes_the_styles_that_it_is_said_to(sampler: Sampler) -> None:
    """Known from the network itself: gradients tell which styles a w goes into."""
    G = sampler.model.G
    ws = sampler.ws([0]).clone().requires_grad_(True)
    styles: dict[int, torch.Tensor] = {}
    layers = [m for m in G.synthesis.modules() if hasattr(m, "style")]
    hooks = [
        layer.style.register_forward_hook(
            lambda module, _, out: styles.__setitem__(id(module.weight), out.sum())
        )
        for layer in layers
    ]
    G.synthesis(ws, G.fixed_noise(1))
    for hook in hooks:
        hook.remove()
    for w, weights in enumerate(style_weights(G)):
        assert weights
        for weight in weights:
            (gradient,) = torch.autograd.grad(styles[id(weight)], ws, retain_graph=True)
            assert gradient[0].abs().sum(1).nonzero().flatten().tolist() == [w]
    assert sum(map(len, style_weights(G))) == len(layers)


def test_first_direction_changes_styles_more_than_any_other(sampler: Sampler) -> None:
    A = torch.nn.functional.normalize(stacked_styles(sampler.model.G, 0, 6).double(), dim=1)
    vectors, _ = factorize(A, 8)
    stretched = (A @ vectors.double().T).norm(dim=0)
    assert bool((stretched.diff() <= 1e-6).all())
    others = torch.nn.functional.normalize(torch.randn(8, 50, dtype=torch.float64), dim=0)
    assert bool(((A @ others).norm(dim=0) <= stretched[0] + 1e-9).all())


def test_a_set_has_directions_for_every_group(sampler: Sampler) -> None:
    found = sefa(sampler, count=2, samples=64)
    names = [direction.name for direction in found.directions]
    assert names == [
        f"{group}-{i}" for group in ("all", "coarse", "middle", "fine") for i in (1, 2)
    ]
    ws = sampler.ws([0, 1])
    for direction in found.directions:
        assert float(direction.vector.norm()) == pytest.approx(1, abs=1e-5)
        first, end = direction.layers
        moved = apply(ws, direction, 3.0) - ws
        assert float(moved[:, first:end].abs().amax()) > 0
        assert float(moved.abs().sum()) == pytest.approx(float(moved[:, first:end].abs().sum()))


def test_the_same_every_time(sampler: Sampler) -> None:
    one, other = (sefa(sampler, count=2, samples=64) for _ in range(2))
    for a, b in zip(one.directions, other.directions, strict=True):
        assert torch.equal(a.vector, b.vector)
        assert a.scale == b.scale


def test_refuses_unknown_layers_and_counts(sampler: Sampler) -> None:
    with pytest.raises(SetupError, match="layers must be one of all, coarse, middle, fine"):
        sefa(sampler, layers=["top"])
    with pytest.raises(SetupError, match="`count` must be from 1 to 8"):
        sefa(sampler, count=9)
