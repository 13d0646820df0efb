from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from training.augment import sample


def pictures(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def grid(*shape: int) -> Tensor:
    """Places, a few of which are outside."""
    generator = torch.Generator().manual_seed(2)
    return torch.rand(*shape, 2, generator=generator, dtype=torch.float64) * 2.6 - 1.3


def test_is_bilinear_with_zeros_outside() -> None:
    # Two by two pixels, centred at ±0.5: on one, between two, between four, at an edge, outside.
    image = torch.tensor([[[[1.0, 3.0], [5.0, 9.0]]]])
    places = torch.tensor([[-0.5, -0.5], [0.0, -0.5], [0.0, 0.0], [-1.0, -0.5], [1.6, 0.0]])
    sampled = sample(image, places[None, None])
    assert sampled.flatten().tolist() == pytest.approx([1.0, 2.0, 4.5, 0.5, 0.0])


def test_gradient_is_that_of_pytorch() -> None:
    x, places = pictures(2, 3, 5, 7).requires_grad_(), grid(2, 4, 3)
    weights = pictures(2, 3, 4, 3)
    (ours,) = torch.autograd.grad((sample(x, places) * weights).sum(), x)
    theirs = torch.autograd.grad((F.grid_sample(x, places, align_corners=False) * weights).sum(), x)
    torch.testing.assert_close(ours, theirs[0], rtol=0, atol=1e-12)


def test_first_and_second_derivatives() -> None:
    x, places = pictures(2, 2, 4, 3).requires_grad_(), grid(2, 3, 5)
    assert gradcheck(lambda x: sample(x, places), (x,))
    assert gradgradcheck(lambda x: sample(x, places).sin(), (x,))


def test_third_derivative() -> None:
    places = grid(1, 3, 5)
    x = pictures(1, 1, 4, 3).requires_grad_()

    def slope(x: Tensor) -> Tensor:
        return torch.autograd.grad(sample(x, places).pow(4).sum(), x, create_graph=True)[0]

    assert gradgradcheck(slope, (x,))


def test_works_in_functional_transforms() -> None:
    x, places = pictures(1, 1, 4, 3), grid(1, 3, 5)
    y = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(sample(y, places).square().sum(), y)
    by_function = torch.func.grad(lambda x: sample(x, places).square().sum())(x)
    torch.testing.assert_close(by_function, expected)


def test_refuses_a_grid_that_asks_for_a_gradient() -> None:
    with pytest.raises(ValueError, match="grid"):
        sample(pictures(1, 1, 4, 3), grid(1, 2, 2).requires_grad_())
