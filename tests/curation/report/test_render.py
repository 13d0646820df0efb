from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.report.histograms import histogram
from curation.report.model import (
    Card,
    Cluster,
    FailureExample,
    FailureGroup,
    FunnelStep,
    Inversion,
    LabelCount,
    Member,
    ReasonSection,
    ReportModel,
    RuleView,
    Sheet,
)
from curation.report.render import picture_uri, plot, render
from curation.synthetic.drawing import draw_product, encode
from data_catalog.schema import Reason, Verdict

HOSTILE = [
    "</style><script>alert(1)</script>",
    '" onerror="alert(1)" x="',
    "' onmouseover='alert(1)",
    "<img src=http://evil.example/x.png>",
    "{{ 7 * 7 }}{% raw %}",
    "]]><!-- -->",
    "&lt;b&gt;",
    "x" * 10_000,
]
VOID = {"meta", "link", "img", "rect", "br", "input"}


class Page(HTMLParser):
    """What a browser would make of the page: elements, attributes, text; balance is checked."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID or (tag == "rect" and not self.get_starttag_text().endswith("/>")):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def card(text: str = "shop/a.jpg", thumb: bytes | None = b"\xff\xd8\xff\x00") -> Card:
    return Card(text, text, text, text, Verdict.REJECTED, "0.97", thumb)


def model(text: str = "shop", thumb: bytes | None = b"\xff\xd8\xff\x00") -> ReportModel:
    """A report with something in every part, all of its outside text being `text`."""
    shown = card(text, thumb)
    rule = RuleView(Reason.BLANK, "blankness", 0.9, ">", "reject", text)
    drawn = histogram("blankness", np.linspace(0, 1, 50), [rule])
    assert drawn is not None
    section = ReasonSection(
        Reason.BLANK,
        "reject",
        text,
        ("blankness > 0.9",),
        3,
        ((Verdict.REJECTED, 3),),
        (drawn,),
        (Sheet("All of them", text, Verdict.REJECTED, (shown,) * 3),),
    )
    silent = ReasonSection(Reason.BLURRED, "off", text, (), 0, (), (), ())
    copies = replace(section, reason=Reason.NEAR_DUPLICATE, histograms=(), sheets=())
    members = (
        Member(shown, None, None, "1 × 1 px"),
        Member(shown, Reason.MIRRORED_COPY, 0.02, "1 × 1 px"),
    )
    cluster = Cluster(text, "among the largest", 9, members)
    return ReportModel(
        name=text,
        build=text,
        built_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        recipe=(("width", text),),
        facts=((text, "1"),),
        items=10,
        verdicts=tuple(zip(Verdict, (4, 2, 3, 1), strict=True)),
        funnel=(FunnelStep("Offered by the sources", 12, ""), FunnelStep("Accepted", 4, text)),
        sample=Sheet("Kept", "", Verdict.ACCEPTED, (shown,)),
        sections=(section, silent),
        copies=(copies,),
        clusters=(cluster,),
        cluster_count=1,
        colourway=replace(copies, reason=Reason.COLOURWAY),
        colourways=(cluster,),
        colourway_count=1,
        failures=(FailureGroup(Reason.CORRUPT, text, 1, (FailureExample(text, text),)),),
        histograms=(drawn,),
        inversion=Inversion(True, ((text, text),)),
        labels=(LabelCount(text, 4, 2),),
    )


def empty() -> ReportModel:
    return replace(
        model(),
        items=0,
        verdicts=tuple((v, 0) for v in Verdict),
        funnel=(FunnelStep("Accepted", 0, ""),),
        sample=Sheet("Kept", "", None, ()),
        sections=(),
        copies=(),
        clusters=(),
        colourway=None,
        colourways=(),
        failures=(),
        histograms=(),
        labels=(),
    )


def test_the_page_asks_nothing_of_the_network() -> None:
    html = render(model())
    page = Page(html)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html.split("</style>")[0])
    for tag, attributes in page.elements:
        assert tag not in {"script", "iframe", "object", "embed", "form", "base"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href"}:
                assert (value or "").startswith(("data:", "#"))


def test_the_policy_forbids_everything_but_inline_pictures_and_styles() -> None:
    policies = [m for m in Page(render(model())).all("meta") if m.get("http-equiv")]
    assert [p["content"] for p in policies] == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    def skeleton(page: Page) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in page.elements]

    page = Page(render(model(text)))
    assert skeleton(page) == skeleton(Page(render(model("harmless"))))
    assert text in page.text


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60))
def test_any_text_keeps_the_skeleton(text: str) -> None:
    tags = [tag for tag, _ in Page(render(model(text))).elements]
    assert tags == [tag for tag, _ in Page(render(model("harmless"))).elements]


def test_thumbnails_go_in_as_they_are_and_say_what_they_show() -> None:
    thumb = encode(draw_product(np.random.default_rng(0), size=(160, 120)), ".jpg")
    html = render(model(thumb=thumb))
    pictures = Page(html).all("img")
    assert len(pictures) == 1 + 3 + 2 + 2
    assert {p["src"] for p in pictures} == {picture_uri(thumb)}
    assert all("shop, rejected, 0.97" in (p["alt"] or "") for p in pictures)


@pytest.mark.parametrize("data", [None, b"", b"<svg onload=alert(1)>", b"MZ\x90"])
def test_what_is_no_picture_is_not_embedded(data: bytes | None) -> None:
    assert picture_uri(data) == ""
    page = Page(render(model(thumb=data)))
    assert not page.all("img") and "no picture" in page.text


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"\xff\xd8\xff\xe0", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"RIFF....WEBP", "webp")],
)
def test_the_kind_of_a_picture_is_read_from_its_bytes(data: bytes, kind: str) -> None:
    assert picture_uri(data).startswith(f"data:image/{kind};base64,")


def test_links_lead_somewhere() -> None:
    page = Page(render(model()))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in page.all("a")} <= {f"#{i}" for i in ids}


def test_a_reason_that_nothing_carries_is_one_line() -> None:
    page = Page(render(model()))
    assert "Blurred: no item." in page.text and "This rule is off" in page.text
    assert [a for a in page.all("section") if a.get("id") == "blurred"] == []


def test_an_empty_report_is_a_page_all_the_same() -> None:
    text = Page(render(empty())).text
    for line in ("Nothing was accepted.", "No copies were found.", "Every file could be read."):
        assert line in text


def test_the_counts_are_on_the_page() -> None:
    text = re.sub(r"\s+", " ", Page(render(model())).text)
    for words in ("4accepted40%", "2flagged20%", "3rejected30%", "1failed10%"):
        assert words in text.replace(" ", "")


def test_the_breaking_side_of_a_plot_is_shaded_from_the_threshold_on() -> None:
    drawn = plot(model().histograms[0])
    (line,) = drawn.lines
    assert line.shade_left == line.left and line.left + line.shade_width == pytest.approx(100)
    for bar in drawn.bars:
        assert bar.taken == (bar.left + bar.width / 2 > line.left)
        assert bar.top + bar.height == pytest.approx(100)
    assert 2 <= len(drawn.ticks) <= 8
    assert all(0 <= left <= 100 for left, _ in drawn.ticks)


def test_a_real_browser_draws_the_page_without_complaint(tmp_path: Path) -> None:
    names = ("chromium-headless-shell", "chromium", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        missing = "needs chromium on the PATH to look at the page"
        if os.environ.get("NONESUCH_REQUIRE_ALL"):  # as CI has it: nothing may be left out
            pytest.fail(missing)
        pytest.skip(missing)
    thumb = encode(draw_product(np.random.default_rng(0), size=(160, 120)), ".jpg")
    page, picture = tmp_path / "report.html", tmp_path / "page.png"
    page.write_text(render(model(HOSTILE[0], thumb=thumb)), encoding="utf-8")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1000,1600", f"--screenshot={picture}", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    with Image.open(picture) as shot:
        colours = np.unique(np.asarray(shot.convert("RGB")).reshape(-1, 3), axis=0)
    assert len(colours) > 100
