"""Report model in, one HTML page out: everything inline, no script, nothing fetched."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from curation.report.model import Card, Histogram, Mark, ReportModel
from curation.report.wording import number, percent, title
from data_catalog.schema import Reason, Verdict

_KINDS: Final = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"))


def render(model: ReportModel) -> str:
    """Draw the page.

    Text is escaped by the template engine without exception; a policy in the page forbids scripts
    and all requests, so that a hostile name stays a name.
    """
    return _environment().get_template("page.html.j2").render(report=model, total=model.items)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("curation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        {
            "number": number,
            "count": lambda n: f"{n:,}",
            "percent": percent,
            "title": title,
            "picture": picture_uri,
            "alt": alt_text,
            "leaf": leaf,
            "plot": plot,
        }
    )
    environment.globals.update({"Verdict": Verdict, "Reason": Reason})
    return environment


def picture_uri(data: bytes | None) -> str:
    """Wrap encoded picture bytes into a data URI; empty where there is no picture to show."""
    if data is None:
        return ""
    kind = next((name for magic, name in _KINDS if data.startswith(magic)), "")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}" if kind else ""


def leaf(locator: str) -> str:
    """Shorten a locator to its last part, which is what tells pictures of one folder apart."""
    return locator.rstrip("/").rpartition("/")[2] or locator


def alt_text(card: Card) -> str:
    """Say in words what a card shows."""
    return ", ".join(t for t in (card.label, card.locator, str(card.verdict), card.value) if t)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; all lengths in percent of the plot."""

    left: float
    width: float
    top: float
    height: float
    taken: bool  # on the breaking side of a rule that is on
    tip: str


@dataclass(frozen=True, slots=True)
class Line:
    """A threshold; the breaking side is shaded from `shade_left` over `shade_width` percent."""

    left: float
    shade_left: float
    shade_width: float
    mark: Mark


@dataclass(frozen=True, slots=True)
class Plot:
    """A histogram in percent of the plot's width and height."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]


def plot(histogram: Histogram) -> Plot:
    """Lay out a histogram; heights follow the square root, so that rare values stay visible."""
    first, last = histogram.edges[0], histogram.edges[-1]
    tallest = max(histogram.counts) or 1
    # Bins are even on the axis that is drawn, so positions need no logarithm.
    step = 100 / len(histogram.counts)
    bars = []
    for i, count in enumerate(histogram.counts):
        if not count:
            continue
        low, high = histogram.edges[i], histogram.edges[i + 1]
        height = max(100 * (count / tallest) ** 0.5, 1.5)
        tip = f"{number(low, histogram.column)} to {number(high, histogram.column)}: {count:,}"
        taken = any(_breaks((low + high) / 2, m) for m in histogram.marks if m.action != "off")
        bars.append(Bar(i * step, step, 100 - height, height, taken, tip))
    lines = []
    for mark in histogram.marks:
        left = _place(histogram, mark.position)
        shade = (left, 100 - left) if mark.op == ">" else (0.0, left)
        lines.append(Line(left, *shade, mark))
    ticks = tuple(
        (_place(histogram, v), number(v, histogram.column, unit=False))
        for v in _round_values(first, last)
    )
    if histogram.logarithmic:
        decades = [m * 10.0**e for e in range(-12, 16) for m in (1, 3)]
        inside = [v for v in decades if first <= v <= last]
        inside = inside if len(inside) <= 5 else [v for v in inside if _is_decade(v)]
        ticks = tuple(
            (_place(histogram, v), number(v, histogram.column, unit=False)) for v in inside
        )
    return Plot(tuple(bars), tuple(lines), ticks)


def _breaks(value: float, mark: Mark) -> bool:
    return value > mark.position if mark.op == ">" else value < mark.position


def _place(histogram: Histogram, value: float) -> float:
    """Where on the axis a value is, in percent; between edges the axis is taken as straight."""
    edges = histogram.edges
    step = 100 / len(histogram.counts)
    for i in range(len(histogram.counts)):
        if value <= edges[i + 1]:
            inside = (value - edges[i]) / (edges[i + 1] - edges[i])
            return min(max((i + inside) * step, 0.0), 100.0)
    return 100.0


def _is_decade(value: float) -> bool:
    return f"{value:.0e}".startswith("1e")


def _round_values(first: float, last: float) -> list[float]:
    """Three to six round values between two."""
    rough = (last - first) / 5
    power = 10.0 ** int(f"{rough:e}".split("e")[1])
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    start = int(first // step)
    values = (k * step for k in range(start, start + 12))
    return [round(v, 12) for v in values if first <= v <= last]
