"""Tar archives read strictly forwards, with every length taken from what was really read.

`tarfile` trusts its input: it reads an extended header whole, however long it says it is, and takes
damage in the middle for the end. The stream underneath it, here, does not.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

from curation.ingest.offers import ReadFailure
from curation.recipe import Limits
from data_catalog.schema import Reason

_BLOCK: Final = 512
_MOST_AT_ONCE: Final = 16 << 20  # of one read; longer ones come from hostile headers only
_XZ_MEMORY: Final = 512 << 20
# Below this much, a high ratio is no danger: text and flat colours pack well.
RATIO_MATTERS_FROM: Final = 8 << 20

DAMAGED: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, ValueError)


class _Counted:
    """A raw file that knows how many bytes were taken from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.taken += len(data)
        return data

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.file.close()


class _Xz:
    """Unpacks xz with a bound on memory, which `lzma.LZMAFile` cannot be given."""

    def __init__(self, raw: _Counted) -> None:
        self.raw = raw
        self.unpacker = self._new()
        self.waiting = b""

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            if self.unpacker.eof:
                self.waiting = (self.unpacker.unused_data or self.raw.read(1 << 16)).lstrip(b"\0")
                if not self.waiting:
                    return b""
                self.unpacker = self._new()
            elif self.unpacker.needs_input:
                self.waiting = self.raw.read(1 << 16)
                if not self.waiting:
                    raise EOFError("the packed stream ends early")
            data = self.unpacker.decompress(self.waiting, max_length=size)
            self.waiting = b""
            if data:
                return data


class TarStream:
    """The unpacked bytes of a tar, forwards only: `tell`, `seek` ahead, bounded `read`.

    Raises `ReadFailure` (ARCHIVE_BOMB) once more than the limits allow has been unpacked.
    """

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        self._raw = _Counted(file)
        magic = file.read(6)
        file.seek(0)
        self._packed = True
        self._stream: IO[bytes] | _Xz | _Counted
        if magic[:2] == b"\x1f\x8b":
            self._stream = gzip.GzipFile(fileobj=self._raw, mode="rb")  # type: ignore[call-overload]
        elif magic[:3] == b"BZh":
            self._stream = bz2.BZ2File(self._raw)  # type: ignore[call-overload]
        elif magic == b"\xfd7zXZ\0":
            self._stream = _Xz(self._raw)
        else:
            self._stream, self._packed = self._raw, False
        self._limits = limits
        self._position = 0
        self.last_header = b""

    def tell(self) -> int:
        """Give the position in the unpacked bytes."""
        return self._position

    def seek(self, position: int, whence: int = 0) -> int:
        """Skip to a position that lies ahead."""
        if whence or position < self._position:
            raise ValueError("the archive's headers point backwards")
        left = position - self._position
        while left > 0:
            data = self._take(min(left, 1 << 20))
            if not data:
                break
            left -= len(data)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, at most 16 MiB at once."""
        if not 0 <= size <= _MOST_AT_ONCE:
            raise ValueError(f"a header claims to be {size:,} bytes long")
        parts = []
        while size > 0 and (data := self._take(size)):
            parts.append(data)
            size -= len(data)
        joined = b"".join(parts)
        self.last_header = joined
        return joined

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._position += len(data)
        self._check()
        return data

    def _check(self) -> None:
        unpacked, most = self._position, self._limits.max_archive_bytes
        if unpacked > most:
            raise ReadFailure(
                Reason.ARCHIVE_BOMB,
                f"unpacks to more than `limits.max_archive_bytes`, {most:,}; reading stopped there",
            )
        ratio = unpacked / max(self._raw.taken, 1)
        if (
            self._packed
            and unpacked > RATIO_MATTERS_FROM
            and ratio > self._limits.max_archive_ratio
        ):
            raise ReadFailure(
                Reason.ARCHIVE_BOMB,
                f"unpacks to {ratio:,.0f} times its size, `limits.max_archive_ratio` is "
                f"{self._limits.max_archive_ratio:,.0f}; reading stopped there",
            )


def members(stream: TarStream) -> Iterator[tarfile.TarInfo]:
    """Go through the members in order; read one by `read_member` before taking the next.

    Raises
    ------
    ReadFailure
        When the archive is truncated or damaged; what came before it is good.
    """
    try:
        with tarfile.TarFile(fileobj=stream, mode="r") as tar:  # type: ignore[arg-type]
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # keeps memory flat; nothing looks back
                yield member
            _check_end(stream)
    except ReadFailure:
        raise
    except Exception as error:  # hostile headers make `tarfile` raise nearly anything
        raise ReadFailure(
            Reason.UNREADABLE,
            f"is damaged or cut short; the rest is not read: {error or type(error).__name__}",
        ) from error


def _check_end(stream: TarStream) -> None:
    """Tell the end of an archive from damage that `tarfile` takes for it."""
    last = stream.last_header
    if len(last) < _BLOCK:
        raise tarfile.ReadError("it ends without the mark of a tar archive's end")
    if last.strip(b"\0"):
        raise tarfile.ReadError(f"bad header at byte {stream.tell() - _BLOCK:,}")


def read_member(stream: TarStream, size: int) -> bytes:
    """Read the `size` bytes of the member that the stream stands at.

    Raises
    ------
    ReadFailure
        If the archive ends before that, or is damaged.
    """
    parts: list[bytes] = []
    left = size
    try:
        while left > 0:
            data = stream.read(min(left, 1 << 20))
            if not data:
                raise EOFError(f"{left:,} of {size:,} bytes are missing")
            parts.append(data)
            left -= len(data)
    except DAMAGED as error:
        raise ReadFailure(
            Reason.UNREADABLE, f"its archive is damaged or cut short: {error}"
        ) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)
