"""Curves over the images trained on, laid out in percent of a plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from training.compare.collect import Curve

_POINTS: Final = 240  # of a curve, at most
_MARGIN: Final = 0.06  # of the height, above and below


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: its points in percent, and the place of its last one."""

    points: tuple[tuple[float, float], ...]
    style: int  # number of the run
    tip: str

    @property
    def path(self) -> str:
        """For the attribute `points` of a polyline."""
        return " ".join(f"{x:.2f},{y:.2f}" for x, y in self.points)


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves of several runs.

    Attributes
    ----------
    title, hint : str
    lines : tuple of Line
    across, up : tuple of (float, str)
        Places of ticks, in percent from the left and from the top, and their text.
    """

    title: str
    hint: str
    lines: tuple[Line, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]


def plot(
    title: str, hint: str, curves: Sequence[tuple[int, str, Curve]], x_max: float | None = None
) -> Plot | None:
    """Lay out curves; None where there is no point.

    Parameters
    ----------
    curves
        Number of the run, its name, and its points.
    x_max
        Right end of the plot, kimg; None: the last point.
    """
    points = [point for _, _, curve in curves for point in curve]
    if not points:
        return None
    right = max(x_max or 0.0, *(x for x, _ in points)) or 1.0
    low, high = min(y for _, y in points), max(y for _, y in points)
    room = (high - low) * _MARGIN or abs(high) * _MARGIN or 1.0
    low, high = low - room, high + room

    def place(x: float, y: float) -> tuple[float, float]:
        return 100 * x / right, 100 * (high - y) / (high - low)

    lines = tuple(
        Line(
            tuple(place(x, y) for x, y in thinned(curve)),
            style,
            f"{name}: {curve[-1][1]:.4g} at {curve[-1][0]:g} kimg",
        )
        for style, name, curve in curves
        if curve
    )
    across = tuple((place(x, low)[0], f"{x:g}") for x in round_values(0, right))
    up = tuple((place(0, y)[1], f"{y:g}") for y in round_values(low, high))
    return Plot(title, hint, lines, across, up)


def thinned(curve: Curve, most: int = _POINTS) -> Curve:
    """Leave out points evenly so that at most so many are left; the last one stays."""
    step = -(-len(curve) // most)
    return curve if step <= 1 else (*curve[:-1:step][: most - 1], curve[-1])


def round_values(first: float, last: float, about: int = 4) -> list[float]:
    """Give some round values from `first` to `last`, which must be more; about so many steps."""
    rough = (last - first) / about
    power = 10.0 ** int(f"{rough:e}".split("e")[1])
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    start = -int(-first // step)
    values: Iterable[float] = (k * step for k in range(start, start + 12))
    return [round(value, 12) for value in values if first <= value <= last]
