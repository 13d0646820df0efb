"""The tables of `make bench-rank` in Markdown, its JSON, and its contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.planting import from_jpeg
from benchmarks.rank_data import SOUND, read_samples
from benchmarks.rank_statistics import Estimate

TITLES: Final[Mapping[str, str]] = {
    "auroc": "AUROC (0.5 is chance)",
    "ap": "Average precision",
    "precision": "Precision among the k lowest, k of the kind planted",
    "lift": "Lift among the k lowest",
}
ALL: Final = "all"

_SHOWN: Final = 20  # pictures a row of the contact sheet
_ROWS: Final = 2  # of each ranker
_FRAME: Final = 3  # px
_RED: Final = (220, 20, 20)
_PAPER: Final = (208, 208, 208)


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a ranker.

    Attributes
    ----------
    figures : mapping
        By kind, `ALL` among them, and by measure.
    shares : mapping
        Of all planted ones, by where in the order they lie.
    """

    name: str
    figures: Mapping[str, Mapping[str, Estimate]]
    shares: Mapping[str, float]

    def numbers(self) -> dict[str, Any]:
        """Give all of it as JSON holds it."""
        return {
            "name": self.name,
            "shares": dict(self.shares),
            "figures": {
                kind: {name: [e.value, e.low, e.high] for name, e in found.items()}
                for kind, found in self.figures.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Closing:
    """FD-own of one training of the closing test, for each seed of generated samples."""

    name: str
    seed: int
    pictures: int
    planted: int
    distances: Sequence[float]


def tables(
    judged: Sequence[Judged],
    counts: Mapping[str, int],
    curve: Mapping[float, Mapping[str, Estimate]],
    closing: Sequence[Closing],
    *,
    baselines: Sequence[str],
) -> str:
    """Lay everything out; differences are those from each of the baselines."""
    parts = [_overall(judged), *(_differences(judged, baseline) for baseline in baselines)]
    parts += [_by_kind(judged, counts, measure) for measure in TITLES]
    if curve:
        parts.append(_curve(curve))
    if closing:
        parts.append(closing_table(closing))
    return "\n\n".join(parts) + "\n"


def _overall(judged: Sequence[Judged]) -> str:
    header = ["ranked by", *("AUROC", "average precision", "precision@k", "lift@k")]
    header += [f"planted in lowest {percent}%" for percent in (3, 5, 10)]
    header.append("planted in highest 1%")
    rows = [
        [
            one.name,
            *(
                _cell(one.figures[ALL][measure], 1 if measure == "lift" else 2)
                for measure in TITLES
            ),
            *(f"{share:.0%}" for share in one.shares.values()),
        ]
        for one in judged
    ]
    return f"### All kinds together\n\n{_markdown(header, rows)}"


def _differences(judged: Sequence[Judged], baseline: str) -> str:
    floor = next(one for one in judged if one.name == baseline)
    rows = [
        [
            one.name,
            *(
                _signed(one.figures[ALL][measure].minus(floor.figures[ALL][measure]))
                for measure in ("auroc", "ap", "precision")
            ),
        ]
        for one in judged
        if one is not floor
    ]
    header = ["ranked by", "AUROC", "average precision", "precision@k"]
    return f"### Difference from {baseline}, by the same resamples\n\n{_markdown(header, rows)}"


def _by_kind(judged: Sequence[Judged], counts: Mapping[str, int], measure: str) -> str:
    kinds = [kind for kind in judged[0].figures if kind != ALL]
    header = ["ranked by", *(f"{kind} ({counts[kind]})" for kind in kinds)]
    digits = 0 if measure == "lift" else 2  # of so few a kind it is large and coarse
    rows = [
        [one.name, *(_cell(one.figures[kind][measure], digits) for kind in kinds)] for one in judged
    ]
    return f"### {TITLES[measure]}, by kind\n\n{_markdown(header, rows)}"


def _curve(curve: Mapping[float, Mapping[str, Estimate]]) -> str:
    kinds = list(next(iter(curve.values())))
    rows = [[f"{kimg:g}", *(_cell(found[kind]) for kind in kinds)] for kimg, found in curve.items()]
    title = "### AUROC of a single D by how long it was trained"
    return f"{title}\n\n{_markdown(['kimg', *kinds], rows)}"


def closing_table(closing: Sequence[Closing]) -> str:
    """Lay out what came of training again."""
    header = ["trained on", "seed", "pictures", "planted among them", "FD-own, clean set", "range"]
    rows = []
    for one in closing:
        mean, spread = np.mean(one.distances), np.std(one.distances, ddof=1)
        half = 1.96 * spread / np.sqrt(len(one.distances))
        rows.append(
            [
                one.name,
                str(one.seed),
                f"{one.pictures:,}",
                str(one.planted),
                f"{mean:.3f} ({mean - half:.3f}–{mean + half:.3f})",
                f"{min(one.distances):.3f}–{max(one.distances):.3f}",
            ]
        )
    return f"### Trained again (lower is better)\n\n{_markdown(header, rows)}"


def _cell(estimate: Estimate, digits: int = 2) -> str:
    value, low, high = (f"{x:.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low}–{high})"


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} ({estimate.low:+.2f} to {estimate.high:+.2f})"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def save_sheet(
    path: Path,
    version: Path,
    keys: Sequence[str],
    kinds: Sequence[str],
    orders: Mapping[str, NDArray[np.float64]],
) -> None:
    """Draw the pictures that each ranker puts lowest, the lowest first; planted ones are framed."""
    from training.watch.grids import grid, save_png

    pictures = dict(read_samples(version))
    shown, captions = [], []
    for name, scores in orders.items():
        rows = np.argsort(scores, kind="stable")[: _SHOWN * _ROWS]
        shown += [_framed(pictures[keys[row]], planted=kinds[row] != SOUND) for row in rows]
        captions += [name, *[""] * (_ROWS - 1)]
    save_png(grid(np.stack(shown), _SHOWN, captions=captions), path)


def _framed(data: bytes, *, planted: bool) -> NDArray[np.uint8]:
    rgb = from_jpeg(data)
    framed = np.empty((rgb.shape[0] + 2 * _FRAME, rgb.shape[1] + 2 * _FRAME, 3), np.uint8)
    framed[:] = _RED if planted else _PAPER
    framed[_FRAME:-_FRAME, _FRAME:-_FRAME] = rgb
    return framed
