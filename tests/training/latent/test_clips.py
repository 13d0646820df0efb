"""Films of a real, tiny model: what stands still, what moves, and that they loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.training.conftest import Trained
from tests.training.latent.playing import play
from training.errors import SetupError
from training.latent.clip_options import ClipOptions, count_frames
from training.latent.clips import circle, interpolation_grid, style_mixing
from training.latent.draws import Truncation, draw_labels
from training.latent.filming import (
    PAPER,
    film,
    mixing_walk,
    sheet,
    sheet_size,
    sphere_walk,
    spline_walk,
)
from training.latent.sampler import Pixels, Sampler
from training.latent.video import Encoding, enlarged
from training.latent.walks import turns
from training.models import load_model
from training.trained_on import silent

OPTIONS = ClipOptions(seconds=2, encoding=Encoding(fps=10, crf=4), scale=2, enlarging="nearest")
STILL = replace(OPTIONS, truncation=Truncation(psi=0))
GAP = 4


@pytest.fixture(scope="module")
def sampler(trained: Trained) -> Sampler:
    return Sampler(load_model(trained.plain), 8)


@pytest.fixture(scope="module")
def conditional(trained: Trained) -> Sampler:
    return Sampler(load_model(trained.conditional), 8)


def steps(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much changes from each frame to the next, the last to the first."""
    return np.abs(np.roll(frames, -1, axis=0).astype(float) - frames).mean(axis=(1, 2, 3))


def near(shown: NDArray[np.uint8], made: NDArray[np.uint8], levels: float = 8) -> bool:
    """Tell whether brightness is the same; colour has half the resolution."""
    return float(np.abs(shown.mean(axis=-1) - made.mean(axis=-1)).mean()) < levels


# -- frames ---------------------------------------------------------------------------------------


def test_seconds_are_counted_in_frames() -> None:
    assert count_frames(2, 30) == 60
    assert count_frames(0.07, 30) == 2
    for seconds in (0.0, -1.0, float("nan"), float("inf"), 1e6):
        with pytest.raises(SetupError, match="must come to 2 to 100,000 frames"):
            count_frames(seconds, 30)


def test_a_sheet_has_pictures_in_their_places_and_paper_between() -> None:
    cells = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1).repeat(5, 2).repeat(7, 3)
    cells = cells.repeat(3, 4)
    laid = sheet(cells)
    assert laid.shape == (2 * 5 + GAP, 3 * 7 + 2 * GAP, 3)
    assert sheet_size((5, 7), 2, 3, headed=False) == laid.shape[:2]
    assert (laid[9:, 22:] == 5).all()
    assert (laid[5:9] == PAPER).all()
    apart = sheet(cells, headed=True)
    assert apart.shape == (2 * 5 + 2 * GAP, 3 * 7 + 3 * GAP, 3)
    assert sheet_size((5, 7), 2, 3, headed=True) == apart.shape[:2]
    assert (apart[:, 7:15] == PAPER).all()
    assert (apart[13:, 26:] == 5).all()


@pytest.mark.parametrize("lead", [spline_walk, sphere_walk])
def test_each_picture_passes_its_own_seeds(sampler: Sampler, lead: type) -> None:
    cut = Truncation(psi=0.7)
    walk = lead(sampler, range(6), 2, cut, None)
    expected = sampler.ws(range(6), cut).reshape(2, 3, sampler.num_ws, -1).transpose(0, 1)
    torch.testing.assert_close(walk(turns(3)), expected, rtol=1e-3, atol=1e-4)


def test_a_class_is_kept_on_the_sphere(conditional: Sampler) -> None:
    walk = sphere_walk(conditional, range(4), 1, Truncation(), 1)
    torch.testing.assert_close(
        walk(turns(4))[:, 0], conditional.ws(range(4), label=1), rtol=1e-3, atol=1e-4
    )


def test_each_picture_keeps_its_own_class_on_the_sphere(conditional: Sampler) -> None:
    first = [0, 2, 4, 6]  # seeds, with classes that are not all the same
    assert len(set(draw_labels(first, 3).tolist())) > 1
    walk = sphere_walk(conditional, range(8), 4, Truncation(), None)
    torch.testing.assert_close(walk(turns(2))[0], conditional.ws(first), rtol=1e-3, atol=1e-4)
    with pytest.raises(SetupError, match="`label` must be one of"):
        sphere_walk(conditional, range(8), 4, Truncation(), 99)


def test_frames_are_the_same_however_many_are_made_at_once(sampler: Sampler) -> None:
    films = []
    for batch in (1, 5, 8, 16):
        own = Sampler(sampler.model, batch)
        walk = spline_walk(own, range(6), 3, Truncation(), None)
        told: list[int] = []
        films.append(
            np.stack(
                list(
                    film(
                        own,
                        walk,
                        turns(7),
                        own.noises("random", range(3)),
                        lambda _, done, total: told.append(done),  # noqa: B023
                    )
                )
            )
        )
        assert told == list(range(1, 8))
    for other in films[1:]:
        assert np.abs(other.astype(int) - films[0]).max() <= 1


class Watched(Sampler):
    """Keeps in mind how many pictures were asked for at once."""

    most = 0

    def render(self, ws: Tensor, noises: Sequence[Tensor] | None = None) -> Pixels:
        self.most = max(self.most, len(ws), *(len(noise) for noise in noises or ()))
        return super().render(ws, noises)


@pytest.mark.parametrize("cells", [1, 3, 35])
def test_pictures_are_made_a_batch_at_a_time_whatever_a_frame_has(
    sampler: Sampler, cells: int
) -> None:
    own = Watched(sampler.model, 4)
    walk = spline_walk(own, range(cells), cells, Truncation(), None)
    made = list(film(own, walk, turns(5), own.noises("random", range(cells)), silent))
    assert [len(frame) for frame in made] == [cells] * 5
    assert own.most == 4
    assert all(np.array_equal(frame, made[0]) for frame in made)  # one key: it stands still
    expected = sampler.render(own.ws(range(cells)), own.noises("random", range(cells)))
    assert np.abs(made[0].astype(int) - expected).max() <= 1


def test_pictures_can_share_noise(sampler: Sampler) -> None:
    walk = spline_walk(sampler, [7, 7, 7], 3, Truncation(), None)
    noises, of = sampler.noises("random", [0, 1]), torch.tensor([0, 1, 0])
    (one, _) = film(sampler, walk, turns(2), noises, silent, noise_of=of)
    assert np.array_equal(one[0], one[2])
    assert not np.array_equal(one[0], one[1])


def test_mixed_pictures_have_the_layers_of_their_source() -> None:
    still = torch.arange(2.0).view(2, 1, 1).expand(2, 4, 3)
    walk = mixing_walk(lambda at: 10 + torch.zeros(len(at), 5, 4, 3), still, (1, 3))
    ws = walk(turns(6)).view(6, 3, 5, 4, 3)
    assert (ws[:, 0] == 10).all()
    assert (ws[:, 1:, :, 1:3] == 10).all()
    for row in range(2):
        assert (ws[:, 1 + row, :, [0, 3]] == row).all()


# -- clips ----------------------------------------------------------------------------------------


def test_a_grid_walks_and_loops(sampler: Sampler, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    clip = interpolation_grid(
        sampler,
        tmp_path / "a.mp4",
        OPTIONS,
        rows=2,
        columns=3,
        keys=2,
        progress=lambda *what: told.append(what),
    )
    played = play(clip.path)
    assert (clip.frames, clip.fps, clip.seconds) == (20, 10, 2.0)
    assert clip.size == played.size == (2 * 32 + GAP, 3 * 24 + 2 * GAP)
    assert (played.codec, played.pixel_format, played.fps) == ("h264", "yuv420p", Fraction(10))
    assert told[-1] == ("frames", 20, 20)
    changes = steps(played.frames)
    assert changes[-1] < 1.5 * np.median(changes)  # the seam is a step like others
    first = enlarged(sampler.render(sampler.ws([2])), 2, "nearest")[0]  # the second picture's
    assert near(played.frames[0, :32, 28:52], first)


@pytest.mark.parametrize("noise", ["fixed", "random", "none"])
def test_nothing_moves_but_what_walks(sampler: Sampler, tmp_path: Path, noise: str) -> None:
    options = replace(STILL, noise=noise)
    clip = interpolation_grid(sampler, tmp_path / "a.mp4", options, rows=1, columns=2, keys=2)
    frames = play(clip.path).frames
    assert steps(frames).max() < 1
    alike = near(frames[0, :, :24], frames[0, :, 28:], 0.5)
    assert alike == (noise != "random")  # each picture has the noise of its own seed


def test_pictures_are_shown_as_people_see_them(sampler: Sampler, tmp_path: Path) -> None:
    clip = interpolation_grid(sampler, tmp_path / "a.mp4", OPTIONS, rows=1, columns=1, keys=1)
    shown = play(clip.path).frames[0]
    made = enlarged(sampler.render(sampler.ws([0])), 2, "nearest")[0]
    assert sampler.model.inverted
    assert near(shown, made)
    assert not near(shown, 255 - made)


def test_a_seed_gives_the_same_bytes_and_another_gives_others(
    sampler: Sampler, tmp_path: Path
) -> None:
    def made(name: str, seed: int) -> bytes:
        options = replace(OPTIONS, seconds=1, seed=seed)
        interpolation_grid(sampler, tmp_path / f"{name}.mp4", options, rows=1, columns=2, keys=2)
        return (tmp_path / f"{name}.mp4").read_bytes()

    assert made("a", 0) == made("b", 0) != made("c", 40)


def test_a_walk_on_the_sphere_is_another_one(conditional: Sampler, tmp_path: Path) -> None:
    clips = [
        interpolation_grid(
            conditional, tmp_path / f"{space}.mp4", OPTIONS, rows=1, columns=2, keys=3, space=space
        )
        for space in ("w", "z")
    ]
    frames = [play(clip.path).frames for clip in clips]
    assert all(steps(own).min() > 0 for own in frames)
    assert not np.array_equal(frames[0], frames[1])


def test_sources_move_and_fixed_pictures_stay(sampler: Sampler, tmp_path: Path) -> None:
    clip = style_mixing(
        sampler, tmp_path / "a.mp4", OPTIONS, layers="coarse", rows=2, columns=2, keys=2
    )
    frames = play(clip.path).frames
    assert clip.size == (3 * 32 + 3 * GAP, 3 * 24 + 3 * GAP)
    assert (np.abs(frames[:, 2:30, 2:22].astype(int) - PAPER) < 6).all()  # the corner
    fixed, sources = frames[:, 40:, :24], frames[:, :32, 32:]
    assert steps(fixed).max() < 1 < steps(sources).min()
    made = enlarged(sampler.render(sampler.ws([0])), 2, "nearest")[0]
    assert near(fixed[0, :32], made)


def test_with_all_layers_mixed_pictures_are_their_sources(sampler: Sampler, tmp_path: Path) -> None:
    def rows(layers: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        clip = style_mixing(
            sampler, tmp_path / "a.mp4", OPTIONS, layers=layers, rows=1, columns=2, keys=2
        )
        frames = play(clip.path).frames
        return frames[:, :32, 32:], frames[:, 40:72, 32:]

    assert near(*rows("all"), 2)
    assert not near(*rows("coarse"), 2)


def test_layers_that_are_not_there_are_refused(sampler: Sampler, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="layers must be one of all, coarse"):
        style_mixing(sampler, tmp_path / "a.mp4", OPTIONS, layers="coarser")
    assert list(tmp_path.iterdir()) == []


def test_a_circle_has_even_steps_and_closes(sampler: Sampler, tmp_path: Path) -> None:
    options = replace(OPTIONS, seconds=4.8)
    even = circle(sampler, tmp_path / "even.mp4", options)
    plain = circle(sampler, tmp_path / "plain.mp4", options, rounds=0)
    assert even.frames == plain.frames == 48
    assert even.size == (32, 24)
    assert even.numbers["before"] == plain.numbers["after"] > 1.3
    assert even.numbers["after"] < 1.1
    changes = [steps(play(clip.path).frames) for clip in (even, plain)]
    uneven = [float(own.max() / own.mean()) for own in changes]
    assert uneven[0] < uneven[1]
    assert changes[0][-1] < 1.5 * np.median(changes[0])


def test_a_circle_goes_through_one_class(conditional: Sampler, tmp_path: Path) -> None:
    frames = [
        play(circle(conditional, tmp_path / "a.mp4", replace(OPTIONS, label=label)).path).frames
        for label in (0, 1)
    ]
    assert not np.array_equal(frames[0], frames[1])


@pytest.mark.parametrize("make", [interpolation_grid, style_mixing, circle])
@pytest.mark.parametrize(
    ("name", "scale", "told"), [("a.mp4", 999, "at most 8192 px"), ("a.gif", 1, "must end in .mp4")]
)
def test_what_cannot_be_written_is_told_before_a_picture_is_made(
    sampler: Sampler, tmp_path: Path, make: Any, name: str, scale: int, told: str
) -> None:
    own = Watched(sampler.model, 8)
    with pytest.raises(SetupError, match=told):
        make(own, tmp_path / name, replace(OPTIONS, scale=scale), progress=pytest.fail)
    assert own.most == 0


def test_the_largest_sheet_is_measured_with_its_paper(sampler: Sampler, tmp_path: Path) -> None:
    options = replace(OPTIONS, scale=8)  # 128 px high: without paper, 64 rows would fit
    with pytest.raises(SetupError, match=f"got {64 * 128 + 63 * GAP}×96"):
        interpolation_grid(sampler, tmp_path / "a.mp4", options, rows=64, columns=1)


def test_counts_that_make_no_sheet_are_refused(sampler: Sampler, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="`rows` must be 1 to 64, got 0"):
        interpolation_grid(sampler, tmp_path / "a.mp4", OPTIONS, rows=0)
    with pytest.raises(SetupError, match="`keys` must be 1 to 64, got 65"):
        style_mixing(sampler, tmp_path / "a.mp4", OPTIONS, keys=65)
