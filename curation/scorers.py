"""Who gives the pictures scores: rules on scores go by the place that a picture has among all."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

DENSITY: Final = "density-"
"""How names of densities begin, in the column `model` of the scores."""


class Scorer(StrEnum):
    """What a score comes from. Values go into answers for programs; a higher score is sounder.

    Scores by different scorers have nothing in common, not even their unit.
    """

    DENSITY = "density"
    """How near the nearest others are; needs no training."""
    DISCRIMINATOR = "discriminator"
    """How real a trained network takes it for."""

    @property
    def place(self) -> str:
        """The measure that rules go by, and its column in `verdicts`."""
        return f"{_SHORT[self]}_percentile"

    @property
    def score(self) -> str:
        """The score itself, as a measure of the report."""
        return f"{_SHORT[self]}_score"

    @property
    def called(self) -> str:
        """What people call the score."""
        return _TITLES[self]


_SHORT: Final = {Scorer.DENSITY: "density", Scorer.DISCRIMINATOR: "d"}
_TITLES: Final = {Scorer.DENSITY: "likeness to others", Scorer.DISCRIMINATOR: "D score"}

BY_PLACE: Final = {scorer.place: scorer for scorer in Scorer}


def density_name(encoder: str, sample: str) -> str:
    """Name what density scores by, as the column `model` of the scores has it.

    Parameters
    ----------
    encoder
        Name of what features are taken with.
    sample
        Tells one sample of the set from another.
    """
    return f"{DENSITY}{encoder}-{sample}"


def scorer_of(model: str) -> Scorer:
    """Tell whose a name in the column `model` is; those of networks have an @."""
    is_density = model.startswith(DENSITY) and "@" not in model
    return Scorer.DENSITY if is_density else Scorer.DISCRIMINATOR
