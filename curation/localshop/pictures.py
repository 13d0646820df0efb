"""Where the shop's pictures come from: a folder, or out of thin air."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import simplejpeg
from PIL import Image

# Larger ones are served in one size only.
_MAX_PIXELS: Final = 40_000_000
_TYPES: Final = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of a file and what a cache needs to know of them."""

    data: bytes
    etag: str
    modified: int


class Pictures(Protocol):
    """The pictures that are for sale."""

    @property
    def names(self) -> Sequence[str]:
        """File names, in one order always."""

    def read(self, name: str) -> Picture:
        """Give the bytes of one of `names`; OSError when it is not to be had any more."""

    def width(self, name: str) -> int | None:
        """Give the width in pixels; None where there are no smaller sizes to be had."""


def type_of(name: str) -> str:
    """Give the media type that a file of this name is served as, whatever is in it."""
    return _TYPES.get(os.path.splitext(name)[1].lower(), "application/octet-stream")  # noqa: PTH122


class FolderPictures:
    """The files of a folder, without those of its subfolders and without dotfiles.

    Attributes
    ----------
    outside : tuple of str
        Links that leave the folder. Nothing behind them is ever served.
    """

    def __init__(self, folder: Path) -> None:
        root = folder.resolve(strict=True)
        self._files: dict[str, Path] = {}
        outside = []
        for path in sorted(root.iterdir()):
            if path.name.startswith("."):
                continue
            target = path.resolve()
            if not target.is_relative_to(root):
                outside.append(path.name)
            elif target.is_file():
                self._files[path.name] = target
        self.names: Sequence[str] = tuple(self._files)
        self.outside = tuple(outside)
        self._widths: dict[str, int | None] = {}

    def read(self, name: str) -> Picture:
        """Read a file; its entity tag changes when it is written to."""
        try:
            file = self._files[name].open("rb")
        except KeyError:
            raise FileNotFoundError(name) from None
        with file:
            status = os.fstat(file.fileno())
            tag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
            return Picture(file.read(), tag, int(status.st_mtime))

    def width(self, name: str) -> int | None:
        """Read the width off the header of a JPEG or PNG file."""
        if name not in self._widths:
            try:
                self._widths[name] = width_of(self.read(name).data)
            except OSError:
                return None
        return self._widths[name]


def width_of(data: bytes) -> int | None:
    """Read the width off the header of a JPEG or PNG picture that can be made smaller."""
    if data.startswith(b"\xff\xd8\xff"):
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(data, strict=False)
        except (ValueError, KeyError):  # no header, or one that breaks off
            return None
    elif data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
    else:
        return None
    return int(width) if 0 < width * height <= _MAX_PIXELS else None


def smaller(data: bytes, width: int) -> bytes:
    """Scale a JPEG or PNG picture down; one that cannot be decoded comes back as it is."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            kind = image.format
            image.thumbnail((width, image.height))
            buffer = io.BytesIO()
            image.save(buffer, kind, quality=82)
    except (OSError, ValueError, SyntaxError):
        return data
    return buffer.getvalue()


class DrawnPictures:
    """Any number of tiny pictures that are made when they are asked for, no two the same.

    Parameters
    ----------
    count
        How many.
    side
        Their width and height in pixels.
    """

    def __init__(self, count: int, side: int = 8) -> None:
        self._side = side
        self.names: Sequence[str] = tuple(f"item-{i:06d}.png" for i in range(count))
        self._known = frozenset(self.names)

    def read(self, name: str) -> Picture:
        """Draw the picture of this name: noise that the name decides on."""
        if name not in self._known:
            raise FileNotFoundError(name)
        seed = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return Picture(_png(self._side, seed), f'"{seed.hex()}"', 1_700_000_000)

    def width(self, name: str) -> int | None:
        """Give None: they are as small as can be."""
        return None


def _png(side: int, seed: bytes) -> bytes:
    """Encode square RGB noise."""
    noise = hashlib.shake_128(seed).digest(3 * side * side)
    rows = b"".join(b"\0" + noise[3 * side * y : 3 * side * (y + 1)] for y in range(side))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
