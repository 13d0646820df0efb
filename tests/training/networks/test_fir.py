"""The low-pass filter, against an explicit two-dimensional one in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.networks import fir

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
KERNEL = torch.outer(TAPS, TAPS) / TAPS.sum() ** 2
SIDES = st.integers(1, 9)


def explicit(x: Tensor, before: int, after: int, gain: float = 1.0) -> Tensor:
    """Pad, and filter each channel with a dense 4 × 4 kernel."""
    n, c, h, w = x.shape
    flat = F.pad(x.double().reshape(n * c, 1, h, w), (before, after, before, after))
    out = F.conv2d(flat, gain * KERNEL[None, None])
    return out.reshape(n, c, *out.shape[2:])


def zeros_between(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    out = torch.zeros(n, c, 2 * h, 2 * w, dtype=torch.float64)
    out[:, :, ::2, ::2] = x
    return out


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@settings(deadline=None)
@given(h=SIDES, w=SIDES, pad=st.integers(2, 3))
def test_blur(h: int, w: int, pad: int) -> None:
    x = random(2, 3, h, w)
    expected = explicit(x, pad, pad, gain=4.0)
    torch.testing.assert_close(fir.blur(x, pad, gain=4.0).double(), expected, atol=1e-6, rtol=1e-5)


@settings(deadline=None)
@given(h=SIDES, w=SIDES)
def test_downsample(h: int, w: int) -> None:
    x = random(2, 3, 2 * h, 2 * w)
    expected = explicit(x, 1, 1)[:, :, ::2, ::2]
    torch.testing.assert_close(fir.downsample(x).double(), expected, atol=1e-6, rtol=1e-5)


@settings(deadline=None)
@given(h=SIDES, w=SIDES)
def test_upsample(h: int, w: int) -> None:
    x = random(2, 3, h, w)
    expected = explicit(zeros_between(x), 2, 1, gain=4.0)
    torch.testing.assert_close(fir.upsample(x).double(), expected, atol=1e-6, rtol=1e-5)


def test_a_flat_picture_stays_flat_away_from_the_border() -> None:
    flat = torch.ones(1, 1, 12, 12)
    for out in (fir.upsample(flat), fir.downsample(flat), fir.blur(flat, 2)):
        inside = out[:, :, 2:-2, 2:-2]
        torch.testing.assert_close(inside, torch.ones_like(inside))
        assert (out[:, :, 0] < 1).all()  # outside is zero


def test_halving_kills_stripes_that_it_could_not_show() -> None:
    stripes = torch.tensor([1.0, -1.0]).repeat(8).expand(1, 1, 16, 16)
    assert fir.downsample(stripes)[:, :, 1:-1, 1:-1].abs().max() < 1e-6


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_is_kept(layout: torch.memory_format) -> None:
    x = random(2, 3, 6, 4)
    laid = x.contiguous(memory_format=layout)
    for function in (fir.upsample, fir.downsample, lambda y: fir.blur(y, 2)):
        out = function(laid)
        assert out.is_contiguous(memory_format=layout)
        torch.testing.assert_close(out, function(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_neither_changes_type_nor_overflows(dtype: torch.dtype) -> None:
    x = torch.full((1, 1, 12, 12), 30000.0, dtype=dtype)
    for out in (fir.upsample(x), fir.downsample(x), fir.blur(x, 2)):
        assert out.dtype == dtype
        assert out[0, 0, 3, 3].item() == pytest.approx(30000, rel=1e-2)


def test_twice_differentiable() -> None:
    x = random(1, 2, 4, 6).double().requires_grad_()
    for function in (fir.upsample, fir.downsample, lambda y: fir.blur(y, 1)):
        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradgradcheck(function, x)
