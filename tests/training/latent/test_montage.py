"""The montage of a training: grids in their order, held, faded, captioned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.training.conftest import Trained
from tests.training.latent.playing import play
from training.errors import SetupError
from training.latent.montage import montage, sample_grids
from training.latent.video import Encoding

FAST = Encoding(fps=10, crf=4)


def run_of(folder: Path, *levels: int, size: tuple[int, int] = (40, 60)) -> Path:
    """A run whose grids are of one grey each, a thousand images apart."""
    (folder / "samples").mkdir()
    for number, level in enumerate(levels):
        image = Image.new("RGB", (size[1], size[0]), (level,) * 3)
        image.save(folder / "samples" / f"kimg-{number:06d}.000.png")
    Image.new("RGB", (7, 7)).save(folder / "samples" / "reals.png")
    return folder


def lightness(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What 4:2:0 keeps at full resolution."""
    return np.asarray(Image.fromarray(pixels).convert("L"), np.float64)


def brightness(frames: NDArray[np.uint8], height: int) -> NDArray[np.float64]:
    return np.asarray(frames[:, : height - 4].mean(axis=(1, 2, 3)))


def test_grids_of_a_training_are_shown_from_the_first_to_the_last(
    trained: Trained, tmp_path: Path
) -> None:
    grids = sample_grids(trained.plain)
    told: list[tuple[str, int, int]] = []
    clip = montage(
        trained.plain,
        tmp_path / "a.mp4",
        encoding=FAST,
        scale=2,
        enlarging="nearest",
        progress=lambda *what: told.append(what),
    )
    frames = play(clip.path).frames
    assert clip.numbers == {"grids": 3, "kimg": 0.032}
    assert told[-1] == ("frames", clip.frames, clip.frames)
    made = [lightness(np.asarray(Image.open(grid.path).convert("RGB"))) for grid in grids]
    first, last = (lightness(frame)[: 2 * len(made[0]) : 2, ::2] for frame in frames[[0, -1]])
    first, last = (shown[:, : made[0].shape[1]] for shown in (first, last))
    for shown, own, other in ((first, made[0], made[-1]), (last, made[-1], made[0])):
        assert 3 * np.abs(shown - own).mean() < np.abs(shown - other).mean()


def test_grids_are_held_and_fade_and_the_last_one_stays(tmp_path: Path) -> None:
    clip = montage(run_of(tmp_path, 0, 120, 240), tmp_path / "a.mp4", encoding=FAST, scale=1)
    frames = play(clip.path).frames
    assert clip.frames == 2 * 15 + 30  # 1.5 s each, 3 s the last
    levels = brightness(frames, 40)
    assert (np.diff(levels) > -1).all()
    held = [int((np.abs(levels - level) < 2).sum()) for level in (0, 120, 240)]
    assert held[0] in range(7, 10)
    assert held[1] in range(7, 10)
    assert held[2] in range(30, 33)
    assert ((levels > 10) & (levels < 110)).sum() >= 5


def test_many_grids_are_thinned_out_evenly_to_fit_the_time(tmp_path: Path) -> None:
    levels = list(range(0, 250, 5))
    clip = montage(run_of(tmp_path, *levels), tmp_path / "a.mp4", seconds=4, encoding=FAST, scale=1)
    assert clip.frames <= 40
    assert clip.numbers == {"grids": 11, "kimg": 49}
    shown = brightness(play(clip.path).frames, 40)
    assert shown[0] < 3
    assert abs(shown[-1] - levels[-1]) < 3
    assert np.diff(shown).max() < 30


@pytest.mark.parametrize("seconds", [0.2, 0.5, 1, 30])
def test_a_montage_is_never_longer_than_asked_for(tmp_path: Path, seconds: float) -> None:
    clip = montage(
        run_of(tmp_path, 0, 90, 180), tmp_path / "a.mp4", seconds=seconds, encoding=FAST, scale=1
    )
    levels = brightness(play(clip.path).frames, 40)
    assert clip.frames <= seconds * 10
    assert levels[0] < 3
    assert abs(levels[-1] - 180) < 3


def test_the_caption_tells_how_far_training_is(tmp_path: Path) -> None:
    clip = montage(
        run_of(tmp_path, 208, 208, 208, size=(60, 300)), tmp_path / "a.mp4", encoding=FAST, scale=1
    )
    strip = play(clip.path).frames[:, 60:].mean(axis=3)
    dark = (strip < 80).sum(axis=(1, 2))
    text, rail = strip[:, :, :60], strip[:, :, 100:]
    assert clip.size == (84, 300)
    assert (text.min(axis=(1, 2)) < 80).all()  # written in every frame
    assert dark[0] < dark[len(dark) // 4] < dark[-1]  # the rail fills
    assert (rail[-1] < 80).sum() > 4 * (rail[0] < 80).sum()


def test_a_grid_is_enlarged_until_it_is_seen(tmp_path: Path) -> None:
    clip = montage(run_of(tmp_path, 0, 9), tmp_path / "a.mp4", seconds=1, encoding=FAST)
    assert clip.size[1] == 60 * 9


@pytest.mark.parametrize("levels", [(), (3,)])
def test_a_montage_needs_two_grids(tmp_path: Path, levels: tuple[int, ...]) -> None:
    with pytest.raises(SetupError, match=f"at least 2 sample grids, .* has {len(levels)}; let"):
        montage(run_of(tmp_path, *levels), tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()


def test_a_grid_of_another_size_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0, 9)
    Image.new("RGB", (30, 20)).save(run / "samples" / "kimg-000001.000.png")
    with pytest.raises(SetupError, match=r"kimg-000001\.000\.png has \(20, 30\)"):
        montage(run, tmp_path / "a.mp4", encoding=FAST)


def test_a_damaged_grid_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0, 9)
    (run / "samples" / "kimg-000001.000.png").write_bytes(b"no picture")
    with pytest.raises(SetupError, match=r"kimg-000001\.000\.png must be a picture"):
        montage(run, tmp_path / "a.mp4", encoding=FAST)
    assert not (tmp_path / "a.mp4").exists()


def test_frames_beyond_every_player_are_refused_before_one_is_made(tmp_path: Path) -> None:
    run = run_of(tmp_path, 10, 20)
    told: list[tuple[str, int, int]] = []
    with pytest.raises(SetupError, match="at most 8192 px, got 872000×1200000"):
        montage(run, tmp_path / "a.mp4", scale=20_000, progress=lambda *what: told.append(what))
    assert not told
