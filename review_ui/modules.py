"""Which modules of the page import which, so that it asks for all that it needs at once."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"

_IMPORTED: Final = re.compile(r'^import\b[^"\'()]*["\'](\.\.?/[\w./]+)["\'];', re.MULTILINE)


def needed_by(*entries: str) -> Sequence[str]:
    """Give the paths of modules below `static/` with all that they import at once, entries first.

    What is imported when it is first wanted (``import()``) is not among them.
    """
    found = dict.fromkeys(entries)
    for name in (waiting := list(entries)):
        text = (STATIC / name).read_text(encoding="utf-8")
        folder = posixpath.dirname(name)
        imported = (posixpath.normpath(f"{folder or '.'}/{to}") for to in _IMPORTED.findall(text))
        new = [other for other in imported if other not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return list(found)
