from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.watch.journal import Tick
from training.watch.progress import Progress, duration, line, render

TICK = Tick(
    cur_nimg=12_000,
    kimg=12.0,
    tick=3,
    steps=375,
    seconds=160.0,
    sec_per_kimg=40.0,
    images_per_sec=25.0,
    data_wait_share=0.01,
    gpu_memory_gb=12.34,
    ada_p=0.125,
    d_sign_real=0.58,
    r1_gamma=1.0,
    G_lr=0.0025,
    D_lr=0.0025,
    losses={"loss_G": 0.9, "loss_D": 1.25},
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(text: str) -> list[str]:
    """Give the lines that a terminal would show."""
    lines = []
    for row in text.split("\n"):
        lines.append(row.replace("\x1b[K", "").split("\r")[-1])
    return lines


def test_wide_line_tells_everything() -> None:
    text = render(12_000, 48_000, TICK, width=140)
    bar = "#" * 10 + "-" * 30
    assert text == (
        f"[{bar}]  12/48 kimg  25%  40 s/kimg  24 min 00 s left  p 0.125  sign 0.58  12.3 GB"
    )


def test_narrow_line_keeps_what_tells_most() -> None:
    assert render(12_000, 48_000, TICK, width=55).endswith("12/48 kimg  25%  40 s/kimg")
    assert render(12_000, 48_000, TICK, width=20) == "12/48 kimg  25%"


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.none() | st.just(TICK),
    st.integers(0, 300),
)
def test_line_never_wraps(cur: int, total: int, last: Tick | None, width: int) -> None:
    text = render(cur, total, last, width=width)
    assert len(text) <= max(width - 1, 0)
    assert text.isascii()


def test_bar_grows() -> None:
    filled = [render(n, 100_000, width=80).count("#") for n in range(0, 100_001, 10_000)]
    assert filled == sorted(filled)
    assert (filled[0], filled[-1]) == (0, 40)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (12.4, "12 s"),
        (59.7, "1 min 00 s"),
        (250, "4 min 10 s"),
        (7500, "2 h 05 min"),
        (273_600, "3 d 04 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_line_of_a_tick() -> None:
    assert line(TICK, 25_000_000) == (
        "tick 3: 12 of 25000 kimg, 40 s/kimg, 11 d 13 h left, p 0.125, sign 0.58, 12.3 GB, "
        "loss_G 0.9, loss_D 1.25"
    )


def test_no_terminal_gets_a_line_a_tick_and_nothing_else() -> None:
    stream = io.StringIO()
    progress = Progress(48_000, stream)
    for cur_nimg in range(0, 12_000, 32):
        progress.update(cur_nimg)
    progress.tick(TICK)
    progress.note("gamma is 2 now")
    progress.close()
    assert stream.getvalue() == line(TICK, 48_000) + "\ngamma is 2 now\n"


def test_terminal_is_drawn_four_times_a_second() -> None:
    times = iter([i / 100 for i in range(1000)])
    stream = Terminal()
    progress = Progress(48_000, stream, clock=lambda: next(times))
    for step in range(200):
        progress.update(step * 32)
    drawn = stream.getvalue().count("\r")
    assert 4 <= drawn <= 9  # about two seconds by that clock


def test_terminal_keeps_notes_above_one_line() -> None:
    stream = Terminal()
    progress = Progress(48_000, stream)
    progress.update(0)
    progress.note("gamma is 2 now")
    progress.tick(TICK)
    progress.note("warning")
    progress.update(12_032)
    progress.close()
    lines = shown(stream.getvalue())
    assert lines[:2] == ["gamma is 2 now", "warning"]
    assert "12/48 kimg" in lines[2]
    assert lines[3:] == [""]


def test_speed_is_shown_before_the_first_tick() -> None:
    times = iter(float(i) for i in range(100))
    stream = Terminal()
    progress = Progress(48_000, stream, clock=lambda: next(times))
    progress.update(1000)  # one that goes on counts from where it began
    progress.update(1500)
    speed = re.search(r"([\d.]+) s/kimg", shown(stream.getvalue())[-1])
    assert speed is not None
    assert 2 <= float(speed[1]) <= 6  # every look at the clock takes a second


def test_a_real_terminal_is_filled_to_its_width() -> None:
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as stream:
            fcntl.ioctl(stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, 64, 0, 0))
            progress = Progress(48_000, stream)
            progress.tick(TICK)
            written = os.read(master, 4096).decode()
    finally:
        os.close(master)
    text = written.removeprefix("\r").removesuffix("\x1b[K")
    assert text == render(12_000, 48_000, TICK, width=64)


def test_a_closed_stream_does_not_end_a_training() -> None:
    stream = Terminal()
    progress = Progress(48_000, stream)
    progress.update(0)
    stream.close()
    progress.tick(TICK)
    progress.note("still here")
    progress.close()
