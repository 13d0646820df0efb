"""The layers that generator and discriminator are made of.

Weights start as N(0, 1) and are scaled where they are used, so that Adam moves all of them at the
same relative speed: equalized learning rate (https://arxiv.org/abs/1710.10196, section 4.1).
Weights are kept as float32; a layer computes in the number type of its input.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks import fir

SLOPE: Final = 0.2
ACTIVATION_GAIN: Final = math.sqrt(2)
EPS: Final = 1e-8

Resample = Literal["none", "up", "down"]


def activate(x: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Leaky ReLU that keeps the second moment, times `gain`, cut off at ±`clamp` × `gain`."""
    x = F.leaky_relu(x, SLOPE) * (ACTIVATION_GAIN * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def normalize_2nd_moment(x: Tensor) -> Tensor:
    """Scale each row to a mean square of 1; (N, C) to (N, C)."""
    return x * (x.square().mean(dim=1, keepdim=True) + EPS).rsqrt()


def convolve(x: Tensor, weight: Tensor, resample: Resample = "none", fold: bool = False) -> Tensor:
    """Convolve, with the filter [1, 3, 3, 1] where the resolution changes.

    Parameters
    ----------
    x : Tensor of shape (N, C_in, h, w)
    weight : Tensor of shape (C_out, C_in, k, k), k odd
    resample
        Whether to double or halve the resolution; k is 3 then. Doubling takes `weight` as that of a
        transposed convolution.
    fold
        Fold the filter into the weights: one convolution with four times the products and no pass
        over the activations besides. The same result, up to rounding.
    """
    if resample == "up":
        if fold:
            return F.pixel_shuffle(F.conv2d(x, fir.fold_up(weight), padding=1), 2)
        return fir.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, gain=4.0)
    if resample == "down":
        if fold:
            return F.conv2d(x, fir.fold_down(weight), stride=2, padding=2)
        return F.conv2d(fir.blur(x, 2), weight, stride=2)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def modulated_convolve(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    resample: Resample = "none",
    fold: bool = False,
) -> Tensor:
    """Convolve with weights that differ from image to image.

    The input channels are scaled by the styles before, the output channels to unit variance after
    (https://arxiv.org/abs/1912.04958, equations 1 and 3): the same as scaling the weights of every
    image, without a grouped convolution.

    Parameters
    ----------
    x : Tensor of shape (N, C_in, h, w)
    weight : Tensor of shape (C_out, C_in, k, k), float32
    styles : Tensor of shape (N, C_in), float32
    demodulate
        Scale the output channels to what unit variance in would give unit variance out. It cancels
        every common factor of the weights, so they need no gain.
    resample, fold
        See `convolve`.
    """
    if demodulate and x.dtype in (torch.float16, torch.bfloat16):
        weight, styles = _tamed(weight, styles)
    x = x * styles.to(x.dtype)[:, :, None, None]
    x = convolve(x, weight.to(x.dtype), resample, fold)
    if demodulate:
        energy = styles.square() @ weight.square().sum((2, 3)).t()
        x = x * (energy + EPS).rsqrt().to(x.dtype)[:, :, None, None]
    return x


def _tamed(weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Scale weights and styles such that 16-bit products of them cannot overflow.

    Demodulation cancels both factors, hence their gradients, which are not taken.
    """
    fan_in = weight[0].numel()
    largest = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(EPS)
    strongest = styles.detach().abs().amax(1, keepdim=True).clamp_min(EPS)
    return weight / (largest * math.sqrt(fan_in)), styles / strongest


class Dense(nn.Module):
    """A fully connected layer; (N, C_in) to (N, C_out).

    Parameters
    ----------
    in_features, out_features
    activated
        Put `activate` behind it.
    lr_multiplier
        Learn so many times as fast as other layers.
    bias_init
        Each bias at the start, as it takes effect.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activated: bool = False,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activated = activated
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        x = F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)
        return activate(x) if self.activated else x


class Conv(nn.Module):
    """A convolution, with bias and activation or without both; (N, C_in, h, w) to (N, C_out, …).

    Parameters
    ----------
    in_channels, out_channels, kernel
    resample, fold
        See `convolve`.
    activated
        Add a bias and put `activate` behind it.
    gain
        Factor on the result.
    clamp
        Cut the activations off at ± this × `gain`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        resample: Resample = "none",
        fold: bool = False,
        activated: bool = True,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.resample, self.fold = resample, fold
        self.gain, self.clamp = gain, clamp
        self.weight_gain = 1 / math.sqrt(in_channels * kernel**2)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activated else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        gain = self.weight_gain if self.bias is not None else self.weight_gain * self.gain
        x = convolve(x, (self.weight * gain).to(x.dtype), self.resample, self.fold)
        if self.bias is None:
            return x
        return activate(x + self.bias.to(x.dtype)[:, None, None], self.gain, self.clamp)


class StyledConv(nn.Module):
    """A modulated 3 × 3 convolution with noise, bias and activation.

    Parameters
    ----------
    in_channels, out_channels, w_dim
    size
        Height and width of the result, px.
    resample, fold
        See `convolve`.
    clamp
        Cut the activations off at ± this.

    Attributes
    ----------
    fixed_noise : Tensor of shape (h, w)
        For pictures that shall come out the same every time.
    """

    fixed_noise: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        size: tuple[int, int],
        *,
        resample: Resample = "none",
        fold: bool = False,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.resample, self.fold, self.clamp = resample, fold, clamp
        self.style = Dense(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("fixed_noise", torch.randn(size))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """Apply.

        Parameters
        ----------
        x : Tensor of shape (N, C_in, h, w)
        w : Tensor of shape (N, w_dim), float32
        noise : Tensor of shape (N, 1, h, w) of the result
        """
        x = modulated_convolve(
            x, self.weight, self.style(w), resample=self.resample, fold=self.fold
        )
        x = x + noise.to(x.dtype) * self.noise_strength.to(x.dtype)
        return activate(x + self.bias.to(x.dtype)[:, None, None], clamp=self.clamp)


class ToRGB(nn.Module):
    """A modulated 1 × 1 convolution to red, green and blue; (N, C, h, w) to (N, 3, h, w)."""

    def __init__(self, in_channels: int, w_dim: int, *, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.weight_gain = 1 / math.sqrt(in_channels)
        self.style = Dense(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Apply."""
        styles = self.style(w) * self.weight_gain
        x = modulated_convolve(x, self.weight, styles, demodulate=False)
        x = x + self.bias.to(x.dtype)[:, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
