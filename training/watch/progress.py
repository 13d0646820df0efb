"""How far a training is: a line updated in place on a terminal, elsewhere a line each tick."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from training.watch.journal import Tick

_EVERY: Final = 0.25  # seconds between updates in place
_BAR: Final = (10, 40)  # characters of the bar, at least and at most
_GAP: Final = "  "


def render(
    cur_nimg: int,
    total_nimg: int,
    last: Tick | None = None,
    *,
    sec_per_kimg: float | None = None,
    width: int = 80,
) -> str:
    """Draw the line of a terminal.

    Parameters
    ----------
    cur_nimg, total_nimg
        Images trained on, and to train on in all.
    last
        Figures of the last tick, if there was one.
    sec_per_kimg
        Speed to show as long as there was none.
    width
        Of the terminal. What does not fit is left out, the least telling first; at last the bar.

    Returns
    -------
    str
        Plain ASCII, shorter than `width`: a full line would wrap.
    """
    share = min(cur_nimg / total_nimg, 1.0) if total_nimg else 1.0
    speed = sec_per_kimg if last is None else last.sec_per_kimg
    parts = [f"{_kimg(cur_nimg)}/{_kimg(total_nimg)} kimg", f"{int(share * 100)}%"]
    parts += _pace(speed, total_nimg - cur_nimg) + ([] if last is None else _figures(last))
    room = max(width - 1, 0)
    while len(parts) > 2 and len(_GAP.join(parts)) + len(_GAP) + _BAR[0] + 2 > room:
        parts.pop()
    text = _GAP.join(parts)
    bar = min(room - len(text) - len(_GAP) - 2, _BAR[1])
    if bar < _BAR[0]:
        return text[:room]
    done = int(share * bar)
    return f"[{'#' * done}{'-' * (bar - done)}]{_GAP}{text}"


def line(record: Tick, total_nimg: int) -> str:
    """Write a tick in one plain line, losses included."""
    parts = [f"{_kimg(record.cur_nimg)} of {_kimg(total_nimg)} kimg"]
    parts += _pace(record.sec_per_kimg, total_nimg - record.cur_nimg) + _figures(record)
    parts += [f"{name} {value:.3g}" for name, value in record.losses.items()]
    return f"tick {record.tick}: " + ", ".join(parts)


def duration(seconds: float) -> str:
    """Give a time in the units that tell most: `3 d 04 h`, `2 h 05 min`, `4 min 10 s`, `12 s`."""
    whole = max(round(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24:02} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def _pace(sec_per_kimg: float | None, left: int) -> list[str]:
    if sec_per_kimg is None:
        return []
    time_left = duration(max(left, 0) / 1000 * sec_per_kimg)
    return [f"{sec_per_kimg:.3g} s/kimg", f"{time_left} left"]


def _figures(record: Tick) -> list[str]:
    """Give what is known, the most telling first."""
    memory = record.gpu_memory_gb
    parts = [f"p {record.ada_p:.3f}", f"sign {record.d_sign_real:.2f}"]
    return parts if memory is None else [*parts, f"{memory:.1f} GB"]


def _kimg(nimg: int) -> str:
    if nimg < 10_000:
        return f"{nimg / 1000:.3f}".rstrip("0").removesuffix(".")
    return f"{nimg / 1000:.1f}".removesuffix(".0")


class Progress:
    """Tells people how far a training is, on stderr or another stream.

    A stream that breaks (a terminal that was closed) is written to no more: it must not end a
    training.

    Parameters
    ----------
    total_nimg
        Images to train on in all.
    stream
        None: stderr.
    clock
        Seconds, growing.
    """

    def __init__(
        self,
        total_nimg: int,
        stream: TextIO | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total_nimg
        self._stream: TextIO | None = sys.stderr if stream is None else stream
        self._clock = clock
        self._in_place = self._stream.isatty()
        self._drawn_at: float | None = None  # None: no line is being updated
        self._cur_nimg = 0
        self._first: tuple[int, float] | None = None  # where it began, and when
        self._last: Tick | None = None

    def update(self, cur_nimg: int) -> None:
        """Say how far it is, after every step: drawn at most four times a second."""
        self._cur_nimg = cur_nimg
        now = self._clock()
        self._first = self._first or (cur_nimg, now)
        if self._in_place and (self._drawn_at is None or now - self._drawn_at >= _EVERY):
            self._draw()
            self._drawn_at = now

    def tick(self, record: Tick) -> None:
        """Take a tick's figures: shown from now on, or written as a line."""
        self._last, self._cur_nimg = record, record.cur_nimg
        if self._in_place:
            self._draw()
            self._drawn_at = self._clock()
        else:
            self._write(line(record, self._total) + "\n")

    def note(self, message: str) -> None:
        """Write a message that stays, above the line that is updated."""
        clear = "\r\x1b[K" if self._drawn_at is not None else ""
        self._drawn_at = None
        self._write(f"{clear}{message}\n")

    def close(self) -> None:
        """Leave the line as it is, and go to the next."""
        if self._drawn_at is not None:
            self._draw()
            self._write("\n")
        self._drawn_at = None

    def _draw(self) -> None:
        speed = None
        if self._first is not None and self._cur_nimg > self._first[0]:
            nimg, at = self._first
            speed = (self._clock() - at) / (self._cur_nimg - nimg) * 1000
        text = render(
            self._cur_nimg, self._total, self._last, sec_per_kimg=speed, width=self._width()
        )
        self._write(f"\r{text}\x1b[K")

    def _width(self) -> int:
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):  # no terminal behind it after all
                return os.get_terminal_size(self._stream.fileno()).columns or 80
        return shutil.get_terminal_size().columns

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None
