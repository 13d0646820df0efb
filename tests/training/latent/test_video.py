"""Videos: written and played back."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.latent.playing import play
from training.errors import SetupError
from training.latent.video import (
    LARGEST,
    Encoding,
    check_encoder,
    check_video,
    enlarged,
    factor_for,
    write_video,
)

COLOURS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 100, 50]], np.uint8
)
STRIPES = np.repeat(np.repeat(COLOURS[None], 32, axis=0), 16, axis=1)


def greys(*levels: int, height: int = 32, width: int = 48) -> Iterator[NDArray[np.uint8]]:
    for level in levels:
        yield np.full((height, width, 3), level, np.uint8)


def noise(count: int) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 32, 48, 3), np.uint8))


def test_what_is_written_is_played(tmp_path: Path) -> None:
    levels = (0, 64, 128, 255, 30)
    written = write_video(tmp_path / "a.mp4", greys(*levels), Encoding(fps=24))
    played = play(tmp_path / "a.mp4")
    assert (written.frames, written.size) == (5, (32, 48))
    assert len(played.frames) == 5
    assert played.size == (32, 48)
    assert (played.codec, played.pixel_format, played.fps) == ("h264", "yuv420p", Fraction(24))
    means = played.frames.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, levels, atol=2)


def test_colours_are_kept(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [STRIPES] * 3)
    shown = play(tmp_path / "a.mp4").frames[1, 16, 8::16].astype(int)
    np.testing.assert_allclose(shown, COLOURS, atol=4)


def test_odd_sides_get_a_copy_of_their_edge(tmp_path: Path) -> None:
    frame = np.full((31, 33, 3), 60, np.uint8)
    frame[-1:] = frame[:, -1:] = 220
    written = write_video(tmp_path / "a.mp4", [frame], Encoding(crf=0))
    played = play(tmp_path / "a.mp4")
    assert written.size == played.size == (32, 34)
    np.testing.assert_allclose(played.frames[0, -2:].mean(), 220, atol=6)
    np.testing.assert_allclose(played.frames[0, :, -2:].mean(), 220, atol=6)
    np.testing.assert_allclose(played.frames[0, :28, :30].mean(), 60, atol=3)


def test_a_video_can_be_played_from_its_head(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", noise(10))
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", noise(20))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_better_quality_is_larger_and_closer(tmp_path: Path) -> None:
    frames = noise(6)
    errors, sizes = [], []
    for crf in (5, 20, 45):
        write_video(tmp_path / "a.mp4", frames, Encoding(crf=crf))
        sizes.append((tmp_path / "a.mp4").stat().st_size)
        shown = play(tmp_path / "a.mp4").frames.astype(float)
        errors.append(float(np.abs(shown.mean(axis=3) - np.stack(frames).mean(axis=3)).mean()))
    assert sizes[0] > sizes[1] > sizes[2]
    assert errors[0] < errors[1] < errors[2]


def test_frames_are_not_kept(tmp_path: Path) -> None:
    alive: weakref.WeakSet[NDArray[np.uint8]] = weakref.WeakSet()
    most = 0

    class Frame(np.ndarray):  # weak sets want what can be hashed
        __hash__ = object.__hash__

    def frames() -> Iterator[NDArray[np.uint8]]:
        nonlocal most
        for level in range(100):
            frame = np.full((16, 16, 3), level, np.uint8).view(Frame)
            alive.add(frame)
            most = max(most, len(alive))
            yield frame

    assert write_video(tmp_path / "a.mp4", frames()).frames == 100
    assert most <= 4


def test_work_that_fails_leaves_the_former_video(tmp_path: Path) -> None:
    def failing() -> Iterator[NDArray[np.uint8]]:
        yield from greys(1, 2)
        raise RuntimeError("no more")

    write_video(tmp_path / "a.mp4", greys(7))
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(RuntimeError, match="no more"):
        write_video(tmp_path / "a.mp4", failing())
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    "second",
    [
        np.zeros((32, 50, 3), np.uint8),
        np.zeros((32, 48, 3), np.float32),
        np.zeros((32, 48), np.uint8),
    ],
)
def test_frames_of_another_kind_are_refused(tmp_path: Path, second: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="`frames` must be uint8 of shape"):
        write_video(tmp_path / "a.mp4", [*greys(3), second])
    assert list(tmp_path.iterdir()) == []


def test_a_video_needs_a_frame(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "a.mp4", [])


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"must end in \.mp4, got 'a\.gif'"):
        write_video(tmp_path / "a.gif", greys(3))


def test_frames_beyond_every_player_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=f"at most {LARGEST} px, got 2×{LARGEST + 2}"):
        write_video(tmp_path / "a.mp4", greys(3, height=2, width=LARGEST + 1))


def test_what_cannot_be_written_is_told_beforehand() -> None:
    check_video(Path("a.mp4"))
    check_video(Path("a.mp4"), (2, LARGEST))
    with pytest.raises(SetupError, match=f"at most {LARGEST} px, got {LARGEST + 2}×2"):
        check_video(Path("a.mp4"), (LARGEST + 1, 2))
    with pytest.raises(SetupError, match=r"must end in \.mp4"):
        check_video(Path("a.gif"), (2, 2))


@pytest.mark.parametrize(
    ("values", "told"),
    [({"fps": 0}, "`fps` must be 1 to 240, got 0"), ({"crf": 52}, "`crf` must be 0 to 51, got 52")],
)
def test_an_encoding_says_what_it_cannot(values: dict[str, int], told: str) -> None:
    with pytest.raises(SetupError, match=told):
        Encoding(**values)


def test_without_pyav_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    with pytest.raises(SetupError, match=r"need the package av .* pip install"):
        write_video(tmp_path / "a.mp4", greys(3))


def test_without_the_encoder_the_remedy_is_told() -> None:
    check_encoder()
    with pytest.raises(SetupError, match=r"need the encoder libx999, .* pip install"):
        check_encoder("libx999")


# -- enlarging ------------------------------------------------------------------------------------


def test_nearest_makes_squares_of_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    large = enlarged(pixels, 3, "nearest")
    assert large.shape == (1, 6, 6, 3)
    for row in range(6):
        for column in range(6):
            assert large[0, row, column].tolist() == pixels[0, row // 3, column // 3].tolist()


def test_lanczos_keeps_means_and_makes_steps_smooth() -> None:
    pixels = np.full((2, 8, 8, 3), 40, np.uint8)
    pixels[1, :, 4:] = 200
    large = enlarged(pixels, 4)
    assert large.shape == (2, 32, 32, 3)
    assert (large[0] == 40).all()
    assert abs(float(large[1].mean()) - 120) < 2
    assert len(np.unique(large[1])) > 4


def test_a_factor_of_one_changes_nothing() -> None:
    pixels = np.stack(noise(2))
    assert np.array_equal(enlarged(pixels, 1), pixels)


@pytest.mark.parametrize(
    ("size", "factor"),
    [((64, 48), 8), ((12, 16), 32), ((512, 2), 1), ((9, 511), 2), ((9, 9), 57)],
)
def test_small_frames_are_enlarged_until_they_are_seen(size: tuple[int, int], factor: int) -> None:
    assert factor_for(size) == factor
    assert max(size) * factor >= 512
    assert factor == 1 or max(size) * (factor - 1) < 512


def test_a_factor_that_is_asked_for_is_taken() -> None:
    assert factor_for((64, 48), 3) == 3
    with pytest.raises(SetupError, match="`scale` must be at least 1, got 0"):
        factor_for((64, 48), 0)
