"""Reading files that somebody else wrote: never blocking, never unbounded, never by surprise."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from glob import glob
from pathlib import Path

from curation.errors import SourceError
from curation.ingest.names import escape
from curation.ingest.offers import ReadFailure
from data_catalog.schema import Reason

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
)


def kind_of(mode: int) -> str:
    """Name what kind of file a `st_mode` means."""
    return next((kind for test, kind in _KINDS if test(mode)), "no regular file")


def revision_of(status: os.stat_result) -> str:
    """Text that changes when a file's content may have."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def in_words(error: OSError) -> str:
    """Say what the operating system said, without the path."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def read_bounded(path: str, max_bytes: int) -> bytes:
    """Read one regular file of at most `max_bytes`.

    The listing that led here may be out of date: what is opened is looked at again, a link that
    has taken the file's place is not followed, and a pipe does not block.

    Raises
    ------
    ReadFailure
        Unreadable, not a regular file (any more), or more than `max_bytes`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ReadFailure(Reason.UNREADABLE, in_words(error)) from error
    try:
        return _read_descriptor(descriptor, max_bytes)
    except OSError as error:
        raise ReadFailure(Reason.UNREADABLE, in_words(error)) from error
    finally:
        os.close(descriptor)


def _read_descriptor(descriptor: int, max_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ReadFailure(Reason.UNREADABLE, f"is {kind_of(status.st_mode)}, not a regular file")
    if status.st_size > max_bytes:
        raise too_large(status.st_size, max_bytes)
    chunks: list[bytes] = []
    total = 0
    while chunk := os.read(descriptor, min(max(status.st_size, 1 << 12) + 1, 8 << 20)):
        chunks.append(chunk)
        total += len(chunk)
        if total > max_bytes:  # it grows while it is read
            raise too_large(total, max_bytes)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def too_large(size: int, max_bytes: int) -> ReadFailure:
    """Say that something exceeds `limits.max_bytes`."""
    return ReadFailure(
        Reason.FILE_TOO_LARGE,
        f"has {size:,} bytes, `limits.max_bytes` is {max_bytes:,}; raise it if this is meant",
    )


def is_below(path: str, folder: str) -> bool:
    """Tell whether a resolved path is the resolved folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def matching_files(pattern: str, key: str) -> list[str]:
    """Give the files that a path or a pattern (``*``, ``?``, ``[]``, ``**``, ``{000..015}``) names.

    Sorted and without repeats.

    Raises
    ------
    SourceError
        If there is none; `key` names the setting that gave the pattern.
    """
    if Path(pattern).exists():
        if Path(pattern).is_dir():
            raise SourceError(
                f"`{key}` is a folder: {escape(pattern)}; name a file in it, or all of a kind by a "
                f'pattern such as "{escape(pattern)}/*.tar"'
            )
        if not Path(pattern).is_file():
            mode = Path(pattern).stat().st_mode
            raise SourceError(f"`{key}` is {kind_of(mode)}, not a regular file: {escape(pattern)}")
        return [pattern]
    found = {name for one in _braces(pattern) for name in glob(one, recursive=True)}  # noqa: PTH207
    files = sorted(name for name in found if Path(name).is_file())
    if not files:
        raise SourceError(
            f"`{key}` matches no file: {escape(pattern)} (seen from {escape(os.getcwd())}); "  # noqa: PTH109
            "correct the path, or take the entry out of [[sources]]"
        )
    return files


def _braces(pattern: str) -> Iterator[str]:
    """Expand ``{000..015}`` and ``{a,b}`` in a pattern; at most 100,000 names each."""
    start = pattern.find("{")
    end = pattern.find("}", start)
    if start < 0 or end < 0:
        yield pattern
        return
    head, inside, tail = pattern[:start], pattern[start + 1 : end], pattern[end + 1 :]
    first, dots, last = inside.partition("..")
    if dots and first.isdecimal() and last.isdecimal():
        numbers = range(int(first), int(last) + 1)
        if len(numbers) > 100_000:
            raise SourceError(f"`{pattern}` names {len(numbers):,} files; use a pattern with `*`")
        choices: Iterator[str] = (str(n).zfill(len(first)) for n in numbers)
    else:
        choices = iter(inside.split(","))
    for choice in choices:
        for rest in _braces(tail):
            yield head + choice + rest
