"""Reading a shard's tar file from front to back, strictly: what `nonesuch publish` writes, no more.

Nothing is ever unpacked, so that a member's name cannot lead anywhere; still a name that tries to
is an error, since it says that something else than a publish wrote the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

BLOCK: Final = 512
MEMBER_BYTES: Final = 256 << 20
"""A member may be so large; it is read as a whole."""

_NAME: Final = re.compile(r"([^./\\\x00-\x1f\x7f]{1,200})\.(jpg|png|webp|json)")
_PAX_RECORD: Final = re.compile(rb"(\d{1,9}) ([^=\n]+)=")
_KINDS: Final = {b"1": "a hard link", b"2": "a symbolic link", b"5": "a folder"}


class TarballError(ValueError):
    """A tar file is not a shard; the message says what is wrong, and not in which file."""


class Source(Protocol):
    """What bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Give `size` bytes; fewer only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class RawSample:
    """One sample as it lies in a shard.

    Attributes
    ----------
    key : str
    image : bytes
        Encoded picture.
    offset : int
        Where it begins in the file, bytes.
    meta : bytes
        JSON text.
    """

    key: str
    image: bytes
    offset: int
    meta: bytes


@dataclass(frozen=True, slots=True)
class _Member:
    key: str
    extension: str
    offset: int
    data: bytes


def read_samples(file: Source, size: int) -> Iterator[RawSample]:
    """Go through the samples of a shard; reads up to the archive's end and no further.

    Parameters
    ----------
    file
        Stands at its beginning.
    size
        Bytes in it: no member can be larger, whatever its header claims.

    Raises
    ------
    TarballError
        If it is cut off, or holds anything but pairs of a picture and a JSON file.
    """
    members = _members(file, size)
    for first in members:
        second = next(members, None)
        if second is None or second.key != first.key:
            raise TarballError(
                f"`{first.key}` must be a picture and a JSON file, one after another"
            )
        image, meta = (second, first) if first.extension == "json" else (first, second)
        if image.extension == "json" or meta.extension != "json":
            raise TarballError(f"`{first.key}` must be one picture and one JSON file")
        yield RawSample(image.key, image.data, image.offset, meta.data)


def _members(file: Source, size: int) -> Iterator[_Member]:
    position = 0
    renamed: str | None = None
    while True:
        block = _exactly(file, BLOCK)
        if block.count(0) == BLOCK:
            return
        position += BLOCK
        name, kind, length = _header(block)
        if length > min(size - position, MEMBER_BYTES):
            raise TarballError(
                f"`{name!r:.120}` claims {length:,} bytes, more than are left in it: it is cut "
                "off, or its header is wrong"
            )
        data = _exactly(file, length)
        _exactly(file, -length % BLOCK)
        if kind == b"x":
            renamed = _pax_path(data)
        else:
            name, renamed = renamed or name, None
            match = _NAME.fullmatch(name)
            if match is None:
                raise TarballError(
                    f"`{name!r:.120}` must be <key>.jpg, .png, .webp or .json, in no folder"
                )
            yield _Member(match[1], match[2], position, data)
        position += length + -length % BLOCK


def _exactly(file: Source, size: int) -> bytes:
    data = file.read(size) if size else b""
    if len(data) != size:
        raise TarballError("it is cut off")
    return data


def _header(block: bytes) -> tuple[str, bytes, int]:
    """Name, kind and size of a member, by POSIX.1-1988 (ustar)."""
    try:
        claimed = int(block[148:156].rstrip(b" \0"), 8)
        length = int(block[124:136].rstrip(b" \0") or b"0", 8)
    except ValueError:
        raise TarballError("it holds something that is no header of a tar member") from None
    # The sum counts its own eight bytes as blanks.
    if sum(block) - sum(block[148:156]) + 8 * ord(" ") != claimed or length < 0:
        raise TarballError("a header of a tar member has a wrong checksum")
    name = _text(block[:100])
    if prefix := _text(block[345:500]):
        name = f"{prefix}/{name}"
    kind = block[156:157]
    if kind not in (b"0", b"\0", b"x"):
        raise TarballError(f"`{name!r:.120}` is {_KINDS.get(kind, 'no plain file')}")
    return name, kind, length


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _pax_path(data: bytes) -> str | None:
    """Name in an extended header, which precedes members whose names are long or not ASCII."""
    path: str | None = None
    while data:
        match = _PAX_RECORD.match(data)
        length = int(match[1]) if match else 0
        if match is None or not match.end() < length <= len(data):
            raise TarballError("an extended header of a tar member is damaged")
        if match[2] == b"size":
            raise TarballError("an extended header gives a member another size")
        if match[2] == b"path":
            path = data[match.end() : length - 1].decode("utf-8", "replace")
        data = data[length:]
    return path
