"""The discriminator: shapes, minibatch statistics, classes, number types, R1."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.config import NetworkConfig
from training.errors import SetupError
from training.networks import Discriminator, minibatch_std
from training.networks.discriminator import ResidualBlock

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


@pytest.mark.parametrize(
    ("size", "base"),
    [
        ((32, 32), (4, 4)),
        ((64, 48), (4, 3)),
        ((24, 32), (3, 4)),
        ((40, 24), (5, 3)),
        ((13, 7), (13, 7)),
        ((64, 4), (16, 1)),
    ],
)
def test_shapes(size: Size, base: Size) -> None:
    D = Discriminator(small(), size)
    for n in (1, 3, 4):
        images = torch.randn(n, 3, *size)
        features = D.features(images)
        assert features.shape == (n, 16, *base)
        assert D(images).shape == (n,)
        torch.testing.assert_close(D(images), D.head(features))


def test_unit_variance_through_the_layers_at_the_start() -> None:
    D = Discriminator(small(channel_max=64, channel_base=4096), (64, 48))
    moments: list[float] = []
    for module in D.modules():
        if isinstance(module, ResidualBlock):
            module.conv0.register_forward_hook(
                lambda _m, _i, out: moments.append(out.square().mean().item())
            )
    # The blur takes from white noise what it does not take from pictures: smooth ones are fed
    images = torch.randn(16, 3, 4, 3).repeat_interleave(16, 2).repeat_interleave(16, 3)
    features = D.features(images)
    moments.append(features.square().mean().item())
    assert len(moments) == 5
    assert all(0.3 < moment < 2 for moment in moments), moments
    assert 0.05 < D(images).std() < 5


def plain_std(x: Tensor, group: int, channels: int) -> Tensor:
    """Loop over images, groups and channels, in float64."""
    n, c, h, w = x.shape
    groups = max(n // group, 1)
    out = torch.zeros(n, channels, h, w, dtype=torch.float64)
    for i in range(n):
        members = torch.stack([x[j].double() for j in range(n) if j % groups == i % groups])
        mean = sum(members) / len(members)
        variance = sum((member - mean) ** 2 for member in members) / len(members)
        for part in range(channels):
            own = variance[part * c // channels : (part + 1) * c // channels]
            out[i, part] = (own + 1e-8).sqrt().mean()
    return out


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 13),
    group=st.integers(1, 6),
    channels=st.sampled_from([1, 2, 4]),
    side=st.integers(1, 4),
)
def test_minibatch_std_equals_plain_loops(n: int, group: int, channels: int, side: int) -> None:
    x = torch.randn(n, 8, side, 3)
    torch.testing.assert_close(
        minibatch_std(x, group, channels).double(), plain_std(x, group, channels)
    )


def test_minibatch_std_by_hand() -> None:
    """Images 0 and 2, and 1 and 3, are groups: apart by 2 and by 6."""
    x = torch.tensor([0.0, 10.0, 2.0, 16.0])[:, None, None, None].expand(4, 8, 2, 2)
    torch.testing.assert_close(minibatch_std(x, 2)[:, 0, 0, 0], torch.tensor([1.0, 3.0, 1.0, 3.0]))


@pytest.mark.parametrize("world", [2, 4])
def test_strided_parts_of_a_batch_have_the_same_groups(world: int) -> None:
    x = torch.randn(32, 8, 4, 3)
    whole = minibatch_std(x, 4, 2)
    for rank in range(world):
        torch.testing.assert_close(minibatch_std(x[rank::world], 4, 2), whole[rank::world])
    ahead = minibatch_std(x[:16], 4, 2)
    assert not torch.allclose(ahead, whole[:16])  # blocks of it have not


def test_equal_images_give_finite_gradients() -> None:
    """R1 passes through the root of a variance of zero."""
    x = torch.ones(4, 8, 2, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(minibatch_std(x * 1.0, 4).sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_features_do_not_depend_on_the_batch_but_logits_do() -> None:
    D = Discriminator(small(), (16, 12))
    images = torch.randn(8, 3, 16, 12)
    torch.testing.assert_close(D.features(images)[:2], D.features(images[:2]), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(D(images)[:4], D(images[:4]), atol=1e-4)


def test_mbstd_channels_must_divide() -> None:
    with pytest.raises(SetupError, match=r"divide the 16 channels .* got 6; use 2"):
        Discriminator(small(mbstd_channels=6), (16, 12))


def test_classes_change_the_logit() -> None:
    D = Discriminator(small(), (16, 12), labels=3)
    images = torch.randn(1, 3, 16, 12).expand(3, -1, -1, -1)
    logits = D(images, torch.arange(3))
    assert logits.shape == (3,)
    assert (logits[0] - logits[1]).abs() > 1e-3
    with pytest.raises(ValueError, match="got none, for a network of 3 classes"):
        D(images)
    with pytest.raises(ValueError, match="without classes, got 3"):
        Discriminator(small(), (16, 12))(images, torch.arange(3))


def test_classes_do_not_make_logits_larger_at_the_start() -> None:
    images, labels = torch.randn(64, 3, 8, 6), torch.randint(4, (64,))
    config = small(channel_base=4096, channel_max=256)
    logits = torch.cat([Discriminator(config, (8, 6), labels=4)(images, labels) for _ in range(4)])
    assert 0.2 < logits.square().mean().sqrt() < 4  # 16 times as much without its scale


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_is_close_to_32(dtype: torch.dtype) -> None:
    config = small(half_resolutions=2)
    exact, close = (Discriminator(config, (32, 24), half=h) for h in (None, dtype))
    close.load_state_dict(exact.state_dict())
    kinds: dict[str, torch.dtype] = {}
    for name, block in close.blocks.items():
        block.register_forward_hook(lambda _m, _i, out, name=name: kinds.update({name: out.dtype}))
    images = torch.randn(4, 3, 32, 24)
    a, b = exact.features(images), close.features(images)
    assert kinds == {"32x24": dtype, "16x12": dtype, "8x6": torch.float32}
    assert b.dtype == close(images).dtype == torch.float32
    assert not torch.equal(a, b)
    assert (a - b).square().mean().sqrt() / a.std() < 0.03
    close(images).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in close.parameters())


def test_activations_are_cut_off_only_in_16_bit() -> None:
    images = torch.randn(2, 3, 16, 12) * 1e5
    exact = Discriminator(small(half_resolutions=2), (16, 12))
    close = Discriminator(small(half_resolutions=2), (16, 12), half=torch.bfloat16)
    assert exact.features(images).abs().max() > 1e3
    assert close.features(images).abs().max() < 1e3


def test_folded_filter_gives_the_same_logits() -> None:
    plain, folded = (Discriminator(small(), (32, 24), fold_fir=fold) for fold in (False, True))
    folded.load_state_dict(plain.state_dict())
    images = torch.randn(4, 3, 32, 24)
    torch.testing.assert_close(plain(images), folded(images), atol=1e-4, rtol=1e-4)


def test_channels_last_is_kept_and_gives_the_same() -> None:
    D = Discriminator(small(), (32, 24))
    images = torch.randn(4, 3, 32, 24)
    expected = D(images)
    D.to(memory_format=torch.channels_last)
    kept: list[bool] = []
    for block in D.blocks.values():
        block.register_forward_hook(
            lambda _m, _i, out: kept.append(out.is_contiguous(memory_format=torch.channels_last))
        )
    out = D(images.contiguous(memory_format=torch.channels_last))
    assert kept == [True, True, True]
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)


def test_r1_is_twice_differentiable() -> None:
    """Gradients of the penalty equal finite differences, in float64."""
    D = Discriminator(small(channel_max=8), (8, 6)).double()
    images = torch.randn(4, 3, 8, 6, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(D(images).sum(), images, create_graph=True)
        return gradient.square().sum()

    weight = D.blocks["8x6"].conv1.weight
    (slope,) = torch.autograd.grad(penalty(), weight)
    step = 1e-7 * torch.randn_like(weight)
    before = penalty()
    with torch.no_grad():
        weight += step
    torch.testing.assert_close(penalty() - before, (slope * step).sum(), atol=0, rtol=1e-3)


def test_names_are_those_of_resolutions() -> None:
    with torch.device("meta"):
        D = Discriminator(small(), (512, 384))
    assert next(iter(D.blocks)) == "512x384"
    assert list(D.blocks)[-1] == "8x6"
    assert list(D.from_rgb) == ["512x384"]
