"""What was asked of the server, one JSON line a request."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and what became of it.

    Attributes
    ----------
    time : float
        When it came, in seconds since 1970.
    path : str
        With the query.
    bytes : int
        Of the body, handed to the operating system.
    at_once : int
        Requests that were being answered when it came, itself included.
    """

    time: float
    method: str
    path: str
    status: int
    bytes: int
    if_none_match: str | None
    user_agent: str | None
    at_once: int


class RequestLog:
    """Appends to a file; every line is there as soon as its request is done with."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, entry: Entry) -> None:
        """Append a line."""
        self._file.write(json.dumps(asdict(entry)) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> list[Entry]:
    """Read what a server has written so far; nothing where it has not been asked anything."""
    if not path.exists():
        return []
    return [Entry(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
