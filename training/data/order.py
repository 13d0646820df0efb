"""In which order samples are trained on: a pure function of the seed and the position.

Position k is in epoch k // n. Every epoch is a permutation of its own, made when it is needed. Only
raw numbers of the generator are used, which NumPy keeps the same from release to release, so that a
run that is resumed elsewhere goes on in the same order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MIRROR = 1  # sets the draws for mirroring apart from those of the order


class Order:
    """The order of n samples, without end.

    Parameters
    ----------
    samples
        How many there are, >= 1. Memory: 9 bytes each.
    seed
        >= 0.
    mirror
        Whether every position is mirrored with a probability of 1/2.
    """

    def __init__(self, samples: int, *, seed: int, mirror: bool = False) -> None:
        if samples < 1:
            raise ValueError(f"`samples` must be >= 1, got {samples=}")
        self.samples = samples
        self.seed = seed
        self.mirror = mirror
        self._epoch = -1
        self._permutation = np.zeros(0, np.int64)
        self._flags = np.zeros(0, np.bool_)

    def at(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Give what is at positions.

        Parameters
        ----------
        positions : ndarray of shape (m,), >= 0
            Ascending, for speed.

        Returns
        -------
        samples : ndarray of shape (m,), int64
            In [0, n).
        mirrored : ndarray of shape (m,), bool
        """
        samples = np.empty(len(positions), np.int64)
        mirrored = np.zeros(len(positions), np.bool_)
        epochs, places = np.divmod(positions, self.samples)
        for epoch in np.unique(epochs):
            self._turn_to(int(epoch))
            there = epochs == epoch
            samples[there] = self._permutation[places[there]]
            if self.mirror:
                mirrored[there] = self._flags[places[there]]
        return samples, mirrored

    def _turn_to(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        bits = np.random.PCG64([self.seed, epoch]).random_raw(self.samples)
        self._permutation = np.argsort(bits, kind="stable")
        if self.mirror:
            apart = np.random.SeedSequence([self.seed, epoch], spawn_key=(_MIRROR,))
            drawn = np.random.PCG64(apart).random_raw(self.samples)
            self._flags = (drawn >> np.uint64(63)).astype(np.bool_)
        self._epoch = epoch


def positions_of(step: int, *, batch: int, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    """Positions that one process takes of the global batch of a step: every `world`-th of them."""
    return np.arange(step * batch + rank, (step + 1) * batch, world, dtype=np.int64)
