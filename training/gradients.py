"""Gradients of a network as one flat tensor: zeroed, averaged over processes and mended at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.distributed import Team


class FlatGradients:
    """Gradients of parameters, which hold views of one buffer."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        first = self.parameters[0]
        self.buffer = torch.zeros(sum(p.numel() for p in self.parameters), device=first.device)
        ends = torch.tensor([p.numel() for p in self.parameters]).cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        self._views = [
            self.buffer[start:end].view_as(p)
            for p, start, end in zip(self.parameters, starts, ends, strict=True)
        ]

    def zero(self) -> None:
        """Start anew."""
        self.buffer.zero_()
        for parameter, view in zip(self.parameters, self._views, strict=True):
            parameter.grad = view

    def finish(self, team: Team) -> Tensor:
        """Average over the processes, and take out what is not finite.

        Returns
        -------
        Tensor of shape ()
            1 where something was not finite, else 0.
        """
        team.mean_(self.buffer)
        # One number is finite only if all are: cheaper than looking at each.
        broken = (~torch.isfinite(self.buffer.sum())).float()
        torch.nan_to_num(self.buffer, nan=0.0, posinf=1e5, neginf=-1e5, out=self.buffer)
        return broken
