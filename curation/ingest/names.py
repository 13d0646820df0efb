"""Names as they come from disks and archives, made into text that is safe to store and to show."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

# Everything that is no valid UTF-8 (surrogates, by which Python carries stray bytes), breaks a line
# (controls, line separators) or turns the text around it (bidirectional controls).
_SPECIAL: Final = re.compile(
    "[\\\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ESCAPED: Final = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")
_DRIVE: Final = re.compile(r"^[A-Za-z]:")

# Written by operating systems and network drives beside the pictures; nobody means them.
LITTER: Final = frozenset(
    {
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "@eadir",
        "$recycle.bin",
        "system volume information",
        "icon\r",
    }
)

PICTURE_ENDINGS: Final = frozenset(
    [
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "png",
        "webp",
        "gif",
        "bmp",
        "tif",
        "tiff",
        "avif",
        "heic",
        "heif",
        "jp2",
        "jxl",
        "ppm",
        "pgm",
        "tga",
        "ico",
    ]
)


def escape(name: str) -> str:
    r"""Make any file name valid, printable UTF-8 on one line; `unescape` takes it back.

    A backslash is doubled; ASCII controls and bytes that are not UTF-8 become ``\xNN``; other
    controls, separators and bidirectional marks become ``\uNNNN``.

    Parameters
    ----------
    name : str
        As `os.fsdecode` gives it: bytes that are not UTF-8 are the surrogates U+DC80 to U+DCFF.
    """
    if not _SPECIAL.search(name):
        return name
    return _SPECIAL.sub(_escape_one, name)


def unescape(locator: str) -> str:
    """Give the name that `escape` was given."""
    if "\\" not in locator:
        return locator
    return _ESCAPED.sub(_unescape_one, locator)


def _escape_one(match: re.Match[str]) -> str:
    character = match.group()
    if character == "\\":
        return "\\\\"
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}"


def _unescape_one(match: re.Match[str]) -> str:
    token = match.group(1)
    if token == "\\":
        return "\\"
    code = int(token[1:], 16)
    if token[0] == "x" and code >= 0x80:
        code += 0xDC00
    return chr(code)


def is_litter(name: str) -> bool:
    """Tell whether one path component is a dotfile or what an operating system leaves behind."""
    return name.startswith(".") or name.lower() in LITTER


def has_litter(path: str) -> bool:
    """Tell whether any component of a `/`-separated path is litter."""
    return any(is_litter(part) for part in path.split("/"))


def unsafe(name: str) -> str | None:
    """Say why a name from an archive or a table must not be used as a path; None when it may.

    Nothing is ever extracted to disk; the names still end up in exports and on pages.
    """
    if not name:
        return "the name is empty"
    if "\0" in name:
        return "the name holds a NUL byte"
    if "\\" in name:
        return "the name holds a backslash"
    if name.startswith("/"):
        return "the name is an absolute path"
    if _DRIVE.match(name):
        return "the name starts with a drive letter"
    if ".." in name.split("/"):
        return "the name climbs out by '..'"
    return None


def stem(path: str) -> str:
    """Give the last component of a path without its last extension: ``a/b.c.jpg`` gives ``b.c``."""
    name = path.rsplit("/", 1)[-1]
    head, dot, _ = name.rpartition(".")
    return head if dot and head else name


def picture_stem(name: str) -> str:
    """Like `stem`, but takes only the ending of a picture off: ``shoe.v2`` stays as it is."""
    short = stem(name)
    last = name.rsplit("/", 1)[-1]
    return short if last[len(short) + 1 :].lower() in PICTURE_ENDINGS else last


@lru_cache(maxsize=256)
def _glob_regex(pattern: str) -> str:
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            parts.append("(?:.*/)?")
            at += 3
        elif rest.startswith("**"):
            parts.append(".*")
            at += 2
        elif rest[0] == "*":
            parts.append("[^/]*")
            at += 1
        elif rest[0] == "?":
            parts.append("[^/]")
            at += 1
        elif rest[0] == "[" and (end := rest.find("]", 2)) > 0:
            inside = rest[1:end].replace("\\", "\\\\").replace("[", "\\[")
            parts.append(f"[^{inside[1:]}]" if inside[0] == "!" else f"[{inside}]")
            at += end + 1
        else:
            parts.append(re.escape(rest[0]))
            at += 1
    anchored = "".join(parts)
    # As in .gitignore: a pattern without a slash means the name, wherever it lies.
    return anchored if "/" in pattern else f"(?:.*/)?{anchored}"


def glob_matcher(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool] | None:
    """Compile include and exclude patterns; None when there are none.

    Patterns match the whole relative path without regard to case: ``*`` stays within one
    component, ``**`` crosses them, and a pattern without ``/`` is matched against the file's name.
    A path is wanted when any `include` matches (or there is none) and no `exclude` does.

    Raises
    ------
    ValueError
        If a pattern is not valid.
    """
    if not include and not exclude:
        return None
    wanted, unwanted = (_compile(include), _compile(exclude))

    def matches(path: str) -> bool:
        if wanted is not None and not wanted.fullmatch(path):
            return False
        return unwanted is None or not unwanted.fullmatch(path)

    return matches


def _compile(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    for pattern in patterns:
        try:
            re.compile(_glob_regex(pattern))
        except re.error as error:
            raise ValueError(f"`{pattern}` is not a valid pattern: {error}") from error
    joined = "|".join(f"(?:{_glob_regex(p)})" for p in patterns)
    return re.compile(joined, re.IGNORECASE | re.DOTALL)


def clean_member(locator: str) -> str:
    """Give what patterns are matched against: of a locator in an archive, the member."""
    return locator.rpartition("!/")[2]
