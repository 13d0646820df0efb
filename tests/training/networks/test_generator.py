"""The generator: shapes, statistics at the start, truncation, classes, number types."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.config import NetworkConfig
from training.errors import SetupError
from training.networks import Generator, Mapping
from training.networks.layers import StyledConv, ToRGB, normalize_2nd_moment

Size = tuple[int, int]


def small(**changes: Any) -> NetworkConfig:
    values = {
        "z_dim": 16,
        "w_dim": 16,
        "mapping_layers": 2,
        "channel_base": 512,
        "channel_max": 16,
        "mbstd_group": 4,
    }
    return NetworkConfig(**(values | changes))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def noise_for(G: Generator, n: int, seed: int = 0) -> list[Tensor]:
    return G.draw_noise(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("size", "levels"),
    [((32, 32), 4), ((64, 48), 5), ((24, 32), 4), ((40, 24), 4), ((13, 7), 1), ((64, 4), 3)],
)
def test_shapes(size: Size, levels: int) -> None:
    G = Generator(small(), size)
    assert G.num_ws == 2 * levels
    assert len(G.noise_sizes) == 2 * levels - 1
    assert G.noise_sizes[-1] == size
    for n in (1, 3):
        w = G.mapping(torch.randn(n, G.z_dim))
        assert w.shape == (n, G.w_dim)
        ws = G.spread(w)
        assert ws.shape == (n, G.num_ws, G.w_dim)
        pictures = G.synthesis(ws, noise_for(G, n))
        assert pictures.shape == (n, 3, *size)
        assert pictures.dtype == torch.float32


@settings(max_examples=15, deadline=None)
@given(h=st.integers(1, 16), w=st.integers(1, 16), k=st.integers(0, 2))
def test_any_base_and_doublings(h: int, w: int, k: int) -> None:
    size = (4 * h << k, w << k)
    try:
        G = Generator(small(channel_max=8), size)
    except SetupError:
        assert 4 * h > 16
        return
    assert G(torch.randn(2, 16)).shape == (2, 3, *size)


def test_16_ws_at_512_by_384_and_levels_by_name() -> None:
    with torch.device("meta"):
        G = Generator(small(), (512, 384))
    assert G.num_ws == 16
    levels = G.synthesis.levels
    assert list(levels)[:3] == ["4x3", "8x6", "16x12"]
    assert list(levels)[-1] == "512x384"


def test_a_larger_network_holds_the_smaller_one_by_name() -> None:
    with torch.device("meta"):
        low = Generator(small(), (16, 12)).state_dict()
        high = Generator(small(), (32, 24)).state_dict()
    assert low.keys() < high.keys()
    assert all(high[name].shape == value.shape for name, value in low.items())


def test_unit_variance_through_the_layers_at_the_start() -> None:
    G = Generator(small(channel_max=64, channel_base=4096, z_dim=64, w_dim=64), (64, 48))
    moments: list[float] = []
    for module in G.modules():
        if isinstance(module, (StyledConv, ToRGB)):
            module.register_forward_hook(
                lambda _m, _i, out: moments.append(out.square().mean().item())
            )
    z = torch.randn(64, 64)
    assert G.mapping(z).square().mean().item() == pytest.approx(1, abs=0.35)
    pictures = G(z[:8])
    # Zeros around and the filter take some: it keeps the variance of smooth activations only
    assert all(0.15 < moment < 3 for moment in moments), moments
    assert 0.4 < pictures.std() < 3


def test_truncation() -> None:
    G = Generator(small(), (16, 12))
    G.w_avg.normal_()
    w = G.mapping(torch.randn(3, 16))
    everywhere = G.w_avg.expand(3, G.num_ws, -1)
    torch.testing.assert_close(G.spread(w, psi=0.0), everywhere)
    assert torch.equal(G.spread(w), w[:, None].expand(-1, G.num_ws, -1))
    half = G.spread(w, psi=0.5)
    torch.testing.assert_close(half[:, 0], (w + G.w_avg) / 2)
    part = G.spread(w, psi=0.0, cutoff=2)
    torch.testing.assert_close(part[:, :2], everywhere[:, :2])
    assert torch.equal(part[:, 2:], w[:, None].expand(-1, G.num_ws - 2, -1))
    assert G(torch.randn(4, 16), psi=0.0).std(0).max() < 1e-4  # all the same picture
    assert G(torch.randn(4, 16)).std(0).max() > 1e-2


def test_each_w_reaches_the_picture_and_in_its_own_place() -> None:
    G = Generator(small(), (16, 12))
    ws = G.spread(G.mapping(torch.randn(1, 16))).detach().clone().requires_grad_()
    G.synthesis(ws, noise_for(G, 1)).square().sum().backward()
    assert ws.grad is not None
    assert (ws.grad.abs().sum((0, 2)) > 0).all()


def test_images_do_not_depend_on_the_rest_of_the_batch() -> None:
    G = Generator(small(), (16, 12))
    z, noises = torch.randn(5, 16), noise_for(G, 5)
    whole = G(z, noises=noises)
    part = G(z[1::2], noises=[noise[1::2] for noise in noises])
    torch.testing.assert_close(whole[1::2], part, atol=1e-5, rtol=1e-5)


def test_fixed_noise_is_the_same_every_time_and_kept() -> None:
    G, other = Generator(small(), (16, 12)), Generator(small(), (16, 12))
    for conv in G.synthesis.convs:
        torch.nn.init.constant_(conv.noise_strength, 1.0)
    z = torch.randn(3, 16)
    assert [tuple(noise.shape) for noise in G.fixed_noise(3)] == [
        (3, 1, *size) for size in G.noise_sizes
    ]
    assert torch.equal(G(z), G(z))
    assert not torch.allclose(G(z), G(z, noises=noise_for(G, 3)))
    other.load_state_dict(G.state_dict())
    assert torch.equal(G(z), other(z))


def test_drawn_noise_is_a_function_of_the_generator() -> None:
    G = Generator(small(), (16, 12))
    one, same, another = (noise_for(G, 4, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, another, strict=True))
    assert [tuple(noise.shape[2:]) for noise in one] == G.noise_sizes


def test_a_missing_noise_is_refused() -> None:
    G = Generator(small(), (16, 12))
    with pytest.raises(ValueError):
        G.synthesis(G.spread(torch.randn(1, 16)), noise_for(G, 1)[:-1])


def test_classes_change_the_picture() -> None:
    G = Generator(small(), (16, 12), labels=3)
    z = torch.randn(1, 16).expand(3, -1)
    pictures = G(z, torch.arange(3))
    assert (pictures[0] - pictures[1]).abs().max() > 1e-2
    torch.testing.assert_close(pictures[2:], G(z[:1], torch.tensor([2])), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="got none, for a network of 3 classes"):
        G(z)
    with pytest.raises(ValueError, match="got 3, for a network of 0 classes"):
        Generator(small(), (16, 12))(z, torch.arange(3))


def test_the_mapping_takes_no_heed_of_the_length_of_z() -> None:
    mapping = Mapping(16, 8, 2)
    z = torch.randn(4, 16)
    torch.testing.assert_close(mapping(z), mapping(7 * z), atol=1e-4, rtol=1e-4)


def test_the_mapping_learns_at_a_hundredth() -> None:
    """What a step of 1 on every weight does is a hundredth of what it does in other layers."""
    mapping = Mapping(16, 8, 1)
    layer = mapping.layers[0]
    layer.activated = False
    z = torch.randn(4, 16)
    before = mapping(z)
    with torch.no_grad():
        layer.weight += 1.0
    moved = normalize_2nd_moment(z).sum(1, keepdim=True) * 0.01 / 16**0.5
    torch.testing.assert_close(mapping(z) - before, moved.expand(-1, 8), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_is_close_to_32(dtype: torch.dtype) -> None:
    exact, close = (Generator(small(half_resolutions=2), (32, 24), half=h) for h in (None, dtype))
    close.load_state_dict(exact.state_dict())
    kinds: dict[str, torch.dtype] = {}
    for name, level in close.synthesis.levels.items():
        level.conv1.register_forward_hook(
            lambda _m, _i, out, name=name: kinds.update({name: out.dtype})
        )
    z = torch.randn(4, 16)
    a, b = exact(z), close(z)
    low = torch.float32
    assert kinds == {"4x3": low, "8x6": low, "16x12": dtype, "32x24": dtype}
    assert b.dtype == torch.float32
    assert {p.dtype for p in close.parameters()} == {torch.float32}
    assert not torch.equal(a, b)
    assert (a - b).square().mean().sqrt() / a.std() < 0.03
    b.square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in close.parameters())


def test_the_base_is_never_in_16_bit() -> None:
    G = Generator(small(half_resolutions=9), (8, 8), half=torch.bfloat16)
    assert [level.half_type for level in G.synthesis.levels.values()] == [None, torch.bfloat16]


def test_folded_filter_gives_the_same_pictures() -> None:
    plain, folded = (Generator(small(), (32, 24), fold_fir=fold) for fold in (False, True))
    folded.load_state_dict(plain.state_dict())
    z = torch.randn(2, 16)
    torch.testing.assert_close(plain(z), folded(z), atol=1e-4, rtol=1e-4)


def test_channels_last_is_kept_and_gives_the_same() -> None:
    G = Generator(small(), (32, 24))
    z = torch.randn(2, 16)
    expected = G(z)
    G.to(memory_format=torch.channels_last)
    for conv in G.synthesis.convs:
        conv.register_forward_hook(
            lambda _m, _i, out: _assert(out.is_contiguous(memory_format=torch.channels_last))
        )
    out = G(z)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_path_length_is_twice_differentiable() -> None:
    """Gradients of a gradient's length equal finite differences, in float64."""
    G = Generator(small(channel_max=8), (8, 6)).double()
    ws = torch.randn(2, G.num_ws, 16, dtype=torch.float64, requires_grad=True)
    noises, y = noise_for(G, 2), torch.randn(2, 3, 8, 6, dtype=torch.float64)

    def length() -> Tensor:
        (gradient,) = torch.autograd.grad(
            (G.synthesis(ws, noises) * y).sum(), ws, create_graph=True
        )
        return gradient.square().sum()

    weight = G.synthesis.levels["8x6"].conv0.weight
    (slope,) = torch.autograd.grad(length(), weight)
    step = 1e-6 * torch.randn_like(weight)
    before = length()
    with torch.no_grad():
        weight += step
    torch.testing.assert_close(length() - before, (slope * step).sum(), atol=0, rtol=1e-3)


def _assert(truth: bool) -> None:
    assert truth
