from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from curation.report.model import (
    Card,
    FunnelStep,
    Inversion,
    ReasonSection,
    ReportModel,
    Sheet,
)
from curation.report.pictures import contact_sheet, funnel_svg
from data_catalog.schema import Reason, Verdict

RED, BLUE = (220, 30, 30), (30, 30, 220)


def thumb(colour: tuple[int, int, int], size: tuple[int, int] = (90, 60)) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((*size, 3), colour, np.uint8)).save(out, "JPEG", quality=95)
    return out.getvalue()


def card(data: bytes | None) -> Card:
    return Card("id", "a.jpg", "source", "", Verdict.ACCEPTED, thumb=data)


def section(reason: Reason, cards: list[Card], count: int) -> ReasonSection:
    sheet = Sheet("Furthest", "", Verdict.REJECTED, tuple(cards))
    return ReasonSection(reason, "reject", "", (), count, (), (), (sheet,))


def report(kept: list[Card], *sections: ReasonSection) -> ReportModel:
    return ReportModel(
        name="shoes",
        build="b",
        built_at=datetime(2026, 1, 1, tzinfo=UTC),
        recipe=(),
        facts=(),
        items=3,
        verdicts=(),
        funnel=(),
        sample=Sheet("Kept", "", Verdict.ACCEPTED, tuple(kept)),
        sections=sections,
        copies=(),
        clusters=(),
        cluster_count=0,
        colourway=None,
        colourways=(),
        colourway_count=0,
        failures=(),
        histograms=(),
        inversion=Inversion(False, ()),
    )


def widths(svg: str) -> list[float]:
    bars = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect")
    return [float(bar.get("width", "0")) for bar in list(bars)[1:]]  # the first is the paper


def test_bars_of_the_funnel_follow_the_counts() -> None:
    steps = [FunnelStep("Offered", 400, ""), FunnelStep("Good", 100, "300 <taken> & gone")]
    first, second = widths(funnel_svg(steps))
    assert first == 4 * second
    assert "300 &lt;taken&gt; &amp; gone" in funnel_svg(steps)


@pytest.mark.parametrize("steps", [[], [FunnelStep("Offered", 0, "")]])
def test_an_empty_funnel_is_drawn_too(steps: list[FunnelStep]) -> None:
    assert len(widths(funnel_svg(steps))) == len(steps)


def test_a_sheet_has_a_row_for_each_reason_the_most_frequent_first() -> None:
    few = section(Reason.BLANK, [card(thumb(BLUE))], 2)
    many = section(Reason.BLURRED, [card(thumb(RED))], 9)
    data = contact_sheet(report([card(thumb((0, 200, 0)))], few, many))
    assert data is not None
    sheet = np.asarray(Image.open(io.BytesIO(data)), np.int16)
    rows = [sheet[at * sheet.shape[0] // 3 + 40, 180] for at in range(3)]
    assert [int(row.argmax()) for row in rows] == [1, 0, 2]


def test_what_just_passed_is_not_among_what_was_taken_out() -> None:
    passed = Sheet("Just passed", "", Verdict.ACCEPTED, (card(thumb(BLUE)),))
    blurred = section(Reason.BLURRED, [card(thumb(RED))], 1)
    both = replace(blurred, sheets=(*blurred.sheets, passed))
    assert contact_sheet(report([], both)) == contact_sheet(report([], blurred))


def test_a_sheet_is_bounded_and_passes_over_what_is_no_picture() -> None:
    cards = [card(None), card(b"broken"), *(card(thumb(RED)) for _ in range(50))]
    reasons = [Reason.BLANK, Reason.BLURRED, Reason.PATTERN]
    full = report(cards, *(section(reason, cards, 3) for reason in reasons))
    data = contact_sheet(full, rows=2, columns=4)
    assert data is not None
    assert Image.open(io.BytesIO(data)).size == (150 + 4 * 76, 2 * 100)
    nothing = replace(full, sample=Sheet("", "", None, ()), sections=())
    assert contact_sheet(nothing) is None
