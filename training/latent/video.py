"""Videos that play everywhere: MP4 with H.264 and 4:2:0 colour, written frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.errors import SetupError

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

Pixels = NDArray[np.uint8]

Enlarging = Literal["lanczos", "nearest"]
"""`lanczos`: smooth; `nearest`: every pixel a square, as the networks made it."""

ENCODER: Final = "libx264"
SEEN: Final = 512  # px of the longer side that people see without leaning forward
LARGEST: Final = 8192  # px of a side: more is beyond what H.264 has levels for
_THREADS: Final = 4  # a number of its own, for the bytes depend on it
_FASTEST: Final = 240  # frames a second
_COARSEST: Final = 51  # worst quality of the encoder


@dataclass(frozen=True, slots=True)
class Encoding:
    """How frames become a file.

    Attributes
    ----------
    fps : int
        Frames a second, 1 to 240.
    crf : int
        Constant rate factor of x264: 0 loses nearly nothing, 18 nothing that is seen, 51 nearly
        all; six more halve the file.

    Raises
    ------
    SetupError
        If a value is out of range.
    """

    fps: int = 30
    crf: int = 18

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= _FASTEST:
            raise SetupError(f"`fps` must be 1 to {_FASTEST}, got {self.fps}; try 30")
        if not 0 <= self.crf <= _COARSEST:
            raise SetupError(f"`crf` must be 0 to {_COARSEST}, got {self.crf}; try 18")


@dataclass(frozen=True, slots=True)
class Written:
    """A video that was written.

    Attributes
    ----------
    path : Path
    frames : int
    size : tuple of int
        Height and width, px; even.
    """

    path: Path
    frames: int
    size: tuple[int, int]


USUAL: Final = Encoding()


def write_video(path: Path, frames: Iterable[Pixels], encoding: Encoding = USUAL) -> Written:
    """Write a video so that a reader finds all of it or none of it.

    One frame is held at a time. An odd side gets one more row or column, a copy of the last. What
    is needed to start playing stands at the head of the file, so that it can be streamed. Equal
    frames give equal bytes.

    Parameters
    ----------
    path
        Ends in `.mp4`; its folder is there.
    frames
        At least one; ndarrays of shape (H, W, 3), uint8, all of one shape.
    encoding

    Raises
    ------
    SetupError
        If PyAV or its encoder is missing, the name has another ending, or frames are too large.
    ValueError
        If there are no frames, or one has another shape or type.
    """
    check_video(path)
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("`frames` must hold at least one frame, got none")
    check_video(path, first.shape)
    checked = _checked(chain([first], rest), first.shape)
    partial = path.with_name(f".{path.name}.part")
    try:
        count, size = _encode(partial, checked, _even(first.shape), encoding)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Written(path, count, size)


def check_video(path: Path, size: Sequence[int] = (0, 0)) -> None:
    """Refuse what cannot be written, before any frame of it is made.

    Parameters
    ----------
    path
        Ends in `.mp4`.
    size
        Height and width of frames, px, where they are known.

    Raises
    ------
    SetupError
        If PyAV or its encoder is missing, the name has another ending, or frames are too large.
    """
    check_encoder()
    if path.suffix != ".mp4":
        raise SetupError(f"a video's name must end in .mp4, got {path.name!r}; add it")
    height, width = _even(size)
    if max(height, width) > LARGEST:
        raise SetupError(
            f"a side of a video must be at most {LARGEST} px, got {height}×{width} "
            "(height × width); ask for fewer rows and columns, or a smaller scale"
        )


def check_encoder(name: str = ENCODER) -> None:
    """Refuse to go on without PyAV, or without the encoder in the FFmpeg that it brings.

    Raises
    ------
    SetupError
        If one is missing.
    """
    try:
        import av
    except ImportError as error:
        raise SetupError(
            "videos need the package av (PyAV), which is not installed here; "
            'pip install "nonesuch[train]"'
        ) from error
    if name not in av.codecs_available:
        raise SetupError(
            f"videos need the encoder {name}, which the FFmpeg of PyAV {av.__version__} here does "
            "not have; pip install --force-reinstall --only-binary av av"
        )


def enlarged(pixels: Pixels, factor: int, how: Enlarging = "lanczos") -> Pixels:
    """Enlarge pictures by a whole factor.

    Parameters
    ----------
    pixels : ndarray of shape (N, H, W, 3), uint8
    factor
        At least 1.
    how
        Lanczos looks at three pixels a side; edges are not darkened.

    Returns
    -------
    ndarray of shape (N, H × factor, W × factor, 3), uint8
    """
    if factor == 1:
        return pixels
    if how == "nearest":
        return pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    size = (pixels.shape[2] * factor, pixels.shape[1] * factor)
    large = [Image.fromarray(one).resize(size, Image.Resampling.LANCZOS) for one in pixels]
    return np.stack([np.asarray(one) for one in large])


def factor_for(size: tuple[int, int], asked: int | None = None, *, at_least: int = SEEN) -> int:
    """Choose the whole factor by which frames are enlarged.

    Parameters
    ----------
    size
        Height and width of a frame, px.
    asked
        The factor, where a person has chosen; None: the smallest that brings the longer side to
        `at_least` px.
    at_least

    Raises
    ------
    SetupError
        If `asked` is below 1.
    """
    if asked is None:
        return -(-at_least // max(size)) if max(size) < at_least else 1
    if asked < 1:
        raise SetupError(f"`scale` must be at least 1, got {asked}; leave it out to have it chosen")
    return asked


def _even(shape: Sequence[int]) -> tuple[int, int]:
    height, width = (side + side % 2 for side in shape[:2])
    return height, width


def _checked(frames: Iterable[Pixels], shape: tuple[int, ...]) -> Iterator[Pixels]:
    for number, frame in enumerate(frames):
        right = frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        if not right or frame.shape != shape:
            raise ValueError(
                "`frames` must be uint8 of shape (H, W, 3), all of one shape, "
                f"got {frame.dtype} of shape {frame.shape} as number {number}, first {shape}"
            )
        yield frame


def _encode(
    path: Path, frames: Iterable[Pixels], size: tuple[int, int], encoding: Encoding
) -> tuple[int, tuple[int, int]]:
    import av

    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
        stream = _stream(file, size, encoding)
        for frame in frames:
            file.mux(stream.encode(_converted(frame, size)))
            count += 1
        file.mux(stream.encode(None))
    return count, size


def _stream(
    file: av.container.OutputContainer, size: tuple[int, int], encoding: Encoding
) -> VideoStream:
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    options = {"crf": str(encoding.crf), "preset": "medium"}
    stream = file.add_stream(ENCODER, rate=encoding.fps, options=options)
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.thread_count = _THREADS
    # Players guess by the size where nothing is said, and shift colours where they guess wrongly.
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream


def _converted(frame: Pixels, size: tuple[int, int]) -> av.VideoFrame:
    import av
    from av.video.reformatter import ColorRange, Colorspace

    more = [(0, side - now) for side, now in zip(size, frame.shape[:2], strict=True)]
    padded = np.pad(frame, [*more, (0, 0)], mode="edge") if any(map(any, more)) else frame
    return av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
