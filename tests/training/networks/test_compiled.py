"""Compiled networks give what plain ones give, gradients of gradients included."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad

from training.config import NetworkConfig
from training.networks import Discriminator, Generator

CONFIG = NetworkConfig(
    z_dim=4, w_dim=4, mapping_layers=1, channel_base=8, channel_max=8, mbstd_group=2
)
Loss = Callable[..., Tensor]

pytestmark = pytest.mark.filterwarnings("default")  # the compiler's own


def gradients(loss: Loss, parameters: dict[str, Tensor], *inputs: object) -> dict[str, Tensor]:
    names, values = zip(*parameters.items(), strict=True)
    found = torch.autograd.grad(loss(parameters, *inputs), values, allow_unused=True)
    return {name: value for name, value in zip(names, found, strict=True) if value is not None}


def assert_same_gradients(loss: Loss, parameters: dict[str, Tensor], *inputs: object) -> None:
    plain = gradients(loss, parameters, *inputs)
    compiled = gradients(torch.compile(loss, fullgraph=True), parameters, *inputs)
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, atol=1e-5, rtol=1e-3, msg=name)


def test_r1_of_the_discriminator() -> None:
    torch.manual_seed(0)
    D = Discriminator(CONFIG, (8, 6))
    parameters = dict(D.named_parameters())
    images = torch.randn(4, 3, 8, 6).contiguous(memory_format=torch.channels_last)

    def loss(parameters: dict[str, Tensor], images: Tensor) -> Tensor:
        def total(images: Tensor) -> tuple[Tensor, Tensor]:
            logits = functional_call(D, parameters, (images,))
            return logits.sum(), logits

        slope, logits = grad(total, has_aux=True)(images)
        return F.softplus(-logits).mean() + slope.square().sum()

    assert_same_gradients(loss, parameters, images)


def test_pictures_of_the_generator() -> None:
    torch.manual_seed(0)
    G = Generator(CONFIG, (8, 6))
    z = torch.randn(3, 4)
    noises = G.draw_noise(3, torch.Generator().manual_seed(0))

    def loss(parameters: dict[str, Tensor], z: Tensor, noises: list[Tensor]) -> Tensor:
        pictures: Tensor = functional_call(G, parameters, (z, None, 0.7, noises))
        return pictures.square().mean()

    assert_same_gradients(loss, dict(G.named_parameters()), z, noises)
