"""The commands that blend models and find more of a kind, as people call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.sampling.blending import blend, more
from flows.cli.sampling.directions import tags
from tests.training.conftest import Trained
from tests.training.latent.projected import put_projection
from training.latent.sampler import Sampler
from training.models import load_snapshot
from training.runs.record import read_run

app = typer.Typer()
for command in (blend, more, tags):
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


def test_blends_into_a_run_beside_the_first(trained: Trained, run: Path) -> None:
    result = call("blend", run, trained.folds[0], "--out", "half", "--json")
    found = told(result)
    assert Path(found["run"]) == run.parent / "half"
    assert found["shares"] == {"4x3": 0.5, "8x6": 0.5, "16x12": 0.5}
    assert read_run(run.parent / "half").newest_snapshot == found["snapshot"]
    with Image.open(found["sheet"]) as image:
        assert image.width > 8 * 72
    # more than a blend of two: a run that the other commands take
    assert call("more", run.parent / "half", "--like", "x").exit_code == 2


def test_swaps_from_a_resolution(trained: Trained, run: Path) -> None:
    result = call("blend", run, trained.folds[0], "--out", "swap", "--from", "16x12", "--json")
    assert told(result)["shares"] == {"4x3": 0.0, "8x6": 0.0, "16x12": 1.0}


def test_refuses_what_does_not_fit(trained: Trained, run: Path) -> None:
    result = call("blend", run, trained.conditional, "--out", "new")
    assert result.exit_code == 2
    assert "embedding" in result.stderr
    assert call("blend", run, run, "--out", run.name).exit_code == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [(("--psi", "9"), "`psi` must be within"), (("--device", "cuda"), "no GPU")],
)
def test_what_is_refused_leaves_no_run_so_that_the_mended_command_works(
    trained: Trained, run: Path, option: tuple[str, str], message: str
) -> None:
    if option[1] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU, so it is not refused")
    asked = ("blend", run, trained.folds[0], "--out", "half")
    result = call(*asked, *option)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in run.parent.iterdir()] == [run.name]
    assert call(*asked).exit_code == 0


def test_finds_more_of_a_tag(run: Path, tmp_path: Path) -> None:
    sampler = Sampler(load_snapshot(run))
    w = sampler.w(range(60))[:, 0]
    rows = [f"{seed},{'big' if w[seed] > w.median() else ''}" for seed in range(60)]
    (tmp_path / "tags.csv").write_text("\n".join(["seed,tag", *rows]))
    assert call("tags", run, tmp_path / "tags.csv", "--no-sheet").exit_code == 0
    found = told(call("more", run, "--tag", "big", "--search", "500", "--count", "5", "--json"))
    seeds = [sample["seed"] for sample in found["samples"]]
    assert float(sampler.w(seeds)[:, 0].mean()) > float(w.quantile(0.8))
    folder = Path(found["folder"])
    assert folder.name == f"more-big-{sampler.model.name}"
    assert len(list(folder.glob("*-seed*.png"))) == 5


def test_finds_what_is_like_a_projected_picture(run: Path) -> None:
    sampler = Sampler(load_snapshot(run))
    put_projection(run, "hat", sampler.ws([42])[0])
    for by in ("w", "features"):
        arguments = ("--by", by, "--search", "60", "--count", "2", "--json")
        found = told(call("more", run, "--like", "hat", *arguments))
        assert found["samples"][0]["seed"] == 42


def test_finds_what_is_like_a_file(run: Path, tmp_path: Path) -> None:
    sampler = Sampler(load_snapshot(run))
    file = tmp_path / "example.png"
    Image.fromarray(sampler.render(sampler.ws([7]))[0]).save(file)
    out = tmp_path / "out"
    found = told(
        call("more", run, "--like", file, "--search", "20", "--count", "2", "--out", out, "--json")
    )
    assert found["samples"][0]["seed"] == 7
    assert Path(found["folder"]) == out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "one of --tag and --like"),
        (("--tag", "big", "--like", "hat"), "one of --tag and --like"),
        (("--tag", "big"), "no set of directions 'tags'"),
        (("--like", "hat"), "no projected picture 'hat'"),
        (("--tag", "big", "--by", "features"), "--tag is looked for in w alone"),
        (("--like", "hat", "--set", "tags"), "--set says where a --tag is"),
        (("--like", "hat", "--search", "3"), "`count` must be 1 to 3"),
    ],
)
def test_wrong_use_ends_with_2_and_a_message(
    run: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call("more", run, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
