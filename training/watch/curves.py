"""Curves of a run, and its grid made small: pictures for pages that show no more than that.

Without torch: whoever watches a training holds nothing of a GPU.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from PIL import Image

from training.runs.record import RunRecord

_TICKS: Final = "ticks.jsonl"
_POINTS: Final = 200  # of a line; more are not seen
_PANEL: Final = (190, 370)  # height, width, px
_PAD: Final = (26, 16, 22, 50)  # top, right, bottom, left
_COLOURS: Final = ("#4c78a8", "#e45756", "#54a24b", "#b279a2", "#f58518")
_QUALITY: Final = 82

# Title, where a row has the figures, and their names.
_PANELS: Final = (
    ("losses", "losses", ("loss_G", "loss_D")),
    ("scores", "losses", ("real_score", "fake_score")),
    ("augmentation", "", ("ada_p", "d_sign_real")),
    ("penalties", "losses", ("r1", "path_length")),
)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; x is thousand images."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share their axes."""

    title: str
    lines: tuple[Line, ...]


def panels_of(record: RunRecord) -> list[Panel]:
    """Give losses, augmentation and metrics of a run; what was never measured is left out."""
    rows = list(_rows(record.path / _TICKS))
    drawn = [
        Panel(title, tuple(_line(rows, name, group) for name in names))
        for title, group, names in _PANELS
    ]
    for name in sorted({metric.name for metric in record.metrics}):
        points = [
            (_kimg(metric.snapshot), metric.value)
            for metric in record.metrics
            if metric.name == name and math.isfinite(metric.value)
        ]
        drawn.append(Panel(name, (Line(name, tuple(sorted(points))),)))
    with_lines = (
        Panel(panel.title, tuple(line for line in panel.lines if line.points)) for panel in drawn
    )
    return [panel for panel in with_lines if panel.lines]


def curves_svg(panels: Sequence[Panel], columns: int = 2) -> str:
    """Draw panels side by side.

    Parameters
    ----------
    columns
        Panels in a row, at least 1.
    """
    height, width = _PANEL
    rows = -(-max(len(panels), 1) // columns)
    size = (columns * width, rows * height)
    parts = [
        f'<g transform="translate({n % columns * width},{n // columns * height})">{_drawn(p)}</g>'
        for n, p in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" '
        f'width="{size[0]}" height="{size[1]}" font-family="sans-serif" font-size="11">'
        f'<rect width="{size[0]}" height="{size[1]}" fill="white"/>{"".join(parts)}</svg>'
    )


def small_jpeg(picture: Path, longest: int = 1000) -> bytes:
    """Give a picture with its longer side at most `longest` px.

    Raises
    ------
    OSError
        If it is not there, or not whole.
    """
    with Image.open(picture) as opened:
        small = opened.convert("RGB")
    small.thumbnail((longest, longest))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def _drawn(panel: Panel) -> str:
    top, right, bottom, left = _PAD
    height, width = _PANEL[0] - top - bottom, _PANEL[1] - left - right
    xs = [x for line in panel.lines for x, _ in line.points]
    ys = [y for line in panel.lines for _, y in line.points]
    (x0, x1), (y0, y1) = _span(xs), _span(ys)
    out = [
        f'<text x="{left}" y="14" font-weight="bold">{escape(panel.title)}</text>',
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#ccc"/>',
        f'<text x="{left - 5}" y="{top + 9}" text-anchor="end">{y1:.3g}</text>',
        f'<text x="{left - 5}" y="{top + height}" text-anchor="end">{y0:.3g}</text>',
        f'<text x="{left}" y="{top + height + 14}">{x0:g}</text>',
        f'<text x="{left + width}" y="{top + height + 14}" text-anchor="end">{x1:g} kimg</text>',
    ]
    at = left + 8 * len(panel.title) + 14
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [
            (left + width * (x - x0) / (x1 - x0), top + height * (y1 - y) / (y1 - y0))
            for x, y in _thinned(line.points)
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{joined}" fill="none" stroke="{colour}"/>')
        x, y = places[-1]  # a line of one point is not seen
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>')
        out.append(f'<text x="{at}" y="14" fill="{colour}">{escape(line.name)}</text>')
        at += 7 * len(line.name) + 12
    return "".join(out)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Give the ends of an axis, which are never the same."""
    low, high = min(values), max(values)
    if high > low:
        return low, high
    room = abs(low) * 0.1 or 1.0
    return low - room, high + room


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    step = -(-len(points) // _POINTS)
    return points if step <= 1 else [*points[:-1:step], points[-1]]


def _line(rows: Sequence[dict[str, Any]], name: str, group: str = "") -> Line:
    points = []
    for row in rows:
        value = (row.get(group, {}) if group else row).get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            points.append((float(row["kimg"]), float(value)))
    return Line(name, tuple(points))


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    """Read rows of JSON lines; none where there is no file, torn ones are left out."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for text in file:
            try:
                row = json.loads(text)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get("kimg"), int | float):
                yield row


def _kimg(snapshot: str) -> float:
    """Read where a snapshot was taken from its name, `kimg-000000.016`."""
    try:
        return float(snapshot.rpartition("-")[2])
    except ValueError:
        return 0.0
