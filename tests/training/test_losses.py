import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training import losses


def test_logistic_losses_are_those_of_the_formula() -> None:
    fake = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64)
    real = torch.tensor([1.0, 0.5, -4.0], dtype=torch.float64)
    for f, r, G, D in zip(
        fake.tolist(),
        real.tolist(),
        losses.generator_loss(fake).tolist(),
        losses.discriminator_loss(fake, real, relativistic=False).tolist(),
        strict=True,
    ):
        assert pytest.approx(math.log1p(math.exp(-f))) == G
        assert pytest.approx(math.log1p(math.exp(f)) + math.log1p(math.exp(-r))) == D


def test_relativistic_losses_see_only_the_difference() -> None:
    fake, real = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 3.0])
    D = losses.discriminator_loss(fake, real, relativistic=True)
    torch.testing.assert_close(D, losses.discriminator_loss(fake + 7, real + 7, relativistic=True))
    # The two play against each other: what one wins in difference the other loses.
    torch.testing.assert_close(losses.generator_loss(fake, real), D + (real - fake))


def quadratic(x: Tensor, matrix: Tensor) -> Tensor:
    """Logits whose gradient is known: x·A·x/2 has A·x for a symmetric A."""
    flat = x.flatten(1)
    return 0.5 * torch.einsum("ni,ij,nj->n", flat, matrix, flat)


def test_gradient_penalty_equals_the_closed_form() -> None:
    rng = torch.Generator().manual_seed(1)
    half = torch.randn(12, 12, dtype=torch.float64, generator=rng)
    matrix = half + half.T
    x = torch.randn(5, 3, 2, 2, dtype=torch.float64, generator=rng).requires_grad_()
    (gradient,) = torch.autograd.grad(quadratic(x, matrix).sum(), x)
    known = (x.flatten(1) @ matrix).square().sum(1)
    torch.testing.assert_close(
        losses.gradient_penalty(gradient).double(), known.detach(), rtol=1e-5, atol=0
    )


def test_path_length_of_a_linear_map_is_known() -> None:
    # image = ws · A: a direction y has the gradient A·y, the same for every picture.
    rng = torch.Generator().manual_seed(2)
    matrix = torch.randn(4, 6, 12, dtype=torch.float64, generator=rng)
    ws = torch.randn(7, 4, 6, dtype=torch.float64, generator=rng).requires_grad_()
    direction = torch.randn(7, 12, dtype=torch.float64, generator=rng)
    image = torch.einsum("nlw,lwp->np", ws, matrix)
    (gradient,) = torch.autograd.grad((image * direction).sum(), ws)
    each = torch.einsum("lwp,np->nlw", matrix, direction)
    known = torch.stack([torch.sqrt((g**2).sum(1).mean()) for g in each])
    torch.testing.assert_close(losses.path_lengths(gradient).double(), known, rtol=1e-5, atol=0)


def test_path_length_of_a_still_picture_has_a_finite_gradient() -> None:
    gradient = torch.zeros(2, 3, 4, requires_grad=True)
    losses.path_lengths(gradient).sum().backward()  # type: ignore[no-untyped-call]
    assert gradient.grad is not None
    assert torch.isfinite(gradient.grad).all()


def test_path_penalty_is_zero_at_the_mean_only() -> None:
    lengths = torch.tensor([1.0, 2.0, 4.0])
    assert losses.path_penalty(lengths, torch.tensor(2.0)).tolist() == [1.0, 0.0, 4.0]


@given(st.integers(1, 64), st.floats(0.1, 50))
def test_half_of_an_average_is_older_than_the_half_life(batch: int, kimg: float) -> None:
    beta = losses.ema_beta(batch, 10**9, kimg, None)
    assert beta ** (kimg * 1000 / batch) == pytest.approx(0.5)


def test_an_early_average_is_short() -> None:
    ramped = losses.ema_beta(8, 1000, 10, 0.05)
    assert ramped == pytest.approx(0.5 ** (8 / 50))
    assert losses.ema_beta(8, 10**7, 10, 0.05) == losses.ema_beta(8, 0, 10, None)
    assert losses.ema_beta(8, 0, 10, 0.05) == 0


def test_lazy_steps_make_up_for_the_steps_of_the_regularization() -> None:
    assert losses.lazy(None) == 1
    assert losses.lazy(16) == 16 / 17
    # In 16 steps and one of R1, Adam's memory fades as in 16 of plain training.
    assert (0.99 ** losses.lazy(16)) ** 17 == pytest.approx(0.99**16)
