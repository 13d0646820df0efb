"""`nonesuch latent project`, as people call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.sampling.projection import project
from tests.training.conftest import Trained
from training.latent.projection_files import list_projections

app = typer.Typer()
app.command()(project)

SHORT = ("--steps", "6", "--candidates", "8", "--device", "cpu")


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    return trained.copy_of(trained.plain, tmp_path)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def picture(folder: Path, number: int) -> Path:
    pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), np.uint8)
    file = folder / f"picture {number}.png"
    Image.fromarray(pixels).save(file)
    return file


def told(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_pictures_are_projected_once(run: Path, tmp_path: Path) -> None:
    files = [picture(tmp_path, number) for number in (1, 2)]
    result = call(run, *files, *SHORT)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == [f.name for f in list_projections(run)]
    assert lines[2:4] == ["2 projected, 0 already were", str(run / "projections")]
    with Image.open(lines[4]) as sheet:
        assert sheet.width > 3 * 120
    again = call(run, *files, *SHORT)
    assert again.exit_code == 0
    assert "0 projected, 2 already were" in again.stdout


def test_one_bad_file_does_not_keep_the_others(run: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    result = call(run, bad, picture(tmp_path, 1), tmp_path / "none.png", *SHORT, "--json")
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 2
    found = told(result)
    assert [entry["file"] for entry in found["failed"]] == [str(bad), str(tmp_path / "none.png")]
    assert [entry["source"] for entry in found["projections"]] == ["picture 1.png"]
    assert len(list_projections(run)) == 1


def test_nothing_but_bad_files(run: Path, tmp_path: Path) -> None:
    result = call(run, tmp_path / "none.png", *SHORT, "--json")
    assert result.exit_code == 1
    assert told(result)["projections"] == []
    assert told(result)["sheet"] is None
    assert not (run / "outputs").exists()


def test_options_reach_the_projection(run: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheets" / "own.png"
    options = ("--space", "w+", "--start", "mean", "--seed", "4", "--noise", "--out", sheet)
    result = call(run, picture(tmp_path, 1), *SHORT, *options, "--json")
    assert result.exit_code == 0, result.output
    (facts,) = told(result)["projections"]
    assert [facts[key] for key in ("space", "start", "seed", "noise", "steps")] == [
        "w+",
        "mean",
        4,
        True,
        6,
    ]
    assert "-wplus-" in facts["name"]
    assert told(result)["sheet"] == str(sheet)
    assert sheet.is_file()


@pytest.mark.parametrize(
    "options", [("--lpips", "missing.pt"), ("--snapshot", "nothing"), ("--candidates", "1000000")]
)
def test_wrong_options_end_with_2(run: Path, tmp_path: Path, options: tuple[str, str]) -> None:
    result = call(run, picture(tmp_path, 1), "--device", "cpu", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert not (run / "projections").exists()
