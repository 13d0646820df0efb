import math

import pytest
import torch
from torch import nn

from training.distributed import Team
from training.gradients import FlatGradients

ALONE = Team(0, 1, torch.device("cpu"))


def layers() -> list[nn.Parameter]:
    rng = torch.Generator().manual_seed(3)
    return [nn.Parameter(torch.randn(shape, generator=rng)) for shape in [(3, 4), (), (5,)]]


def backward(parameters: list[nn.Parameter], factor: float = 1.0) -> None:
    loss = factor * sum((p**2).sum() for p in parameters) / 2
    loss.backward()  # type: ignore[union-attr]


def test_gradients_are_views_of_one_buffer() -> None:
    parameters = layers()
    gradients = FlatGradients(parameters)
    gradients.zero()
    backward(parameters)
    assert gradients.buffer.shape == (18,)
    torch.testing.assert_close(
        gradients.buffer, torch.cat([p.detach().flatten() for p in parameters])
    )
    gradients.buffer.fill_(7)
    for parameter in parameters:
        assert parameter.grad is not None
        assert parameter.grad.shape == parameter.shape
        assert (parameter.grad == 7).all()


def test_passes_add_up_until_zeroed() -> None:
    parameters = layers()
    gradients = FlatGradients(parameters)
    gradients.zero()
    backward(parameters, 0.25)
    backward(parameters, 0.75)
    torch.testing.assert_close(parameters[0].grad, parameters[0].detach())
    gradients.zero()
    assert (gradients.buffer == 0).all()
    backward(parameters)
    torch.testing.assert_close(parameters[0].grad, parameters[0].detach())


def test_what_an_optimizer_dropped_is_put_back() -> None:
    parameters = layers()
    gradients = FlatGradients(parameters)
    optimizer = torch.optim.SGD(parameters, lr=1)
    optimizer.zero_grad(set_to_none=True)
    gradients.zero()
    backward(parameters)
    optimizer.step()
    assert all((p == 0).all() for p in parameters)  # each was its own gradient


def test_finite_gradients_stay_as_they_are() -> None:
    parameters = layers()
    gradients = FlatGradients(parameters)
    gradients.zero()
    backward(parameters)
    before = gradients.buffer.clone()
    assert gradients.finish(ALONE) == 0
    assert torch.equal(gradients.buffer, before)


@pytest.mark.parametrize(("value", "mended"), [(math.nan, 0), (math.inf, 1e5), (-math.inf, -1e5)])
def test_what_is_not_finite_is_mended_and_told(value: float, mended: float) -> None:
    parameters = layers()
    gradients = FlatGradients(parameters)
    gradients.zero()
    backward(parameters)
    kept = gradients.buffer.clone()
    assert parameters[0].grad is not None
    parameters[0].grad[1, 2] = value
    assert gradients.finish(ALONE) == 1
    kept[1 * 4 + 2] = mended
    assert torch.equal(gradients.buffer, kept)
