from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from training.runs.record import Metric, RunRecord
from training.watch.curves import Line, Panel, curves_svg, panels_of, small_jpeg

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def record_in(folder: Path, metrics: tuple[Metric, ...] = ()) -> RunRecord:
    values: dict[str, Any] = {
        "dataset": "d",
        "version": 1,
        "version_hash": "h",
        "inverted": False,
        "size": (16, 12),
        "status": "running",
        "preset": "tiny",
        "total_kimg": 1,
        "metrics": metrics,
        "started": NOW,
        "updated": NOW,
        "pid": 1,
        "path": folder,
    }
    return RunRecord(**values)


def write_ticks(folder: Path, count: int) -> None:
    rows = [
        {"kimg": k, "ada_p": 0.1, "losses": {"loss_G": float(k), "loss_D": None if k else 1.0}}
        for k in range(count)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "ticks.jsonl").write_text(text + '{"kimg": 9, "lo')


def test_losses_augmentation_and_metrics_have_panels(tmp_path: Path) -> None:
    write_ticks(tmp_path, 3)
    metrics = (
        Metric(snapshot="kimg-000002.000", name="fd", value=5.0),
        Metric(snapshot="kimg-000001.500", name="fd", value=9.0),
        Metric(snapshot="kimg-000003.000", name="fd", value=math.inf),
    )
    panels = {panel.title: panel.lines for panel in panels_of(record_in(tmp_path, metrics))}
    assert list(panels) == ["losses", "augmentation", "fd"]
    assert panels["losses"] == (
        Line("loss_G", ((0, 0), (1, 1), (2, 2))),
        Line("loss_D", ((0, 1),)),
    )
    assert panels["fd"] == (Line("fd", ((1.5, 9), (2, 5))),)


def test_a_run_that_has_just_begun_has_none(tmp_path: Path) -> None:
    assert panels_of(record_in(tmp_path)) == []
    assert ElementTree.fromstring(curves_svg([])).tag == f"{SVG}svg"


def test_what_falls_is_drawn_falling_within_its_panel() -> None:
    points = tuple((float(k), 100.0 - k) for k in range(1000))
    svg = ElementTree.fromstring(curves_svg([Panel("a<b", (Line("x", points),))]))
    (line,) = svg.iter(f"{SVG}polyline")
    places = [tuple(map(float, p.split(","))) for p in str(line.get("points")).split()]
    assert 100 < len(places) < 300
    assert places == sorted(places)
    assert [y for _, y in places] == sorted(y for _, y in places)  # downwards is more
    assert all(0 <= x <= 370 and 0 <= y <= 190 for x, y in places)


@pytest.mark.parametrize("points", [((1.0, 2.0),), ((1.0, 0.0), (2.0, 0.0))])
def test_lines_without_extent_are_drawn(points: tuple[tuple[float, float], ...]) -> None:
    svg = ElementTree.fromstring(curves_svg([Panel("p", (Line("x", points),))]))
    (circle,) = svg.iter(f"{SVG}circle")
    assert 0 < float(str(circle.get("cy"))) < 190


def test_a_grid_is_made_small(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((300, 1200, 3), np.uint8)).save(tmp_path / "grid.png")
    data = small_jpeg(tmp_path / "grid.png", 400)
    assert Image.open(io.BytesIO(data)).size == (400, 100)
    with pytest.raises(OSError):
        small_jpeg(tmp_path / "missing.png")


def test_it_is_drawn_without_torch() -> None:
    code = "import sys, training.watch.curves; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
