"""What the commands that work on trained runs share: exit codes, progress, common options."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from training.errors import SetupError, TrainingError

_EVERY: Final = (0.25, 10.0)  # seconds between lines: in place on a terminal, one below another
_MEGA: Final = 1e6


def exit_code(work: Callable[[], None]) -> int:
    """Do the work; give 0, or say what went wrong and give 1, or 2 for wrong usage or settings."""
    try:
        work()
    except SetupError as error:
        say(f"error: {error}")
        return 2
    except BrokenPipeError:  # whoever reads has seen enough
        sys.stderr.close()
        return 0
    except (TrainingError, OSError) as error:
        say(f"error: {error}")
        return 1
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is imported late
            raise
        say("error: out of memory; ask for fewer pictures at once (--batch)")
        return 1
    return 0


def say(text: str) -> None:
    """Tell people, on standard error; whoever is gone, and the terminal with them, ends no work."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def positive(text: str) -> int:
    """Read a whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where pictures come from, and where networks run."""
    parser.add_argument(
        "--version",
        help="folder or URL of the version; default: that which the run was trained on",
    )
    parser.add_argument("--cache", type=Path, help="where versions from object storage are kept")
    parser.add_argument(
        "--device", choices=["cuda", "cpu", "auto"], default="auto", help="default: auto"
    )
    parser.add_argument("--batch", type=positive, default=32, help="pictures at once (32)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (0)")


class Counter:
    """Tells on standard error how far something is; a `training.trained_on.Progress`."""

    def __init__(self) -> None:
        self._in_place = sys.stderr.isatty()
        self._told = time.monotonic()
        self._open = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell of progress, seldom enough to be read."""
        now = time.monotonic()
        if now - self._told < _EVERY[0 if self._in_place else 1]:
            return
        self._told = now
        in_bytes = what in ("fetched", "checked")
        numbers = (f"{n / _MEGA:,.0f} MB" if in_bytes else f"{n:,}" for n in (done, total))
        text = f"{what} {' of '.join(numbers)}"
        if self._in_place:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._open = True
        else:
            say(text)

    def close(self) -> None:
        """Take a line that was updated in place away."""
        if self._open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._open = False
