"""How large a network is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class SummaryRow:
    """One layer: its name, the shape of its largest tensor, and its parameters."""

    name: str
    shape: tuple[int, ...]
    parameters: int


def parameter_summary(module: nn.Module) -> list[SummaryRow]:
    """Give a row for each submodule with parameters of its own, in order."""
    rows = []
    for name, part in module.named_modules():
        own = list(part.parameters(recurse=False))
        if own:
            largest = max(own, key=lambda parameter: parameter.numel())
            rows.append(SummaryRow(name, tuple(largest.shape), sum(p.numel() for p in own)))
    return rows


def parameter_count(module: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(parameter.numel() for parameter in module.parameters())
