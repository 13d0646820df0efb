"""The residual discriminator of StyleGAN2 (https://arxiv.org/abs/1912.04958)."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from training.config import NetworkConfig
from training.errors import SetupError
from training.networks import fir
from training.networks.layers import EPS, Conv, Dense
from training.networks.mapping import Mapping
from training.networks.size import Size, channels, name_of, pyramid

RESIDUAL_GAIN: Final = math.sqrt(0.5)  # of two branches that are added


class ResidualBlock(nn.Module):
    """Two convolutions and a short cut that go down by one resolution.

    (N, C_in, h, w) to (N, C_out, h / 2, w / 2).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        half: torch.dtype | None,
        clamp: float | None,
        fold: bool,
    ) -> None:
        super().__init__()
        self.half_type = half
        self.conv0 = Conv(in_channels, in_channels, 3, clamp=clamp)
        self.conv1 = Conv(
            in_channels,
            out_channels,
            3,
            resample="down",
            fold=fold,
            gain=RESIDUAL_GAIN,
            clamp=clamp,
        )
        self.skip = Conv(in_channels, out_channels, 1, activated=False, gain=RESIDUAL_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        x = x.to(self.conv0.weight.dtype if self.half_type is None else self.half_type)
        down: Tensor = self.conv1(self.conv0(x)) + self.skip(fir.downsample(x))
        return down


class Head(nn.Module):
    """From features at the base resolution to logits.

    Parameters
    ----------
    config
        Resolved.
    size
        Height and width of the base, px.
    labels
        How many classes; 0 if there are none.
    """

    def __init__(self, config: NetworkConfig, size: Size, labels: int) -> None:
        super().__init__()
        assert config.mapping_layers is not None, "the configuration is not resolved"
        assert config.mbstd_group is not None, "the configuration is not resolved"
        width = channels(config, size)
        if width % config.mbstd_channels:
            raise SetupError(
                f"`network.mbstd_channels` must divide the {width} channels of the lowest "
                f"resolution, got {config.mbstd_channels}; use "
                f"{math.gcd(width, config.mbstd_channels)}"
            )
        self.group, self.std_channels = config.mbstd_group, config.mbstd_channels
        self.conv = Conv(width + self.std_channels, width, 3)
        self.dense = Dense(width * size[0] * size[1], width, activated=True)
        self.out = Dense(width, width if labels else 1)
        self.mapping = Mapping(0, width, config.mapping_layers, labels) if labels else None

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Judge a batch.

        Parameters
        ----------
        features : float32 Tensor of shape (N, C, h0, w0)
        labels : int64 Tensor of shape (N,), or None if there are no classes

        Returns
        -------
        float32 Tensor of shape (N,)
        """
        if labels is not None and self.mapping is None:
            raise ValueError(
                "`labels` must not be given to a network without classes, "
                f"got {labels.shape[0]}; leave them out"
            )
        spread = minibatch_std(features, self.group, self.std_channels)
        x = self.conv(torch.cat((features, spread), dim=1))
        x = self.out(self.dense(x.flatten(1)))
        if self.mapping is not None:
            # Projection onto the class (https://arxiv.org/abs/1802.05637).
            x = (x * self.mapping(None, labels)).sum(1) * (1 / math.sqrt(x.shape[1]))
        logits: Tensor = x.view(-1)
        return logits


class Discriminator(nn.Module):
    """Pictures to logits, high for real ones.

    Parameters
    ----------
    config
        Resolved.
    size
        Height and width of the pictures, px.
    labels
        How many classes; 0 if there are none.
    half
        Number type of the activations in the highest `config.half_resolutions`; the base stays in
        float32 whatever that says. Weights and logits are float32.
    fold_fir
        Fold the low-pass filter into the weights where the resolution halves; the same logits up to
        rounding, four times the products. Which is faster depends on the machine.

    Raises
    ------
    SetupError
        If `size` is not base × 2^k, or `mbstd_channels` does not divide the channels of the base.
    """

    def __init__(
        self,
        config: NetworkConfig,
        size: Size,
        labels: int = 0,
        half: torch.dtype | None = None,
        *,
        fold_fir: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.labels = size, labels
        sizes = pyramid(size).sizes
        top = len(sizes) - 1
        first_half = max(len(sizes) - config.half_resolutions, 1)

        def number_type(index: int) -> torch.dtype | None:
            return half if index >= first_half else None

        def clamp(index: int) -> float | None:
            return None if number_type(index) is None else config.conv_clamp

        self.half_type = number_type(top)
        width = channels(config, size)
        self.from_rgb = nn.ModuleDict({name_of(size): Conv(3, width, 1, clamp=clamp(top))})
        self.blocks = nn.ModuleDict()
        for index in range(top, 0, -1):
            self.blocks[name_of(sizes[index])] = ResidualBlock(
                channels(config, sizes[index]),
                channels(config, sizes[index - 1]),
                half=number_type(index),
                clamp=clamp(index),
                fold=fold_fir,
            )
        self.head = Head(config, sizes[0], labels)

    def features(self, images: Tensor) -> Tensor:
        """Describe each picture by itself, before a batch is compared.

        Parameters
        ----------
        images : Tensor of shape (N, 3, H, W)

        Returns
        -------
        float32 Tensor of shape (N, C, h0, w0)
        """
        full = self.head.conv.weight.dtype
        x = images.to(full if self.half_type is None else self.half_type)
        for module in (*self.from_rgb.values(), *self.blocks.values()):
            x = module(x)
        return x.to(full)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Judge a batch.

        Parameters
        ----------
        images : Tensor of shape (N, 3, H, W), about [-1, 1]
        labels : int64 Tensor of shape (N,), or None if there are no classes

        Returns
        -------
        float32 Tensor of shape (N,)
        """
        logits: Tensor = self.head(self.features(images), labels)
        return logits


def minibatch_std(x: Tensor, group: int, channels: int = 1) -> Tensor:
    """Give how much the images of a group differ (https://arxiv.org/abs/1710.10196, section 3).

    Image i is in group i mod (N // `group`), so the groups of a batch are also those of its strided
    parts. Where `group` does not divide N, some groups are larger; a batch smaller than `group` is
    one group.

    Parameters
    ----------
    x : Tensor of shape (N, C, h, w)
    group
        Images in a group.
    channels
        C is split into so many parts, each averaged by itself; must divide C.

    Returns
    -------
    Tensor of shape (N, channels, h, w)
        The same at every place of a channel.
    """
    n, c, h, w = x.shape
    groups = max(n // group, 1)
    if n % groups == 0:
        variance = x.reshape(n // groups, groups, c, h, w).var(0, correction=0)
    else:
        variance = torch.stack([x[g::groups].var(0, correction=0) for g in range(groups)])
    std = (variance + EPS).sqrt().reshape(groups, channels, -1).mean(2)
    of_image = torch.arange(n, device=x.device) % groups
    return std[of_image][:, :, None, None].expand(-1, -1, h, w)
