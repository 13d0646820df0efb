"""Which real pictures lie near to a made one, asked again and again: real ones are encoded once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.stream import pictures
from training.encoder import OwnEncoder
from training.errors import SetupError
from training.latent.sampler import Pixels
from training.neighbours import median_nearest
from training.trained_on import Opened

MOST: Final = 200_000
"""Real pictures that are compared with, at most: the first of the shards, which are shuffled."""

_BATCH: Final = 32
_ROWS: Final = 16_384  # features that are compared with at a time


@dataclass(frozen=True, slots=True)
class Near:
    """Real pictures near to one, the nearest first.

    Attributes
    ----------
    numbers : tuple of int
        Of `RealPictures.picture`.
    distances : tuple of float
        Between features of `OwnEncoder`; 0 is the same picture.
    between : float
        Median distance of a real picture to its nearest other one, as in `training.neighbours`.
    """

    numbers: tuple[int, ...]
    distances: tuple[float, ...]
    between: float


class RealPictures:
    """The pictures that a run was trained on, encoded in the background.

    Parameters
    ----------
    opened : Opened
        The run.
    most
        Pictures that are compared with.
    """

    def __init__(self, opened: Opened, most: int = MOST) -> None:
        self._version, self._index = opened.version, opened.selection.index
        self._indices: NDArray[np.int64] = opened.selection.indices[:most]
        self._encoder = OwnEncoder()
        self._features = torch.empty(len(self._indices), self._encoder.num_features)
        self._between = 0.0
        self._is_whole = False
        self._stop = threading.Event()
        self.encoder = self._encoder.name
        self.total = len(self._indices)
        self.done = 0
        self.problem = ""
        self._thread = threading.Thread(target=self._read, name="real-pictures", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether all are encoded."""
        return self._is_whole

    def near(self, picture: Pixels, k: int = 8) -> Near:
        """Find the real pictures nearest to one.

        Parameters
        ----------
        picture : ndarray of shape (H, W, 3), uint8
        k
            How many, at most.

        Raises
        ------
        SetupError
            If they are not encoded yet, or could not be.
        """
        if self.problem:
            raise SetupError(self.problem)
        if not self.is_ready:
            raise SetupError("the real pictures are still being looked through; try again")
        given = torch.from_numpy(picture).permute(2, 0, 1)[None]
        wanted = self._encoder(given).double()
        apart = torch.cat(
            [
                torch.cdist(wanted, part.double(), compute_mode="donot_use_mm_for_euclid_dist")[0]
                for part in torch.split(self._features, _ROWS)
            ]
        )
        distances, numbers = apart.topk(min(k, self.total), largest=False)
        return Near(
            tuple(int(n) for n in numbers), tuple(float(d) for d in distances), self._between
        )

    def picture(self, number: int) -> Pixels:
        """Read a real picture, as people see it, (H, W, 3).

        Raises
        ------
        SetupError
            If there is none of that number.
        """
        if not 0 <= number < self.total:
            raise SetupError(f"real pictures are numbered 0 to {self.total - 1}, got {number}")
        found: Pixels = self._as_seen(next(iter(self._stream(self._indices[number : number + 1]))))[
            0
        ]
        return found

    def close(self) -> None:
        """Leave off encoding."""
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        try:
            for pixels in self._stream(self._indices):
                if self._stop.is_set():
                    return
                self._encode(pixels)
            parts = torch.split(self._features, _ROWS)
            self._between = median_nearest(part.double() for part in parts)
            self._is_whole = True
        except Exception as error:  # told to whoever asks
            self.problem = str(error) or type(error).__name__

    def _encode(self, pixels: Tensor) -> None:
        seen = torch.from_numpy(self._as_seen(pixels)).permute(0, 3, 1, 2)
        self._features[self.done : self.done + len(pixels)] = self._encoder(seen)
        self.done += len(pixels)

    def _stream(self, indices: NDArray[np.int64]) -> Iterator[Tensor]:
        return pictures(self._version, self._index, indices, batch=_BATCH)

    def _as_seen(self, pixels: Tensor) -> Pixels:
        turned = 255 - pixels if self._version.inverted else pixels
        seen: Pixels = turned.permute(0, 2, 3, 1).contiguous().numpy()
        return seen
