"""`nonesuch sample images`, `grid`, `figures`, `check` and `site`, as people call them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli.app import app
from tests.training.conftest import Trained
from training.latent.encode import read_facts


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    return trained.copy_of(trained.plain, tmp_path)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sample", *map(str, arguments)])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_images_land_in_the_run_and_are_made_once(run: Path) -> None:
    asked = ("images", run, "--seeds", "0-4,9", "--psi", "0.7", "--format", "jpeg")
    first = call(*asked)
    assert first.exit_code == 0, first.stderr
    assert "6 pictures made, 0 were there" in first.stdout
    folder = run / "outputs" / "images-kimg-000000.032"
    assert len(list(folder.glob("*.jpg"))) == 6
    assert told(call(*asked, "--json"))["there"] == 6
    refused = call(*asked[:-4], "--psi", "1")
    assert refused.exit_code == 2
    assert "write to another folder (--out)" in refused.stderr


def test_an_older_snapshot_and_a_class_are_asked_for(
    trained: Trained, tmp_path: Path, run: Path
) -> None:
    out = tmp_path / "old"
    assert call("images", run, "--snapshot", "kimg-000000.016", "--out", out).exit_code == 0
    assert read_facts(out / "seed00000003.png")["snapshot"] == "kimg-000000.016"
    boots = tmp_path / "boots"
    asked = ("images", trained.conditional, "--seeds", 1, "--label", "boot", "--out", boots)
    assert call(*asked).exit_code == 0
    assert read_facts(boots / "seed00000001.png")["label"] == "boot"


def test_a_run_is_called_by_its_name(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "nonesuch.toml"
    file.write_text(
        f'[dataset]\nname = "x"\nroot = "data"\n\n[train]\nfolder = "{run.parent}"\n\n'
        '[[sources]]\nkind = "folder"\npath = "none"\n'
    )
    found = told(call("grid", run.name, "-c", file, "--seeds", "0-3", "--columns", 2, "--json"))
    assert Path(found["path"]).parent == run / "outputs"
    with Image.open(found["path"]) as image:
        assert image.size == (found["width"], found["height"])
    gone = call("grid", "nobody", "-c", file)
    assert gone.exit_code == 2
    assert "there is no run 'nobody'" in gone.stderr
    assert "there are plain" in gone.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--seeds", "x"), "seeds must be like"),
        (("--psi", "9"), "`psi` must be within"),
        (("--cutoff", "99"), "`cutoff` must be at most"),
        (("--label", "hat"), "no class 'hat'"),
        (("--snapshot", "kimg-9"), "has no snapshot 'kimg-9'"),
    ],
)
def test_what_cannot_be_made_is_told(run: Path, options: tuple[str, ...], words: str) -> None:
    result = call("grid", run, *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_damaged_checkpoint_is_told(run: Path) -> None:
    weights = run / "snapshots" / "kimg-000000.032" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    older = call("grid", run, "--seeds", "0-3")
    assert older.exit_code == 0
    assert "passed over:" in older.stderr
    assert older.stdout.endswith("grid-kimg-000000.016.png\n")
    asked = call("grid", run, "--snapshot", "kimg-000000.032")
    assert asked.exit_code == 1
    assert "weights.safetensors" in asked.stderr


def test_figures_are_those_of_the_papers(run: Path) -> None:
    found = told(call("figures", run, "--json"))
    names = set(found["figures"])
    assert {"uncurated", "uncurated-psi0.7", "truncation", "noise-detail"} <= names
    assert {"mixing-coarse", "mixing-coarse-psi0.7", "noise-components"} <= names
    for path in found["figures"].values():
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_a_check_says_what_it_found_and_draws_it(trained: Trained, run: Path) -> None:
    options = ("--count", 20, "--paths", 3, "--steps", 6)
    text = call("check", run, *options)
    assert text.exit_code == 0, text.stderr
    assert re.search(r"^jump      \d\.\d\d", text.stdout, re.M)
    assert re.search(r"^repeated  \d+ of 20 samples", text.stdout, re.M)
    assert re.search(r"^nearest   \d+\.\d\d", text.stdout, re.M)
    found = told(call("check", run, *options, "--json"))
    for name in ("smoothness_sheet", "repeated_sheet", "neighbours_sheet"):
        with Image.open(found[name]) as image:
            assert min(image.size) > 10


def test_a_check_goes_on_without_the_real_pictures(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.plain, tmp_path)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "dataset": str(tmp_path / "gone")}))
    result = call("check", run, "--count", 10, "--paths", 1, "--steps", 3, "--json")
    assert told(result)["nearest_ratio"] is None
    assert "real pictures were not compared" in result.stderr


def test_a_site_is_one_folder(run: Path, tmp_path: Path) -> None:
    found = told(call("site", run, "--count", 5, "--out", tmp_path / "site", "--json"))
    assert found["pictures"] == 5
    assert Path(found["page"]) == tmp_path / "site" / "index.html"
    assert "These plain do not exist" in Path(found["page"]).read_text(encoding="utf-8")
