"""Writing files so that a reader, or a machine that loses power, never sees half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from training.errors import TrainingError


def write_atomically(path: Path, text: str) -> None:
    """Replace a text file as a whole.

    Parameters
    ----------
    path
        Its folder must exist. One writer at a time.
    text
        Written as UTF-8.

    Raises
    ------
    TrainingError
        If it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            sync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"{path} cannot be written: {error.strerror}; mend that and start again"
        ) from error


def sync(handle: int) -> None:
    """Have what was written to an open file put on the disk."""
    os.fsync(handle)


def sync_folder(folder: Path) -> None:
    """Have a folder's entries, so what was renamed in it, put on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
