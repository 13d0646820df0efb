"""Compiled networks give what plain ones give, gradients of gradients included.

Generating and building C++ takes long, so the large cases stop before it: they show that a whole
network is captured as one graph, and that the graph's gradients are right. The small case builds.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad

from training.config import NetworkConfig
from training.networks import Discriminator, Generator
from training.networks.layers import StyledConv

CONFIG = NetworkConfig(
    z_dim=4,
    w_dim=4,
    mapping_layers=1,
    channel_base=8,
    channel_max=8,
    mbstd_group=2,
    half_resolutions=1,
)
Parameters = dict[str, Tensor]
Loss = Callable[..., Tensor]

# The compiler's own
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def gradients(loss: Loss, parameters: Parameters, *inputs: object) -> Parameters:
    names, values = zip(*parameters.items(), strict=True)
    found = torch.autograd.grad(loss(parameters, *inputs), values, allow_unused=True)
    return {name: value for name, value in zip(names, found, strict=True) if value is not None}


def assert_same_gradients(
    backend: str, loss: Loss, parameters: Parameters, *inputs: object
) -> None:
    plain = gradients(loss, parameters, *inputs)
    compiled = gradients(torch.compile(loss, fullgraph=True, backend=backend), parameters, *inputs)
    assert len(plain) > len(parameters) / 2
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        assert name.endswith("bias") or value.abs().max() > 0, name
        torch.testing.assert_close(compiled[name], value, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_r1_of_the_discriminator(half: torch.dtype | None) -> None:
    D = Discriminator(CONFIG, (8, 6), labels=2, half=half)
    images = torch.randn(4, 3, 8, 6).contiguous(memory_format=torch.channels_last)
    labels = torch.tensor([0, 1, 1, 0])

    def loss(parameters: Parameters, images: Tensor) -> Tensor:
        def total(images: Tensor) -> tuple[Tensor, Tensor]:
            logits = functional_call(D, parameters, (images, labels))
            return logits.sum(), logits

        slope, logits = grad(total, has_aux=True)(images)
        return F.softplus(-logits).mean() + slope.square().sum()

    assert_same_gradients("aot_eager", loss, dict(D.named_parameters()), images)


@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_path_length_of_the_generator(half: torch.dtype | None) -> None:
    G = Generator(CONFIG, (8, 6), half=half)
    ws = torch.randn(3, G.num_ws, 4)
    y = torch.randn(3, 3, 8, 6)
    noises = G.draw_noise(3, torch.Generator().manual_seed(0))

    def loss(parameters: Parameters, ws: Tensor, noises: list[Tensor]) -> Tensor:
        def total(ws: Tensor) -> tuple[Tensor, Tensor]:
            pictures = functional_call(G.synthesis, parameters, (ws, noises))
            return (pictures * y).sum(), pictures

        slope, pictures = grad(total, has_aux=True)(ws)
        return slope.square().sum(2).mean(1).sqrt().mean() + pictures.square().mean()

    parameters = dict(G.synthesis.named_parameters())
    assert_same_gradients("aot_eager", loss, parameters, ws, noises)


@pytest.mark.slow
def test_a_layer_built_by_the_compiler() -> None:
    layer = StyledConv(4, 6, 5, (8, 6), resample="up")
    x = torch.randn(2, 4, 4, 3).contiguous(memory_format=torch.channels_last)

    def loss(parameters: Parameters, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        out: Tensor = functional_call(layer, parameters, (x, w, noise))
        return out.square().mean()

    inputs = (x, torch.randn(2, 5), torch.randn(2, 1, 8, 6))
    assert_same_gradients("inductor", loss, dict(layer.named_parameters()), *inputs)
