import pytest
import torch

from training.build import build, half_type
from training.config import NetworkConfig
from training.presets import resolve

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SIZE = (16, 12)
CONFIG = resolve(
    "tiny", {"network": {"channel_base": 128, "channel_max": 8}}, size=SIZE, gpus=1
).network


def test_both_generators_begin_alike_and_share_nothing() -> None:
    networks = build(CONFIG, SIZE, 0, CPU)
    G, G_ema = networks.G.state_dict(), networks.G_ema.state_dict()
    assert G.keys() == G_ema.keys()
    assert all(torch.equal(G[name], G_ema[name]) for name in G)
    for parameter in networks.G.parameters():
        parameter.data.add_(1)
    assert not any(
        torch.equal(a, b)
        for a, b in zip(networks.G.parameters(), networks.G_ema.parameters(), strict=True)
    )


def test_only_the_average_needs_no_gradient() -> None:
    networks = build(CONFIG, SIZE, 0, CPU)
    assert all(p.requires_grad for p in [*networks.G.parameters(), *networks.D.parameters()])
    assert not any(p.requires_grad for p in networks.G_ema.parameters())
    assert networks.G.training
    assert not networks.G_ema.training


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = build(CONFIG, SIZE, 3, CPU, seed=5)
    torch.rand(7)
    before = torch.get_rng_state()
    again, other = build(CONFIG, SIZE, 3, CPU, seed=5), build(CONFIG, SIZE, 3, CPU, seed=6)
    assert torch.equal(before, torch.get_rng_state())
    for name, module in first.named().items():
        same, else_ = again.named()[name].state_dict(), other.named()[name].state_dict()
        assert all(torch.equal(value, same[key]) for key, value in module.state_dict().items())
        weights = [key for key in same if key.endswith("weight")]
        assert weights
        assert not any(torch.equal(same[key], else_[key]) for key in weights)


def test_labels_make_it_conditional() -> None:
    networks = build(CONFIG, SIZE, 3, CPU)
    z = torch.randn(2, CONFIG.z_dim, generator=torch.Generator().manual_seed(0))
    zero, two = (networks.G(z, torch.full((2,), label)) for label in (0, 2))
    assert not torch.equal(zero, two)
    logits = [networks.D(zero, torch.full((2,), label)) for label in (0, 2)]
    assert not torch.equal(*logits)


@pytest.mark.parametrize(
    ("half", "device", "expected"),
    [
        ("off", GPU, None),
        ("auto", GPU, torch.bfloat16),
        ("auto", CPU, None),
        ("bfloat16", CPU, torch.bfloat16),
        ("float16", GPU, torch.float16),
    ],
)
def test_half_precision_is_automatic_on_a_gpu_alone(
    half: str, device: torch.device, expected: torch.dtype | None
) -> None:
    config = NetworkConfig.model_validate({"half": half})
    assert half_type(config, device) == expected


def test_folding_filters_adds_no_weights() -> None:
    plain = build(CONFIG, SIZE, 0, CPU)
    folded = build(CONFIG, SIZE, 0, CPU, fold_filters=True)
    for name, module in plain.named().items():
        other = folded.named()[name].state_dict()
        assert {k: v.shape for k, v in module.state_dict().items()} == {
            k: v.shape for k, v in other.items()
        }
