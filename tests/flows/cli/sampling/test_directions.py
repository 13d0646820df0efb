"""The commands that find and list directions, as people call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.sampling.directions import directions, ganspace, sefa, tags
from tests.training.conftest import Trained
from training.latent.directions import open_set

app = typer.Typer()
for command in (sefa, ganspace, tags, directions):
    app.command()(command)


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    return trained.copy_of(trained.plain, tmp_path)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_sefa_saves_a_set_and_a_sheet(run: Path) -> None:
    found = told(call("sefa", run, "--count", "2", "--json", "--device", "cpu"))
    assert len(found["directions"]) == 8
    saved = open_set(run, "sefa")
    assert [d.name for d in saved.directions] == [d["name"] for d in found["directions"]]
    with Image.open(found["sheet"]) as image:
        assert image.width > 7 * 72
    assert Path(found["path"]).parent == run / "directions"


def test_sefa_takes_layers(run: Path) -> None:
    result = call("sefa", run, "--layers", "fine", "--layers", "0-1", "--count", "1", "--no-sheet")
    assert result.exit_code == 0, result.output
    assert [d.layers for d in open_set(run, "sefa").directions] == [(3, 6), (0, 2)]
    assert not list(run.glob("directions/*.png"))


def test_ganspace_has_a_set_for_each_place(run: Path) -> None:
    for at in ("w", "8x6"):
        found = told(call("ganspace", run, "--at", at, "--samples", "50", "--no-sheet", "--json"))
        assert found["name"] == f"ganspace-{at}"
    listed = told(call("directions", run, "--json"))
    assert [each["name"] for each in listed["sets"]] == ["ganspace-8x6", "ganspace-w"]
    assert "pc-1" in call("directions", run).stdout


def test_tags_say_how_well_they_tell(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "tags.csv"
    rows = [f"{seed},{'even' if seed % 2 else ''}" for seed in range(40)]
    file.write_text("\n".join(["seed,tag", *rows, "1,once"]))
    result = call("tags", run, file, "--no-sheet")
    assert result.exit_code == 0, result.output
    assert "AUROC" in result.stdout
    assert "left out: once: 1 with it, 39 without" in result.stderr
    assert open_set(run, "tags").find("even").figures["positives"] == 20


def test_a_damaged_set_does_not_hide_the_others(run: Path) -> None:
    call("sefa", run, "--count", "1", "--no-sheet")
    (run / "directions" / "bad.safetensors").write_bytes(b"nothing")
    result = call("directions", run, "--json")
    assert [each["name"] for each in told(result)["sets"]] == ["sefa"]
    assert "bad.safetensors" in result.stderr


def test_says_what_to_do_where_there_is_none(run: Path) -> None:
    assert "nonesuch latent sefa" in call("directions", run).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sefa", "--layers", "top"), "layers must be one of"),
        (("ganspace", "--at", "5x5"), "w or one of 4x3"),
        (("sefa", "--name", "../x"), "the name of a set"),
        (("sefa", "--snapshot", "none"), "has no snapshot"),
        (("sefa", "--label", "boot"), "has no class"),
        (("sefa", "--psi", "9"), "`psi` must be within"),
        (("ganspace", "--seeds", "x"), "seeds must be like"),
        (("ganspace", "--samples", "8"), "`samples` must be more than `count`, 8, got 8"),
    ],
)
def test_wrong_use_ends_with_2_and_a_message(
    run: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call(arguments[0], run, *arguments[1:])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (run / "directions").exists()
