"""Videos played back, by PyAV and, where there is one, by ffprobe: they must say the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Played:
    """What a player sees."""

    frames: NDArray[np.uint8]
    codec: str
    pixel_format: str
    fps: Fraction

    @property
    def size(self) -> tuple[int, int]:
        return self.frames.shape[1], self.frames.shape[2]


def play(path: Path) -> Played:
    """Decode a whole video."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        context = stream.codec_context
        assert context.pix_fmt is not None
        assert stream.average_rate is not None
        played = Played(np.stack(frames), context.name, context.pix_fmt, stream.average_rate)
    _probe(path, played)
    return played


def _probe(path: Path, played: Played) -> None:
    program = shutil.which("ffprobe")
    if program is None:
        return
    line = [program, "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    (stream,) = json.loads(subprocess.run(line, capture_output=True, check=True).stdout)["streams"]
    assert int(stream["nb_read_frames"]) == len(played.frames)
    assert (stream["height"], stream["width"]) == played.size
    assert (stream["codec_name"], stream["pix_fmt"]) == (played.codec, played.pixel_format)
    assert Fraction(stream["avg_frame_rate"]) == played.fps
