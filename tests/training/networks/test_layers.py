"""The layers, against plain references in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.layers import (
    Conv,
    Dense,
    Resample,
    StyledConv,
    ToRGB,
    activate,
    convolve,
    modulated_convolve,
    normalize_2nd_moment,
)

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
KERNEL = torch.outer(TAPS, TAPS)[None, None] / 64
WAYS: list[tuple[Resample, bool]] = [
    ("none", False),
    ("up", False),
    ("up", True),
    ("down", False),
    ("down", True),
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def filtered(x: Tensor, pad: int) -> Tensor:
    n, c, h, w = x.shape
    out = F.conv2d(F.pad(x.reshape(n * c, 1, h, w), [pad] * 4), KERNEL)
    return out.reshape(n, c, *out.shape[2:])


def reference(x: Tensor, weight: Tensor, resample: Resample) -> Tensor:
    """Zeros between, or every second place, with an explicit filter; float64."""
    x, weight = x.double(), weight.double()
    if resample == "none":
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    if resample == "down":
        return F.conv2d(filtered(x, 2), weight)[:, :, ::2, ::2]
    n, c, h, w = x.shape
    between = torch.zeros(n, c, 2 * h - 1, 2 * w - 1, dtype=torch.float64)
    between[:, :, ::2, ::2] = x
    return 4 * filtered(F.conv2d(between, weight.flip(2, 3), padding=2), 1)


@pytest.mark.parametrize(("resample", "fold"), WAYS)
@pytest.mark.parametrize("size", [(4, 6), (2, 2), (8, 2)])
def test_convolution_equals_the_explicit_one(
    resample: Resample, fold: bool, size: tuple[int, int]
) -> None:
    x, weight = torch.randn(2, 3, *size), torch.randn(5, 3, 3, 3)
    out = convolve(x, weight, resample, fold)
    torch.testing.assert_close(out.double(), reference(x, weight, resample), atol=1e-4, rtol=1e-4)


def test_doubling_works_from_odd_sizes_too() -> None:
    x, weight = torch.randn(2, 3, 5, 1), torch.randn(4, 3, 3, 3)
    expected = reference(x, weight, "up")
    for fold in (False, True):
        out = convolve(x, weight, "up", fold)
        assert out.shape == (2, 4, 10, 2)
        torch.testing.assert_close(out.double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("resample", "fold"), WAYS)
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_equals_weights_of_each_image(
    resample: Resample, fold: bool, demodulate: bool
) -> None:
    x, weight, styles = torch.randn(3, 4, 6, 4), torch.randn(5, 4, 3, 3), torch.randn(3, 4)
    expected = []
    for image, style in zip(x, styles, strict=True):
        own = weight.double() * style.double()[:, None, None]
        if demodulate:
            own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(reference(image[None], own, resample))
    out = modulated_convolve(x, weight, styles, demodulate=demodulate, resample=resample, fold=fold)
    torch.testing.assert_close(out.double(), torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_demodulation_gives_unit_variance_whatever_the_styles() -> None:
    x = torch.randn(4, 32, 24, 24)
    styles = torch.randn(4, 32) * torch.tensor([[1e-2], [1.0], [30.0], [1e3]])
    out = modulated_convolve(x, torch.randn(16, 32, 3, 3), styles)
    inside = out[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inside.var((1, 2, 3)), torch.ones(4), atol=0.1, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_survives_large_styles_and_weights(dtype: torch.dtype) -> None:
    x, weight = torch.randn(2, 16, 8, 8) * 100, torch.randn(8, 16, 3, 3) * 100
    styles = torch.randn(2, 16) * 1000
    out = modulated_convolve(x.to(dtype), weight, styles)
    assert out.dtype == dtype
    close = modulated_convolve(x, weight, styles)
    error = (out.float() - close).square().mean().sqrt() / close.square().mean().sqrt()
    assert error < {torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]


def test_16_bit_has_the_gradients_of_32_bit() -> None:
    """Both factors that keep it small are left out of the gradient, since they cancel."""
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(1)
        x, out = torch.randn(2, 16, 8, 8), torch.randn(2, 8, 8, 8)
        weight, styles = (torch.randn(shape).requires_grad_() for shape in ((8, 16, 3, 3), (2, 16)))
        loss = (modulated_convolve(x.to(dtype), weight, styles).float() * out).sum()
        gradients.append(torch.autograd.grad(loss, (weight, styles)))
    for exact, close in zip(*gradients, strict=True):
        assert (exact - close).norm() / exact.norm() < 2e-2


def test_equalized_learning_rate() -> None:
    """Weights start as N(0, 1) / multiplier; how they are used makes up for it."""
    dense = Dense(400, 300, lr_multiplier=0.01, bias_init=2.0)
    assert dense.weight.std().item() == pytest.approx(100, rel=0.02)
    assert dense.bias[0].item() == pytest.approx(200)
    x = torch.randn(5, 400)
    expected = x @ (dense.weight * 0.01 / math.sqrt(400)).T + 2.0
    torch.testing.assert_close(dense(x), expected)
    conv = Conv(20, 30, 3, activated=False, gain=0.5)
    assert conv.weight.std().item() == pytest.approx(1, rel=0.03)
    y = torch.randn(1, 20, 5, 5)
    expected = F.conv2d(y, conv.weight * 0.5 / math.sqrt(180), padding=1)
    torch.testing.assert_close(conv(y), expected)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: Dense(256, 256, activated=True), (64, 256)),
        (lambda: Dense(256, 256, activated=True, lr_multiplier=0.01), (64, 256)),
        (lambda: Conv(64, 64, 1), (8, 64, 16, 16)),
        (lambda: Conv(64, 64, 3), (8, 64, 16, 16)),
    ],
)
def test_layers_keep_the_second_moment(layer: type[nn.Module], shape: tuple[int, ...]) -> None:
    out = layer()(torch.randn(shape))
    if out.dim() == 4:
        out = out[:, :, 1:-1, 1:-1]
    assert out.square().mean().item() == pytest.approx(1, abs=0.1)


def test_activation() -> None:
    x = torch.tensor([-1.0, 0.0, 2.0, 1000.0])
    root = math.sqrt(2)
    torch.testing.assert_close(
        activate(x, gain=0.5), torch.tensor([-0.1 * root, 0.0, root, 500 * root])
    )
    assert activate(x, gain=0.5, clamp=256.0)[-1] == 128
    assert activate(-x * 100, clamp=256.0)[-1] == -256


def test_conv_applies_its_gain_after_the_bias_and_its_clamp_last() -> None:
    conv = Conv(4, 4, 3, gain=math.sqrt(0.5), clamp=1.0)
    nn.init.constant_(conv.bias, 100.0)
    torch.testing.assert_close(conv(torch.randn(1, 4, 4, 4)), torch.full((1, 4, 4, 4), 0.5**0.5))


def test_normalize_2nd_moment() -> None:
    x = torch.randn(3, 50) * torch.tensor([[1e-2], [1.0], [1e3]])
    out = normalize_2nd_moment(x)
    torch.testing.assert_close(out.square().mean(1), torch.ones(3), atol=1e-3, rtol=0)
    assert torch.equal(out.sign(), x.sign())
    assert normalize_2nd_moment(torch.zeros(1, 4)).isfinite().all()


def test_styled_conv_adds_noise_by_its_strength() -> None:
    layer = StyledConv(4, 6, 5, (8, 6))
    x, w, noise = torch.randn(2, 4, 8, 6), torch.randn(2, 5), torch.randn(2, 1, 8, 6)
    silent = layer(x, w, torch.zeros_like(noise))
    assert torch.equal(layer(x, w, noise), silent)  # starts without
    nn.init.constant_(layer.noise_strength, 2.0)
    loud = layer(x, w, noise)
    assert not torch.equal(loud, silent)
    for dtype in (torch.float64, torch.bfloat16):
        other = layer(x, w, noise.to(dtype))
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, loud, atol=0.1, rtol=0.1)


def test_styles_start_around_one() -> None:
    layer = StyledConv(64, 8, 64, (4, 4))
    styles = layer.style(normalize_2nd_moment(torch.randn(256, 64)))
    assert styles.mean().item() == pytest.approx(1, abs=0.1)
    assert styles.std().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("resample", "fold"), [w for w in WAYS if w[0] != "down"])
def test_styled_conv_is_twice_differentiable(resample: Resample, fold: bool) -> None:
    size = (4, 2) if resample == "up" else (2, 1)
    layer = StyledConv(2, 2, 3, size, resample=resample, fold=fold).double()
    nn.init.constant_(layer.noise_strength, 0.5)
    x = torch.randn(2, 2, 2, 1).double().requires_grad_()
    w = torch.randn(2, 3).double().requires_grad_()
    noise = torch.randn(2, 1, *size).double()
    assert torch.autograd.gradcheck(lambda x, w: layer(x, w, noise), (x, w))
    assert torch.autograd.gradgradcheck(lambda x, w: layer(x, w, noise), (x, w))


@pytest.mark.parametrize("fold", [False, True])
def test_conv_down_is_twice_differentiable(fold: bool) -> None:
    layer = Conv(2, 2, 3, resample="down", fold=fold).double()
    x = torch.randn(1, 2, 4, 2).double().requires_grad_()
    assert torch.autograd.gradgradcheck(layer, x)


def test_to_rgb_is_not_demodulated() -> None:
    layer = ToRGB(16, 8)
    x, w = torch.randn(2, 16, 4, 4), torch.randn(2, 8)
    torch.testing.assert_close(layer(3 * x, w), 3 * layer(x, w))
    assert ToRGB(16, 8, clamp=0.1)(100 * x, w).abs().max() <= 0.1
