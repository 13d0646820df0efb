"""Members of zip archives, read with bounds; what is left of a truncated one is salvaged."""

from __future__ import annotations

import itertools
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from curation.ingest.files import too_large
from curation.ingest.members import PEEK_BYTES, refuse_nested, too_much_ratio
from curation.ingest.offers import ReadFailure
from curation.ingest.tarstream import RATIO_MATTERS_FROM
from curation.recipe import Limits
from data_catalog.schema import Reason

_LOCAL: Final = struct.Struct("<4s5H3I2H")  # the header in front of each member
_LOCAL_MARK: Final = b"PK\x03\x04"
_ENCRYPTED: Final = 0x1
_SIZES_FOLLOW: Final = 0x8
_UTF8: Final = 0x800
_CHUNK: Final = 1 << 18
_METHODS: Final = frozenset(
    {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
)
_DAMAGED: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, struct.error,
)  # fmt: skip


def name_of(info: zipfile.ZipInfo) -> str:
    """Give a member's name; UTF-8 names that do not say so are put right.

    `zipfile` reads unmarked names as code page 437, which has a character for every byte.
    """
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        try:
            return name.encode("cp437").decode("utf-8")
        except ValueError:
            return name
    return name


def overlapping(infos: list[zipfile.ZipInfo]) -> frozenset[int]:
    """Give the header offsets of members that share bytes with the next, as in some bombs."""
    ordered = sorted({i.header_offset: i for i in infos}.values(), key=lambda i: i.header_offset)
    least = _LOCAL.size
    return frozenset(
        one.header_offset
        for one, following in itertools.pairwise(ordered)
        if one.header_offset + least + one.compress_size > following.header_offset
    )


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: Limits) -> bytes:
    """Read one member; no length that its headers state is believed.

    Raises
    ------
    ReadFailure
        Encrypted, packed by an unknown method, damaged, too large, an archive itself, or a bomb.
    """
    if info.flag_bits & _ENCRYPTED:
        raise ReadFailure(Reason.UNREADABLE, "is encrypted; unpack it with its password first")
    if info.compress_type not in _METHODS:
        raise ReadFailure(
            Reason.UNREADABLE, f"is packed by method {info.compress_type}, which cannot be unpacked"
        )
    try:
        with archive.open(info) as file:
            return read_bounded_member(file, info.file_size, info.compress_size, limits)
    except ReadFailure:
        raise
    except (RuntimeError, *_DAMAGED) as error:  # RuntimeError: other encryptions
        raise ReadFailure(
            Reason.UNREADABLE, f"is damaged: {error or type(error).__name__}"
        ) from error


def read_bounded_member(
    file: IO[bytes] | _Inflating, claimed: int, packed: int, limits: Limits
) -> bytes:
    """Read an unpacking stream up to the limits; `claimed` only decides how it is refused."""
    head = file.read(PEEK_BYTES)
    refuse_nested(head)
    if claimed > limits.max_bytes:
        if _is_bomb(claimed, packed, limits):
            raise too_much_ratio(claimed, packed, limits.max_archive_ratio)
        raise too_large(claimed, limits.max_bytes)
    parts, total = [head], len(head)
    while data := file.read(_CHUNK):
        parts.append(data)
        total += len(data)
        if _is_bomb(total, packed, limits):
            raise too_much_ratio(total, packed, limits.max_archive_ratio)
        if total > limits.max_bytes:
            raise too_large(total, limits.max_bytes)
    return b"".join(parts)


def _is_bomb(unpacked: int, packed: int, limits: Limits) -> bool:
    ratio = unpacked / max(packed, 1)
    return unpacked > RATIO_MATTERS_FROM and ratio > limits.max_archive_ratio


@dataclass(frozen=True, slots=True)
class Salvaged:
    """A member found without the archive's directory; `data` is None where it is damaged."""

    name: str
    crc: int
    data: bytes | None
    failure: ReadFailure | None = None


def salvage(file: IO[bytes], limits: Limits) -> Iterator[Salvaged]:
    """Read a zip whose directory is missing, as after a broken download, from its front.

    Ends at the first thing that is no whole member. Only stored and deflated members are read.
    """
    position = 0
    while True:
        file.seek(position)
        header = file.read(_LOCAL.size)
        if len(header) < _LOCAL.size or not header.startswith(_LOCAL_MARK):
            return
        _, _, flags, method, _, _, crc, packed, unpacked, name_size, extra_size = _LOCAL.unpack(
            header
        )
        raw_name = file.read(name_size)
        name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437", "surrogateescape")
        file.seek(extra_size, 1)
        start = file.tell()
        if flags & _ENCRYPTED or method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            if flags & _SIZES_FOLLOW or packed == 0xFFFFFFFF:
                return
            failure = ReadFailure(Reason.UNREADABLE, "is encrypted or packed by an unknown method")
            yield Salvaged(name, crc, None, failure)
            position = start + packed
            continue
        if method == zipfile.ZIP_STORED and flags & _SIZES_FOLLOW:
            return  # nothing says where it ends
        bounded = _Inflating(file, None if flags & _SIZES_FOLLOW else packed, method)
        try:
            data = (
                read_bounded_member(bounded, unpacked, max(packed, 1), limits)
                if not (flags & _SIZES_FOLLOW)
                else _read_unsized(bounded, limits)
            )
        except ReadFailure as error:
            yield Salvaged(name, crc, None, error)
            if flags & _SIZES_FOLLOW:
                return
            position = start + packed
            continue
        except _DAMAGED:
            return
        end = start + bounded.taken
        if flags & _SIZES_FOLLOW:
            crc, end = _descriptor(file, end)
        if zlib.crc32(data) != crc:
            yield Salvaged(
                name, crc, None, ReadFailure(Reason.UNREADABLE, "is damaged: bad CRC-32")
            )
        else:
            yield Salvaged(name, crc, data)
        position = end if flags & _SIZES_FOLLOW else start + packed


def _read_unsized(stream: _Inflating, limits: Limits) -> bytes:
    parts, total = [], 0
    while data := stream.read(_CHUNK):
        parts.append(data)
        total += len(data)
        if _is_bomb(total, stream.taken, limits):
            raise too_much_ratio(total, stream.taken, limits.max_archive_ratio)
        if total > limits.max_bytes:
            raise too_large(total, limits.max_bytes)
    data = b"".join(parts)
    refuse_nested(data[:PEEK_BYTES])
    return data


def _descriptor(file: IO[bytes], at: int) -> tuple[int, int]:
    """Read the CRC-32 that follows a member, and where the next one starts."""
    file.seek(at)
    tail = file.read(24)
    signature = 4 if tail.startswith(b"PK\x07\x08") else 0
    if len(tail) < signature + 12:
        raise EOFError
    crc = struct.unpack_from("<I", tail, signature)[0]
    # Sizes have four bytes, or eight in large archives: the next member's mark tells which.
    for length in (signature + 12, signature + 20):
        file.seek(at + length)
        if file.read(2) in (b"PK", b""):
            return crc, at + length
    return crc, at + signature + 12


class _Inflating:
    """Stored or deflated bytes of one member; knows how many it took."""

    def __init__(self, file: IO[bytes], packed: int | None, method: int) -> None:
        self.file = file
        self.left = packed
        self.unpacker = zlib.decompressobj(-15) if method == zipfile.ZIP_DEFLATED else None
        self.taken = 0

    def read(self, size: int) -> bytes:
        if self.unpacker is None:
            data = self._take(size)
            if not data and self.left:
                raise EOFError("the archive ends early")
            return data
        while not self.unpacker.eof:
            waiting = self.unpacker.unconsumed_tail or self._take(1 << 16)
            if not waiting:
                raise EOFError("the archive ends early")
            data = self.unpacker.decompress(waiting, size)
            if self.unpacker.eof:
                self.taken -= len(self.unpacker.unused_data)
            if data:
                return data
        return b""

    def _take(self, size: int) -> bytes:
        data = self.file.read(size if self.left is None else min(size, self.left))
        if self.left is not None:
            self.left -= len(data)
        self.taken += len(data)
        return data
