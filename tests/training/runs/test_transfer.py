from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from training.config import NetworkConfig
from training.errors import SetupError, SnapshotError
from training.networks.discriminator import Discriminator
from training.networks.generator import Generator
from training.runs.transfer import freeze_d, transfer

CONFIG = NetworkConfig(
    z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8, mbstd_group=1, half="off"
)


class Small(nn.Module):
    def __init__(self, *sizes: str, channels: int = 4, labels: int = 0) -> None:
        super().__init__()
        self.levels = nn.ModuleDict({size: nn.Conv2d(channels, channels, 3) for size in sizes})
        self.from_rgb = nn.Conv2d(3, channels, 1)
        self.head = nn.Linear(channels + labels, 1)
        self.register_buffer("steps", torch.tensor(3))


def saved(**modules: nn.Module) -> dict[str, Tensor]:
    return {
        f"{prefix}.{key}": tensor.clone()
        for prefix, module in modules.items()
        for key, tensor in module.state_dict().items()
    }


def equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_equal_networks_are_taken_over_whole() -> None:
    source, target = Small("4x3", "8x6"), Small("4x3", "8x6")
    source.get_buffer("steps").fill_(9)
    report = transfer(saved(G=source), {"G": target})
    assert equal(source, target)
    assert (report.loaded, report.initialized, report.unused) == (9, [], [])
    assert report.summary() == "9 of 9 tensors taken over"


def test_the_average_may_begin_two_networks() -> None:
    ema, G, G_ema = (Small("4x3") for _ in range(3))
    tensors = saved(G_ema=ema)
    for target in (G, G_ema):
        transfer(tensors, {"G_ema": target})
    assert equal(ema, G)
    assert equal(ema, G_ema)
    assert G.head.weight.data_ptr() != G_ema.head.weight.data_ptr()


def test_a_new_resolution_is_initialized_and_reported() -> None:
    source, target = Small("4x3", "8x6"), Small("4x3", "8x6", "16x12")
    fresh = copy.deepcopy(target.levels["16x12"])
    report = transfer(saved(G=source), {"G": target})
    assert equal(target.levels["8x6"], source.levels["8x6"])
    assert equal(target.levels["16x12"], fresh)
    assert report.initialized == [
        ("G.levels.16x12.weight", None, (4, 4, 3, 3)),
        ("G.levels.16x12.bias", None, (4,)),
    ]
    assert report.summary().splitlines() == [
        "9 of 11 tensors taken over",
        "  G.levels.16x12.weight 4×4×3×3: initialized, not in the source",
        "  G.levels.16x12.bias 4: initialized, not in the source",
    ]


def test_another_shape_is_initialized_and_reported() -> None:
    source, target = Small("4x3"), Small("4x3", labels=2)
    before = target.head.weight.detach().clone()
    report = transfer(saved(D=source, G=source), {"D": target})
    assert report.initialized == [("D.head.weight", (1, 4), (1, 6))]
    assert torch.equal(target.head.weight, before)
    assert "D.head.weight 1×6: initialized, 1×4 in the source" in report.summary()


def test_what_is_not_used_is_reported() -> None:
    report = transfer(saved(G=Small("4x3", "8x6"), D=Small()), {"G": Small("4x3")})
    assert report.unused == ["G.levels.8x6.weight", "G.levels.8x6.bias"]
    assert "2 of the source not used: G.levels.8x6.weight, G.levels.8x6.bias" in report.summary()


def test_number_types_and_layouts_are_those_of_the_target() -> None:
    source = Small("4x3")
    target = copy.deepcopy(source).to(memory_format=torch.channels_last).requires_grad_(True)
    tensors = {name: t.bfloat16() for name, t in saved(G=source).items()}
    transfer(tensors, {"G": target})
    weight = target.from_rgb.weight
    assert weight.dtype == torch.float32
    assert weight.requires_grad
    assert torch.equal(weight, source.from_rgb.weight.bfloat16().float())


@pytest.mark.parametrize(
    "tensors", [{}, saved(model=Small("4x3")), {"G.head.weight": torch.ones(9)}]
)
def test_a_wrong_checkpoint_is_refused(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(SnapshotError, match="must hold tensors that fit G, D"):
        transfer(tensors, {"G": Small(), "D": Small()})


def test_promotion_of_the_real_networks_keeps_all_but_the_new_resolution() -> None:
    small = {"G": Generator(CONFIG, (24, 32)), "D": Discriminator(CONFIG, (24, 32))}
    large = {"G": Generator(CONFIG, (48, 64)), "D": Discriminator(CONFIG, (48, 64))}
    report = transfer(saved(**small), large)
    assert report.loaded > 40
    assert all("48x64" in name for name, _, _ in report.initialized)
    assert all("from_rgb.24x32" in name for name in report.unused)


def test_freezing_takes_the_highest_resolutions_and_from_rgb() -> None:
    D = Small("4x3", "16x12", "8x6")
    assert freeze_d(D, 0) == []
    frozen = freeze_d(D, 1)
    assert sorted(frozen) == [
        "from_rgb.bias",
        "from_rgb.weight",
        "levels.16x12.bias",
        "levels.16x12.weight",
    ]
    assert {n for n, p in D.named_parameters() if not p.requires_grad} == set(frozen)
    assert any("8x6" in name for name in freeze_d(D, 2))


def test_freezing_the_real_discriminator() -> None:
    D = Discriminator(CONFIG, (48, 64))
    frozen = freeze_d(D, 2)
    assert {name.split(".")[1] for name in frozen} == {"48x64", "24x32"}
    assert any(name.startswith("from_rgb") for name in frozen)
    D(torch.zeros(2, 3, 48, 64)).sum().backward()
    assert all((p.grad is None) == (name in frozen) for name, p in D.named_parameters())


def test_more_than_there_are_cannot_be_frozen() -> None:
    with pytest.raises(SetupError, match=r"`optimizer\.freeze_d` must be at most 2,.* got 3"):
        freeze_d(Small("4x3", "8x6"), 3)
    whole = nn.ModuleDict({"4x3": nn.Linear(2, 2), "8x6": nn.Linear(2, 2)})
    with pytest.raises(SetupError, match="at most 1"):
        freeze_d(whole, 2)
    assert all(parameter.requires_grad for parameter in whole.parameters())
