"""The generator of StyleGAN2 for any H × W = base × 2^k (https://arxiv.org/abs/1912.04958).

Nothing random is drawn inside of it: latents and noise come from outside, so a compiled generator,
or one on two GPUs, gives what a plain one gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.config import NetworkConfig
from training.networks import fir
from training.networks.layers import Resample, StyledConv, ToRGB
from training.networks.mapping import Mapping
from training.networks.size import Size, channels, name_of, pyramid


class SynthesisLevel(nn.Module):
    """One resolution: one or two styled convolutions, and what they add to the picture.

    Parameters
    ----------
    in_channels
        Of the resolution below; 0 for the base, which starts from a learned constant.
    out_channels, w_dim
    size
        Height and width, px.
    half
        Number type of the activations; None: that of the weights.
    clamp, fold
        See `StyledConv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        size: Size,
        *,
        half: torch.dtype | None,
        clamp: float | None,
        fold: bool,
    ) -> None:
        super().__init__()
        self.half_type = half

        def conv(channels: int, resample: Resample) -> StyledConv:
            return StyledConv(
                channels, out_channels, w_dim, size, resample=resample, fold=fold, clamp=clamp
            )

        self.constant = None if in_channels else nn.Parameter(torch.randn(1, out_channels, *size))
        self.conv0 = conv(in_channels, "up") if in_channels else None
        self.conv1 = conv(out_channels, "none")
        self.rgb = ToRGB(out_channels, w_dim, clamp=clamp)

    @property
    def convs(self) -> list[StyledConv]:
        """The styled convolutions, in order."""
        return [self.conv1] if self.conv0 is None else [self.conv0, self.conv1]

    def forward(
        self,
        x: Tensor | None,
        picture: Tensor | None,
        ws: Sequence[Tensor],
        noises: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Go up to this resolution.

        Parameters
        ----------
        x, picture
            Activations and picture of the resolution below, None for the base.
        ws
            A w of shape (N, w_dim) for each convolution, and one for the picture.
        noises
            One for each convolution.

        Returns
        -------
        x : Tensor of shape (N, C, h, w)
        picture : float32 Tensor of shape (N, 3, h, w)
        """
        if self.constant is not None:
            x = self.constant.expand(ws[0].shape[0], -1, -1, -1)
        assert x is not None
        x = x.to(self.conv1.weight.dtype if self.half_type is None else self.half_type)
        for conv, w, noise in zip(self.convs, ws[:-1], noises, strict=True):
            x = conv(x, w, noise)
        added: Tensor = self.rgb(x, ws[-1]).to(ws[0].dtype)
        assert x is not None
        return x, added if picture is None else fir.upsample(picture) + added


class Synthesis(nn.Module):
    """From ws and noise to a picture; the levels are named by their size."""

    def __init__(
        self,
        config: NetworkConfig,
        size: Size,
        half: torch.dtype | None = None,
        fold_fir: bool = False,
    ) -> None:
        super().__init__()
        sizes = pyramid(size).sizes
        first_half = max(len(sizes) - config.half_resolutions, 1)
        self.levels = nn.ModuleDict()
        below = 0
        for index, level in enumerate(sizes):
            in_half = half is not None and index >= first_half
            here = channels(config, level)
            self.levels[name_of(level)] = SynthesisLevel(
                below,
                here,
                config.w_dim,
                level,
                half=half if in_half else None,
                clamp=config.conv_clamp if in_half else None,
                fold=fold_fir,
            )
            below = here

    @property
    def convs(self) -> list[StyledConv]:
        """The styled convolutions, from low to high; each takes a noise."""
        return [m for m in self.levels.modules() if isinstance(m, StyledConv)]

    def forward(self, ws: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Make pictures.

        Parameters
        ----------
        ws : Tensor of shape (N, num_ws, w_dim), float32
        noises
            A tensor of shape (N, 1, h, w) for each of `noise_sizes`.

        Returns
        -------
        float32 Tensor of shape (N, 3, H, W), about [-1, 1]
        """
        each = ws.unbind(1)
        x: Tensor | None = None
        picture: Tensor | None = None
        at = 0
        for level in self.levels.values():
            count = 1 if at == 0 else 2
            x, picture = level(x, picture, each[at : at + count + 1], noises[at : at + count])
            at += count
        assert picture is not None
        return picture


class Generator(nn.Module):
    """Latents to pictures.

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
        float32 whatever that says. Weights and pictures are float32.
    fold_fir
        Fold the low-pass filter into the weights where the resolution doubles; the same pictures up
        to rounding, four times the products. Which is faster depends on the machine.

    Attributes
    ----------
    num_ws
        How many w go into a picture: one for each convolution, and one for the last picture layer.
    noise_sizes
        Height and width of the noise of each convolution, px.
    w_avg : Tensor of shape (w_dim,)
        Running mean of w, kept by whoever trains.

    Raises
    ------
    SetupError
        If `size` is not base × 2^k.
    """

    w_avg: Tensor

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
        assert config.mapping_layers is not None, "the configuration is not resolved"
        self.size, self.labels = size, labels
        self.z_dim, self.w_dim = config.z_dim, config.w_dim
        self.mapping = Mapping(config.z_dim, config.w_dim, config.mapping_layers, labels)
        self.synthesis = Synthesis(config, size, half, fold_fir)
        self.noise_sizes: list[Size] = [
            (conv.fixed_noise.shape[0], conv.fixed_noise.shape[1]) for conv in self.synthesis.convs
        ]
        self.num_ws = len(self.noise_sizes) + 1
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def spread(self, w: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Give every layer the same w, pulled towards the mean.

        Parameters
        ----------
        w : Tensor of shape (N, w_dim)
        psi
            Truncation: 1 leaves w as it is, 0 gives the mean.
        cutoff
            Truncate only for so many layers, from the lowest; None: all.

        Returns
        -------
        Tensor of shape (N, num_ws, w_dim)
        """
        ws = w.unsqueeze(1).expand(-1, self.num_ws, -1)
        if psi == 1:
            return ws
        pulled = torch.lerp(self.w_avg, ws, psi)
        if cutoff is None:
            return pulled
        return torch.cat((pulled[:, :cutoff], ws[:, cutoff:]), dim=1)

    def draw_noise(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> list[Tensor]:
        """Draw noise for `n` pictures, where the generator lives, and bring it to `device`."""
        return [
            torch.randn(n, 1, h, w, generator=generator, device=generator.device).to(device)
            for h, w in self.noise_sizes
        ]

    def fixed_noise(self, n: int) -> list[Tensor]:
        """Give noise for `n` pictures that is the same for all, and every time."""
        return [conv.fixed_noise.expand(n, 1, -1, -1) for conv in self.synthesis.convs]

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        psi: float = 1.0,
        noises: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Make pictures from latents.

        Parameters
        ----------
        z : Tensor of shape (N, z_dim)
        labels : int64 Tensor of shape (N,), or None if there are no classes
        psi
            Truncation.
        noises
            See `draw_noise`; None: `fixed_noise`.

        Returns
        -------
        float32 Tensor of shape (N, 3, H, W), about [-1, 1]
        """
        ws = self.spread(self.mapping(z, labels), psi)
        pictures: Tensor = self.synthesis(
            ws, self.fixed_noise(z.shape[0]) if noises is None else noises
        )
        return pictures
