"""Two pictures of a build for places that show pictures and not pages: the funnel, and a sheet."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from curation.report.model import Card, FunnelStep, ReportModel
from curation.report.wording import title
from data_catalog.schema import Verdict

_WIDE: Final = 900  # px, of the funnel
_ROW: Final = 34
_LABELS: Final = 210
_NOTES: Final = 370
_BAR: Final = "#4c78a8"

_CELL: Final = (96, 72)  # height, width of a picture on the sheet, px
_GAP: Final = 4
_CAPTION: Final = 150
_PAPER: Final = (255, 255, 255)
_INK: Final = (40, 40, 40)
_QUALITY: Final = 80


def funnel_svg(steps: Sequence[FunnelStep]) -> str:
    """Draw the funnel: what is left after each step as a bar, and what the step took in words."""
    most = max((step.count for step in steps), default=0) or 1
    room = _WIDE - _LABELS - _NOTES
    rows = []
    for number, step in enumerate(steps):
        top, middle = number * _ROW, number * _ROW + _ROW // 2 + 5
        width = max(room * step.count / most, 1)
        rows.append(
            f'<text x="{_LABELS - 10}" y="{middle}" text-anchor="end">{escape(step.label)}</text>'
            f'<rect x="{_LABELS}" y="{top + 4}" width="{width:.1f}" height="{_ROW - 8}" '
            f'fill="{_BAR}"/>'
            f'<text x="{_LABELS + width + 8:.1f}" y="{middle}" font-weight="bold">'
            f"{step.count:,}</text>"
            f'<text x="{_LABELS + width + 78:.1f}" y="{middle}" fill="#666">'
            f"{escape(step.note)}</text>"
        )
    height = max(len(steps), 1) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {height}" '
        f'width="{_WIDE}" height="{height}" font-family="sans-serif" font-size="13">'
        f'<rect width="{_WIDE}" height="{height}" fill="white"/>{"".join(rows)}</svg>'
    )


def contact_sheet(report: ReportModel, *, rows: int = 12, columns: int = 10) -> bytes | None:
    """Draw thumbnails of the report: a row of what was kept, and a row for each reason.

    Parameters
    ----------
    rows, columns
        At most so many; reasons with the most items come first.

    Returns
    -------
    bytes or None
        A JPEG; None where no picture is to be shown.
    """
    lines = [line for line in _lines(report, columns) if line[1]][:rows]
    if not lines:
        return None
    height, width = _CELL
    size = (_CAPTION + columns * (width + _GAP), len(lines) * (height + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for number, (caption, pictures) in enumerate(lines):
        top = number * (height + _GAP)
        draw.text((_GAP, top + height // 2 - 6), caption, fill=_INK, font=font)
        for at, picture in enumerate(pictures):
            left = _CAPTION + at * (width + _GAP)
            sheet.paste(picture, (left + (width - picture.width) // 2, top))
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def _lines(report: ReportModel, columns: int) -> Iterable[tuple[str, list[Image.Image]]]:
    """Give a caption and its pictures, row by row; the font has ASCII only."""
    yield "kept", _pictures(report.sample.cards, columns)
    for section in sorted(report.sections, key=lambda s: -s.count):
        taken = [sheet for sheet in section.sheets if sheet.usual is not Verdict.ACCEPTED]
        cards = [card for sheet in taken for card in sheet.cards]
        pictures = _pictures(cards, columns)
        yield f"{title(section.reason).lower()}: {section.count:,}", pictures
    copies = [member.card for cluster in report.clusters for member in cluster.members]
    yield f"copies: {report.cluster_count:,} groups", _pictures(copies, columns)


def _pictures(cards: Iterable[Card], most: int) -> list[Image.Image]:
    out: list[Image.Image] = []
    for card in cards:
        if len(out) == most:
            break
        picture = _small(card.thumb)
        if picture is not None:
            out.append(picture)
    return out


def _small(data: bytes | None) -> Image.Image | None:
    """Decode a thumbnail of our own; None where there is none that is whole."""
    if data is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None
    picture.thumbnail((_CELL[1], _CELL[0]))
    return picture
