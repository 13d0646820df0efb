"""How far two pictures are apart as they are seen: the measure that projection descends.

A `Perceiver` turns pictures into features whose squared distance is what is measured. That of D
needs no download: the activations of a discriminator know what the pictures of its set are made of.
Unit channels, averaged over places, are those of LPIPS (https://arxiv.org/abs/1801.03924), whose
own weights are taken where they are at hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import torch
from torch import Tensor

from training.encoder import area_resize, exact
from training.inception import load_lpips
from training.models import Model
from training.networks import Discriminator
from training.watch.grids import Pixels, to_tensor

_EPS: Final = 1e-8
_PIXEL_SIDE: Final = 32  # px: what is compared as pixels is no larger
_PIXEL_WEIGHT: Final = 1.0
_LPIPS_SIDE: Final = 256  # px: pictures are brought down to it, as projection was published


class Perceiver(Protocol):
    """Features of pictures; their squared distance says how different two of them look.

    Attributes
    ----------
    name : str
        Goes with every figure; distances are compared under one name only.
    """

    name: str

    def __call__(self, images: Tensor) -> Tensor:
        """Describe pictures, each by itself, in a way that has gradients.

        Parameters
        ----------
        images : Tensor of shape (N, 3, H, W)
            As the networks know them: about [-1, 1], inverted where they are.

        Returns
        -------
        float32 Tensor of shape (N, F)
        """
        ...


class JudgedPerceiver:
    """What D sees: all its levels alike, and the colours of the picture made small.

    Every place of a level is a vector of length 1, so no level has more to say by being larger.
    What is alike in everything that D computes may differ in tint: the mean square of the
    differences of pixels, of a picture at most 32 px high and wide, is added.

    Parameters
    ----------
    model : Model

    Attributes
    ----------
    name : str
        Has that of the snapshot: each D has a measure of its own.
    """

    def __init__(self, model: Model) -> None:
        self.name = f"d-{model.name}"
        self._D = model.D

    def __call__(self, images: Tensor) -> Tensor:
        """Describe pictures; see `Perceiver`."""
        with exact(images.device):
            levels = [_unit(level) for level in levels_of(self._D, images)]
            small = area_resize(images, _within(images.shape[-2:], _PIXEL_SIDE))
            shares = [level.flatten(1) * _root_share(level, len(levels)) for level in levels]
            pixels = small.flatten(1) * math.sqrt(_PIXEL_WEIGHT / small[0].numel())
            return torch.cat((*shares, pixels), dim=1)


class LpipsPerceiver:
    """LPIPS by VGG-16, as projection was published.

    Parameters
    ----------
    path
        File of weights; see `training.inception.load_lpips`.
    model : Model
        Whose pictures are looked at: where they are inverted, they are turned back.

    Attributes
    ----------
    name : str
        Has the first letters of the file's SHA-256.

    Raises
    ------
    SetupError
        If the file is not those weights.
    """

    def __init__(self, path: Path, model: Model) -> None:
        encoder = load_lpips(path)
        self.name = encoder.name
        module = encoder.to(model.G.w_avg.device).requires_grad_(False).module
        assert isinstance(module, torch.nn.Module)  # the encoder itself takes no gradients
        self._module, self._sign = module, -1.0 if model.inverted else 1.0

    def __call__(self, images: Tensor) -> Tensor:
        """Describe pictures; see `Perceiver`."""
        with exact(images.device):
            pixels = (images * self._sign + 1) * 127.5
            pixels = area_resize(pixels, _within(images.shape[-2:], _LPIPS_SIDE))
            features: Tensor = self._module(pixels, resize_images=False, return_lpips=True)
            return features.flatten(1).float()


def distances(features: Tensor, others: Tensor) -> Tensor:
    """Measure how far pictures are apart, by their features (…, F); 0 where they are the same."""
    return (features - others).square().sum(-1)


def as_known(pixels: Pixels, model: Model) -> Tensor:
    """Give pictures as the networks of a model know them.

    Parameters
    ----------
    pixels : ndarray of shape (N, H, W, 3), uint8
        As people see them.
    model : Model

    Returns
    -------
    float32 Tensor of shape (N, 3, H, W) on the model's device, in [-1, 1]
        Inverted where the model is trained on 255 - x.
    """
    images = to_tensor(torch.from_numpy(pixels)).permute(0, 3, 1, 2).contiguous()
    return (-images if model.inverted else images).to(model.G.w_avg.device)


def levels_of(D: Discriminator, images: Tensor) -> Iterator[Tensor]:
    """Yield the activations of D, from the highest resolution to the base, float32 (N, C, h, w)."""
    x = images if D.half_type is None else images.to(D.half_type)
    for module in (*D.from_rgb.values(), *D.blocks.values()):
        x = module(x)
        yield x.float()


def _unit(x: Tensor) -> Tensor:
    """Scale the channels of every place to length 1; (N, C, h, w)."""
    return x * (x.square().sum(1, keepdim=True) + _EPS).rsqrt()


def _root_share(level: Tensor, of: int) -> float:
    """Give what makes sums of squares means over places and over levels."""
    return math.sqrt(1 / (of * level.shape[2] * level.shape[3]))


def _within(size: torch.Size, side: int) -> tuple[int, int]:
    scale = min(side / max(size), 1.0)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
