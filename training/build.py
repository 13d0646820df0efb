"""Generator, discriminator and averaged generator, as a configuration asks for them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from training.config import NetworkConfig
from training.networks import Discriminator, Generator


@dataclass(frozen=True, slots=True)
class Networks:
    """The three networks of a run; `G_ema` is what pictures are made with."""

    G: Generator
    D: Discriminator
    G_ema: Generator

    def named(self) -> dict[str, nn.Module]:
        """Give each by the prefix of its tensors in a snapshot."""
        return {"G": self.G, "D": self.D, "G_ema": self.G_ema}


def half_type(config: NetworkConfig, device: torch.device) -> torch.dtype | None:
    """Give the 16-bit type of the highest resolutions, None for 32 bit throughout."""
    match config.half:
        case "off":
            return None
        case "auto":
            return torch.bfloat16 if device.type == "cuda" else None
        case name:
            return torch.bfloat16 if name == "bfloat16" else torch.float16


def build(
    config: NetworkConfig,
    size: tuple[int, int],
    classes: int,
    device: torch.device,
    *,
    seed: int = 0,
    fold_filters: bool = False,
) -> Networks:
    """Make networks with fresh weights.

    Parameters
    ----------
    size
        Height and width, px.
    classes
        Number of labels; 0 for an unconditional model.
    seed
        Of the weights, which are drawn on the CPU and so are the same on every device.
    fold_filters
        See `SpeedConfig`.
    """
    half = half_type(config, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = Generator(config, size, classes, half, fold_fir=fold_filters)
        D = Discriminator(config, size, classes, half, fold_fir=fold_filters)
    G_ema = copy.deepcopy(G).eval().requires_grad_(False)
    return Networks(G.to(device), D.to(device), G_ema.to(device))
