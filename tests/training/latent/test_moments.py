"""Mean and covariance in parts are those of the whole."""

from __future__ import annotations

import numpy as np
import torch

from training.latent.moments import Moments, canonical, principal, std_along


def rows(count: int = 500) -> torch.Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.randn(count, 5, generator=draw) * torch.tensor([5.0, 3.0, 2.0, 1.0, 0.1]) + 1000


def test_parts_give_what_numpy_gives_for_all() -> None:
    data, found = rows(), Moments(5)
    for part in data.split(37):
        found.add(part)
    assert found.count == 500
    np.testing.assert_allclose(found.mean, data.double().mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(data.double().numpy().T), rtol=1e-9)


def test_axes_come_strongest_first_with_their_spread() -> None:
    found = Moments(5)
    found.add(rows())
    axes, variances = principal(found.covariance, 3)
    assert axes[:, :3].abs().argmax(1).tolist() == [0, 1, 2]
    assert bool((variances.diff() <= 0).all())
    np.testing.assert_allclose(std_along(found.covariance, axes), variances[:3].sqrt(), rtol=1e-9)


def test_signs_are_canonical() -> None:
    vectors = torch.tensor([[0.1, -0.9], [0.9, -0.1]])
    expected = torch.tensor([[-0.1, 0.9], [0.9, -0.1]])
    assert torch.equal(canonical(vectors), expected)
    assert torch.equal(canonical(-vectors), expected)
