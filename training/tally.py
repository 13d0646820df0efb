"""Means over a tick, that a snapshot in the middle of it carries on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Tally:
    """Sums and counts of the columns of steps.

    Parameters
    ----------
    columns
        Names of the figures.
    lazy
        Those that not every step has: NaN there is no figure. Elsewhere NaN is what was measured,
        and makes a mean NaN.
    """

    def __init__(self, columns: tuple[str, ...], lazy: tuple[str, ...] = ()) -> None:
        self.columns, self.lazy = columns, lazy
        self._lazy = torch.tensor([name in lazy for name in columns])
        self._sums = torch.zeros(len(columns), dtype=torch.float64)
        self._counts = torch.zeros(len(columns), dtype=torch.int64)
        self.steps = 0
        self.seconds = 0.0
        self.waited = 0.0

    def add(self, rows: Tensor) -> None:
        """Add steps, a Tensor of shape (steps, columns)."""
        absent = torch.isnan(rows) & self._lazy
        self._sums += rows.double().masked_fill(absent, 0).sum(0)
        self._counts += (~absent).sum(0)
        self.steps += len(rows)

    def means(self) -> dict[str, float]:
        """Give the mean of each column that was there at all."""
        return {
            name: (total / count).item()
            for name, total, count in zip(self.columns, self._sums, self._counts, strict=True)
            if count
        }

    def clear(self) -> None:
        """Start the next tick."""
        self.__init__(self.columns, self.lazy)  # type: ignore[misc]

    def state(self) -> dict[str, Any]:
        """Give what `restore` takes; JSON holds it without loss."""
        return {
            "sums": dict(zip(self.columns, self._sums.tolist(), strict=True)),
            "counts": dict(zip(self.columns, self._counts.tolist(), strict=True)),
            "steps": self.steps,
            "seconds": self.seconds,
            "waited": self.waited,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for at, name in enumerate(self.columns):
            self._sums[at] = state["sums"].get(name, 0.0)
            self._counts[at] = state["counts"].get(name, 0)
        self.steps = int(state["steps"])
        self.seconds, self.waited = float(state["seconds"]), float(state["waited"])
