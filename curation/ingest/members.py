"""What archives of all kinds have in common: names, bounds, archives inside of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from curation.ingest.names import escape, has_litter, unsafe
from curation.ingest.offers import ReadFailure
from data_catalog.schema import Reason

PEEK_BYTES: Final = 512  # enough for every mark in `_MARKS`
_MARKS: Final = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"!<arch>\n", "ar"),
    (0, b"MSCF\0\0\0\0", "cab"),
    (257, b"ustar", "tar"),
)


def archive_kind(head: bytes) -> str | None:
    """Name the kind of archive that some first bytes belong to, or None."""
    return next((kind for at, mark, kind in _MARKS if head[at : at + len(mark)] == mark), None)


def refuse_nested(head: bytes) -> None:
    """Raise `ReadFailure` if a member is an archive itself, whatever its name says."""
    if kind := archive_kind(head):
        raise ReadFailure(
            Reason.NESTED_ARCHIVE,
            f"is a {kind} archive inside an archive; unpack it and make it a source of its own",
        )


@dataclass(slots=True)
class Naming:
    r"""Gives the members of one archive their locators, ``<archive>!/<member>``.

    The second of two members with one name becomes ``name\#2``, which no escaped name can be.
    """

    archive: str
    _seen: Counter[int] = field(default_factory=Counter)

    def locator(self, name: str) -> str:
        """Name the next member; call it once for each, in the archive's order."""
        key = hash(name)
        self._seen[key] += 1
        count = self._seen[key]
        return f"{self.archive}!/{escape(name)}" + (f"\\#{count}" if count > 1 else "")


def tidy(name: str) -> str:
    """Take a leading ``./`` off, which `tar` writes."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def is_hidden(name: str) -> bool:
    """Tell whether a member is litter; an unsafe name is never hidden, so that it is reported."""
    return unsafe(name) is None and has_litter(name)


def too_much_ratio(unpacked: int, packed: int, limit: float) -> ReadFailure:
    """Say that a member unpacks to more than `limits.max_archive_ratio` allows."""
    return ReadFailure(
        Reason.ARCHIVE_BOMB,
        f"unpacks from {packed:,} bytes to {unpacked:,} or more; "
        f"`limits.max_archive_ratio` is {limit:,.0f}",
    )
