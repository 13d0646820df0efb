from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.config import NetworkConfig
from training.errors import SetupError
from training.metrics_generated import Generated
from training.networks.generator import Generator

SIZE = (16, 12)
CONFIG = NetworkConfig(
    z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8, mbstd_group=4
)


def network(labels: int = 0, half: torch.dtype | None = None) -> Generator:
    torch.manual_seed(0)
    G = Generator(CONFIG, SIZE, labels, half)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            nn.init.constant_(parameter, 0.5)
    return G


class Flat(nn.Module):
    """A generator whose pictures are their label and one w, known beforehand."""

    z_dim, labels = 2, 3

    def mapping(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return z

    def spread(self, w: Tensor, psi: float = 1.0) -> Tensor:
        return w[:, None] * psi

    def fixed_noise(self, n: int) -> list[Tensor]:
        return []

    def synthesis(self, ws: Tensor, noises: list[Tensor]) -> Tensor:
        return ws[:, 0, :1, None, None].expand(-1, 3, 4, 4)

    def forward(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0) -> Tensor:
        assert labels is not None
        return (labels.float() / 2 - 0.5)[:, None, None, None].expand(-1, 3, 4, 4)


def whole(generated: Generated, count: int) -> Tensor:
    return torch.cat(list(generated(count)))


def test_pictures_are_uint8_and_the_same_every_time() -> None:
    G = network()
    first = whole(Generated(G, seed=3), 5)
    assert first.shape == (5, 3, *SIZE)
    assert first.dtype == torch.uint8
    assert torch.equal(whole(Generated(G, seed=3), 5), first)
    assert not torch.equal(whole(Generated(G, seed=4), 5), first)


def test_the_batch_changes_no_picture() -> None:
    G = network()
    sizes = [len(part) for part in Generated(G, batch=3)(7)]
    assert sizes == [3, 3, 1]
    one, many = (whole(Generated(G, batch=batch), 7).int() for batch in (1, 7))
    assert (one - many).abs().max() <= 1  # rounding


def test_pictures_are_those_of_the_generator_turned_back() -> None:
    G = network()
    plain, turned = (whole(Generated(G, inverted=i), 4) for i in (False, True))
    assert (plain.int() - (255 - turned.int())).abs().max() <= 1
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    images = G(z).detach()
    assert (plain.float() - ((images + 1) * 127.5).clamp(0, 255)).abs().max() <= 0.51


def test_truncation_is_passed_on() -> None:
    G = network()
    spreads = [whole(Generated(G, psi=psi), 8).float().std(0).mean() for psi in (0.0, 0.5, 1.0)]
    assert spreads[0] == 0
    assert spreads[0] < spreads[1] < spreads[2]


def test_classes_come_as_often_as_asked() -> None:
    levels = whole(Generated(Flat(), classes=(1, 0, 3), batch=64), 800)[:, 0, 0, 0]
    found, counts = np.unique(levels.numpy(), return_counts=True)
    assert found.tolist() == [64, 191]
    assert counts[1] / 800 == pytest.approx(0.75, abs=0.06)
    even = np.unique(
        whole(Generated(Flat(), batch=64), 900)[:, 0, 0, 0].numpy(), return_counts=True
    )
    assert even[1].min() > 240


def test_classes_of_another_number_are_named() -> None:
    with pytest.raises(SetupError, match="each of 3 classes, got 2"):
        next(Generated(Flat(), classes=(1, 1))(4))


def test_steps_are_apart_by_their_share_of_the_line() -> None:
    pairs = list(Generated(Flat(), batch=50).steps(150, 1e-2))
    before, after = (torch.cat(part)[:, 0, 0, 0] for part in zip(*pairs, strict=True))
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(150, 2, generator=draw)
    torch.multinomial(torch.ones(3).double(), 150, replacement=True, generator=draw)
    end = torch.randn(150, 2, generator=draw)
    assert torch.allclose((after - before) / 127.5, (end - start)[:, 0] * 1e-2, atol=1e-4)
    where = ((before / 127.5 - 1) - start[:, 0]) / (end - start)[:, 0]
    assert where.min() > -1e-3
    assert where.max() < 1 + 1e-3
    assert 0.4 < where.mean() < 0.6


def test_steps_are_not_rounded_to_whole_levels() -> None:
    ((before, after),) = Generated(network()).steps(4, 1e-4)
    change = (after - before).abs()
    assert 0 < change.max() < 1


def test_steps_in_16_bit_are_refused() -> None:
    with pytest.raises(SetupError, match="half=None"):
        next(Generated(network(half=torch.bfloat16)).steps(4, 1e-4))
