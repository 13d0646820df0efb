"""From a latent z and a label to w."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.layers import Dense, normalize_2nd_moment

LR_MULTIPLIER: Final = 0.01


class Mapping(nn.Module):
    """A stack of dense layers that learn slowly.

    Parameters
    ----------
    z_dim
        Numbers in z; 0 if only the label is mapped.
    w_dim
        Numbers in the result, and in what a label is embedded in.
    layers
        How many.
    labels
        How many classes; 0 if there are none.
    """

    def __init__(self, z_dim: int, w_dim: int, layers: int, labels: int = 0) -> None:
        super().__init__()
        assert z_dim or labels, "there is nothing to map"
        self.z_dim, self.labels = z_dim, labels
        # Normalized wherever it is used, so it needs no gain.
        self.embedding = nn.Parameter(torch.randn(labels, w_dim)) if labels else None
        width = z_dim + (w_dim if labels else 0)
        self.layers = nn.Sequential(
            *(
                Dense(w_dim if i else width, w_dim, activated=True, lr_multiplier=LR_MULTIPLIER)
                for i in range(layers)
            )
        )

    def forward(self, z: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """Map.

        Parameters
        ----------
        z : Tensor of shape (N, z_dim), or None if z_dim is 0
        labels : int64 Tensor of shape (N,), or None if there are no classes

        Returns
        -------
        Tensor of shape (N, w_dim)

        Raises
        ------
        ValueError
            If labels are missing, or there should be none.
        """
        if (labels is None) != (self.embedding is None):
            got = "none" if labels is None else f"{labels.shape[0]}"
            raise ValueError(
                f"`labels` must be given if and only if a network has classes: got {got}, for a "
                f"network of {self.labels} classes"
            )
        parts = [] if z is None else [normalize_2nd_moment(z)]
        if labels is not None and self.embedding is not None:
            parts.append(normalize_2nd_moment(F.embedding(labels, self.embedding)))
        w: Tensor = self.layers(torch.cat(parts, dim=1))
        return w
