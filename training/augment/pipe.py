"""All augmentations of a batch: drawn, then applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.augment.colour import colour_matrices, recolour
from training.augment.draws import draw
from training.augment.filters import PADDING
from training.augment.geometry import geometry_matrices
from training.augment.warp import warped
from training.config import AugmentConfig
from training.errors import SetupError


@dataclass(frozen=True, eq=False)
class AugmentParameters:
    """How each of `n` pictures is transformed.

    Attributes
    ----------
    geometry : Tensor of shape (n, 3, 3), float32
        From (x, y, 1) in the result to (x, y, 1) in the picture: in pixels, from its centre.
    colour : Tensor of shape (n, 4, 4), float32
        From (red, green, blue, 1) to (red, green, blue, 1).
    """

    geometry: Tensor
    colour: Tensor

    def rows(self, rows: slice) -> AugmentParameters:
        """Give those of some of the pictures."""
        return AugmentParameters(self.geometry[rows], self.colour[rows])

    @staticmethod
    def joined(parts: Sequence[AugmentParameters]) -> AugmentParameters:
        """Give those of all pictures of several batches, one after another."""
        return AugmentParameters(
            torch.cat([part.geometry for part in parts]), torch.cat([part.colour for part in parts])
        )


class AugmentPipe:
    """Augmentation that does not leak into what is generated (arXiv:2006.06676, appendix B).

    Parameters
    ----------
    config
        Strengths of the transformations; `p`, `mode` and the like are the caller's business.
    size
        (H, W) of the pictures.

    Raises
    ------
    SetupError
        If a side is too short to be filtered.
    """

    def __init__(self, config: AugmentConfig, size: tuple[int, int]) -> None:
        if min(size) <= PADDING:
            raise SetupError(
                f"`size` must be at least {PADDING + 1} px a side to be augmented, got {size}; "
                "train on larger pictures, or with augment.mode=off"
            )
        self.config = config
        self.size = size

    def draw(
        self,
        n: int,
        p: Tensor | float,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> AugmentParameters:
        """Draw how `n` pictures are transformed.

        Parameters
        ----------
        p : float, or Tensor of shape () on `device`
            Chance of each transformation, from [0, 1].
        generator
            Taken as many numbers from, whatever `p` and the strengths are; may live elsewhere than
            on `device`.
        """
        draws = draw(
            n,
            p,
            config=self.config,
            size=self.size,
            generator=generator,
            device=torch.device(device),
        )
        return AugmentParameters(geometry_matrices(draws), colour_matrices(draws))

    def apply(self, images: Tensor, parameters: AugmentParameters) -> Tensor:
        """Transform pictures. Affine in them, and differentiable any number of times.

        Parameters
        ----------
        images : Tensor of shape (N, 3, H, W), floating point, about [-1, 1]
        parameters
            Of N pictures, on the same device; they get no gradient.

        Returns
        -------
        Tensor of shape (N, 3, H, W)
            Of the type of `images`, computed in float32 or better, and not clipped.

        Raises
        ------
        ValueError
            If `images` are of another shape or type than that.
        """
        expected = (len(parameters.geometry), 3, *self.size)
        if images.shape != expected or not images.is_floating_point():
            raise ValueError(
                f"`images` must be floating point of shape {expected}, got {images.dtype} of shape "
                f"{tuple(images.shape)}; draw parameters for as many pictures of this size"
            )
        precise = torch.promote_types(images.dtype, torch.float32)
        warped_images = warped(images.to(precise), parameters.geometry.to(precise))
        return recolour(warped_images, parameters.colour.to(precise)).to(images.dtype)
