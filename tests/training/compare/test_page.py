"""The page: every run is on it, the best figures stand out, and nothing leaves it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import html

from tests.training.compare.folders import make_run
from training.compare.collect import Run, read
from training.compare.page import metric_names, render

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Two seeds on a split, one on another version that came further, one that failed early."""
    first = make_run(tmp_path / "v2-tiny-s0", version=2, figures=(40.0, 20.0))
    second = make_run(tmp_path / "v2-tiny-s1", version=2, seed=1, figures=(50.0, 30.0))
    far = make_run(tmp_path / "v3-tiny-s0", version=3, kimg=(0, 1, 2, 3))
    bad = make_run(
        tmp_path / "v3-tiny-s1", version=3, kimg=(0,), status="failed", reason="<b>NaN</b> & co"
    )
    waiting = Run("v3-tiny-s2", 3, split="rest", preset="tiny", seed=2, total_kimg=2.0)
    read_ones = [read(first, "pov"), read(second, "pov"), read(far, "rest"), read(bad, "rest")]
    return [*read_ones, waiting]


def test_every_run_has_its_row_and_its_pictures(runs: list[Run]) -> None:
    page = html.fromstring(render("shoes", list(reversed(runs)), NOW))
    rows = page.xpath("//section[@id='runs']//tbody/tr")
    cells = [[" ".join(cell.text_content().split()) for cell in row] for row in rows]
    assert [row[0] for row in cells] == [run.name for run in runs]  # by version, preset and seed
    assert cells[0] == ["v2-tiny-s0", "2 pov", "tiny", "0", "2 of 2", "15", "20", "finished"]
    assert cells[3][4:] == ["0 of 0", "–", "–", "failed"]
    assert cells[4][3:] == ["2", "0 of 2", "–", "–", "waiting"]
    # At the same time: real ones and two runs, real ones and two runs of which one failed early.
    titles = page.xpath("//section[@id='pictures']//figure")
    assert [figure.findtext("figcaption/b") for figure in titles] == [
        *("real pictures", "v2-tiny-s0", "v2-tiny-s1"),
        *("real pictures", "v3-tiny-s0", "v3-tiny-s1"),
    ]
    told = [figure.xpath("string(figcaption/span)") for figure in titles]
    assert told == ["", "at 2 kimg", "at 2 kimg", "", "at 2 kimg", "at 0 kimg"]
    assert [figure.xpath("figcaption/span/@class") for figure in titles][-1] == ["other"]
    newest = page.xpath("//section[@id='newest']//figure/img/@alt")
    assert newest == ["v3-tiny-s0 at 3 kimg"]
    sources = page.xpath("//img/@src")
    assert len(sources) == 7
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_the_best_of_a_version_stands_out(runs: list[Run]) -> None:
    page = html.fromstring(render("shoes", runs, NOW))
    assert page.xpath("//td[@class='n best']/ancestor::tr/th//bdi/text()") == ["v2-tiny-s0"]


def test_curves_are_drawn_of_every_run_that_has_them(runs: list[Run]) -> None:
    page = html.fromstring(render("shoes", runs, NOW))
    charts = page.xpath("//figure[@class='chart']")
    lines = {c.findtext("figcaption/b"): len(c.xpath(".//polyline")) for c in charts}
    assert lines == {"FD-own": 3, "Loss of G": 3, "Speed": 3}
    legend = page.xpath("//ul[@class='legend']/li")
    classes = [item.xpath("string(svg/@class)") for item in legend]
    assert len(set(classes)) == len(runs)  # told apart by colour or by dashes
    assert len({one.split()[1] for one in classes}) == 2  # a colour for each version and preset


def test_one_figure_for_each_run_is_no_curve(tmp_path: Path) -> None:
    run = read(make_run(tmp_path / "one", kimg=(0, 1)))
    page = html.fromstring(render("shoes", [run], NOW))
    drawn = page.xpath("//figure[@class='chart']/figcaption/b/text()")
    assert drawn == ["Loss of G", "Speed"]


def test_nothing_is_fetched_and_text_stays_text(runs: list[Run]) -> None:
    text = render("<script>alert(1)</script>", runs, NOW)
    assert "<script" not in text
    assert "&lt;b&gt;NaN&lt;/b&gt; &amp; co" in text
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "default-src 'none'" in text


def test_no_runs_are_a_page_that_says_so() -> None:
    assert "There are no runs to compare." in render("shoes", [], NOW)


def test_metrics_come_in_a_fixed_order() -> None:
    metrics = dict.fromkeys(("new", "n_real", "precision_own", "fd_own", "fid"), ((1.0, 1.0),))
    assert metric_names([Run("x", 1, metrics=metrics)]) == (
        *("fd_own", "precision_own", "fid"),
        "new",
    )
