"""`nonesuch sample video`, as people call it, on runs that were really trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.sampling.videos import video_app
from tests.training.conftest import Trained
from tests.training.latent.playing import play

SMALL = ("--seconds", "1", "--fps", "10")
SHEET = (*SMALL, "--rows", "1", "--columns", "2", "--keys", "2", "--scale", "1")
KINDS = {
    "grid": SHEET,
    "mixing": (*SHEET, "--layers", "coarse"),
    "circle": (*SMALL, "--scale", "2"),
    "montage": ("--fps", "10", "--scale", "1"),
}
SIZES = {"grid": (16, 28), "mixing": (40, 48), "circle": (32, 24)}


def call(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(video_app, [str(one) for one in arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_lands_in_the_outputs_of_its_run(
    trained: Trained,
    tmp_path: Path,
    kind: str,
) -> None:
    run = trained.copy_of(trained.plain, tmp_path)
    code, out, err = call(kind, run, *KINDS[kind])
    assert code == 0, err
    (path,) = (run / "outputs").iterdir()
    name = "mixing-coarse" if kind == "mixing" else kind
    assert path.name == f"video-{name}-kimg-000000.032.mp4"
    played = play(path)
    assert out.splitlines()[-1] == str(path)
    height, width = played.size
    assert f"{len(played.frames)} frames of {height}×{width} px" in out
    assert (played.codec, played.pixel_format, played.fps) == ("h264", "yuv420p", 10)
    assert played.size == SIZES.get(kind, played.size)


def test_a_circle_tells_how_even_it_is(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    asked = ("circle", trained.plain, "--seconds", 4, "--fps", 10, "--scale", 1, "--out", path)
    code, out, err = call(*asked, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["path"] == str(path)
    assert (told["frames"], told["seconds"], told["fps"]) == (40, 4, 10)
    assert (told["height"], told["width"]) == play(path).size == (16, 12)
    assert told["after"] < 1.2 < told["before"]
    code, out, _ = call(*asked)
    assert code == 0
    assert f"{told['before']:.2f} at equal angles, {told['after']:.2f} in the video" in out


def test_options_reach_the_video(trained: Trained, tmp_path: Path) -> None:
    def made(*options: object) -> bytes:
        path = tmp_path / "a.mp4"
        code, _, err = call("grid", trained.conditional, *SHEET, *options, "--out", path)
        assert code == 0, err
        return path.read_bytes()

    plain = made()
    assert made() == plain
    for options in (
        ("--seed", 50),
        ("--psi", 0.2),
        ("--cutoff", 1),
        ("--z-limit", 0.5),
        ("--noise", "random"),
        ("--noise", "none"),
        ("--label", "shoe"),
        ("--space", "z"),
        ("--crf", 30),
        ("--enlarge", "nearest", "--scale", 2),
        ("--snapshot", "kimg-000000.016"),
    ):
        assert made(*options) != plain, options
    assert made("--scale", 2) != made("--scale", 2, "--enlarge", "nearest")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("mixing", "--layers", "../x"), "layers must be one of all, coarse"),
        (("grid", "--fps", 0), "`fps` must be 1 to 240, got 0"),
        (("grid", "--crf", 99), "`crf` must be 0 to 51, got 99"),
        (("grid", "--rows", 0), "`rows` must be 1 to 64, got 0"),
        (("grid", "--seconds", 0), "`seconds` × `fps` must come to 2 to 100,000 frames"),
        (("circle", "--label", "hat"), "the model has no class 'hat'"),
        (("circle", "--scale", 0), "`scale` must be at least 1, got 0"),
        (("mixing", "--scale", 200), "a side of a video must be at most 8192 px"),
        (("montage", "--scale", 900), "a side of a video must be at most 8192 px"),
        (("circle", "--psi", 9), "`psi` must be within"),
        (("montage", "--out", "a.gif"), "a video's name must end in .mp4, got 'a.gif'"),
    ],
)
def test_what_cannot_be_made_is_told(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    run = trained.copy_of(trained.plain, tmp_path)
    kind, *options = arguments
    code, out, err = call(kind, run, *options)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert told in err
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_montage_of_one_grid_is_refused(trained: Trained, tmp_path: Path) -> None:
    run = trained.copy_of(trained.plain, tmp_path)
    for grid in sorted((run / "samples").glob("kimg-*.png"))[1:]:
        grid.unlink()
    code, _, err = call("montage", run)
    assert code == 2
    assert "at least 2 sample grids" in err


def test_a_run_that_is_not_there_is_told(tmp_path: Path) -> None:
    for kind in KINDS:
        code, _, err = call(kind, tmp_path / "none")
        assert code == 2
        assert err.startswith("error: ")
