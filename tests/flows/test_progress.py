"""What long work tells about itself."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from flows import progress
from flows.progress import Bars, Lines


def test_nobody_watches_and_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.stage("count", 3) as stage:
        stage.advance(3)
        stage.result = "done"
    assert capfd.readouterr() == ("", "")


def test_lines_for_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.watch() as reporter:
        assert isinstance(reporter, Lines)
        assert progress.reporter() is reporter
        with progress.stage("count", 3) as stage:
            stage.advance(3)
            stage.result = "3 things"
        with progress.stage("nothing to tell"):
            pass
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("count: 3 things (")
    assert line.endswith(" s)")
    assert progress.reporter() is not reporter


def test_long_stages_say_how_far_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    with progress.watch():
        for total in (8, None):
            with progress.stage("count", total) as stage:
                stage.advance(3)
                stage.advance()
    lines = capsys.readouterr().err.splitlines()
    said = [line.split(",")[0] for line in lines]
    assert said == ["count: 3 of 8", "count: 4 of 8", "count: 3", "count: 4"]
    assert [line.endswith(" 0:00:00 left") for line in lines] == [True, True, False, False]


def test_an_error_ends_the_stage_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), progress.watch(), progress.stage("count") as stage:
        stage.result = "never told"
        raise KeyError
    assert "never told" not in capsys.readouterr().err
    progress.reporter().begin("x", 1)
    assert capsys.readouterr().err == ""


def test_bars_on_a_terminal() -> None:
    screen = io.StringIO()
    bars = Bars(Console(file=screen, force_terminal=True, width=100))
    bars.advance()  # before any stage: nothing to move
    bars.begin("draw [red]", 5)
    bars.advance(5)
    bars.end("5 pictures in a[b]c")
    bars.end()
    assert "draw [red]" in screen.getvalue()
    assert "5 pictures in a[b]c" in screen.getvalue()
    assert "✓" in screen.getvalue()
