"""What is asked of a video, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from training.errors import SetupError
from training.latent.draws import NoiseKind, Truncation
from training.latent.sampler import PLAIN
from training.latent.video import USUAL, Encoding, Enlarging

_LONGEST: Final = 100_000  # frames: about an hour


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """What all videos of a model have in common.

    Attributes
    ----------
    seconds : float
        Length of the loop.
    seed : int
        Of the first picture; others have the seeds after it.
    truncation : Truncation
    label : int or None
        Class, where the model has some; None: that of each seed.
    noise : NoiseKind
    encoding : Encoding
    scale : int or None
        Whole factor by which pictures are enlarged; None: see `factor_for`.
    enlarging : Enlarging
        How.
    """

    seconds: float = 10.0
    seed: int = 0
    truncation: Truncation = PLAIN
    label: int | None = None
    noise: NoiseKind = "fixed"
    encoding: Encoding = USUAL
    scale: int | None = None
    enlarging: Enlarging = "lanczos"

    @property
    def frames(self) -> int:
        """How many there are.

        Raises
        ------
        SetupError
            If they are fewer than 2, or more than an hour's.
        """
        return count_frames(self.seconds, self.encoding.fps)


@dataclass(frozen=True, slots=True)
class Clip:
    """A video that was made.

    Attributes
    ----------
    path : Path
    frames : int
    fps : int
    size : tuple of int
        Height and width, px.
    numbers : mapping
        What else was found.
    """

    path: Path
    frames: int
    fps: int
    size: tuple[int, int]
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.frames / self.fps


DEFAULTS: Final = ClipOptions()


def count_frames(seconds: float, fps: int) -> int:
    """Give how many frames a video has.

    Raises
    ------
    SetupError
        If they are fewer than 2, or more than an hour's.
    """
    if not 2 <= seconds * fps + 0.5 < _LONGEST + 1:
        raise SetupError(
            f"`seconds` × `fps` must come to 2 to {_LONGEST:,} frames, got {seconds:g} × {fps}; "
            "try 10 seconds"
        )
    return int(seconds * fps + 0.5)
